// slot.cc: one container of a shim.
#include "shim/slot.h"

namespace kayak::shim {
namespace {

constexpr size_t kReadBytes = 32 * 1024;
char read_buffer[kReadBytes];

// Writes `text` into `path` by way of `path`.tmp, so that a reader sees all or nothing.
void put_file(const char* path, const char* text, size_t size) {
  Text<256> temporary;
  temporary.add(path).add(".tmp");
  const int fd = open(temporary.get(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  const bool whole = write(fd, text, size) == (long)size;
  close(fd);
  if (whole) rename(temporary.get(), path);
}

// The whole file as text; how many bytes, or -errno. Longer files are cut.
long get_file(const char* path, char* to, size_t room) {
  const int fd = open(path, O_RDONLY | O_NOFOLLOW);
  if (fd < 0) return fd;
  size_t used = 0;
  while (used + 1 < room) {
    const long n = read(fd, to + used, room - 1 - used);
    if (n <= 0) break;
    used += (size_t)n;
  }
  close(fd);
  to[used] = 0;
  return (long)used;
}

int open_stream(const Slot& slot, const char* name) {
  const auto path = slot.file(name);
  const int made = make_fifo(path.get(), 0600);
  if (made < 0 && made != -EEXIST) return made;
  return open(path.get(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
}

void close_stream(Stream& stream) {
  if (stream.fd >= 0) close(stream.fd);
  stream.fd = -1;
}

// Nothing blocked, as every program expects it; only stdio is inherited (CVE-2024-21626). Dies with its shim: the next
// shim must not meet a runtime that is still at work on the same container.
void become_ordinary(long shim) {
  const uint64_t none = 0;
  call(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, sizeof none);
  call(__NR_prctl, 1 /* PR_SET_PDEATHSIG */, kSigKill);
  if (call(__NR_getppid) != shim) exit_now(125);
  if (call(__NR_close_range, 3, ~0U, 0) < 0) {
    for (int fd = 3; fd < 1024; ++fd) close(fd);
  }
}

[[noreturn]] void run_runtime(Slot& slot, Op op, const int* stdio, long shim) {
  for (int i = 0; i < 3; ++i) {
    // The three are above 2 (the shim's own stdio is open), so that none is overwritten before its turn.
    if (call(__NR_dup3, stdio[i], i, 0) < 0) exit_now(126);
  }
  become_ordinary(shim);
  const auto log = slot.file("runc.log"), pid_file = slot.file("runc.pid");
  const char* arguments[16];
  int n = 0;
  for (const char* argument :
       {slot.fields[kSpecRuntime], "--root", slot.fields[kSpecRoot], "--log", log.get(), "--log-format", "json"}) {
    arguments[n++] = argument;
  }
  if (op == Op::kCreate) {
    for (const char* argument : {"create", "--bundle", slot.fields[kSpecBundle], "--pid-file", pid_file.get()})
      arguments[n++] = argument;
  } else if (op == Op::kStart) {
    arguments[n++] = "start";
  } else {
    arguments[n++] = "delete";
    arguments[n++] = "--force";
  }
  arguments[n++] = slot.id;
  arguments[n] = nullptr;
  const char* environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
  call(__NR_execve, slot.fields[kSpecRuntime], arguments, environment);
  exit_now(127);
}

}  // namespace

const char* state_name(State state) {
  switch (state) {
    case State::kCreating:
      return "creating";
    case State::kCreated:
      return "created";
    case State::kRunning:
      return "running";
    case State::kExited:
      break;
  }
  return "exited";
}

int64_t Slot::number(SpecField field) const {
  const char* text = fields[field];
  int64_t value = 0;
  return text != nullptr && take_number(text, &value) ? value : 0;
}

// Placement into fresh zero pages: the line buffers cost nothing until a container prints.
struct Place {
  void* at;
};
}  // namespace kayak::shim

inline void* operator new(size_t, kayak::shim::Place place) noexcept { return place.at; }

namespace kayak::shim {

Slot* new_slot(const char* id) {
#if defined(__NR_mmap2)
  const long number = __NR_mmap2;
#else
  const long number = __NR_mmap;
#endif
  const long at = call(number, 0L, sizeof(Slot), 3 /* read, write */, 0x22 /* private, anonymous */, -1L, 0L);
  if (at < 0 && at > -4096) return nullptr;
  Slot* slot = new (Place{(void*)at}) Slot;
  for (size_t i = 0; id[i] != 0 && i < kMaxIdBytes; ++i) slot->id[i] = id[i];
  return slot;
}

void free_slot(Slot* slot) {
  close_stream(slot->out);
  close_stream(slot->err);
  slot->log.close_file();
  if (slot->pidfd >= 0) close(slot->pidfd);
  call(__NR_munmap, slot, sizeof(Slot));
}

const char* load_spec(Slot& slot) {
  const long size = get_file(slot.file("spec").get(), slot.spec, sizeof slot.spec);
  if (size < 0) return "its spec cannot be read";
  if (take_fields(slot.spec, (size_t)size, slot.fields, kSpecFields) != (int)kSpecFields) {
    slot.fields[kSpecVersion] = nullptr;
    return "its spec is malformed";
  }
  if (!same(slot.fields[kSpecVersion], "1")) return "its spec is of another version";
  if (slot.number(kSpecLogBytes) < 1 || slot.number(kSpecLogFiles) < 1) return "its spec has no log limits";
  return nullptr;
}

int open_streams(Slot& slot) {
  slot.out.fd = open_stream(slot, "out");
  if (slot.out.fd < 0) return slot.out.fd;
  slot.err.fd = open_stream(slot, "err");
  if (slot.err.fd < 0) return slot.err.fd;
  return slot.log.open(slot.fields[kSpecLog], slot.number(kSpecLogBytes), slot.number(kSpecLogFiles));
}

bool pump(Slot& slot, bool error_stream) {
  Stream& stream = error_stream ? slot.err : slot.out;
  const long n = read(stream.fd, read_buffer, sizeof read_buffer);
  if (n == -EAGAIN || n == -EINTR) return true;
  slot.log.begin(error_stream ? "stderr" : "stdout");
  if (n > 0) {
    stream.cutter.feed(read_buffer, (size_t)n, slot.log);
    slot.log.flush();
    return true;
  }
  stream.cutter.finish(slot.log);
  slot.log.flush();
  close_stream(stream);
  return false;
}

void drain_and_close(Slot& slot) {
  for (const bool error_stream : {false, true}) {
    Stream& stream = error_stream ? slot.err : slot.out;
    // A pipe holds at most 1 MiB; what a process outside the container keeps adding is not waited for.
    for (int round = 0; round < 64 && stream.fd >= 0; ++round) {
      int waiting = 0;
      if (call(__NR_ioctl, stream.fd, 0x541B /* FIONREAD */, &waiting) < 0 || waiting == 0) break;
      pump(slot, error_stream);
    }
    if (stream.fd < 0) continue;
    slot.log.begin(error_stream ? "stderr" : "stdout");
    stream.cutter.finish(slot.log);
    slot.log.flush();
    close_stream(stream);
  }
  slot.log.close_file();
}

int spawn_runtime(Slot& slot, Op op) {
  unlink(slot.file("runc.log").get());
  int stdio[3];
  stdio[0] = open("/dev/null", O_RDWR);
  stdio[1] = stdio[2] = stdio[0];
  if (op == Op::kCreate) {
    // Read and write: the container itself keeps its pipe open, so that it is not killed by SIGPIPE when a shim dies.
    stdio[1] = open(slot.file("out").get(), O_RDWR | O_NOFOLLOW);
    stdio[2] = open(slot.file("err").get(), O_RDWR | O_NOFOLLOW);
  }
  const long shim = getpid();
  long pid = -EBADF;
  if (stdio[0] >= 0 && stdio[1] >= 0 && stdio[2] >= 0) pid = fork();
  if (pid == 0) run_runtime(slot, op, stdio, shim);
  close(stdio[0]);
  if (op == Op::kCreate) {
    if (stdio[1] >= 0) close(stdio[1]);
    if (stdio[2] >= 0) close(stdio[2]);
  }
  if (pid < 0) return (int)pid;
  constexpr int64_t kRuntimeTimeoutMs = 120'000;
  slot.op = op;
  slot.op_pid = pid;
  slot.op_deadline_ms = monotonic_ms() + kRuntimeTimeoutMs;
  return 0;
}

int foreign_exit_status(int pidfd, int* status) {
  struct {
    uint64_t mask, cgroup;
    uint32_t pid, tgid, ppid, ids[8];
    int32_t exit_code;
  } info;
  static_assert(sizeof info == 64, "struct pidfd_info, first version");
  constexpr uint64_t kInfoExit = 1 << 3;
  constexpr unsigned kGetInfo = (3u << 30) | (64u << 16) | (0xffu << 8) | 11;
  memset(&info, 0, sizeof info);
  info.mask = kInfoExit;
  const long result = call(__NR_ioctl, pidfd, kGetInfo, &info);
  if (result == -ESRCH) return 0;
  if (result < 0) return (int)result;
  if ((info.mask & kInfoExit) == 0) return 0;
  *status = info.exit_code;
  return 1;
}

void last_runtime_error(const Slot& slot, Text<2048>& to) {
  char text[4096];
  to.clear();
  const long size = get_file(slot.file("runc.log").get(), text, sizeof text);
  // JSON objects, one a line: the "msg" of the last one that has one. Its escapes are undone as far as they occur.
  const char* found = nullptr;
  for (long i = 0; i + 7 < size; ++i) {
    if (memcmp(text + i, "\"msg\":\"", 7) == 0) found = text + i + 7;
  }
  for (; found != nullptr && *found != 0 && *found != '"'; ++found) {
    if (*found == '\\' && found[1] != 0) {
      ++found;
      to.add(*found == 'n' || *found == 't' ? ' ' : *found);
    } else {
      to.add(*found);
    }
  }
}

int64_t process_start_time(long pid) {
  Text<64> path;
  path.add("/proc/").add_number(pid).add("/stat");
  char text[1024];
  if (get_file(path.get(), text, sizeof text) <= 0) return -1;
  // The name in parentheses may hold anything, also parentheses: fields count from the last one.
  const char* at = text;
  for (const char* c = text; *c != 0; ++c) {
    if (*c == ')') at = c + 1;
  }
  constexpr int kFieldsAfterName = 20;                            // starttime is field 22, the name is field 2
  if (at[0] == ' ' && (at[1] == 'Z' || at[1] == 'X')) return -1;  // a zombie runs no more
  for (int i = 1; i < kFieldsAfterName; ++i) {
    while (*at == ' ') ++at;
    while (*at != ' ' && *at != 0) ++at;
  }
  int64_t value = 0;
  return take_number(at, &value) ? value : -1;
}

void save_state(const Slot& slot) {
  Text<128> text;
  text.add_number(slot.pid).add(' ').add_number(process_start_time(slot.pid)).add(' ');
  text.add_number(slot.state == State::kRunning ? 1 : 0).add(' ').add_number(slot.started).add('\n');
  put_file(slot.file("state").get(), text.get(), text.size());
}

bool load_state(Slot& slot, int64_t* start_time) {
  char text[128];
  if (get_file(slot.file("state").get(), text, sizeof text) <= 0) return false;
  const char* at = text;
  int64_t pid = 0, phase = 0;
  if (!take_number(at, &pid) || !take_number(at, start_time) || !take_number(at, &phase) ||
      !take_number(at, &slot.started))
    return false;
  slot.pid = (long)pid;
  slot.state = phase == 1 ? State::kRunning : State::kCreated;
  return true;
}

void save_exit(const Slot& slot) {
  Text<128> text;
  text.add_number(slot.code).add(' ').add_number(slot.signal).add(' ').add_number(slot.unknown ? 1 : 0);
  text.add(' ').add_number(slot.finished).add('\n');
  put_file(slot.file("exit").get(), text.get(), text.size());
}

bool load_exit(Slot& slot) {
  char text[128];
  if (get_file(slot.file("exit").get(), text, sizeof text) <= 0) return false;
  const char* at = text;
  int64_t code = 0, signal = 0, unknown = 0;
  if (!take_number(at, &code) || !take_number(at, &signal) || !take_number(at, &unknown) ||
      !take_number(at, &slot.finished))
    return false;
  slot.code = (int)code;
  slot.signal = (int)signal;
  slot.unknown = unknown != 0;
  slot.state = State::kExited;
  return true;
}

void remove_files(const Slot& slot) {
  for (const char* name : {"out", "err", "state", "state.tmp", "exit", "exit.tmp", "runc.log", "runc.pid", "spec"}) {
    unlink(slot.file(name).get());
  }
  rmdir(slot.id);
}

void kill_group(const Slot& slot) {
  const char* path = slot.fields[kSpecKillCgroup];
  if (path == nullptr || *path == 0) return;
  for (int round = 0; round < 8; ++round) {  // what forks meanwhile is found in the next round
    char text[4096];
    const long size = get_file(path, text, sizeof text);
    if (size <= 0) return;
    const char* at = text;
    int64_t pid = 0;
    while (take_number(at, &pid)) {
      if (pid > 1) kill((long)pid, kSigKill);
      while (*at == '\n') ++at;
    }
  }
}

}  // namespace kayak::shim
