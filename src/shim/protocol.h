// protocol.h: what kayak and the shim of a pod say to each other, and the files both read.
// Constants alone, so that the freestanding shim and the agent share them.
//
// The socket `socket` in the shim's directory (mode 0600) carries messages both ways: a length (32 bits, little endian,
// of what follows), then NUL-terminated fields. Requests: id, verb, arguments. Answers: the request's id, then "ok" and
// values, or "error" and a text for people. Events have the id "0". The first request is "hello" with the version.
//
//   hello VERSION              -> ok VERSION PID
//   list                       -> (container ID STATE PID STARTED CODE SIGNAL UNKNOWN FINISHED)*, then ok
//   create ID                  -> ok PID       runs `runc create` as <ID>/spec says
//   start ID                   -> ok STARTED
//   kill ID SIGNAL             -> ok           error "not running" when it is not
//   delete ID                  -> ok           kills it when it runs; its directory is gone afterwards
//   exit                       -> ok           error "busy" while containers are there
//   event: 0 exit ID CODE SIGNAL UNKNOWN FINISHED
//
// Times are nanoseconds since 1970. CODE is 0..255 as a shell sees it (128 + signal). UNKNOWN is 1 when nobody saw the
// end of the container. STATE is creating, created, running or exited.
//
// Files in the shim's directory, all text:
//   lock              locked (flock) while a shim lives
//   <ID>/spec         written by the agent before `create`: SpecField values, NUL-terminated
//   <ID>/state        "PID STARTTIME PHASE STARTED": PHASE 0 created, 1 running; STARTTIME as in /proc/PID/stat
//   <ID>/exit         "CODE SIGNAL UNKNOWN FINISHED", renamed into place
//   <ID>/out, err     the container's stdout and stderr (FIFOs)
//   <ID>/runc.log     of the last call of the runtime
#pragma once

namespace kayak::shim {

constexpr int kProtocolVersion = 1;
constexpr unsigned kMaxRequestBytes = 512;
constexpr unsigned kMaxAnswerBytes = 4096;
constexpr unsigned kMaxIdBytes = 64;
constexpr unsigned kMaxContainers = 128;  // of one pod, dead ones that are not removed yet included
constexpr unsigned kMaxSpecBytes = 4096;

enum SpecField : unsigned {
  kSpecVersion,     // "1"
  kSpecAttempt,     // the container's restart count
  kSpecRuntime,     // absolute path of runc or crun
  kSpecRoot,        // its state directory (--root)
  kSpecBundle,      // directory with config.json
  kSpecLog,         // absolute path of the log file; its directory exists
  kSpecLogBytes,    // rotated at this size
  kSpecLogFiles,    // kept, the current one included
  kSpecKillCgroup,  // cgroup.procs of a container without a PID namespace of its own: all in it are killed at its end
  kSpecFields,
};

}  // namespace kayak::shim
