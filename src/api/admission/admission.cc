// admission.cc: the table of admission plugins and its two walks.
#include "api/admission/admission.h"

#include <array>

namespace kayak::api {

namespace {

constexpr std::array kPlugins = {
    AdmissionPlugin{"NamespaceLifecycle", namespace_lifecycle, nullptr},
    AdmissionPlugin{"ServiceAccount", default_service_account, nullptr},
    AdmissionPlugin{"Priority", pod_priority, priority_class_rules},
    AdmissionPlugin{"DefaultTolerationSeconds", default_tolerations, nullptr},
};

}  // namespace

Result<void> admit_mutating(const AdmissionRequest& request, json::Value* object, const json::Value* old) {
  for (const AdmissionPlugin& plugin : kPlugins) {
    if (plugin.mutate == nullptr) continue;
    if (auto admitted = plugin.mutate(request, object, old); !admitted) return admitted;
  }
  return Result<void>();
}

Result<void> admit_validating(const AdmissionRequest& request, const json::Value* object, const json::Value* old) {
  for (const AdmissionPlugin& plugin : kPlugins) {
    if (plugin.validate == nullptr) continue;
    if (auto admitted = plugin.validate(request, object, old); !admitted) return admitted;
  }
  return Result<void>();
}

}  // namespace kayak::api
