// seal_test.cc: what is sealed opens again, and nothing else does.
#include "io/seal.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

using namespace kayak;
using namespace kayak::io;

namespace {
std::string unhex(std::string_view text) {
  std::string bytes;
  REQUIRE(hex_decode(text, &bytes));
  return bytes;
}
}  // namespace

// Source: the GCM specification's test cases 13 and 14; others' values of PBKDF2-HMAC-SHA-512 and RFC 4231, case 2.
TEST_CASE("sealing agrees with published values") {
  const SealKey zero(std::string(32, '\0'));
  CHECK(hex_encode(zero.seal(0, "", "")) == "530f8afbc74536b9a963b4f1c4cb738b");
  CHECK(hex_encode(zero.seal(0, std::string(16, '\0'), "")) ==
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
  CHECK(derive_key("password", "salt", 1) == unhex("867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252"));
  CHECK(derive_key("password", "salt", 2) == unhex("e1d9c16aa681708a45f5c7c4e215ceb66e011a2e9f0040713f18aefdb866d53c"));
  CHECK(hmac_sha256("Jefe", "what do ya want for nothing?") ==
        unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
}

TEST_CASE("a sealed slice opens under its nonce, key and associated bytes alone") {
  const SealKey key(std::string(32, 'k')), other(std::string(32, 'o'));
  const std::string sealed = key.seal(7, "plain", "head");
  CHECK(key.open(7, sealed, "head").value() == "plain");
  CHECK(key.open(0, key.seal(0, "", ""), "").value().empty());
  CHECK(key.open(8, sealed, "head").error().code() == Code::kCorrupt);
  CHECK(key.open(7, sealed, "heap").error().code() == Code::kCorrupt);
  CHECK(other.open(7, sealed, "head").error().code() == Code::kCorrupt);
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(key.open(7, sealed.substr(0, size), "head"));
    std::string flipped = sealed;
    flipped[size] = static_cast<char>(flipped[size] ^ 1);
    CHECK_FALSE(key.open(7, flipped, "head"));
  }
}

TEST_CASE("a passphrase opens what it sealed") {
  SystemRandom random;
  const std::string sealed = seal_with_passphrase(random, "open sesame", "secrets", "head");
  CHECK(open_with_passphrase("open sesame", sealed, "head").value() == "secrets");
  CHECK(seal_with_passphrase(random, "open sesame", "secrets", "head") != sealed);
  const auto wrong = open_with_passphrase("open barley", sealed, "head");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code() == Code::kUnauthorized);
  CHECK(open_with_passphrase("open sesame", sealed, "heap").error().code() == Code::kUnauthorized);
  CHECK(open_with_passphrase("open sesame", sealed.substr(0, 20), "head").error().code() == Code::kCorrupt);
  for (const std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{6}, sealed.size() - 1}) {
    CAPTURE(at);
    std::string flipped = sealed;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x80);
    CHECK_FALSE(open_with_passphrase("open sesame", flipped, "head"));
  }
}

TEST_CASE("secrets are compared whole") {
  CHECK(equal_secrets("abc", "abc"));
  CHECK(equal_secrets("", ""));
  CHECK_FALSE(equal_secrets("abc", "abd"));
  CHECK_FALSE(equal_secrets("abc", "ab"));
}
