// renewal_test.cc: certificates of a server that runs for long.
#include "cli/renewal.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"
#include "support/scratch.h"

namespace kayak::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kDay = 24 * 60 * 60;
WallTime day(std::int64_t days) { return WallTime{(1'800'000'000 + days * kDay) * 1'000'000}; }
io::CertificateInfo info(const KeyPair& pair) { return *io::parse_certificate_pem(pair.certificate_pem); }

Task<Result<void>> answer(Result<void> result) { co_return result; }

struct Bed {
  explicit Bed(WallTime start) : context{loop, clock, random, Log::discard(), metrics} {
    options.keys.tls_dir = folder;
    options.period = 5ms;
    clock.set_wall(start);
    keys = *load_or_make_server_keys(random, start, options.keys);
  }

  // The keys shown in the course of many periods.
  std::vector<ServerKeys> shown(int tries = 500) {
    std::vector<ServerKeys> seen;
    CertificateRenewal renewal(context, options, keys, [&seen](ServerKeys now) {
      seen.push_back(std::move(now));
      return answer(Result<void>());
    });
    const Result<void> ran = loop.run(run_until(
        loop, renewal, [&seen] { return !seen.empty(); }, tries));
    CHECK(ran.ok());
    return seen;
  }
  // Keys are slow to make on a busy machine: until `holds`, at most for five seconds where it should, and a while more.
  static Task<Result<void>> run_until(Loop& loop, CertificateRenewal& renewal, std::function<bool()> holds,
                                      int tries = 500) {
    io::TaskScope scope;
    scope.spawn(renewal.run(scope.token()));
    for (int i = 0; i < tries && !holds(); ++i) (void)co_await loop.sleep(10ms, StopToken());
    (void)co_await loop.sleep(50ms, StopToken());
    scope.stop();
    co_return co_await scope.join();
  }

  Loop loop;
  ManualClock clock;
  SystemRandom random;
  Metrics metrics;
  Context context;
  kayak::test::Scratch scratch;
  std::string folder = scratch.path();
  CertificateRenewal::Options options;
  ServerKeys keys;
};

}  // namespace

TEST_CASE("certificates are renewed at two thirds of their life, once, while the server runs") {
  Bed bed(day(0));
  bed.clock.set_wall(day(243));
  CHECK(bed.shown(20).empty());
  bed.clock.set_wall(day(244));
  const std::vector<ServerKeys> shown = bed.shown();
  REQUIRE(shown.size() == 1);
  const ServerKeys& now = shown[0];
  for (const auto pair : {&ServerKeys::serving, &ServerKeys::peer, &ServerKeys::etcd_server, &ServerKeys::etcd_client,
                          &ServerKeys::admin, &ServerKeys::recovery}) {
    CHECK(info(now.*pair).not_after > info(bed.keys.*pair).not_after);
    CHECK(info(now.*pair).not_after >= day(244 + 365));
  }
  // The key of the peer is its identity. The CAs stay, in memory and on the disk.
  CHECK(now.peer.key_pem == bed.keys.peer.key_pem);
  CHECK(now.server_ca.certificate_pem == bed.keys.server_ca.certificate_pem);
  CHECK(now.peer_ca.certificate_pem == bed.keys.peer_ca.certificate_pem);
  CHECK(now.service_account_key_pem == bed.keys.service_account_key_pem);
  // What is shown is what the next start finds.
  const Result<ServerKeys> found = load_or_make_server_keys(bed.random, day(245), bed.options.keys);
  REQUIRE(found);
  CHECK(found->serving.certificate_pem == now.serving.certificate_pem);
  CHECK(found->peer.certificate_pem == now.peer.certificate_pem);
}

TEST_CASE("a server that runs keeps its peer's key, whatever happened to its file") {
  Bed bed(day(0));
  bed.clock.set_wall(day(300));
  std::filesystem::remove(bed.folder + "/peer.key");
  const std::vector<ServerKeys> shown = bed.shown();
  REQUIRE(shown.size() == 1);
  CHECK(shown[0].peer.key_pem == bed.keys.peer.key_pem);
  CHECK(info(shown[0].peer).public_key_sha256 == info(bed.keys.peer).public_key_sha256);
  CHECK(*read_file(bed.folder + "/peer.key", 1 << 20) == bed.keys.peer.key_pem);
}

TEST_CASE("a clock that is wrong renews nothing that clients could not use") {
  Bed bed(day(0));
  // No battery: 1970. What there is stays.
  bed.clock.set_wall(WallTime{0});
  CHECK(bed.shown(20).empty());
  // Far ahead: renewed, and still good when the clock is put right again.
  bed.clock.set_wall(day(20000));
  const std::vector<ServerKeys> ahead = bed.shown();
  REQUIRE(ahead.size() == 1);
  CHECK(info(ahead[0].serving).not_before < day(0));
  bed.keys = ahead[0];
  bed.clock.set_wall(day(1));
  CHECK(bed.shown(20).empty());
}

TEST_CASE("a server that is made in 1970 is good today") {
  Bed bed(WallTime{0});
  CHECK(info(bed.keys.serving).not_before.seconds() < 1'767'225'600);
  CHECK(info(bed.keys.serving).not_after.seconds() > 1'767'225'600 + 360 * kDay);
  CHECK(bed.shown(20).empty());
}

TEST_CASE("what cannot be written or shown is tried again") {
  Bed bed(day(0));
  bed.clock.set_wall(day(300));
  int calls = 0;
  CertificateRenewal renewal(bed.context, bed.options, bed.keys, [&calls](ServerKeys) {
    return answer(++calls < 3 ? Result<void>(Error(Code::kInvalid, "not now")) : Result<void>());
  });
  CHECK(bed.loop.run(Bed::run_until(bed.loop, renewal, [&calls] { return calls == 3; })).ok());
  CHECK(calls == 3);  // and not once more
  // Without its folder nothing can be kept, and nothing is shown that would not be there after a restart.
  Bed other(day(0));
  other.clock.set_wall(day(300));
  std::filesystem::remove_all(other.folder);
  REQUIRE(write_file_atomic(other.folder, "a file in its place", 0600));
  CHECK(other.shown(20).empty());
}

}  // namespace kayak::cli
