// daemon.h: the shim of one pod while it lives: one epoll loop, no timers, no wake-up while nothing happens.
#pragma once

namespace kayak::shim {

// Takes the lock in `directory`, joins the given cgroups, forks into the background and serves. Returns in the calling
// process when the socket answers: 0, or a code after a message on stderr. A directory whose lock is held is served
// already: 0.
int run_daemon(const char* directory, char** cgroup_procs, int cgroups);

// "kayak-shim: <what>: error <number>" on stderr; 1.
int complain(const char* what, const char* about, long error);

}  // namespace kayak::shim
