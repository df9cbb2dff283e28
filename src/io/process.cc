// process.cc: children by posix_spawn on a thread of its own (an exec from a slow card takes long, and the parent is
// suspended meanwhile), ended by pidfd events.
#include "io/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/strings.h"
#include "io/fd_stream.h"
#include "io/poller.h"
#include "io/spawner.h"

namespace kayak::io {

namespace {

constexpr int kMaxChildFd = 1023;
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

int pidfd_open(int pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
int pidfd_send_signal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

// ---- what runs on the spawning thread

struct Spawned {
  int pid = -1;
  Fd pidfd;
};

std::string_view path_of(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    if (entry.starts_with("PATH=")) return std::string_view(entry).substr(5);
  }
  return kDefaultPath;
}

// The file to execute. Source: execvp(3), but without the current directory and without a shell for broken files.
Result<std::string> find_program(const SpawnOptions& options) {
  if (options.program.empty()) return Error(Code::kInvalid, "no program to start");
  if (options.program.find('/') != std::string::npos) return options.program;
  bool forbidden = false;
  for (const std::string_view directory : split(path_of(options.env), ':')) {
    if (!directory.starts_with('/')) continue;
    std::string candidate = cat(directory, "/", options.program);
    struct stat status {};
    if (::stat(candidate.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    forbidden = true;
  }
  if (forbidden) return Error(Code::kForbidden, cat(options.program, ": permission denied"));
  return Error(Code::kNotFound, cat(options.program, ": executable file not found in $PATH"));
}

// The child's descriptors: copies of ours above every number that the child uses, so that putting one in place never
// overwrites another that is still to be placed.
class ChildFds {
 public:
  Result<void> collect(const SpawnOptions& options) {
    std::vector<std::pair<int, int>> wanted = options.extra_fds;
    const std::optional<int> standard[3] = {options.stdin_fd, options.stdout_fd, options.stderr_fd};
    for (const auto& [ours, number] : wanted) {
      if (number < 3 || number > kMaxChildFd) {
        return Error(Code::kInvalid, cat("a child's extra descriptor has to be 3 to ", kMaxChildFd, ", not ", number));
      }
      highest_ = std::max(highest_, number);
    }
    Fd null;
    for (int number = 0; number < 3; ++number) {
      if (!standard[number] && !null) null = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
      wanted.emplace_back(standard[number].value_or(null.get()), number);
    }
    for (const auto& [ours, number] : wanted) {
      Fd copy(::fcntl(ours, F_DUPFD_CLOEXEC, highest_ + 1));
      if (!copy) return error_from_errno(errno, cat("passing descriptor ", number, " to the child"));
      const bool twice = std::any_of(placed_.begin(), placed_.end(), [n = number](auto& p) { return p.second == n; });
      if (twice) return Error(Code::kInvalid, cat("descriptor ", number, " of the child is given twice"));
      placed_.emplace_back(std::move(copy), number);
    }
    return Result<void>();
  }
  void add_to(posix_spawn_file_actions_t* actions) const {
    for (int number = 3; number < highest_; ++number) {
      const bool used = std::any_of(placed_.begin(), placed_.end(), [number](auto& p) { return p.second == number; });
      if (!used) posix_spawn_file_actions_addclose(actions, number);
    }
    for (const auto& [copy, number] : placed_) posix_spawn_file_actions_adddup2(actions, copy.get(), number);
    posix_spawn_file_actions_addclosefrom_np(actions, highest_ + 1);
  }

 private:
  int highest_ = 2;
  std::vector<std::pair<Fd, int>> placed_;
};

std::vector<char*> pointers(const std::vector<std::string>& texts, const std::string* first) {
  std::vector<char*> out;
  if (first != nullptr) out.push_back(const_cast<char*>(first->c_str()));
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

Error spawn_error(int error, const std::string& program, const SpawnOptions& options) {
  struct stat status {};
  if (!options.working_directory.empty() &&
      (::stat(options.working_directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))) {
    return error_from_errno(error, cat("starting ", program, " in ", options.working_directory));
  }
  // A script whose interpreter is missing says ENOENT, too.
  if (error == ENOENT && ::stat(program.c_str(), &status) == 0) {
    return Error(Code::kNotFound, cat("starting ", program, ": its interpreter or loader does not exist"));
  }
  return error_from_errno(error, cat("starting ", program));
}

bool has_nul(const std::vector<std::string>& texts) {
  return std::any_of(texts.begin(), texts.end(),
                     [](const std::string& t) { return t.find('\0') != std::string::npos; });
}

Result<Spawned> spawn_now(const SpawnOptions& options) {
  if (has_nul(options.args) || has_nul(options.env) || options.program.find('\0') != std::string::npos) {
    return Error(Code::kInvalid, "an argument of a program holds a NUL byte");
  }
  auto program = find_program(options);
  if (!program) return program.error();
  ChildFds fds;
  if (auto collected = fds.collect(options); !collected) return collected.error();

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  if (!options.working_directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, options.working_directory.c_str());
  }
  fds.add_to(&actions);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(&attributes, static_cast<short>(flags));

  const std::vector<char*> argv = pointers(options.args, &options.program);
  const std::vector<char*> envp = pointers(options.env, nullptr);
  Spawned spawned;
  const int error = ::posix_spawn(&spawned.pid, program->c_str(), &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return spawn_error(error, *program, options);
  // Nobody else reaps: even a child that has ended keeps its pid until the loop has seen the pidfd.
  spawned.pidfd = Fd(pidfd_open(spawned.pid));
  if (!spawned.pidfd) {
    const int failed = errno;
    ::kill(spawned.pid, SIGKILL);
    ::waitpid(spawned.pid, nullptr, 0);
    return error_from_errno(failed, "pidfd_open");
  }
  return spawned;
}

}  // namespace

// ---- what runs on the loop

Result<void> Child::watch() {
  auto added = loop_.poller().add(pidfd_.get(), EPOLLIN, *this);
  watched_ = added.ok();
  return added;
}

void Child::unwatch() {
  if (watched_) loop_.poller().remove(pidfd_.get(), *this);
  watched_ = false;
}

void Child::on_events(std::uint32_t) {
  siginfo_t info{};
  const int rc = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
  if (rc == 0 && info.si_pid == 0) return;
  ExitStatus status;
  if (rc != 0) {
    status.code = -1;  // reaped by somebody else: all that is known is that it is gone
  } else if (info.si_code == CLD_EXITED) {
    status.code = info.si_status;
  } else {
    status.code = -1;
    status.signal = info.si_status;
  }
  status_ = status;
  unwatch();
  pidfd_.reset();
  exited_.set();
  loop_.spawner().forget(pid_);  // may destroy this object
}

Result<void> Child::kill(int signal) {
  if (status_) return Error(Code::kNotFound, cat("process ", pid_, " has ended"));
  if (pidfd_send_signal(pidfd_.get(), signal) == 0) return Result<void>();
  if (errno == ESRCH) return Error(Code::kNotFound, cat("process ", pid_, " has ended"));
  return error_from_errno(errno, cat("sending signal ", signal, " to process ", pid_));
}

void Child::kill_session() {
  if (!status_) ::kill(-pid_, SIGKILL);  // the pid is ours until it is reaped
}

Spawner::Spawner(Loop& loop) : loop_(loop), thread_("kayak-spawn", 4096) {
  // Inherited as ignored, it would make the kernel reap children before us.
  std::signal(SIGCHLD, SIG_DFL);
}

Result<std::shared_ptr<Child>> Spawner::adopt(int pid, Fd pidfd) {
  auto child = std::make_shared<Child>(loop_, pid, std::move(pidfd));
  if (auto watched = child->watch(); !watched) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return watched.error();
  }
  children_[pid] = child;
  return child;
}

namespace {

class ChildProcess final : public Process {
 public:
  explicit ChildProcess(std::shared_ptr<Child> child) : child_(std::move(child)) {}
  int pid() const override { return child_->pid(); }
  Result<void> kill(int signal) override { return child_->kill(signal); }
  Task<Result<ExitStatus>> wait(StopToken stop) override { return wait_for(child_, std::move(stop)); }
  Child& child() { return *child_; }

 private:
  static Task<Result<ExitStatus>> wait_for(std::shared_ptr<Child> child, StopToken stop) {
    const bool ended = co_await child->exited().wait(stop);
    if (!ended) co_return Error(Code::kCancelled, cat("stopped while waiting for process ", child->pid()));
    co_return *child->status();
  }
  std::shared_ptr<Child> child_;
};

Task<Result<std::unique_ptr<ChildProcess>>> spawn_child(Context context, SpawnOptions options) {
  Spawner& spawner = context.loop.spawner();
  auto work = [options = std::move(options)] { return spawn_now(options); };
  auto spawned = co_await spawner.thread().run(context.loop, std::move(work));
  if (!spawned) co_return Error(Code::kTooManyRequests, "too many programs are being started");
  if (!*spawned) co_return spawned->error();
  auto child = spawner.adopt((*spawned)->pid, std::move((*spawned)->pidfd));
  if (!child) co_return child.error();
  co_return std::make_unique<ChildProcess>(*child);
}

}  // namespace

Task<Result<std::unique_ptr<Process>>> Process::spawn(Context context, SpawnOptions options) {
  auto child = co_await spawn_child(context, std::move(options));
  if (!child) co_return child.error();
  co_return std::unique_ptr<Process>(std::move(*child));
}

std::string ExitStatus::to_string() const {
  if (signal == 0) return cat("exit status ", code);
  static constexpr std::array<const char*, 16> kNames = {"",
                                                         "hangup",
                                                         "interrupt",
                                                         "quit",
                                                         "illegal instruction",
                                                         "trace/breakpoint trap",
                                                         "aborted",
                                                         "bus error",
                                                         "floating point exception",
                                                         "killed",
                                                         "user defined signal 1",
                                                         "segmentation fault",
                                                         "user defined signal 2",
                                                         "broken pipe",
                                                         "alarm clock",
                                                         "terminated"};
  if (signal > 0 && signal < static_cast<int>(kNames.size()))
    return cat("signal: ", kNames[static_cast<std::size_t>(signal)]);
  return cat("signal: signal ", signal);
}

// ---- run_program

namespace {

struct Pipe {
  Fd read, write;
  static Result<Pipe> open() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return error_from_errno(errno, "pipe");
    return Pipe{Fd(fds[0]), Fd(fds[1])};
  }
};

Result<std::unique_ptr<FdStream>> our_end(Loop& loop, Fd fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return error_from_errno(errno, "fcntl");
  return FdStream::create(loop, std::move(fd));
}

void append_cut(std::string* out, std::string_view bytes, std::size_t limit) {
  out->append(bytes.substr(0, limit - std::min(limit, out->size())));
}

// All there is without waiting.
void drain(FdStream& stream, std::span<char> buffer, std::string* out, std::size_t limit) {
  for (;;) {
    auto n = stream.try_read(buffer);
    if (!n || !*n || **n == 0) return;
    append_cut(out, std::string_view(buffer.data(), **n), limit);
  }
}

// Reads to the end, or until `stop` says that the child is gone: then what it left behind is still taken. Something
// it started may hold the pipe open for ever (a container's init does), so the end of the pipe is not waited for.
Task<void> collect(FdStream& stream, std::string* out, std::size_t limit, StopToken stop) {
  std::string buffer(16 * 1024, '\0');
  for (;;) {
    auto n = co_await stream.read(buffer, stop);
    if (!n || *n == 0) break;
    append_cut(out, std::string_view(buffer).substr(0, *n), limit);
  }
  drain(stream, buffer, out, limit);
}

Task<void> feed(FdStream& stream, std::string input, StopToken stop) {
  Slices data;
  data.push_back(Slice::of(std::move(input)));
  // A child that does not read all of its input is none of our errors.
  auto wrote = co_await stream.write(std::move(data), stop);
  stream.close();
}

}  // namespace

Task<Result<RunOutput>> run_program(Context context, SpawnOptions options, std::string input, std::size_t max_output,
                                    StopToken stop) {
  if (stop.stopped()) co_return Error(Code::kCancelled, cat("not starting ", options.program, ": stopped"));
  auto in = Pipe::open(), out = Pipe::open(), err = Pipe::open();
  if (!in) co_return in.error();
  if (!out) co_return out.error();
  if (!err) co_return err.error();
  const std::string name = options.program;
  const bool session = options.new_session;
  options.stdin_fd = in->read.get();
  options.stdout_fd = out->write.get();
  options.stderr_fd = err->write.get();
  auto process = co_await spawn_child(context, std::move(options));
  if (!process) co_return process.error();
  in->read.reset();
  out->write.reset();
  err->write.reset();

  auto to_child = our_end(context.loop, std::move(in->write));
  auto from_out = our_end(context.loop, std::move(out->read));
  auto from_err = our_end(context.loop, std::move(err->read));
  const bool piped = to_child && from_out && from_err;
  RunOutput result;
  TaskScope pumps;
  if (piped) {
    pumps.spawn(feed(**to_child, std::move(input), pumps.token()));
    pumps.spawn(collect(**from_out, &result.out, max_output, pumps.token()));
    pumps.spawn(collect(**from_err, &result.err, max_output, pumps.token()));
  }
  Result<ExitStatus> status = Error(Code::kIo, "its pipes cannot be watched");
  if (piped) status = co_await (*process)->wait(stop);
  const bool killed = !status;
  if (killed) {
    if (session) (*process)->child().kill_session();
    static_cast<void>((*process)->kill(SIGKILL));
    status = co_await (*process)->wait(StopToken());
  }
  pumps.stop();
  (void)co_await pumps.join();
  if (!piped) co_return Error(Code::kIo, cat("running ", name, ": cannot watch its pipes"));
  if (killed) co_return Error(Code::kCancelled, cat("running ", name, ": stopped, the process was killed"));
  result.status = *status;
  co_return result;
}

// ---- processes of others

namespace {
class ExitWatch final : public Poller::Watcher {
 public:
  ExitWatch(Loop& loop, Fd pidfd) : loop_(loop), pidfd_(std::move(pidfd)) {}
  ~ExitWatch() {
    if (watched_) loop_.poller().remove(pidfd_.get(), *this);
  }
  ExitWatch(const ExitWatch&) = delete;
  ExitWatch& operator=(const ExitWatch&) = delete;
  Result<void> watch() {
    auto added = loop_.poller().add(pidfd_.get(), EPOLLIN | EPOLLET, *this);
    watched_ = added.ok();
    return added;
  }
  Event exited;

 private:
  void on_events(std::uint32_t) override { exited.set(); }
  Loop& loop_;
  Fd pidfd_;
  bool watched_ = false;
};
}  // namespace

Task<Result<void>> wait_pid_exit(Context context, int pid, StopToken stop) {
  if (pid <= 0) co_return Error(Code::kInvalid, cat(pid, " is not a process id"));
  Fd pidfd(pidfd_open(pid));
  if (!pidfd) {
    if (errno == ESRCH) co_return Error(Code::kNotFound, cat("no process ", pid));
    co_return error_from_errno(errno, cat("watching process ", pid));
  }
  ExitWatch watch(context.loop, std::move(pidfd));
  if (auto watched = watch.watch(); !watched) co_return watched;
  const bool exited = co_await watch.exited.wait(stop);
  if (!exited) co_return Error(Code::kCancelled, cat("stopped while waiting for process ", pid));
  co_return Result<void>();
}

}  // namespace kayak::io
