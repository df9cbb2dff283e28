// random.cc: the kernel's randomness, a repeatable one, and what is drawn from either.
// Source: Blackman and Vigna, xoshiro256** and splitmix64; RFC 9562 (UUID version 4).
#include "base/random.h"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/strings.h"

namespace kayak {

std::uint64_t Random::next() {
  std::uint64_t value = 0;
  fill(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

std::uint64_t Random::below(std::uint64_t limit) {
  ASSERT(limit > 0);
  // Draws from the incomplete last stretch of 2^64 are thrown away, or small results would come up more often.
  const std::uint64_t reject_below = (0 - limit) % limit;
  for (;;) {
    const std::uint64_t value = next();
    if (value >= reject_below) return value % limit;
  }
}

std::string Random::uuid4() {
  std::byte bytes[16];
  fill(bytes);
  bytes[6] = (bytes[6] & std::byte{0x0f}) | std::byte{0x40};
  bytes[8] = (bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  std::string text = hex_encode(std::string_view(reinterpret_cast<const char*>(bytes), sizeof bytes));
  for (const std::size_t place : {8, 13, 18, 23}) text.insert(place, 1, '-');
  return text;
}

std::string Random::name_suffix(std::size_t length) {
  // No vowels and no look-alikes, so that no suffix spells a word.
  static constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string text(length, '\0');
  for (char& c : text) c = kAlphabet[below(kAlphabet.size())];
  return text;
}

void SystemRandom::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0) {
      ASSERT(errno == EINTR);  // every kernel that Kayak runs on has getrandom
      continue;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

SeededRandom::SeededRandom(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15ull;
    std::uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebull;
    word = mixed ^ (mixed >> 31);
  }
}

void SeededRandom::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t value = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    const std::size_t count = std::min(bytes.size(), sizeof value);
    std::memcpy(bytes.data(), &value, count);
    bytes = bytes.subspan(count);
  }
}

}  // namespace kayak
