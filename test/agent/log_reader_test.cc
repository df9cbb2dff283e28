// log_reader_test.cc: CRI logs as kubectl logs shows them: tail, since, limits, time stamps, following, rotation.
#include "agent/logs/log_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>

#include "agent/images/image_files.h"
#include "base/files.h"
#include "support/scratch.h"

using namespace kayak;
using namespace kayak::agent;
using namespace std::chrono_literals;

namespace {

struct World {
  Loop loop;
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  Context context{loop, clock, random, Log::discard(), metrics};
  kayak::test::Scratch scratch;
  std::string folder = scratch.path();
  std::string path() const { return folder + "/0.log"; }
  void append(const std::string& text) {
    FILE* file = std::fopen(path().c_str(), "a");
    std::fputs(text.c_str(), file);
    std::fclose(file);
  }
};

constexpr const char* kThree =
    "2026-01-01T00:00:01.000000000Z stdout F one\n"
    "2026-01-01T00:00:02.000000000Z stderr F two\n"
    "2026-01-01T00:00:03.000000000Z stdout P thr\n"
    "2026-01-01T00:00:03.000000001Z stdout F ee\n";

Task<Result<void>> collect(World& world, LogReadOptions options, std::string* out) {
  auto body = co_await open_log(world.context, world.path(), std::move(options), StopToken());
  if (!body) co_return body.error();
  for (;;) {
    auto piece = co_await (*body)->read();
    if (!piece) co_return piece.error();
    if (piece->empty()) co_return Result<void>();
    *out += *piece;
  }
}

std::string shown(World& world, LogReadOptions options) {
  std::string out;
  const Result<void> result = world.loop.run(collect(world, std::move(options), &out));
  REQUIRE(result.ok());
  return out;
}

Task<Result<void>> write_later(World& world, bool* running) {
  auto slept = co_await world.loop.sleep(30ms);
  world.append("2026-01-01T00:00:04.000000000Z stdout F four\n");
  slept = co_await world.loop.sleep(30ms);
  std::rename(world.path().c_str(), (world.path() + ".old").c_str());
  world.append("2026-01-01T00:00:05.000000000Z stdout F five\n");
  slept = co_await world.loop.sleep(30ms);
  world.append("2026-01-01T00:00:06.000000000Z stdout F six\n");
  *running = false;
  co_return Result<void>();
}
Task<Result<void>> follow(World& world, LogReadOptions options, bool* running, std::string* out) {
  io::TaskScope scope;
  scope.spawn(collect(world, std::move(options), out));
  scope.spawn(write_later(world, running));
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("a log is shown as asked") {
  World world;
  world.append(kThree);
  LogReadOptions plain;
  CHECK(shown(world, plain) == "one\ntwo\nthree\n");
  LogReadOptions stamped;
  stamped.timestamps = true;
  CHECK(
      shown(world, stamped) ==
      "2026-01-01T00:00:01.000000000Z one\n2026-01-01T00:00:02.000000000Z two\n2026-01-01T00:00:03.000000000Z three\n");
  struct Row {
    std::int64_t tail;
    const char* want;
  };
  for (const Row& row :
       {Row{0, ""}, Row{1, "ee\n"}, Row{2, "three\n"}, Row{3, "two\nthree\n"}, Row{100, "one\ntwo\nthree\n"}}) {
    CAPTURE(row.tail);
    LogReadOptions tail;
    tail.tail_lines = row.tail;
    CHECK(shown(world, tail) == row.want);
  }
  LogReadOptions since;
  WallTime two;
  REQUIRE(parse_time("2026-01-01T00:00:02Z", &two));
  since.since = two;
  CHECK(shown(world, since) == "two\nthree\n");
  LogReadOptions limited;
  limited.limit_bytes = 6;
  CHECK(shown(world, limited) == "one\ntw");
  LogReadOptions errors;
  errors.stream = "Stderr";
  CHECK(shown(world, errors) == "two\n");
}

TEST_CASE("what is not a log line is left out, and a missing log is an error") {
  World world;
  std::string out;
  CHECK(world.loop.run(collect(world, LogReadOptions(), &out)).error().code() == Code::kNotFound);
  world.append(std::string("garbage\n2026-01-01T00:00:01Z stdout\n2026-01-01T00:00:01Z other F x\n") + kThree);
  CHECK(shown(world, LogReadOptions()) == "one\ntwo\nthree\n");
}

TEST_CASE("following reads what is added, through a rotation, until the container has ended") {
  World world;
  world.append(kThree);
  bool running = true;
  LogReadOptions options;
  options.follow = true;
  options.running = [&running] { return running; };
  std::string out;
  CHECK(world.loop.run(follow(world, options, &running, &out)).ok());
  CHECK(out == "one\ntwo\nthree\nfour\nfive\nsix\n");
}
