// patch.cc: PATCH as a change: the patch on the current document, decoded again as strictly as any body.
#include "api/convert.h"
#include "api/decode.h"
#include "api/defaults.h"
#include "api/document.h"
#include "api/json_patch.h"
#include "api/pipeline.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

Result<json::Value> patched(const ApiRequest& request, const Expected& expected, const json::Value& current) {
  switch (request.patch_type) {
    case PatchType::kJson:
      return apply_json_patch(current, request.body);
    case PatchType::kMerge:
      if (!request.body.is_object()) return bad_request("a merge patch must be an object");
      return apply_merge_patch(current, request.body);
    case PatchType::kStrategicMerge:
      if (!request.body.is_object()) return bad_request("a strategic merge patch must be an object");
      return strategic_merge(*expected.message, current, request.body);
  }
  return bad_request("unknown patch type");
}

}  // namespace

Change patch_change(const ApiRequest& request, const Expected& expected, const Kind* defaults_of) {
  return [&request, expected, defaults_of](const json::Value& current,
                                           std::vector<std::string>& warnings) -> Result<json::Value> {
    Result<json::Value> result = patched(request, expected, current);
    if (!result) return result.error();
    Result<json::Value> document = decode_patched(expected, std::move(*result), request.body, request.duplicate_fields,
                                                  request.write.field_validation, warnings);
    if (!document) return document.error();
    if (defaults_of != nullptr) apply_defaults(*defaults_of, *document);
    return document;
  };
}

}  // namespace kayak::api
