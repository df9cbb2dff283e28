// decode.h: a client's document as a canonical one of the kind it is meant to be, strictly when asked.
// Source: apiserver handlers (transformDecodeError), metav1 fieldValidation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/api.h"
#include "api/schema.h"

namespace kayak::api {

// What a body must be.
struct Expected {
  std::string group, version, kind;
  const Message* message = nullptr;
  std::string api_version() const;
};
Expected expected_of(const Kind& kind);
Expected expected_of(const SubresourceRow& row);

// `document` canonical, with kind and apiVersion first. Unknown and duplicate fields become warnings, an error or
// nothing, by `validation`. Errors: BadRequest with upstream's wording.
Result<json::Value> decode_document(const Expected& expected, json::Value document,
                                    const std::vector<std::string>& duplicates, FieldValidation validation,
                                    std::vector<std::string>& warnings);
// The same for what a patch made; its errors are Invalid, with the patch as the value.
Result<json::Value> decode_patched(const Expected& expected, json::Value document, const json::Value& patch,
                                   const std::vector<std::string>& duplicates, FieldValidation validation,
                                   std::vector<std::string>& warnings);
// Moves kind and apiVersion to the front, with these values.
void set_type(json::Value& document, std::string_view api_version, std::string_view kind);

}  // namespace kayak::api
