// validate.cc: the rules of every object's metadata, and the call into the kinds' own.
#include "api/validate.h"

#include "api/document.h"
#include "api/status.h"

namespace kayak::api {

std::vector<StatusCause> validate_create(WriteContext& context, const json::Value& object) {
  std::vector<StatusCause> causes;
  if (meta_text(object, "name").empty()) {
    causes.push_back(field_required("metadata.name", "name or generateName is required"));
  }
  if (context.kind.namespaced && meta_text(object, "namespace").empty()) {
    causes.push_back(field_required("metadata.namespace", ""));
  }
  return causes;
}

std::vector<StatusCause> validate_update(WriteContext&, std::string_view, const json::Value&, const json::Value&) {
  return {};
}

}  // namespace kayak::api
