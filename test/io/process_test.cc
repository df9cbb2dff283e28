// process_test.cc: children: exits, pipes, descriptors, signals, stops.
#include "io/process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "base/strings.h"
#include "io/support.h"

using namespace kayak;
using namespace kayak::io;
using namespace std::chrono_literals;
using kayak::test::TestContext;

namespace {

SpawnOptions shell(std::string script) {
  SpawnOptions options;
  options.program = "sh";
  options.args = {"-c", std::move(script)};
  options.env = {"PATH=/usr/bin:/bin"};
  return options;
}

Task<Result<void>> run_into(Context context, SpawnOptions options, std::string input, std::size_t limit,
                            std::string* seen) {
  auto ran = co_await run_program(context, options, input, limit);
  *seen = ran ? cat(ran->status.to_string(), " out=", ran->out, " err=", ran->err) : test::says(ran);
  co_return Result<void>();
}
std::string ran(TestContext& t, SpawnOptions options, std::string input = "", std::size_t limit = 1 << 20) {
  std::string seen;
  CHECK(test::says(t.loop.run(run_into(t.context(), std::move(options), std::move(input), limit, &seen))) == "ok");
  return seen;
}

int open_fds() {
  int count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0;
  return count;
}

}  // namespace

TEST_CASE("exit codes, signals and output of children") {
  TestContext t;
  struct Row {
    std::string script, input, seen;
  };
  for (const Row& row : {
           Row{"exit 0", "", "exit status 0 out= err="},
           Row{"exit 3", "", "exit status 3 out= err="},
           Row{"echo a; echo b >&2; exit 255", "", "exit status 255 out=a\n err=b\n"},
           Row{"kill -9 $$", "", "signal: killed out= err="},
           Row{"kill -TERM $$", "", "signal: terminated out= err="},
           Row{"kill -31 $$", "", "signal: signal 31 out= err="},
           Row{"cat", "fed", "exit status 0 out=fed err="},
           Row{"exit 0", std::string(1'000'000, 'x'), "exit status 0 out= err="},  // does not read its input
           Row{"echo early; exec >&- 2>&-; sleep 0.02; exit 4", "", "exit status 4 out=early\n err="},
           // A grandchild keeps the pipe open for long: the end of the child counts.
           Row{"echo x; sleep 20 & exit 5", "", "exit status 5 out=x\n err="},
       }) {
    CAPTURE(row.script);
    const Instant start = t.clock.now();
    CHECK(ran(t, shell(row.script), row.input) == row.seen);
    CHECK(t.clock.now() - start < 15s);
  }
}

TEST_CASE("a program that cannot be started says why") {
  TestContext t;
  test::Scratch dir;
  std::ofstream(dir.path() + "/script") << "#!/nonexistent/interpreter\n";
  std::ofstream(dir.path() + "/plain") << "no program\n";
  ::chmod((dir.path() + "/script").c_str(), 0755);
  struct Row {
    std::string program, directory, seen;
  };
  for (const Row& row : {
           Row{"nonesuch-program", "", "NotFound: nonesuch-program: executable file not found in $PATH"},
           Row{"/nonexistent/p", "", "NotFound: starting /nonexistent/p: No such file or directory (ENOENT)"},
           Row{dir.path() + "/script", "",
               cat("NotFound: starting ", dir.path(), "/script: its interpreter or loader does not exist")},
           Row{dir.path() + "/plain", "", cat("Io: starting ", dir.path(), "/plain: Permission denied (EACCES)")},
           Row{"true", "/nonexistent",
               "NotFound: starting /usr/bin/true in /nonexistent: No such file or directory (ENOENT)"},
           Row{"", "", "Invalid: no program to start"},
           Row{std::string("a\0b", 3), "", "Invalid: an argument of a program holds a NUL byte"},
       }) {
    CAPTURE(row.program);
    SpawnOptions options;
    options.program = row.program;
    options.working_directory = row.directory;
    CHECK(ran(t, options) == row.seen);
  }
  SpawnOptions twice = shell("true");
  twice.extra_fds = {{1, 5}, {2, 5}};
  CHECK(ran(t, twice) == "Invalid: descriptor 5 of the child is given twice");
  twice.extra_fds = {{1, 2}};
  CHECK(ran(t, twice) == "Invalid: a child's extra descriptor has to be 3 to 1023, not 2");
  twice.extra_fds = {{999, 3}};
  CHECK(ran(t, twice) == "Io: passing descriptor 3 to the child: Bad file descriptor (EBADF)");
}

TEST_CASE("output beyond the limit is cut, the child runs on") {
  TestContext t;
  const std::string seen = ran(t, shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2; exit 6"), "", 1000);
  CHECK(seen.size() == std::string("exit status 6 out= err=end\n").size() + 1000);
  CHECK(seen.ends_with("x err=end\n"));
}

TEST_CASE("a child gets its environment, directory and session, and nothing of ours") {
  TestContext t;
  ::setenv("KAYAK_TEST_LEAK", "1", 1);
  SpawnOptions options = shell("pwd; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort");
  options.env.push_back("A=b c");
  options.working_directory = "/usr/lib";
  CHECK(ran(t, options) == "exit status 0 out=/usr/lib\nA=b c\nPATH=/usr/bin:/bin\n err=");
  ::unsetenv("KAYAK_TEST_LEAK");

  options = shell("ps -o sid= -p $$ | tr -d ' '; echo $$");
  options.new_session = true;
  const std::string session = ran(t, options);
  const std::vector<std::string_view> lines = split(std::string_view(session).substr(session.find('=') + 1), '\n');
  CAPTURE(session);
  CHECK(lines[0] == lines[1]);
}

TEST_CASE("signals are reset in the child") {
  TestContext t;
  sigset_t block, before;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &block, &before);
  std::signal(SIGUSR2, SIG_IGN);
  // SIGPIPE is ignored by us as well.
  const std::string seen = ran(t, shell("grep -E 'SigBlk|SigIgn' /proc/self/status"));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::signal(SIGUSR2, SIG_DFL);
  // Bits 31 and 32 are glibc's own two signals, which its posix_spawn ignores.
  CHECK(seen == "exit status 0 out=SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\n err=");
}

TEST_CASE("only the wanted descriptors reach the child") {
  TestContext t;
  test::Scratch dir;
  // Leaky ones on purpose: without O_CLOEXEC, low and high.
  const int leaky = ::open("/dev/null", O_RDWR);
  REQUIRE(::dup2(leaky, 70) == 70);
  REQUIRE(::dup2(leaky, 300) == 300);
  const std::string list = "for f in /proc/self/fd/*; do n=${f##*/}; [ -e $f ] && printf '%s ' $n; done; true";
  CHECK(ran(t, shell(list)) == "exit status 0 out=0 1 2  err=");
  // Swapped numbers, and a gap: 29 and 28 are given, 3 to 27 stay closed.
  std::ofstream(dir.path() + "/eight") << "eight";
  std::ofstream(dir.path() + "/nine") << "nine";
  const int nine = ::open((dir.path() + "/nine").c_str(), O_RDONLY | O_CLOEXEC);
  const int eight = ::open((dir.path() + "/eight").c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(::dup3(nine, 28, O_CLOEXEC) == 28);
  REQUIRE(::dup3(eight, 29, O_CLOEXEC) == 29);
  SpawnOptions options = shell(list + "; cat /proc/self/fd/28; cat /proc/self/fd/29");
  options.extra_fds = {{28, 29}, {29, 28}};
  CHECK(ran(t, options) == "exit status 0 out=0 1 2 28 29 eightnine err=");
  for (const int fd : {leaky, 70, 300, nine, eight, 28, 29}) ::close(fd);
}

namespace {
Task<Result<void>> kill_on_stop(Context context, bool session) {
  Deadline deadline(context.loop, 60ms);
  SpawnOptions options = shell(session ? "trap '' TERM; sleep 61 & echo $!; wait" : "trap '' TERM; sleep 1; sleep 1");
  options.new_session = session;
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  Fd read_end(fds[0]);
  {
    Fd write_end(fds[1]);
    options.extra_fds = {{write_end.get(), 3}};
    auto ran = co_await run_program(context, options, std::string(), 1000, deadline.token());
    CHECK(test::says(ran) == "Cancelled: running sh: stopped, the process was killed");
  }
  CHECK(deadline.expired());
  if (session) {
    // Everything that the child started is gone, too: nobody holds the pipe.
    char byte;
    auto stream = adopt_fd(context, std::move(read_end));
    Deadline patience(context.loop, 2s);
    auto n = co_await (*stream)->read(std::span<char>(&byte, 1), patience.token());
    CHECK(test::says(n) == "ok");
    CHECK(n.value_or(9) == 0);
  }
  co_return Result<void>();
}
Task<Result<void>> spawn_and_drop(Context context, int* pid) {
  SpawnOptions options = shell("sleep 0.03");
  auto process = co_await Process::spawn(context, options);
  if (!process) co_return process.error();
  *pid = (*process)->pid();
  CHECK(::kill(*pid, 0) == 0);
  StopSource source;
  Deadline soon(context.loop, 1ms, source.token());
  auto early = co_await (*process)->wait(soon.token());
  CHECK(test::says(early) == cat("Cancelled: stopped while waiting for process ", *pid));
  process->reset();
  for (int i = 0; i < 200 && ::kill(*pid, 0) == 0; ++i) co_await context.loop.sleep(5ms);
  CHECK(::kill(*pid, 0) != 0);  // not even a zombie
  co_return Result<void>();
}
Task<Result<void>> kill_and_wait(Context context) {
  SpawnOptions options = shell("sleep 62");
  auto process = co_await Process::spawn(context, options);
  if (!process) co_return process.error();
  CHECK(test::says((*process)->kill(SIGTERM)) == "ok");
  auto status = co_await (*process)->wait();
  CHECK(status->to_string() == "signal: terminated");
  status = co_await (*process)->wait();  // again
  CHECK(status->signal == SIGTERM);
  CHECK_FALSE(status->ok());
  CHECK(test::says((*process)->kill(SIGTERM)) == cat("NotFound: process ", (*process)->pid(), " has ended"));
  co_return Result<void>();
}
Task<Result<void>> one_of_many(Context context, int i, int* good) {
  SpawnOptions options = shell(cat("echo ", i, "; exit ", i % 100));
  auto ran = co_await run_program(context, options);
  if (!ran) co_return ran.error();
  if (ran->status.code == i % 100 && ran->out == cat(i, "\n")) ++*good;
  co_return Result<void>();
}
Task<Result<void>> many(Context context, int count, int* good) {
  TaskScope scope;
  for (int i = 0; i < count; ++i) scope.spawn(one_of_many(context, i, good));
  co_return co_await scope.join();
}
}  // namespace

TEST_CASE("a stop kills the child") {
  TestContext t;
  CHECK(test::says(t.loop.run(kill_on_stop(t.context(), false))) == "ok");
  CHECK(test::says(t.loop.run(kill_on_stop(t.context(), true))) == "ok");
}
TEST_CASE("a child that nobody waits for is reaped") {
  TestContext t;
  int pid = 0;
  CHECK(test::says(t.loop.run(spawn_and_drop(t.context(), &pid))) == "ok");
}
TEST_CASE("kill and wait") {
  TestContext t;
  CHECK(test::says(t.loop.run(kill_and_wait(t.context()))) == "ok");
}
TEST_CASE("two hundred children at once, none left and no descriptor lost") {
  const int before = open_fds();
  {
    TestContext t;
    int good = 0;
    CHECK(test::says(t.loop.run(many(t.context(), 200, &good))) == "ok");
    CHECK(good == 200);
  }
  CHECK(open_fds() == before);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

namespace {
Task<Result<void>> watch_other(Context context, int pid, std::string* seen) {
  auto gone = co_await wait_pid_exit(context, pid);
  *seen = test::says(gone);
  co_return Result<void>();
}
Task<Result<void>> exits_of_others(Context context) {
  // A grandchild: its parent, the shell, tells its pid and ends.
  SpawnOptions options = shell("sleep 0.05 >/dev/null 2>&1 & echo $!");
  auto ran = co_await run_program(context, options);
  if (!ran) co_return ran.error();
  std::int64_t pid = 0;
  REQUIRE(parse_int64(trim(ran->out), &pid));
  std::string seen;
  const Instant start = context.clock.now();
  co_await watch_other(context, static_cast<int>(pid), &seen);
  CHECK(seen == "ok");
  CHECK(context.clock.now() - start < 5s);
  co_await watch_other(context, 4194304, &seen);  // beyond the largest pid
  CHECK(seen == "NotFound: no process 4194304");
  co_await watch_other(context, -1, &seen);
  CHECK(seen == "Invalid: -1 is not a process id");
  Deadline deadline(context.loop, 2ms);
  auto stopped = co_await wait_pid_exit(context, ::getppid(), deadline.token());
  CHECK(test::says(stopped).substr(0, 10) == "Cancelled:");
  co_return Result<void>();
}
}  // namespace

TEST_CASE("the exit of a process that is not our child") {
  TestContext t;
  CHECK(test::says(t.loop.run(exits_of_others(t.context()))) == "ok");
}
