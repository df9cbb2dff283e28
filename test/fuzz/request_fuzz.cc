// fuzz-deps: kayak_fuzz_api
// A request's method, path and query: what is routed names a resource by safe segments. Line by line: method, path,
// query.
#include "api/query.h"
#include "api/request_info.h"
#include "base/assert.h"
#include "base/strings.h"
#include "io/http.h"

using namespace kayak;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::string_view> lines = split(std::string_view(reinterpret_cast<const char*>(data), size), '\n');
  if (lines.size() != 3) return 0;
  const auto query = io::parse_query(lines[2]);
  const bool watch = query && api::query_flag(*query, "watch");
  const auto info = api::parse_request_info(lines[0], lines[1], watch);
  if (!info || !info->is_resource) return 0;
  ASSERT(info->kind != nullptr && api::is_served(*info->kind));
  for (const std::string& part : {info->name, info->namespace_}) {
    ASSERT(part != ".." && part.find('/') == std::string::npos);
  }
  if (!query) return 0;
  api::ApiRequest request;
  const auto applied = api::apply_query(*query, *info, request);
  ASSERT(applied || !applied.error().message().empty());
  (void)api::query_timeout(*query);
  return 0;
}
