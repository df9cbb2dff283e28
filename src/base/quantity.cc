// quantity.cc: reading, writing and adding quantities.
// Values are kept in nano units in 128 bits, so every value that upstream can hold up to 1.7e29 is exact here too.
// Source: apimachinery pkg/api/resource.
#include "base/quantity.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/strings.h"

namespace kayak {

namespace {

using Int128 = __int128;
using Uint128 = unsigned __int128;

constexpr Int128 kMaxNano = static_cast<Int128>(~Uint128{0} >> 1);
constexpr Int128 kNano = 1'000'000'000;
constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();

enum class Notation : std::uint8_t { kDecimalSI, kBinarySI, kDecimalExponent };

struct Suffix {
  std::string_view text;
  Notation notation;
  int exponent;  // of 10, or of 2 for kBinarySI
};
constexpr Suffix kSuffixes[] = {
    {"n", Notation::kDecimalSI, -9}, {"u", Notation::kDecimalSI, -6}, {"m", Notation::kDecimalSI, -3},
    {"", Notation::kDecimalSI, 0},   {"k", Notation::kDecimalSI, 3},  {"M", Notation::kDecimalSI, 6},
    {"G", Notation::kDecimalSI, 9},  {"T", Notation::kDecimalSI, 12}, {"P", Notation::kDecimalSI, 15},
    {"E", Notation::kDecimalSI, 18}, {"Ki", Notation::kBinarySI, 10}, {"Mi", Notation::kBinarySI, 20},
    {"Gi", Notation::kBinarySI, 30}, {"Ti", Notation::kBinarySI, 40}, {"Pi", Notation::kBinarySI, 50},
    {"Ei", Notation::kBinarySI, 60},
};

std::string_view decimal_suffix(int exponent) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.notation == Notation::kDecimalSI && suffix.exponent == exponent) return suffix.text;
  }
  return "";
}

Error wrong_format() {
  return Error(Code::kInvalid,
               "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}
Error wrong_suffix() { return Error(Code::kInvalid, "unable to parse quantity's suffix"); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The text taken apart; the number is digits + fraction with the point between them.
struct Parts {
  bool negative = false, explicit_sign = false, leading_zeros = false;
  std::string_view whole, fraction, suffix;  // whole is without leading zeros
};

Result<Parts> take_apart(std::string_view text) {
  Parts parts;
  if (text.empty()) return wrong_format();
  if (text.front() == '-' || text.front() == '+') {
    parts.negative = text.front() == '-';
    parts.explicit_sign = true;
    text.remove_prefix(1);
  }
  const auto take_digits = [&] {
    std::size_t count = 0;
    while (count < text.size() && is_digit(text[count])) ++count;
    const std::string_view digits = text.substr(0, count);
    text.remove_prefix(count);
    return digits;
  };
  parts.whole = take_digits();
  while (!parts.whole.empty() && parts.whole.front() == '0') {
    parts.whole.remove_prefix(1);
    parts.leading_zeros = true;
  }
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    parts.fraction = take_digits();
  }
  parts.suffix = text;
  while (!text.empty() && std::string_view("eEinumkKMGTP").find(text.front()) != std::string_view::npos) {
    text.remove_prefix(1);
  }
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  take_digits();
  if (!text.empty()) return wrong_format();
  return parts;
}

Result<Suffix> find_suffix(std::string_view text) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.text == text) return suffix;
  }
  std::int64_t exponent = 0;
  if (text.size() < 2 || (text.front() != 'e' && text.front() != 'E') || !parse_int64(text.substr(1), &exponent)) {
    return wrong_suffix();
  }
  constexpr std::int64_t kFar = 1'000'000'000;  // far beyond saturation in both directions
  return Suffix{text, Notation::kDecimalExponent, static_cast<int>(std::clamp(exponent, -kFar, kFar))};
}

// A whole number of up to 320 bits: room for 61 digits times 2^60.
class Wide {
 public:
  void multiply_add(std::uint32_t factor, std::uint32_t addend) {
    std::uint64_t carry = addend;
    for (std::uint32_t& limb : limbs_) {
      carry += std::uint64_t{limb} * factor;
      limb = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    ASSERT(carry == 0);
  }
  std::uint32_t divide(std::uint32_t divisor) {  // returns the remainder
    std::uint64_t rest = 0;
    for (std::size_t i = limbs_.size(); i-- > 0;) {
      rest = rest << 32 | limbs_[i];
      limbs_[i] = static_cast<std::uint32_t>(rest / divisor);
      rest %= divisor;
    }
    return static_cast<std::uint32_t>(rest);
  }
  // The value, or kMaxNano when it is larger.
  Int128 saturated() const {
    for (std::size_t i = 4; i < limbs_.size(); ++i) {
      if (limbs_[i] != 0) return kMaxNano;
    }
    Uint128 value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 32 | limbs_[i];
    return value > static_cast<Uint128>(kMaxNano) ? kMaxNano : static_cast<Int128>(value);
  }

 private:
  std::array<std::uint32_t, 10> limbs_{};
};

// |number| in nano units, rounded up, saturated.
Int128 magnitude_in_nano(const Parts& parts, const Suffix& suffix) {
  const bool binary = suffix.notation == Notation::kBinarySI;
  // Digits are read until they are too fine to change anything but the rounding.
  constexpr std::size_t kFractionDigits = 30;
  std::string digits(parts.whole);
  digits += parts.fraction;
  const std::size_t first = std::min(digits.find_first_not_of('0'), digits.size());
  if (first == digits.size()) return 0;
  // The power of ten of the place before the first significant digit: 12.5 has 2, 0.05 has -1.
  std::int64_t place = static_cast<std::int64_t>(parts.whole.size()) - static_cast<std::int64_t>(first);
  if (!binary) place += suffix.exponent;
  if (place > 31) return kMaxNano;
  if (place < -40) return 1;
  std::string_view significant = std::string_view(digits).substr(first);
  bool inexact = false;
  const auto keep = static_cast<std::size_t>(std::max<std::int64_t>(place, 0)) + kFractionDigits;
  if (significant.size() > keep) {
    inexact = significant.find_first_not_of('0', keep) != std::string_view::npos;
    significant = significant.substr(0, keep);
  }
  Wide value;
  for (const char c : significant) value.multiply_add(10, static_cast<std::uint32_t>(c - '0'));
  for (int i = 0; binary && i < suffix.exponent; i += 10) value.multiply_add(1024, 0);
  std::int64_t scale = place - static_cast<std::int64_t>(significant.size()) + 9;  // of ten, to nano units
  for (; scale > 0; --scale) value.multiply_add(10, 0);
  for (; scale < 0; ++scale) inexact |= value.divide(10) != 0;
  const Int128 nano = value.saturated();
  return inexact && nano < kMaxNano ? nano + 1 : nano;
}

Int128 saturating_add(Int128 a, Int128 b) {
  Int128 sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return std::max(sum, -kMaxNano);
  return a > 0 ? kMaxNano : -kMaxNano;
}

// Rounded away from zero, as upstream rounds.
std::int64_t in_units(Int128 nano, Int128 unit) {
  Int128 whole = nano / unit;
  if (nano % unit != 0) whole += nano > 0 ? 1 : -1;
  if (whole > kInt64Max) return kInt64Max;
  if (whole < std::numeric_limits<std::int64_t>::min()) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(whole);
}

std::string decimal(Int128 value) {
  const bool negative = value < 0;
  Uint128 rest = negative ? Uint128{0} - static_cast<Uint128>(value) : static_cast<Uint128>(value);
  std::string digits;
  do {
    digits += static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  } while (rest != 0);
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace

Result<Quantity> Quantity::parse(std::string_view text) {
  const Result<Parts> parts = take_apart(text);
  if (!parts) return parts.error();
  const Result<Suffix> suffix = find_suffix(parts->suffix);
  if (!suffix) return suffix.error();
  Quantity quantity(magnitude_in_nano(*parts, *suffix));
  switch (suffix->notation) {
    case Notation::kDecimalSI:
      break;
    case Notation::kDecimalExponent:
      quantity.format_ = Format::kDecimalExponent;
      break;
    case Notation::kBinarySI:
      quantity.nano_ = std::min(quantity.nano_, kInt64Max * kNano);  // upstream's cap for this notation
      if (quantity.nano_ == 0 || quantity.nano_ >= kNano) quantity.format_ = Format::kBinarySI;
      break;
  }
  if (parts->negative) quantity.nano_ = -quantity.nano_;
  return quantity;
}

Result<std::string> Quantity::canonical_text(std::string_view text) {
  const Result<Quantity> quantity = parse(text);
  if (!quantity) return quantity.error();
  const Result<Parts> parts = take_apart(text);
  const Result<Suffix> suffix = find_suffix(parts->suffix);
  // Upstream keeps the text of what its quick check takes for canonical; that check sees neither a sign, nor leading
  // zeros, nor fewer than three trailing zeros of a fraction, nor the case of the exponent's letter.
  const std::string_view whole = parts->whole.empty() ? "0" : parts->whole;
  const std::size_t digits = whole.size() + parts->fraction.size();
  const std::int64_t scale = std::int64_t{suffix->exponent} - static_cast<std::int64_t>(parts->fraction.size());
  const std::string shifted = cat(whole, parts->fraction);
  if (suffix->notation == Notation::kBinarySI) {
    std::int64_t number = 0;
    const int room = 15 - static_cast<int>(digits) - suffix->exponent * 3 / 10 - 1;
    if (parts->fraction.empty() && room >= 0 && parse_int64(whole, &number) && (number & 7) != 0) {
      return std::string(text);
    }
  } else if (digits <= 18 && scale >= -9 && scale % 3 == 0 && !shifted.ends_with("000") && shifted.front() != '0') {
    return std::string(text);
  }
  return quantity->to_string();
}

Quantity Quantity::of(std::int64_t value) { return Quantity(value * kNano); }
Quantity Quantity::of_milli(std::int64_t milli) { return Quantity(milli * (kNano / 1000)); }
Quantity Quantity::of_binary(std::int64_t value) {
  Quantity quantity(value * kNano);
  quantity.format_ = Format::kBinarySI;
  return quantity;
}

std::string Quantity::to_string() const {
  if (nano_ == 0) return "0";
  const Int128 magnitude = nano_ < 0 ? -nano_ : nano_;
  if (format_ == Format::kBinarySI && magnitude >= 1024 * kNano && magnitude % kNano == 0) {
    Int128 number = nano_ / kNano;
    const Suffix* suffix = &kSuffixes[9];  // one before Ki: no power of 1024 yet
    while (number % 1024 == 0 && suffix + 1 != std::end(kSuffixes)) {
      number /= 1024;
      ++suffix;
    }
    return cat(decimal(number), suffix == &kSuffixes[9] ? "" : suffix->text);
  }
  // The largest exponent divisible by three that leaves a whole number; plain suffixes end at E.
  Int128 number = nano_;
  int exponent = -9;
  const int last = format_ == Format::kDecimalExponent ? std::numeric_limits<int>::max() : 18;
  for (; exponent < last && number % 1000 == 0; exponent += 3) number /= 1000;
  if (format_ != Format::kDecimalExponent) return cat(decimal(number), decimal_suffix(exponent));
  return exponent == 0 ? decimal(number) : cat(decimal(number), "e", exponent);
}

std::int64_t Quantity::value() const { return in_units(nano_, kNano); }
std::int64_t Quantity::milli_value() const { return in_units(nano_, kNano / 1000); }
bool Quantity::is_zero() const { return nano_ == 0; }
int Quantity::sign() const { return nano_ == 0 ? 0 : nano_ > 0 ? 1 : -1; }

// A sum is written as its first part was; nothing plus something is written as the something.
Quantity Quantity::operator+(const Quantity& other) const {
  Quantity sum(saturating_add(nano_, other.nano_));
  sum.format_ = is_zero() ? other.format_ : format_;
  return sum;
}

Quantity Quantity::operator-(const Quantity& other) const {
  Quantity difference(saturating_add(nano_, -other.nano_));
  difference.format_ = is_zero() ? other.format_ : format_;
  return difference;
}

std::strong_ordering Quantity::operator<=>(const Quantity& other) const {
  if (nano_ < other.nano_) return std::strong_ordering::less;
  return nano_ > other.nano_ ? std::strong_ordering::greater : std::strong_ordering::equal;
}

}  // namespace kayak
