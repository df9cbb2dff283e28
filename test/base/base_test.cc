// The small parts of base: results, clocks, randomness, descriptors, metrics, logs.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/result.h"
#include "support/scratch.h"

using namespace kayak;

TEST_CASE("system errors keep their code and name") {
  struct Row {
    int number;
    Code code;
    std::string message;
  };
  for (const Row& row : {Row{ENOSPC, Code::kNoSpace, "write: No space left on device (ENOSPC)"},
                         Row{EDQUOT, Code::kNoSpace, "write: Disk quota exceeded (EDQUOT)"},
                         Row{ENOENT, Code::kNotFound, "write: No such file or directory (ENOENT)"},
                         Row{EACCES, Code::kIo, "write: Permission denied (EACCES)"},
                         Row{99999, Code::kIo, "write: unknown error (99999)"}}) {
    const Error error = error_from_errno(row.number, "write");
    CHECK(error.code() == row.code);
    CHECK(error.message() == row.message);
  }
}

TEST_CASE("times are written and read as RFC 3339") {
  struct Row {
    std::string text;
    bool ok;
    std::string whole, micro;
  };
  for (const Row& row : {
           Row{"1970-01-01T00:00:00Z", true, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"},
           Row{"2026-11-23T20:50:47Z", true, "2026-11-23T20:50:47Z", "2026-11-23T20:50:47.000000Z"},
           Row{"2026-11-23T20:50:47.5Z", true, "2026-11-23T20:50:47Z", "2026-11-23T20:50:47.500000Z"},
           Row{"2026-11-23T20:50:47.1234567890Z", true, "2026-11-23T20:50:47Z", "2026-11-23T20:50:47.123456Z"},
           Row{"2026-11-23T20:50:47+02:30", true, "2026-11-23T18:20:47Z", "2026-11-23T18:20:47.000000Z"},
           Row{"2026-12-31T23:30:00-01:00", true, "2027-01-01T00:30:00Z", "2027-01-01T00:30:00.000000Z"},
           Row{"1969-12-31T23:59:59.25Z", true, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.250000Z"},
           Row{"2024-02-29T00:00:00Z", true, "2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"},
           Row{"0001-01-01T00:00:00Z", true, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
           Row{"9999-12-31T23:59:59Z", true, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"},
           Row{"2023-02-29T00:00:00Z", false, "", ""},
           Row{"1900-02-29T00:00:00Z", false, "", ""},
           Row{"2026-13-01T00:00:00Z", false, "", ""},
           Row{"2026-00-01T00:00:00Z", false, "", ""},
           Row{"2026-01-01T24:00:00Z", false, "", ""},
           Row{"2026-01-01T00:00:60Z", false, "", ""},
           Row{"2026-01-01T00:00:00", false, "", ""},
           Row{"2026-01-01 00:00:00Z", false, "", ""},
           Row{"2026-01-01T00:00:00.Z", false, "", ""},
           Row{"2026-01-01T00:00:00z", false, "", ""},
           Row{"2026-01-01T00:00:00+0100", false, "", ""},
           Row{"2026-01-01T00:00:00Zx", false, "", ""},
           Row{"2026-1-01T00:00:00Z", false, "", ""},
           Row{"", false, "", ""},
       }) {
    CAPTURE(row.text);
    WallTime time;
    REQUIRE(parse_time(row.text, &time) == row.ok);
    if (!row.ok) continue;
    CHECK(format_time(time) == row.whole);
    CHECK(format_micro_time(time) == row.micro);
  }
  // Days of eight centuries: the calendar agrees with itself and with the C library.
  for (std::int64_t day = -146'097; day < 146'097; day += 3) {
    const WallTime time{day * 86'400 * 1'000'000};
    const std::time_t seconds = day * 86'400;
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char expected[40];
    strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &utc);
    WallTime back;
    if (format_time(time) != expected || !parse_time(expected, &back) || back != time) FAIL(expected);
  }
}

TEST_CASE("clocks move forward") {
  SystemClock clock;
  const Instant before = clock.now();
  CHECK(clock.now() >= before);
  CHECK(clock.wall().seconds() > 1'700'000'000);
  ManualClock manual;
  const Instant start = manual.now();
  const WallTime wall = manual.wall();
  manual.advance(std::chrono::seconds(90));
  CHECK(manual.now() - start == std::chrono::seconds(90));
  CHECK(manual.wall() - wall == std::chrono::seconds(90));
}

TEST_CASE("randomness repeats from a seed and keeps its ranges") {
  SeededRandom a(7), b(7), c(8);
  const std::uint64_t first = a.next();
  CHECK(first == b.next());
  CHECK(first != c.next());
  int counts[3] = {0, 0, 0};
  for (int i = 0; i < 3000; ++i) ++counts[a.below(3)];
  for (const int count : counts) CHECK((count > 850 && count < 1150));
  CHECK(a.below(1) == 0);
  SystemRandom system;
  std::set<std::string> uids;
  for (Random* random : {static_cast<Random*>(&a), static_cast<Random*>(&system)}) {
    const std::string uid = random->uuid4();
    CAPTURE(uid);
    CHECK(uid.size() == 36);
    CHECK((uid[8] == '-' && uid[13] == '-' && uid[14] == '4' && uid[18] == '-' && uid[23] == '-'));
    CHECK(std::string("89ab").find(uid[19]) != std::string::npos);
    uids.insert(uid);
    const std::string suffix = random->name_suffix();
    CHECK(suffix.size() == 5);
    CHECK(suffix.find_first_not_of("bcdfghjklmnpqrstvwxz2456789") == std::string::npos);
  }
  CHECK(uids.size() == 2);
  std::byte odd[13]{};
  a.fill(odd);
  CHECK(std::set<std::byte>(std::begin(odd), std::end(odd)).size() > 5);
}

TEST_CASE("a descriptor is closed once by its last owner") {
  int pipe_fds[2];
  REQUIRE(pipe2(pipe_fds, O_CLOEXEC) == 0);
  Fd reader(pipe_fds[0]);
  {
    Fd writer(pipe_fds[1]);
    Fd moved = std::move(writer);
    CHECK_FALSE(writer);
    CHECK(moved.get() == pipe_fds[1]);
    writer = std::move(moved);
    errno = EAGAIN;
  }
  CHECK(errno == EAGAIN);
  char byte = 0;
  CHECK(read(reader.get(), &byte, 1) == 0);  // the writing end is closed
  const int raw = reader.release();
  CHECK_FALSE(reader);
  CHECK(close(raw) == 0);
}

TEST_CASE("metrics in Prometheus text") {
  Metrics metrics;
  metrics.counter("requests_total", "Requests,\nall of them.", {{"verb", "GET"}, {"path", "a\"b\\c\nd"}}).add(3);
  metrics.counter("requests_total", "", {{"verb", "GET"}, {"path", "a\"b\\c\nd"}}).add();
  metrics.gauge("temperature", "Degrees.").set(21.5);
  metrics.gauge("temperature", "Degrees.").add(-1);
  metrics.gauge_callback("live", "Read late.", [] { return 7.0; });
  Histogram& histogram = metrics.histogram("seconds", "How long.", {0.1, 1}, {{"verb", "GET"}});
  for (const double value : {0.05, 0.1, 0.5, 3.0}) histogram.observe(value);
  CHECK(metrics.to_text() ==
        "# HELP live Read late.\n# TYPE live gauge\nlive 7\n"
        "# HELP requests_total Requests,\\nall of them.\n# TYPE requests_total counter\n"
        "requests_total{verb=\"GET\",path=\"a\\\"b\\\\c\\nd\"} 4\n"
        "# HELP seconds How long.\n# TYPE seconds histogram\n"
        "seconds_bucket{verb=\"GET\",le=\"0.1\"} 2\nseconds_bucket{verb=\"GET\",le=\"1\"} 3\n"
        "seconds_bucket{verb=\"GET\",le=\"+Inf\"} 4\nseconds_sum{verb=\"GET\"} 3.65\nseconds_count{verb=\"GET\"} 4\n"
        "# HELP temperature Degrees.\n# TYPE temperature gauge\ntemperature 20.5\n");
}

TEST_CASE("CVE-2020-8552: a metric's label sets are bounded") {
  Metrics metrics;
  for (int i = 0; i < 5000; ++i) metrics.counter("c", "", {{"path", std::to_string(i)}}).add();
  std::size_t lines = 0;
  const std::string text = metrics.to_text();
  for (const char c : text) lines += c == '\n';
  CHECK(lines == Metrics::kMaxSeries + 1 + 2);  // the shared series, HELP and TYPE
  CHECK(text.find("c{path=\"other\"} 3000\n") != std::string::npos);
  CHECK(&metrics.counter("c", "", {{"path", "0"}}) == &metrics.counter("c", "", {{"path", "0"}}));
}

namespace {
// What `write` logs, without the time.
template <typename F>
std::string logged(LogLevel level, F write) {
  int pipe_fds[2];
  REQUIRE(pipe2(pipe_fds, O_CLOEXEC) == 0);
  Fd reader(pipe_fds[0]);
  {
    Fd writer(pipe_fds[1]);
    write(Log::to_fd(writer.get(), level));
  }
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(reader.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  std::string lines;
  for (const std::string_view line : split(text, '\n')) {
    if (line.empty()) continue;
    WallTime time;
    const std::size_t space = line.find(' ');
    CHECK(parse_time(line.substr(0, space), &time));
    lines += cat(line.substr(space + 1), "\n");
  }
  return lines;
}
}  // namespace

TEST_CASE("log lines are logfmt, and no value forges one (CVE-2021-25743)") {
  const std::string text = logged(LogLevel::kInfo, [](const Log& log) {
    log.debug("not shown");
    log.info("started", {{"pod", "default/web"}, {"port", 80}, {"empty", ""}, {"reason", "two words"}});
    const Log named = log.named("api").named("watch");
    named.warn("evil\nmessage",
               {{"name", "x\n2026 error forged"}, {"esc", "\x1b[31m"}, {"eq", "a=b"}, {"bytes", "\xff"}});
    named.error("umlaut", {{"value", "grün"}});
  });
  CHECK(text ==
        "info started pod=default/web port=80 empty=\"\" reason=\"two words\"\n"
        "warn api.watch: evil\\nmessage name=\"x\\n2026 error forged\" esc=\"\\x1b[31m\" eq=\"a=b\" bytes=\"\\xff\"\n"
        "error api.watch: umlaut value=grün\n");
  CHECK(logged(LogLevel::kInfo, [](const Log& log) {
          log.info("big", {{"value", std::string(100'000, 'a')}});
        }).size() < 9000);
  CHECK(logged(LogLevel::kOff, [](const Log& log) { log.error("x"); }).empty());
  Log::discard().error("nowhere");
  CHECK_FALSE(Log::discard().enabled(LogLevel::kError));
}

TEST_CASE("log lines of many threads stay whole") {
  const std::string text = logged(LogLevel::kInfo, [](const Log& log) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 50; ++i) log.info("line", {{"thread", t}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  std::size_t whole = 0;
  for (const std::string_view line : split(text, '\n')) {
    whole += line.size() == std::string_view("info line thread=0").size() && line.starts_with("info line thread=");
  }
  CHECK(whole == 200);
}

TEST_CASE("log levels by name") {
  LogLevel level = LogLevel::kOff;
  for (const auto& [name, expected] :
       {std::pair{"trace", LogLevel::kTrace}, std::pair{"debug", LogLevel::kDebug}, std::pair{"info", LogLevel::kInfo},
        std::pair{"warn", LogLevel::kWarn}, std::pair{"error", LogLevel::kError}, std::pair{"off", LogLevel::kOff}}) {
    CHECK((parse_log_level(name, &level) && level == expected));
  }
  CHECK_FALSE(parse_log_level("INFO", &level));
}

TEST_CASE("a folder that others could look into is closed to them") {
  const test::Scratch scratch;
  const std::string path = scratch.file("a/b");
  REQUIRE(make_directories(path, 0777));
  REQUIRE(::chmod(path.c_str(), 0777) == 0);
  struct stat info {};
  REQUIRE(make_private_directories(path));
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0700);
  REQUIRE(make_private_directories(scratch.file("new/c")));
  REQUIRE(::stat(scratch.file("new/c").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0700);
}
