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

// A body that is no patch of its kind, in Go's words.
Error not_a(std::string_view prefix, std::string_view go_type, const json::Value& body) {
  return bad_request(cat(prefix, "json: cannot unmarshal ", go_type_name(body), " into Go value of type ", go_type));
}

// Upstream hides why a JSON patch does not apply; here its causes say it.
Error does_not_apply(const Error& why) {
  StatusDetails details;
  details.causes.push_back(StatusCause{"FieldValueInvalid", why.message(), "patch"});
  return Error(Code::kInvalid, "the server rejected our request due to an error in our request", std::move(details));
}

Result<json::Value> json_patched(const json::Value& current, const json::Value& patch) {
  Result<json::Value> result = apply_json_patch(current, patch);
  if (result) return result;
  const Error& error = result.error();
  if (error.code() == Code::kInvalid) return does_not_apply(error);
  if (error.code() == Code::kTooLarge) {
    return Error(Code::kTooLarge, cat("Request entity too large: ", error.message()), StatusDetails());
  }
  return bad_request(cat("error decoding patch: ", error.message()));
}

Result<json::Value> patched(const ApiRequest& request, const Expected& expected, const json::Value& current) {
  switch (request.patch_type) {
    case PatchType::kJson:
      return json_patched(current, request.body);
    case PatchType::kMerge:
      if (!request.body.is_object()) return not_a("error decoding patch: ", "map[string]interface {}", request.body);
      return apply_merge_patch(current, request.body);
    case PatchType::kStrategicMerge:
      if (!request.body.is_object()) return not_a("", "map[string]interface {}", request.body);
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
