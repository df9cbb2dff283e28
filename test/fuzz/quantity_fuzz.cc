// fuzz-deps: kayak_base
// Quantities: the canonical text is a fixed point, and arithmetic keeps its signs.
// As upstream's, bytes that 1024 does not divide are a plain number, which read again may be one of thousands: 15.625Ki
// is 16000, and that is 16k.
#include "base/quantity.h"

using kayak::Quantity;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto quantity = Quantity::parse(text);
  ASSERT(quantity.ok() == Quantity::canonical_text(text).ok());
  if (!quantity) return 0;
  const std::string canonical = quantity->to_string();
  const auto again = Quantity::parse(canonical);
  ASSERT(again && *again == *quantity);
  const bool plain = canonical.find_first_not_of("-0123456789") == std::string::npos;
  ASSERT(again->to_string() == canonical || plain);
  const auto third = Quantity::parse(again->to_string());
  ASSERT(third && *third == *quantity && third->to_string() == again->to_string());
  const auto kept = Quantity::parse(*Quantity::canonical_text(text));
  ASSERT(kept && *kept == *quantity);
  ASSERT((*quantity - *quantity).is_zero());
  ASSERT((*quantity + *quantity).sign() == quantity->sign());
  ASSERT(quantity->sign() <= 0 || quantity->value() > 0);
  return 0;
}
