// yaml.h: YAML documents as JSON values.
// Scalars resolve by YAML 1.1 as upstream's reader does (0644 is 420, yes is true).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kayak::yaml {

struct ReadLimits {
  std::size_t max_bytes = 3 * 1024 * 1024;
  std::size_t max_nodes = 250'000;  // after alias expansion; aliases have a smaller budget of their own
  std::size_t max_depth = 256;
  std::vector<std::string>* duplicates = nullptr;  // as json::ReadOptions
};
// Reads one YAML document (JSON is tried first, as it is the common case); an empty text is null.
// Errors: BadRequest with line and column, also for more than one document; TooLarge beyond max_bytes.
// CPU-bound: call it off the loop for untrusted or large input.
Result<json::Value> read(std::string_view text, const ReadLimits& limits = {});
// Every document of a "---" separated stream; empty documents are left out.
Result<std::vector<json::Value>> read_all(std::string_view text, const ReadLimits& limits = {});
// Block style, keys in document order, strings quoted when they would read as something else.
std::string write(const json::Value& value);

}  // namespace kayak::yaml
