// sandbox.h: the one-shot helper that makes a pod's namespaces and pins them.
#pragma once

namespace kayak::shim {

// Arguments: the directory to pin in, then any of: net, ipc, uts, pid (namespaces wanted), hostname=NAME,
// shm=BYTES (size of /dev/shm), sysctl=NAME=VALUE, cgroup=FILE (cgroup.procs for the pid-1 process of `pid`; repeated).
// Leaves bind mounts net, ipc, uts, pid and the tmpfs shm in the directory; undoes all of it when anything fails.
// With `pid`, a process stays behind as pid 1 of the new namespace (in `pid`, its number in `init.pid`).
int run_sandbox(int argc, char** argv);

}  // namespace kayak::shim
