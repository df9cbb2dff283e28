// fuzz-deps: kayak_fuzz_api
// The scanner of stored objects beside the full reader: on JSON it finds the same members, on anything else it stops.
#include "api/field_set.h"
#include "api/json_scan.h"
#include "base/assert.h"
#include "base/json.h"

namespace {

using namespace kayak;

// Walks everything; the number of members and elements of objects and arrays down to `depth`.
std::size_t walk(api::JsonScanner& scanner, int depth) {
  std::size_t count = 0;
  std::string text;
  std::string_view key;
  if (depth > 0 && scanner.enter_object()) {
    while (scanner.next_member(&key)) {
      (void)api::unescape_json(key);
      count += 1 + walk(scanner, depth - 1);
    }
  } else if (depth > 0 && scanner.enter_array()) {
    while (scanner.next_element()) count += 1 + walk(scanner, depth - 1);
  } else {
    (void)scanner.take_string(&text);
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  api::JsonScanner anything(text);
  (void)walk(anything, 20);
  ASSERT(anything.position() <= text.size());
  const auto value = json::read(text);
  if (!value) return 0;
  const std::string canonical = json::write(*value);
  api::JsonScanner scanner(canonical);
  (void)walk(scanner, 300);
  ASSERT(!scanner.failed() && scanner.position() == canonical.size());
  api::JsonScanner skipper(canonical);
  ASSERT(skipper.skip() == canonical && !skipper.failed());
  if (value->is_string()) {
    std::string read;
    api::JsonScanner one(canonical);
    ASSERT(one.take_string(&read) && read == value->as_string());
  }
  const api::FieldSet set = api::FieldSet::from_json(*value);
  ASSERT(api::FieldSet::from_json(set.to_json()) == set);
  return 0;
}
