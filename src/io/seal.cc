// seal.cc: see seal.h. Beside the tls and x509 files this one sees mbedTLS.
// Bytes sealed with a passphrase: version (1), rounds (4, big endian), salt (16), ciphertext, tag (16). The key serves
// once, as the salt is new each time, so the nonce is 0; what stands before the ciphertext is authenticated, too.
#include "io/seal.h"

#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform_util.h>

#include <span>

#include "base/assert.h"
#include "base/endian.h"
#include "base/strings.h"

namespace kayak::io {

namespace {

constexpr char kVersion = 1;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kHeadBytes = 1 + 4 + kSaltBytes;
constexpr std::size_t kNonceBytes = 12;
// More than anyone seals with is refused: it would only take time.
constexpr std::uint32_t kMaxRounds = 10'000'000;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(std::string* text) { return reinterpret_cast<unsigned char*>(text->data()); }

struct Nonce {
  unsigned char bytes[kNonceBytes] = {};
  explicit Nonce(std::uint64_t number) {
    for (std::size_t i = 0; i < 8; ++i) bytes[kNonceBytes - 1 - i] = static_cast<unsigned char>(number >> (8 * i));
  }
};

// What was wiped after it served.
struct Secret {
  std::string bytes;
  ~Secret() { wipe(&bytes); }
};

}  // namespace

struct SealKey::Impl {
  Impl() { mbedtls_gcm_init(&gcm); }
  ~Impl() { mbedtls_gcm_free(&gcm); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  mbedtls_gcm_context gcm;
};

SealKey::SealKey(std::string_view key) : impl_(std::make_unique<Impl>()) {
  ASSERT(key.size() == kSealKeyBytes);
  const int rc = mbedtls_gcm_setkey(&impl_->gcm, MBEDTLS_CIPHER_ID_AES, bytes_of(key), kSealKeyBytes * 8);
  ASSERT(rc == 0);
}
SealKey::SealKey(SealKey&&) noexcept = default;
SealKey& SealKey::operator=(SealKey&&) noexcept = default;
SealKey::~SealKey() = default;

std::string SealKey::seal(std::uint64_t nonce, std::string_view plain, std::string_view associated) const {
  const Nonce iv(nonce);
  std::string out(plain.size() + kSealTagBytes, '\0');
  const int rc = mbedtls_gcm_crypt_and_tag(&impl_->gcm, MBEDTLS_GCM_ENCRYPT, plain.size(), iv.bytes, kNonceBytes,
                                           bytes_of(associated), associated.size(), bytes_of(plain), bytes_of(&out),
                                           kSealTagBytes, bytes_of(&out) + plain.size());
  ASSERT(rc == 0);
  return out;
}

Result<std::string> SealKey::open(std::uint64_t nonce, std::string_view sealed, std::string_view associated) const {
  if (sealed.size() < kSealTagBytes) return Error(Code::kCorrupt, "sealed bytes are cut short");
  const Nonce iv(nonce);
  const std::size_t size = sealed.size() - kSealTagBytes;
  // One byte more, as an empty string has no place to write to.
  std::string out(size + 1, '\0');
  const int rc =
      mbedtls_gcm_auth_decrypt(&impl_->gcm, size, iv.bytes, kNonceBytes, bytes_of(associated), associated.size(),
                               bytes_of(sealed) + size, kSealTagBytes, bytes_of(sealed), bytes_of(&out));
  if (rc != 0) return Error(Code::kCorrupt, "sealed bytes are not what was sealed");
  out.resize(size);
  return out;
}

std::string derive_key(std::string_view passphrase, std::string_view salt, std::uint32_t rounds) {
  std::string key(kSealKeyBytes, '\0');
  mbedtls_md_context_t md;
  mbedtls_md_init(&md);
  int rc = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), 1);
  if (rc == 0) {
    rc = mbedtls_pkcs5_pbkdf2_hmac(&md, bytes_of(passphrase), passphrase.size(), bytes_of(salt), salt.size(), rounds,
                                   kSealKeyBytes, bytes_of(&key));
  }
  mbedtls_md_free(&md);
  ASSERT(rc == 0);
  return key;
}

std::string seal_with_passphrase(Random& random, std::string_view passphrase, std::string_view plain,
                                 std::string_view associated) {
  std::string head(1, kVersion);
  put_big32(&head, kSealRounds);
  head.resize(kHeadBytes);
  random.fill(std::as_writable_bytes(std::span<char>(head).subspan(5)));
  const Secret key{derive_key(passphrase, std::string_view(head).substr(5), kSealRounds)};
  return head + SealKey(key.bytes).seal(0, plain, cat(head, associated));
}

Result<std::string> open_with_passphrase(std::string_view passphrase, std::string_view sealed,
                                         std::string_view associated) {
  const bool ours = sealed.size() >= kHeadBytes + kSealTagBytes && sealed[0] == kVersion;
  if (!ours) return Error(Code::kCorrupt, "not bytes that a passphrase seals");
  const std::string_view head = sealed.substr(0, kHeadBytes);
  const std::uint32_t rounds = big32(head, 1);
  if (rounds == 0 || rounds > kMaxRounds) return Error(Code::kCorrupt, "not bytes that a passphrase seals");
  const Secret key{derive_key(passphrase, head.substr(5), rounds)};
  Result<std::string> plain = SealKey(key.bytes).open(0, sealed.substr(kHeadBytes), cat(head, associated));
  if (!plain) return Error(Code::kUnauthorized, "the passphrase is wrong, or the bytes were changed");
  return plain;
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::string out(32, '\0');
  const int rc = mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes_of(key), key.size(),
                                 bytes_of(bytes), bytes.size(), bytes_of(&out));
  ASSERT(rc == 0);
  return out;
}

bool equal_secrets(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference =
        static_cast<unsigned char>(difference | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])));
  }
  return difference == 0;
}

void wipe(std::string* secret) {
  mbedtls_platform_zeroize(secret->data(), secret->size());
  secret->clear();
}

}  // namespace kayak::io
