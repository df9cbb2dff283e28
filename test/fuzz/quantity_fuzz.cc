// fuzz-deps: kayak_base
// Quantities: the canonical text is a fixed point, and arithmetic keeps its signs.
#include "base/quantity.h"

using kayak::Quantity;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto quantity = Quantity::parse(text);
  ASSERT(quantity.ok() == Quantity::canonical_text(text).ok());
  if (!quantity) return 0;
  const std::string canonical = quantity->to_string();
  const auto again = Quantity::parse(canonical);
  ASSERT(again && *again == *quantity && again->to_string() == canonical);
  const auto kept = Quantity::parse(*Quantity::canonical_text(text));
  ASSERT(kept && *kept == *quantity);
  ASSERT((*quantity - *quantity).is_zero());
  ASSERT((*quantity + *quantity).sign() == quantity->sign());
  ASSERT(quantity->sign() <= 0 || quantity->value() > 0);
  return 0;
}
