// daemon.cc: the shim of one pod: its socket, its children, the streams of its containers.
#include "shim/daemon.h"

#include <linux/un.h>

#include "shim/directory.h"
#include "shim/slot.h"

namespace kayak::shim {
namespace {

constexpr int kMaxClients = 4;
// Some inits reap their orphans only every second or two.
constexpr int64_t kReapStepMs = 100;
constexpr int kReapSteps = 30;

enum class Source : uint32_t { kSignals, kListener, kClient, kOut, kErr, kPidfd };

struct Client {
  int fd = -1;
  uint32_t generation = 0;
  size_t used = 0;
  char input[4 + kMaxRequestBytes] = {0};
};

struct ReapedChild {
  long pid = 0;
  int status = 0;
};

struct Daemon {
  int epoll = -1, signals = -1, listener = -1;
  bool terminating = false, leaving = false;
  Client clients[kMaxClients] = {};
  Slot* slots[kMaxContainers] = {nullptr};
  // Children that ended before anyone knew whose they are: a container may die while `runc create` still runs.
  ReapedChild strangers[16] = {};
  unsigned next_stranger = 0;
};

constinit Daemon daemon;  // nothing runs constructors here
using Answer = Text<kMaxAnswerBytes>;

// ---- epoll

int watch(int fd, Source source, uint32_t index, uint32_t events = EPOLLIN) {
  struct epoll_event event;
  event.events = events;
  event.data = ((uint64_t)source << 32) | index;
  return (int)call(__NR_epoll_ctl, daemon.epoll, EPOLL_CTL_ADD, fd, &event);
}

void watch_hangup_alone(int fd, Source source, uint32_t index) {
  struct epoll_event event;
  event.events = 0;
  event.data = ((uint64_t)source << 32) | index;
  call(__NR_epoll_ctl, daemon.epoll, EPOLL_CTL_MOD, fd, &event);
}

// ---- talking

void drop_client(Client& client) {
  if (client.fd >= 0) close(client.fd);
  client.fd = -1;
  client.used = 0;
  ++client.generation;
}

// A client that does not take its answers is dropped: it connects again and asks for the list.
void send(Client& client, const Answer& answer) {
  if (client.fd < 0) return;
  const uint32_t size = (uint32_t)answer.size();
  char head[4];
  for (int i = 0; i < 4; ++i) head[i] = (char)(size >> (8 * i));
  const IoVec parts[2] = {{head, sizeof head}, {answer.get(), answer.size()}};
  // SIGPIPE is blocked, so that a gone client is an error alone.
  if (writev(client.fd, parts, 2) != (long)(sizeof head + answer.size())) drop_client(client);
}

void answer_ok(Client& client, int64_t request) {
  Answer answer;
  answer.add_number_field(request).add_field("ok");
  send(client, answer);
}

void answer_error(Client& client, int64_t request, const char* text) {
  Answer answer;
  answer.add_number_field(request).add_field("error").add_field(text);
  send(client, answer);
}

Client* asker_of(const Slot& slot) {
  if (slot.asker.client < 0) return nullptr;
  Client& client = daemon.clients[slot.asker.client];
  return client.fd >= 0 && client.generation == slot.asker.generation ? &client : nullptr;
}

void tell_exit(const Slot& slot) {
  Answer event;
  event.add_field("0").add_field("exit").add_field(slot.id).add_number_field(slot.code).add_number_field(slot.signal);
  event.add_number_field(slot.unknown ? 1 : 0).add_number_field(slot.finished);
  for (Client& client : daemon.clients) send(client, event);
}

// ---- containers

uint32_t index_of(const Slot& slot) {
  uint32_t i = 0;
  while (daemon.slots[i] != &slot) ++i;
  return i;
}

Slot* find_slot(const char* id) {
  for (Slot* slot : daemon.slots) {
    if (slot != nullptr && same(slot->id, id)) return slot;
  }
  return nullptr;
}

Slot* add_slot(const char* id) {
  for (Slot*& place : daemon.slots) {
    if (place == nullptr) return place = new_slot(id);
  }
  return nullptr;
}

void drop_slot(Slot& slot) {
  daemon.slots[index_of(slot)] = nullptr;
  free_slot(&slot);
}

void watch_streams(Slot& slot) {
  watch(slot.out.fd, Source::kOut, index_of(slot));
  watch(slot.err.fd, Source::kErr, index_of(slot));
}

void set_outcome(Slot& slot, int status) {
  slot.signal = status & 0x7f;
  slot.code = slot.signal != 0 ? 128 + slot.signal : (status >> 8) & 0xff;
  slot.unknown = false;
  slot.finished = now_ns();
}

void set_unknown_outcome(Slot& slot) {
  slot.code = 128 + kSigKill;
  slot.signal = 0;
  slot.unknown = true;
  slot.finished = now_ns();
}

// The container's process has ended and its outcome is known: log complete first, then the exit file, then the event.
void finish_exit(Slot& slot) {
  kill_group(slot);
  drain_and_close(slot);
  if (slot.pidfd >= 0) close(slot.pidfd);
  slot.pidfd = -1;
  slot.dead = false;
  slot.child = false;
  slot.state = State::kExited;
  save_exit(slot);
  tell_exit(slot);
}

// While the runtime is at work on the container, its end waits for that.
void process_ended(Slot& slot, int status) {
  set_outcome(slot, status);
  slot.child = false;
  if (slot.op == Op::kStart || slot.op == Op::kDelete) {
    slot.dead = true;
    return;
  }
  finish_exit(slot);
}

int read_pid_file(const Slot& slot, long* pid) {
  const int fd = open(slot.file("runc.pid").get(), O_RDONLY | O_NOFOLLOW);
  if (fd < 0) return fd;
  char text[32];
  const long n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  const char* at = text;
  int64_t value = 0;
  if (!take_number(at, &value) || value < 2) return -EINVAL;
  *pid = (long)value;
  return 0;
}

void answer_failure(Slot& slot, int status) {
  Client* client = asker_of(slot);
  if (client == nullptr) return;
  Text<2048> text;
  last_runtime_error(slot, text);
  if (text.size() == 0 && (status & 0x7f) != 0)
    text.add("the runtime was killed: it took longer than 2 minutes, or by someone else");
  if (text.size() == 0 && status >> 8 == 127)
    text.add("the runtime cannot be executed: ").add(slot.fields[kSpecRuntime]);
  if (text.size() == 0) text.add("the runtime failed with status ").add_number(status >> 8);
  answer_error(*client, slot.asker.request, text.get());
}

void created(Slot& slot, int status) {
  constexpr int kStartErrorCode = 128;
  if (status != 0 || read_pid_file(slot, &slot.pid) < 0) {
    answer_failure(slot, status);
    drain_and_close(slot);
    slot.code = kStartErrorCode;
    slot.finished = now_ns();
    slot.state = State::kExited;
    save_exit(slot);
    return;
  }
  slot.child = true;
  slot.state = State::kCreated;
  slot.pidfd = (int)call(__NR_pidfd_open, slot.pid, 0);
  save_state(slot);
  if (Client* client = asker_of(slot)) {
    Answer answer;
    answer.add_number_field(slot.asker.request).add_field("ok").add_number_field(slot.pid);
    send(*client, answer);
  }
  for (ReapedChild& stranger : daemon.strangers) {
    if (stranger.pid != slot.pid) continue;
    stranger.pid = 0;
    process_ended(slot, stranger.status);
    break;
  }
}

void started(Slot& slot, int status) {
  if (status != 0) {
    answer_failure(slot, status);
  } else {
    slot.started = now_ns();
    slot.state = State::kRunning;
    save_state(slot);
    if (Client* client = asker_of(slot)) {
      Answer answer;
      answer.add_number_field(slot.asker.request).add_field("ok").add_number_field(slot.started);
      send(*client, answer);
    }
  }
  if (slot.dead) finish_exit(slot);
}

void deleted(Slot& slot, int status) {
  if (status != 0) {
    answer_failure(slot, status);
    if (slot.dead) finish_exit(slot);
    return;
  }
  drain_and_close(slot);
  remove_files(slot);
  if (Client* client = asker_of(slot)) answer_ok(*client, slot.asker.request);
  drop_slot(slot);
}

void runtime_ended(Slot& slot, int status) {
  const Op op = slot.op;
  slot.op = Op::kNone;
  slot.op_pid = 0;
  switch (op) {
    case Op::kCreate:
      return created(slot, status);
    case Op::kStart:
      return started(slot, status);
    case Op::kDelete:
      return deleted(slot, status);
    case Op::kDeleteHalf:
      set_unknown_outcome(slot);
      return finish_exit(slot);
    case Op::kReap:
    case Op::kNone:
      return;
  }
}

void child_ended(long pid, int status) {
  for (Slot* slot : daemon.slots) {
    if (slot == nullptr) continue;
    if (slot->op_pid == pid) return runtime_ended(*slot, status);
    if (slot->child && slot->pid == pid) return process_ended(*slot, status);
  }
  ReapedChild& place = daemon.strangers[daemon.next_stranger++ % 16];
  place.pid = pid;
  place.status = status;
}

// The process of a container that an earlier shim had started has ended.
void foreign_ended(Slot& slot, bool last_try) {
  if (slot.op != Op::kNone && slot.op != Op::kReap) {  // it is being deleted: how it ended does not matter
    call(__NR_epoll_ctl, daemon.epoll, EPOLL_CTL_DEL, slot.pidfd, 0);
    set_unknown_outcome(slot);
    slot.dead = true;
    return;
  }
  int status = 0;
  const int known = foreign_exit_status(slot.pidfd, &status);
  if (known == 0 && !last_try) {
    if (slot.op == Op::kReap) return;
    slot.op = Op::kReap;
    slot.reap_steps = 0;
    slot.op_deadline_ms = monotonic_ms() + kReapStepMs;
    watch_hangup_alone(slot.pidfd, Source::kPidfd, index_of(slot));
    return;
  }
  slot.op = Op::kNone;
  if (known == 1)
    set_outcome(slot, status);
  else
    set_unknown_outcome(slot);
  finish_exit(slot);
}

// ---- after an earlier shim was killed

// -1 when the process of the slot does not run any more.
int attach(Slot& slot, int64_t start_time) {
  const int pidfd = (int)call(__NR_pidfd_open, slot.pid, 0);
  if (pidfd < 0) return -1;
  if (start_time < 0 || process_start_time(slot.pid) != start_time) {
    close(pidfd);
    return -1;
  }
  slot.pidfd = pidfd;
  return 0;
}

void recover(Slot& slot) {
  if (load_spec(slot) != nullptr) {
    drop_slot(slot);
    return;
  }
  if (load_exit(slot)) return;
  int64_t start_time = -1;
  const bool half = !load_state(slot, &start_time) || slot.state != State::kRunning;
  if (half) {
    slot.state = State::kCreating;
    if (spawn_runtime(slot, Op::kDeleteHalf) == 0) return;
  }
  open_streams(slot);
  if (half || attach(slot, start_time) < 0) {
    set_unknown_outcome(slot);
    finish_exit(slot);
    return;
  }
  watch_streams(slot);
  watch(slot.pidfd, Source::kPidfd, index_of(slot));
}

void recover_all() {
  Directory directory(".");
  while (const char* name = directory.next()) {
    if (!is_container_id(name)) continue;
    if (Slot* slot = add_slot(name)) recover(*slot);
  }
}

// ---- requests

void ask(Slot& slot, Client& client, int64_t request) {
  slot.asker.client = (int)(&client - daemon.clients);
  slot.asker.generation = client.generation;
  slot.asker.request = request;
}

void request_hello(Client& client, int64_t request, const char* version) {
  int64_t wanted = 0;
  if (!take_number(version, &wanted) || wanted != kProtocolVersion)
    return answer_error(client, request, "this shim speaks version 1");
  Answer answer;
  answer.add_number_field(request).add_field("ok").add_number_field(kProtocolVersion).add_number_field(getpid());
  send(client, answer);
}

void request_list(Client& client, int64_t request) {
  for (Slot* slot : daemon.slots) {
    if (slot == nullptr) continue;
    Answer answer;
    answer.add_number_field(request).add_field("container").add_field(slot->id).add_field(state_name(slot->state));
    answer.add_number_field(slot->pid)
        .add_number_field(slot->started)
        .add_number_field(slot->code)
        .add_number_field(slot->signal);
    answer.add_number_field(slot->unknown ? 1 : 0).add_number_field(slot->finished);
    send(client, answer);
  }
  answer_ok(client, request);
}

void request_create(Client& client, int64_t request, const char* id) {
  if (find_slot(id) != nullptr) return answer_error(client, request, "there is such a container");
  Slot* slot = add_slot(id);
  if (slot == nullptr) return answer_error(client, request, "too many containers");
  const char* problem = load_spec(*slot);
  if (problem == nullptr && open_streams(*slot) < 0) problem = "its streams or its log cannot be opened";
  if (problem == nullptr && spawn_runtime(*slot, Op::kCreate) < 0) problem = "the runtime cannot be started";
  if (problem != nullptr) {
    drop_slot(*slot);
    return answer_error(client, request, problem);
  }
  ask(*slot, client, request);
  watch_streams(*slot);
}

void request_on_slot(Client& client, int64_t request, Op op, const char* id) {
  Slot* slot = find_slot(id);
  if (slot == nullptr) return answer_error(client, request, "no such container");
  if (slot->op == Op::kReap && op == Op::kDelete) slot->op = Op::kNone;  // its outcome does not matter any more
  if (slot->op != Op::kNone) return answer_error(client, request, "busy");
  if (op == Op::kStart && slot->state != State::kCreated) return answer_error(client, request, "not created");
  if (spawn_runtime(*slot, op) < 0) return answer_error(client, request, "the runtime cannot be started");
  ask(*slot, client, request);
}

void request_kill(Client& client, int64_t request, const char* id, const char* signal_text) {
  Slot* slot = find_slot(id);
  int64_t signal = 0;
  if (slot == nullptr) return answer_error(client, request, "no such container");
  if (!take_number(signal_text, &signal) || signal < 1 || signal > 64)
    return answer_error(client, request, "no such signal");
  if (slot->pidfd < 0 || slot->dead) return answer_error(client, request, "not running");
  const long result = call(__NR_pidfd_send_signal, slot->pidfd, signal, 0, 0);
  if (result < 0) return answer_error(client, request, result == -ESRCH ? "not running" : "the signal cannot be sent");
  answer_ok(client, request);
}

bool all_gone() {
  for (Slot* slot : daemon.slots) {
    if (slot != nullptr) return false;
  }
  return true;
}

// False when the bytes are not a request: the client is dropped.
bool serve(Client& client, const char* bytes, size_t size) {
  const char* fields[4];
  const int count = take_fields(bytes, size, fields, 4);
  int64_t request = 0;
  if (count < 2 || !take_number(fields[0], &request) || request < 1) return false;
  const char* verb = fields[1];
  if (same(verb, "hello") && count == 3)
    request_hello(client, request, fields[2]);
  else if (same(verb, "list") && count == 2)
    request_list(client, request);
  else if (same(verb, "exit") && count == 2) {
    if (!all_gone()) {
      answer_error(client, request, "busy");
      return true;
    }
    answer_ok(client, request);
    daemon.leaving = true;
  } else if (count < 3 || !is_container_id(fields[2]))
    answer_error(client, request, "bad request");
  else if (same(verb, "create") && count == 3)
    request_create(client, request, fields[2]);
  else if (same(verb, "start") && count == 3)
    request_on_slot(client, request, Op::kStart, fields[2]);
  else if (same(verb, "delete") && count == 3)
    request_on_slot(client, request, Op::kDelete, fields[2]);
  else if (same(verb, "kill") && count == 4)
    request_kill(client, request, fields[2], fields[3]);
  else
    answer_error(client, request, "unknown verb");
  return true;
}

void client_ready(Client& client) {
  const long n = read(client.fd, client.input + client.used, sizeof client.input - client.used);
  if (n == -EAGAIN || n == -EINTR) return;
  if (n <= 0) return drop_client(client);
  client.used += (size_t)n;
  while (client.used >= 4) {
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size |= (uint32_t)(unsigned char)client.input[i] << (8 * i);
    if (size > kMaxRequestBytes) return drop_client(client);
    if (client.used < 4 + size) return;
    const uint32_t generation = client.generation;
    const bool good = serve(client, client.input + 4, size);
    if (client.generation != generation) return;  // dropped while it was answered
    if (!good) return drop_client(client);
    client.used -= 4 + size;
    memmove(client.input, client.input + 4 + size, client.used);
  }
}

void accept_client() {
  constexpr int kNonBlockCloseOnExec = O_NONBLOCK | O_CLOEXEC;
  const int fd = (int)call(__NR_accept4, daemon.listener, 0, 0, kNonBlockCloseOnExec);
  if (fd < 0) return;
  for (uint32_t i = 0; i < kMaxClients; ++i) {
    Client& client = daemon.clients[i];
    if (client.fd >= 0) continue;
    client.fd = fd;
    client.used = 0;
    watch(fd, Source::kClient, i);
    return;
  }
  close(fd);
}

// ---- the loop

void signals_ready() {
  char info[128];  // struct signalfd_siginfo; its first field is the number
  while (read(daemon.signals, info, sizeof info) == (long)sizeof info) {
    if (*(const uint32_t*)info == (uint32_t)kSigTerm) daemon.terminating = true;
  }
  for (;;) {
    int status = 0;
    const long pid = call(__NR_wait4, -1, &status, 1 /* WNOHANG */, 0);
    if (pid <= 0) return;
    child_ended(pid, status);
  }
}

int next_timeout_ms() {
  int64_t nearest = -1;
  for (Slot* slot : daemon.slots) {
    if (slot != nullptr && slot->op != Op::kNone && (nearest < 0 || slot->op_deadline_ms < nearest))
      nearest = slot->op_deadline_ms;
  }
  if (nearest < 0) return -1;
  const int64_t left = nearest - monotonic_ms();
  return left < 0 ? 0 : (int)left;
}

void deadlines_passed() {
  constexpr int64_t kAfterKillMs = 10'000;
  const int64_t now = monotonic_ms();
  for (Slot* slot : daemon.slots) {
    if (slot == nullptr || slot->op == Op::kNone || slot->op_deadline_ms > now) continue;
    if (slot->op == Op::kReap) {
      slot->op_deadline_ms = now + kReapStepMs;
      foreign_ended(*slot, ++slot->reap_steps >= kReapSteps);
      continue;
    }
    kill(slot->op_pid, kSigKill);
    slot->op_deadline_ms = now + kAfterKillMs;
  }
}

void dispatch(const struct epoll_event& event) {
  const uint32_t index = (uint32_t)event.data;
  Slot* slot = index < kMaxContainers ? daemon.slots[index] : nullptr;
  switch ((Source)(event.data >> 32)) {
    case Source::kSignals:
      return signals_ready();
    case Source::kListener:
      return accept_client();
    case Source::kClient:
      return client_ready(daemon.clients[index]);
    case Source::kOut:
      if (slot != nullptr && slot->out.fd >= 0) pump(*slot, false);
      return;
    case Source::kErr:
      if (slot != nullptr && slot->err.fd >= 0) pump(*slot, true);
      return;
    case Source::kPidfd:
      if (slot != nullptr && slot->pidfd >= 0) foreign_ended(*slot, false);
      return;
  }
}

// Told to end by the system: not before the containers have, as their logs and outcomes would be lost.
bool may_end() {
  for (Slot* slot : daemon.slots) {
    if (slot != nullptr && (slot->op != Op::kNone || slot->state != State::kExited)) return false;
  }
  return true;
}

void run_loop() {
  while (!daemon.leaving && !(daemon.terminating && may_end())) {
    struct epoll_event event;
    // One at a time: what an event does can close what a second one would be about.
    const long n = call(__NR_epoll_pwait, daemon.epoll, &event, 1, next_timeout_ms(), 0, 8);
    if (n == 1) dispatch(event);
    deadlines_passed();
  }
  unlink("socket");
}

// ---- start

int open_listener() {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = 1;  // AF_UNIX
  memcpy(address.sun_path, "socket", 7);
  constexpr int kStream = 1;
  const int fd = (int)call(__NR_socket, 1, kStream | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  unlink("socket");
  call(__NR_umask, 0177);
  const int bound = (int)call(__NR_bind, fd, &address, sizeof address.sun_family + 7);
  call(__NR_umask, 0022);
  if (bound < 0) return bound;
  const int listening = (int)call(__NR_listen, fd, kMaxClients);
  return listening < 0 ? listening : fd;
}

int open_signals() {
  uint64_t mask = 0;
  for (const int signal : {kSigChld, kSigTerm, kSigHup, kSigInt, kSigPipe}) mask |= 1ULL << (signal - 1);
  call(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &mask, 0, sizeof mask);
  uint64_t wanted = (1ULL << (kSigChld - 1)) | (1ULL << (kSigTerm - 1));
  return (int)call(__NR_signalfd4, -1, &wanted, sizeof wanted, O_NONBLOCK | O_CLOEXEC);
}

int set_up() {
  call(__NR_setsid);
  call(__NR_prctl, 15 /* PR_SET_NAME */, "kayak-shim");
  if (const long result = call(__NR_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1); result < 0)
    return complain("subreaper", "", result);
  if ((daemon.epoll = (int)call(__NR_epoll_create1, O_CLOEXEC)) < 0) return complain("epoll", "", daemon.epoll);
  if ((daemon.signals = open_signals()) < 0) return complain("signalfd", "", daemon.signals);
  if ((daemon.listener = open_listener()) < 0) return complain("socket", "", daemon.listener);
  watch(daemon.signals, Source::kSignals, 0);
  watch(daemon.listener, Source::kListener, 0);
  // Keeps its life when memory is short, as long as the kernel lets us; its containers have scores of their own.
  if (const int fd = open("/proc/self/oom_score_adj", O_WRONLY); fd >= 0) {
    write(fd, "-998", 4);
    close(fd);
  }
  return 0;
}

[[noreturn]] void live(int lock, int ready) {
  if (const int failed = set_up(); failed != 0) exit_now(failed);
  Text<24> pid;
  pid.add_number(getpid()).add('\n');
  call(__NR_ftruncate, lock, 0L);
  write(lock, pid.get(), pid.size());
  recover_all();
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) call(__NR_dup3, null, fd, 0);
  if (null > 2) close(null);
  write(ready, "+", 1);
  close(ready);
  run_loop();
  exit_now(0);
}

}  // namespace

int complain(const char* what, const char* about, long error) {
  Text<512> text;
  text.add("kayak-shim: ").add(what);
  if (*about != 0) text.add(" ").add(about);
  text.add(": error ").add_number(-error).add('\n');
  write(2, text.get(), text.size());
  return 1;
}

int run_daemon(const char* directory, char** cgroup_procs, int cgroups) {
  constexpr int kExclusiveNow = 2 | 4;  // LOCK_EX | LOCK_NB
  if (const long result = call(__NR_chdir, directory); result < 0) return complain("directory", directory, result);
  const int lock = open("lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (lock < 0) return complain("lock in", directory, lock);
  const long locked = call(__NR_flock, lock, kExclusiveNow);
  if (locked == -EWOULDBLOCK) return 0;
  if (locked < 0) return complain("lock in", directory, locked);
  for (int i = 0; i < cgroups; ++i) {
    const int fd = open(cgroup_procs[i], O_WRONLY);
    const long joined = fd < 0 ? fd : write(fd, "0", 1);
    if (joined < 0) return complain("cgroup", cgroup_procs[i], joined);
    close(fd);
  }
  int ready[2];
  if (const long result = call(__NR_pipe2, ready, O_CLOEXEC); result < 0) return complain("pipe", "", result);
  const long pid = fork();
  if (pid < 0) return complain("fork", "", pid);
  if (pid == 0) {
    close(ready[0]);
    live(lock, ready[1]);
  }
  close(ready[1]);
  char byte = 0;
  return read(ready[0], &byte, 1) == 1 ? 0 : 1;
}

}  // namespace kayak::shim
