// slot.h: one container as its shim holds it: files, streams, process, and the call of the runtime that is under way.
// Owns its descriptors and memory. Leaves to others: the socket and who asked (daemon).
#pragma once

#include "shim/line_cutter.h"
#include "shim/log_file.h"
#include "shim/protocol.h"
#include "shim/sys.h"
#include "shim/text.h"

namespace kayak::shim {

enum class State : uint8_t { kCreating, kCreated, kRunning, kExited };
const char* state_name(State state);

// kDeleteHalf removes what a dead shim left half made; kReap waits for the outcome of a process that is not our child.
enum class Op : uint8_t { kNone, kCreate, kStart, kDelete, kDeleteHalf, kReap };

struct Stream {
  int fd = -1;
  LineCutter cutter;
};

// What the caller of an operation wants to hear; kept while it runs.
struct Asker {
  int client = -1;          // index, -1: nobody
  uint32_t generation = 0;  // of the client's place
  int64_t request = 0;
};

struct Slot {
  char id[kMaxIdBytes + 1] = {0};
  State state = State::kCreating;
  Op op = Op::kNone;
  bool dead = false;  // the process has ended, but an operation is still under way
  long pid = 0;
  int pidfd = -1;
  bool child = false;  // ours to wait for; else its pidfd tells
  long op_pid = 0;
  int64_t op_deadline_ms = 0;
  int reap_steps = 0;  // looks at kReap's process so far
  Asker asker;
  int64_t started = 0, finished = 0;
  int code = 0, signal = 0;
  bool unknown = false;
  Stream out, err;
  LogFile log;
  char spec[kMaxSpecBytes];
  const char* fields[kSpecFields] = {nullptr};

  // `<id>/<name>`, relative to the shim's directory.
  Text<kMaxIdBytes + 32> file(const char* name) const {
    Text<kMaxIdBytes + 32> path;
    path.add(id).add('/').add(name);
    return path;
  }
  int64_t number(SpecField field) const;
};

// A slot of its own pages; null when memory is out.
Slot* new_slot(const char* id);
void free_slot(Slot* slot);  // closes everything

// Reads <id>/spec. A text for people when it is not acceptable, else null.
const char* load_spec(Slot& slot);
// Makes (when absent) and opens the FIFOs and the log. -errno.
int open_streams(Slot& slot);
// Reads what the container wrote, once; false at the end of the stream (then its fd is closed).
bool pump(Slot& slot, bool error_stream);
// Everything that is left, then the last partial lines; closes streams and log.
void drain_and_close(Slot& slot);

// The wait status of a process that is not our child and has ended, by its pidfd. 1: `status` is set; 0: not known yet
// (its parent has not reaped it); -errno: this kernel does not tell (before 6.15).
int foreign_exit_status(int pidfd, int* status);

// Starts the runtime with the verb of `op`; the container's streams are its stdio for kCreate. -errno.
int spawn_runtime(Slot& slot, Op op);
// The last error that the runtime logged, or "" .
void last_runtime_error(const Slot& slot, Text<2048>& to);

int64_t process_start_time(long pid);  // as /proc/<pid>/stat has it; -1 when it is gone
void save_state(const Slot& slot);     // <id>/state
bool load_state(Slot& slot, int64_t* start_time);
void save_exit(const Slot& slot);  // <id>/exit
bool load_exit(Slot& slot);
void remove_files(const Slot& slot);
// Kills whatever is in the control group of a container that shares its PID namespace.
void kill_group(const Slot& slot);

}  // namespace kayak::shim
