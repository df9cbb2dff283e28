// quantity.h: resource.Quantity, exact and canonical.
// Source: apimachinery pkg/api/resource (DecimalSI, BinarySI, DecimalExponent; canonical form rules).
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kayak {

class Quantity {
 public:
  Quantity() = default;
  // Errors: Invalid with upstream's message ("quantities must match the regular expression ...").
  static Result<Quantity> parse(std::string_view text);
  // What upstream writes for `text`: canonical, but for a few spellings that it keeps ("+1", "1.500", "1E3").
  static Result<std::string> canonical_text(std::string_view text);
  static Quantity of(std::int64_t value);         // DecimalSI
  static Quantity of_milli(std::int64_t milli);   // DecimalSI
  static Quantity of_binary(std::int64_t value);  // BinarySI, for bytes

  std::string to_string() const;     // canonical: 0.5 -> 500m, 1024Mi -> 1Gi
  std::int64_t value() const;        // rounded up, saturating
  std::int64_t milli_value() const;  // rounded up, saturating
  bool is_zero() const;
  int sign() const;
  Quantity operator+(const Quantity& other) const;  // saturating
  Quantity operator-(const Quantity& other) const;
  std::strong_ordering operator<=>(const Quantity& other) const;
  bool operator==(const Quantity& other) const { return (*this <=> other) == 0; }

 private:
  explicit Quantity(__int128 nano) : nano_(nano) {}
  enum class Format : std::uint8_t { kDecimalSI, kBinarySI, kDecimalExponent };
  __int128 nano_ = 0;  // value in 1e-9 units; upstream rounds anything finer up. Saturates at 1.7e29.
  Format format_ = Format::kDecimalSI;
};

}  // namespace kayak
