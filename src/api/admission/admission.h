// admission.h: what may refuse or complete a write beside its kind's own rules. A plugin is a row; the table's order is
// the order. Webhooks, policies and quota add rows.
// Source: apiserver pkg/admission; Kubernetes docs, "Admission Controllers".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/server_parts.h"

namespace kayak::api {

struct AdmissionRequest {
  ServerParts& parts;
  Verb verb;  // kCreate, kUpdate, kDelete; a patch is an update
  const Kind& kind;
  std::string_view subresource, namespace_, name;
  const UserInfo& user;
  bool dry_run = false;
  std::vector<std::string>& warnings;
};

struct AdmissionPlugin {
  std::string_view name;
  // Either may be null. `object` is null for deletes, `old` for creates.
  Result<void> (*mutate)(const AdmissionRequest& request, json::Value* object, const json::Value* old);
  Result<void> (*validate)(const AdmissionRequest& request, const json::Value* object, const json::Value* old);
};

Result<void> admit_mutating(const AdmissionRequest& request, json::Value* object, const json::Value* old);
Result<void> admit_validating(const AdmissionRequest& request, const json::Value* object, const json::Value* old);

// ---- the plugins (admission/*.cc)
Result<void> namespace_lifecycle(const AdmissionRequest& request, json::Value* object, const json::Value* old);
Result<void> pod_priority(const AdmissionRequest& request, json::Value* object, const json::Value* old);
Result<void> priority_class_rules(const AdmissionRequest& request, const json::Value* object, const json::Value* old);
Result<void> default_service_account(const AdmissionRequest& request, json::Value* object, const json::Value* old);
Result<void> default_tolerations(const AdmissionRequest& request, json::Value* object, const json::Value* old);

}  // namespace kayak::api
