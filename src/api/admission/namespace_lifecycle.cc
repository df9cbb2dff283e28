// namespace_lifecycle.cc: nothing is written into a namespace that is absent or on its way out; three namespaces stay.
#include <algorithm>
#include <array>

#include "api/admission/admission.h"
#include "api/document.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::array<std::string_view, 3> kImmortal = {"default", "kube-system", "kube-public"};

bool is_access_review(const Kind& kind) {
  return kind.group == "authorization.k8s.io" && kind.kind == "LocalSubjectAccessReview";
}

}  // namespace

Result<void> namespace_lifecycle(const AdmissionRequest& request, json::Value* object, const json::Value*) {
  const bool of_namespaces = request.kind.group.empty() && request.kind.plural == "namespaces";
  if (request.verb == Verb::kDelete && of_namespaces &&
      std::find(kImmortal.begin(), kImmortal.end(), request.name) != kImmortal.end()) {
    return forbidden(request.kind, request.name, "this namespace may not be deleted");
  }
  if (request.namespace_.empty() || of_namespaces || request.verb == Verb::kDelete || is_access_review(request.kind)) {
    return Result<void>();
  }
  const ObjectRef found = request.parts.cache.get(kinds::namespaces(), "", request.namespace_);
  if (!found) return not_found(kinds::namespaces(), request.namespace_);
  if (request.verb != Verb::kCreate || field_value(*found, "status.phase") != "Terminating") return Result<void>();
  const std::string_view name = object != nullptr && request.name.empty() ? meta_text(*object, "name") : request.name;
  const Error plain = forbidden(
      request.kind, name,
      cat("unable to create new content in namespace ", request.namespace_, " because it is being terminated"));
  StatusDetails details = *plain.details();
  details.causes.push_back(StatusCause{
      "NamespaceTerminating", cat("namespace ", request.namespace_, " is being terminated"), "metadata.namespace"});
  return Error(plain.code(), plain.message(), std::move(details));
}

}  // namespace kayak::api
