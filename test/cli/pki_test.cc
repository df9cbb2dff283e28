// pki_test.cc: the certificate by which a server is known to its peers.
#include "cli/pki.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"
#include "support/scratch.h"

namespace kayak::cli {
namespace {

struct Folder {
  kayak::test::Scratch scratch;
  std::string path = scratch.file("tls");
};

ServerKeys load(const Folder& folder, WallTime now) {
  SystemRandom random;
  ServerKeyOptions options;
  options.tls_dir = folder.path;
  Result<ServerKeys> keys = load_or_make_server_keys(random, now, options);
  INFO((keys ? "" : keys.error().message()));
  REQUIRE(keys);
  return *keys;
}

constexpr std::int64_t kDay = 24 * 60 * 60;
WallTime day(std::int64_t days) { return WallTime{(1'800'000'000 + days * kDay) * 1'000'000}; }
io::CertificateInfo info(const KeyPair& pair) { return *io::parse_certificate_pem(pair.certificate_pem); }

TEST_CASE("a peer's certificate is renewed, its key is not") {
  const Folder folder;
  const ServerKeys first = load(folder, day(0));
  CHECK(info(first.peer).common_name == "kayak-peer");
  CHECK(info(first.peer).server_auth);
  CHECK(info(first.peer).client_auth);
  CHECK_FALSE(info(first.peer).is_ca);
  CHECK(load(folder, day(1)).peer.certificate_pem == first.peer.certificate_pem);

  const ServerKeys later = load(folder, day(300));
  CHECK(later.peer.certificate_pem != first.peer.certificate_pem);
  CHECK(later.peer.key_pem == first.peer.key_pem);
  CHECK(info(later.peer).public_key_sha256 == info(first.peer).public_key_sha256);
  CHECK(later.serving.key_pem != first.serving.key_pem);

  // A crash between the key and its certificate.
  std::filesystem::remove(folder.path + "/peer.crt");
  CHECK(load(folder, day(0)).peer.key_pem == first.peer.key_pem);
}

TEST_CASE("a damaged peer key is not replaced behind anyone's back") {
  const Folder folder;
  load(folder, day(0));
  REQUIRE(write_file_atomic(folder.path + "/peer.key", "garbage", 0600));
  SystemRandom random;
  ServerKeyOptions options;
  options.tls_dir = folder.path;
  const Result<ServerKeys> keys = load_or_make_server_keys(random, day(0), options);
  REQUIRE_FALSE(keys);
  CHECK(keys.error().code() == Code::kCorrupt);
  CHECK(keys.error().message().find("peer.key") != std::string::npos);
}

TEST_CASE("a certificate for a peer that keeps its key") {
  const Folder folder;
  const ServerKeys keys = load(folder, day(0));
  SystemRandom random;
  const std::string key = *io::generate_key_pem(random);
  const std::string public_key = *io::public_key_of(random, key);
  const Result<std::string> made = issue_witness_certificate(random, day(0), keys.peer_ca, public_key);
  REQUIRE(made);
  const auto said = io::parse_certificate_pem(*made);
  REQUIRE(said);
  CHECK(said->public_key_sha256 == hex_encode(io::sha256(public_key)));
  CHECK(said->server_auth);
  CHECK(said->client_auth);
  CHECK_FALSE(said->is_ca);
  CHECK_FALSE(issue_witness_certificate(random, day(0), keys.peer_ca, public_key.substr(1)));
}

}  // namespace
}  // namespace kayak::cli
