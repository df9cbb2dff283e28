// seal.h: secrets at rest and on the way: AES-256-GCM, and keys derived from passphrases.
// Values in, values out; whoever calls keeps nonces apart (SealKey::seal) or lets seal_with_passphrase choose.
// Source: NIST SP 800-38D (GCM); RFC 8018 (PBKDF2); OWASP "Password Storage Cheat Sheet" (rounds).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/result.h"

namespace kayak::io {

constexpr std::size_t kSealKeyBytes = 32;
constexpr std::size_t kSealTagBytes = 16;
// Of PBKDF2-HMAC-SHA-512. About 0.2 s of a desktop's core, a second or two of a small board's: the pool's.
constexpr std::uint32_t kSealRounds = 210'000;

// Under one key no nonce may be used twice: here it is a number that the caller never repeats.
class SealKey {
 public:
  // `key` has kSealKeyBytes.
  explicit SealKey(std::string_view key);
  SealKey(SealKey&&) noexcept;
  SealKey& operator=(SealKey&&) noexcept;
  ~SealKey();
  // `plain` encrypted, and its tag; `associated` is not in it, but has to be the same when it is opened.
  std::string seal(std::uint64_t nonce, std::string_view plain, std::string_view associated) const;
  // Errors: Corrupt (other bytes, nonce, key or associated bytes than were sealed).
  Result<std::string> open(std::uint64_t nonce, std::string_view sealed, std::string_view associated) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The key that `passphrase` and `salt` give.
std::string derive_key(std::string_view passphrase, std::string_view salt, std::uint32_t rounds);

// `plain` under a key from `passphrase` and a new salt. The bytes carry all that opening needs but the passphrase.
// `random` is the kernel's. Blocks as kSealRounds says.
std::string seal_with_passphrase(Random& random, std::string_view passphrase, std::string_view plain,
                                 std::string_view associated);
// Errors: Unauthorized (a wrong passphrase, or changed bytes: nobody can tell them apart), Corrupt (not sealed bytes).
Result<std::string> open_with_passphrase(std::string_view passphrase, std::string_view sealed,
                                         std::string_view associated);

// HMAC-SHA-256, 32 raw bytes.
std::string hmac_sha256(std::string_view key, std::string_view bytes);
// Without telling by its time where they differ.
bool equal_secrets(std::string_view a, std::string_view b);
// Overwrites what is no longer needed in a way that compilers keep.
void wipe(std::string* secret);

}  // namespace kayak::io
