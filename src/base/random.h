// random.h: randomness as something that is handed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kayak {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::byte> bytes) = 0;

  std::uint64_t next();                      // uniform over all 64 bits
  std::uint64_t below(std::uint64_t limit);  // uniform in [0, limit); limit > 0
  std::string uuid4();                       // "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"
  // `length` characters of upstream's name alphabet bcdfghjklmnpqrstvwxz2456789 (apimachinery util/rand).
  std::string name_suffix(std::size_t length = 5);
};

// The kernel's getrandom(2): for keys, uids and tokens.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::byte> bytes) override;
};

// A repeatable sequence from a seed (xoshiro256**), for tests and jitter; never for keys.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed);
  void fill(std::span<std::byte> bytes) override;

 private:
  std::uint64_t state_[4];
};

}  // namespace kayak
