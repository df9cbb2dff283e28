// stream_test.cc: TCP, unix sockets and pipes: order, back-pressure, ends, stops.
#include "io/stream.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/strings.h"
#include "io/support.h"

using namespace kayak;
using namespace kayak::io;
using namespace std::chrono_literals;
using kayak::test::TestContext;

namespace {

const Endpoint kAnyPort{"127.0.0.1", 0};

Slices slices(std::string text) {
  Slices out;
  out.push_back(Slice::of(std::move(text)));
  return out;
}

// Copies everything back until the end.
Task<Result<void>> echo(StreamPtr stream, StopToken stop) {
  std::string buffer(16 * 1024, '\0');
  for (;;) {
    auto n = co_await stream->read(buffer, stop);
    if (!n) co_return n.error();
    if (*n == 0) co_return co_await stream->shutdown(stop);
    if (auto wrote = co_await stream->write(slices(buffer.substr(0, *n)), stop); !wrote) co_return wrote;
  }
}
Task<Result<void>> echo_server(Listener& listener, TaskScope& scope, int connections) {
  for (int i = 0; i < connections; ++i) {
    auto stream = co_await listener.accept(scope.token());
    if (!stream) co_return stream.error();
    scope.spawn(echo(std::move(*stream), scope.token()));
  }
  co_return Result<void>();
}

Task<Result<std::string>> read_to_end(Stream& stream, StopToken stop) {
  std::string all, buffer(64 * 1024, '\0');
  for (;;) {
    auto n = co_await stream.read(buffer, stop);
    if (!n) co_return n.error();
    if (*n == 0) co_return all;
    all.append(buffer, 0, *n);
  }
}
Task<Result<void>> write_and_shut(Stream& stream, std::string text, StopToken stop) {
  // Many slices of odd sizes, with empty ones in between: more than one writev takes.
  Slices data;
  auto owner = std::make_shared<const std::string>(std::move(text));
  std::string_view rest = *owner;
  for (std::size_t size = 0; !rest.empty(); size = (size + 37) % 1999) {
    data.push_back(Slice{rest.substr(0, size), owner});
    rest.remove_prefix(std::min(size, rest.size()));
  }
  if (auto wrote = co_await stream.write(std::move(data), stop); !wrote) co_return wrote;
  co_return co_await stream.shutdown(stop);
}
Task<Result<void>> round_trip(Stream& stream, std::string text, std::string* back, StopToken stop) {
  TaskScope scope(stop);
  scope.spawn(write_and_shut(stream, text, scope.token()));
  auto got = co_await read_to_end(stream, scope.token());
  auto joined = co_await scope.join();
  if (!got) co_return got.error();
  *back = std::move(*got);
  co_return joined;
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t x = 1;
  for (char& c : text) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return text;
}

Task<Result<void>> tcp_echo(Context context, std::size_t size, std::string* back) {
  auto listener = listen_tcp(context, kAnyPort);
  if (!listener) co_return listener.error();
  TaskScope scope;
  scope.spawn(echo_server(**listener, scope, 1));
  auto stream = co_await connect_tcp(context, (*listener)->local());
  if (!stream) co_return stream.error();
  CHECK((*stream)->peer().to_string() == (*listener)->local().to_string());
  CHECK((*stream)->local().ip == "127.0.0.1");
  auto done = co_await round_trip(**stream, pattern(size), back, scope.token());
  if (!done) co_return done;
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("tcp carries every byte in order, both ways") {
  TestContext t;
  for (const std::size_t size : {0, 1, 4096, 5'000'000}) {
    std::string back = "untouched";
    const auto result = t.loop.run(tcp_echo(t.context(), size, &back));
    INFO(size);
    CHECK(test::says(result) == "ok");
    CHECK(back.size() == size);
    CHECK((back == pattern(size)));
  }
}

namespace {
struct SlowReader {
  std::size_t pushed = 0;
  Task<Result<void>> flood(Stream& stream, StopToken stop) {
    for (;;) {
      if (auto wrote = co_await stream.write(slices(std::string(64 * 1024, 'x')), stop); !wrote) co_return wrote;
      pushed += 64 * 1024;
    }
  }
  Task<Result<void>> run(Context context) {
    auto pair = stream_pair(context);
    TaskScope scope;
    scope.spawn(flood(*pair->first, scope.token()));
    co_await context.loop.sleep(20ms);
    const std::size_t stuck = pushed;
    CHECK(stuck > 0);
    CHECK(stuck < 2 * 1024 * 1024);  // the kernel's buffer, nothing of ours
    co_await context.loop.sleep(20ms);
    CHECK(pushed == stuck);
    std::string buffer(4 << 20, '\0');
    std::size_t got = 0;
    while (got < stuck + 1) {
      auto n = co_await pair->second->read(buffer);
      if (!n) co_return n.error();
      got += *n;
    }
    co_await context.loop.sleep(5ms);
    CHECK(pushed > stuck);
    scope.stop();
    co_return co_await scope.join();
  }
};
}  // namespace

TEST_CASE("a slow reader holds the writer back") {
  TestContext t;
  SlowReader test;
  CHECK(test::says(t.loop.run(test.run(t.context()))) == "ok");
}

namespace {
Task<Result<void>> read_one(Stream& stream, StopToken stop, std::string* outcome) {
  std::string buffer(10, '\0');
  auto n = co_await stream.read(buffer, stop);
  *outcome = n ? cat(*n, " bytes") : test::says(Result<void>(n.error()));
  co_return Result<void>();
}
Task<Result<void>> close_and_stop(Context context) {
  std::string by_close, by_stop, by_stopped;
  auto pair = stream_pair(context);
  StopSource source;
  TaskScope scope;
  scope.spawn(read_one(*pair->first, scope.token(), &by_close));
  scope.spawn(read_one(*pair->second, source.token(), &by_stop));
  co_await context.loop.sleep(2ms);
  source.stop();
  co_await context.loop.sleep(1ms);
  CHECK(by_stop == "Cancelled: stopped");
  CHECK(by_close == "");
  pair->first->close();
  co_await scope.join();
  CHECK(by_close == "Cancelled: the stream was closed");
  // The other side sees the end, and a fired token wins over bytes that are there.
  co_await read_one(*pair->second, source.token(), &by_stopped);
  CHECK(by_stopped == "Cancelled: stopped");
  co_await read_one(*pair->second, StopToken(), &by_stopped);
  CHECK(by_stopped == "0 bytes");
  auto after = co_await pair->first->write(slices("x"));
  CHECK(test::says(after) == "Cancelled: the stream was closed");
  auto reset = co_await pair->second->write(slices("x"));
  CHECK(test::says(reset).substr(0, 3) == "Io:");
  co_return Result<void>();
}

Task<Result<void>> half_close_with_data(Context context) {
  // The bytes and the end come in one event: the reader must see both.
  for (const std::size_t size : {1, 10, 100}) {
    auto pair = stream_pair(context);
    std::string outcome;
    TaskScope scope;
    scope.spawn(read_one(*pair->first, scope.token(), &outcome));
    auto wrote = co_await pair->second->write(slices(std::string(size, 'a')));
    CHECK(wrote.ok());
    pair->second->close();
    co_await scope.join();
    CHECK(outcome == cat(std::min<std::size_t>(size, 10), " bytes"));
    Deadline deadline(context.loop, 2s);
    auto rest = co_await read_to_end(*pair->first, deadline.token());
    REQUIRE(rest.ok());
    CHECK(rest->size() == size - std::min<std::size_t>(size, 10));
  }
  co_return Result<void>();
}
}  // namespace

TEST_CASE("close and stop end what waits") {
  TestContext t;
  CHECK(test::says(t.loop.run(close_and_stop(t.context()))) == "ok");
}
TEST_CASE("an end that comes with the last bytes is seen") {
  TestContext t;
  CHECK(test::says(t.loop.run(half_close_with_data(t.context()))) == "ok");
}

namespace {
Task<Result<void>> thousand(Context context) {
  auto listener = listen_tcp(context, kAnyPort);
  if (!listener) co_return listener.error();
  TaskScope scope;
  constexpr int kCount = 1000;
  scope.spawn(echo_server(**listener, scope, kCount));
  std::vector<StreamPtr> streams;
  for (int i = 0; i < kCount; ++i) {
    auto stream = co_await connect_tcp(context, (*listener)->local());
    if (!stream) co_return stream.error();
    streams.push_back(std::move(*stream));
  }
  for (int i = 0; i < kCount; ++i) {
    if (auto wrote = co_await streams[i]->write(slices(cat("hello ", i))); !wrote) co_return wrote;
  }
  for (int i = kCount; i-- > 0;) {
    auto shut = co_await streams[i]->shutdown();
    if (!shut) co_return shut;
    auto back = co_await read_to_end(*streams[i], scope.token());
    if (!back) co_return back.error();
    CHECK(*back == cat("hello ", i));
  }
  co_return co_await scope.join();
}
}  // namespace

TEST_CASE("a thousand connections") {
  TestContext t;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 2100) {
    WARN("skipped: the hard limit of open files is " << limit.rlim_max);
    return;
  }
  const rlimit wanted{std::max<rlim_t>(limit.rlim_cur, 2100), limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &wanted);
  CHECK(test::says(t.loop.run(thousand(t.context()))) == "ok");
  setrlimit(RLIMIT_NOFILE, &limit);
}

namespace {
Task<Result<void>> out_of_fds(Context context) {
  auto listener = listen_tcp(context, kAnyPort);
  if (!listener) co_return listener.error();
  auto client = co_await connect_tcp(context, (*listener)->local());
  if (!client) co_return client.error();
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit none{0, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  Deadline deadline(context.loop, 60ms);
  auto refused = co_await (*listener)->accept(deadline.token());
  setrlimit(RLIMIT_NOFILE, &limit);
  CHECK(deadline.expired());
  CHECK_FALSE(refused.ok());
  auto accepted = co_await (*listener)->accept();
  CHECK(accepted.ok());
  co_return Result<void>();
}
}  // namespace

TEST_CASE("running out of descriptors is waited out") {
  test::LogFile log;
  TestContext t(log.log());
  CHECK(test::says(t.loop.run(out_of_fds(t.context()))) == "ok");
  const std::string lines = log.text();
  CAPTURE(lines);
  CHECK(lines.find("cannot accept connections") != std::string::npos);
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 1);  // not one for each try
}

namespace {
Task<Result<void>> refused_connects(Context context) {
  auto listener = listen_tcp(context, kAnyPort);
  if (!listener) co_return listener.error();
  const Endpoint at = (*listener)->local();
  auto again = listen_tcp(context, at);
  CHECK(test::says(again).substr(0, 4) == "Io: ");
  CHECK(again.error().message() ==
        cat("listening on ", at.to_string(), ": the address is in use by process ", ::getpid(), " \"test_io\""));
  listener->reset();
  auto refused = co_await connect_tcp(context, at);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message().find(at.to_string()) != std::string::npos);
  CHECK(refused.error().message().find("refused") != std::string::npos);
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "::g", "localhost", "1.2.3.4 ", "fe80::1%nonesuch0"}) {
    CAPTURE(bad);
    auto result = listen_tcp(context, Endpoint{bad, 0});
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code() == Code::kInvalid);
  }
  co_return Result<void>();
}
}  // namespace

TEST_CASE("an address in use names its holder; a refused connect its target") {
  TestContext t;
  CHECK(test::says(t.loop.run(refused_connects(t.context()))) == "ok");
}

TEST_CASE("endpoints read as people write them") {
  CHECK(Endpoint{"1.2.3.4", 80}.to_string() == "1.2.3.4:80");
  CHECK(Endpoint{"::1", 80}.to_string() == "[::1]:80");
  CHECK(Endpoint().to_string() == "");
}

namespace {
Task<Result<void>> unix_echo(Context context, std::string path) {
  // A path longer than sockaddr_un works, too.
  auto listener = listen_unix(context, path);
  if (!listener) co_return listener.error();
  struct stat status {};
  CHECK(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  auto taken = listen_unix(context, path);
  CHECK(test::says(taken) == cat("AlreadyExists: another process listens on ", path));
  TaskScope scope;
  scope.spawn(echo_server(**listener, scope, 2));  // the second is the probe of `taken`
  auto stream = co_await connect_unix(context, path);
  if (!stream) co_return stream.error();
  CHECK((*stream)->peer().to_string() == "");
  std::string back;
  auto done = co_await round_trip(**stream, pattern(300'000), &back, scope.token());
  CHECK((back == pattern(300'000)));
  if (!done) co_return done;
  auto joined = co_await scope.join();
  listener->reset();
  CHECK(::stat(path.c_str(), &status) != 0);
  co_return joined;
}
Task<Result<void>> stale_socket(Context context, std::string path) {
  {
    auto left = listen_unix(context, path);
    if (!left) co_return left.error();
    // What a crash leaves behind: the file without a listener.
    std::filesystem::rename(path, path + ".kept");
  }
  std::filesystem::rename(path + ".kept", path);
  auto none = co_await connect_unix(context, path);
  CHECK_FALSE(none.ok());
  auto listener = listen_unix(context, path);
  CHECK(test::says(listener) == "ok");
  co_return Result<void>();
}
}  // namespace

TEST_CASE("unix sockets: private, replaced when stale, long paths") {
  TestContext t;
  test::Scratch dir;
  CHECK(test::says(t.loop.run(unix_echo(t.context(), dir.path() + "/s"))) == "ok");
  const std::string deep = dir.path() + "/" + std::string(120, 'd');
  std::filesystem::create_directory(deep);
  CHECK(test::says(t.loop.run(unix_echo(t.context(), deep + "/s"))) == "ok");
  CHECK(test::says(t.loop.run(stale_socket(t.context(), dir.path() + "/stale"))) == "ok");
  std::filesystem::create_directory(dir.path() + "/dir");
  CHECK(test::says(listen_unix(t.context(), dir.path() + "/dir")) ==
        cat("AlreadyExists: ", dir.path(), "/dir exists and is not a socket"));
}

namespace {
Task<Result<void>> pipes(Context context) {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  auto in = adopt_fd(context, Fd(fds[0]));
  auto out = adopt_fd(context, Fd(fds[1]));
  if (!in) co_return in.error();
  if (!out) co_return out.error();
  TaskScope scope;
  scope.spawn(write_and_shut(**out, pattern(1'000'000), scope.token()));
  auto all = co_await read_to_end(**in, scope.token());
  if (!all) co_return all.error();
  CHECK((*all == pattern(1'000'000)));
  auto joined = co_await scope.join();
  CHECK(test::says(joined) == "ok");
  // A reader that goes away is an error for the writer.
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  auto orphan = adopt_fd(context, Fd(fds[1]));
  ::close(fds[0]);
  auto wrote = co_await (*orphan)->write(slices("x"));
  CHECK(test::says(wrote).substr(0, 3) == "Io:");
  auto file = adopt_fd(context, Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)));
  CHECK(test::says(file) == "Invalid: this kind of file cannot be waited for");
  co_return joined;
}
Task<Result<void>> idle_wait(Context context) {
  auto pair = stream_pair(context);
  auto wrote = co_await pair->first->write(slices("x"));
  CHECK(wrote.ok());
  CHECK(test::says(co_await pair->second->wait_readable()) == "ok");
  std::string buffer(10, '\0');
  auto n = co_await pair->second->read(buffer);
  CHECK(n.value_or(0) == 1);
  Deadline deadline(context.loop, 3ms);
  CHECK(test::says(co_await pair->second->wait_readable(deadline.token())) == "Cancelled: stopped");
  pair->first->close();
  CHECK(test::says(co_await pair->second->wait_readable()) == "ok");
  n = co_await pair->second->read(buffer);
  CHECK(n.value_or(9) == 0);
  co_return Result<void>();
}
}  // namespace

TEST_CASE("pipes carry bytes; regular files are refused") {
  TestContext t;
  CHECK(test::says(t.loop.run(pipes(t.context()))) == "ok");
}
TEST_CASE("waiting without a buffer") {
  TestContext t;
  CHECK(test::says(t.loop.run(idle_wait(t.context()))) == "ok");
}

namespace {
// A stream that never has to wait must not keep timers from firing.
Task<Result<void>> busy_stream(Context context) {
  Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  auto in = adopt_fd(context, Fd(fds[0]));
  auto out = adopt_fd(context, Fd(fds[1]));
  bool fired = false;
  auto timer = context.loop.after(5ms, [&fired] { fired = true; });
  std::string buffer(4096, '\0');
  const auto start = context.clock.now();
  while (!fired && context.clock.now() - start < 5s) {
    auto wrote = co_await (*out)->write(slices("tick"));
    auto n = co_await (*in)->read(buffer);
    if (!wrote || !n) co_return Error(Code::kIo, "the pipe broke");
  }
  CHECK(fired);
  co_return Result<void>();
}
}  // namespace

TEST_CASE("a busy stream lets timers fire") {
  TestContext t;
  CHECK(test::says(t.loop.run(busy_stream(t.context()))) == "ok");
}
