// json_object.cc: see json_object.h.
#include "base/json_object.h"

#include "base/strings.h"

namespace kayak::json {

Result<Value> read_object(std::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes) return Error(Code::kBadRequest, "is too large");
  std::vector<std::string> duplicates;
  ReadOptions options;
  options.max_depth = 8;
  options.max_nodes = 4096;
  options.duplicates = &duplicates;
  Result<Value> value = read(text, options);
  if (!value) return Error(Code::kBadRequest, cat("is no JSON: ", value.error().message()));
  if (!value->is_object()) return Error(Code::kBadRequest, "is no object");
  if (!duplicates.empty()) return Error(Code::kBadRequest, cat("has ", quote(duplicates.front()), " twice"));
  return value;
}

}  // namespace kayak::json
