// core.h: the kinds of the core group but for pods: what validate_core.cc puts into rows.
// Source: kubernetes pkg/apis/core/validation (v1.36).
#pragma once

#include "api/validation/field.h"
#include "base/json.h"

namespace kayak::api::validation {

// core_services.cc: services and endpoints
void validate_service(const json::Value& service, field::ErrorList& errors);
void validate_service_update(const json::Value& service, const json::Value& old, field::ErrorList& errors);
void validate_service_status(const json::Value& service, const json::Value& old, field::ErrorList& errors);
void validate_endpoints(const json::Value& endpoints, field::ErrorList& errors);
void validate_endpoints_update(const json::Value& endpoints, const json::Value& old, field::ErrorList& errors);

// core_storage.cc: persistent volumes and claims
void validate_volume(const json::Value& volume, field::ErrorList& errors);
void validate_volume_update(const json::Value& volume, const json::Value& old, field::ErrorList& errors);
void validate_claim(const json::Value& claim, field::ErrorList& errors);
void validate_claim_update(const json::Value& claim, const json::Value& old, field::ErrorList& errors);
void validate_claim_status(const json::Value& claim, const json::Value& old, field::ErrorList& errors);

// core_limits.cc: quotas and limit ranges
void validate_quota(const json::Value& quota, field::ErrorList& errors);
void validate_quota_update(const json::Value& quota, const json::Value& old, field::ErrorList& errors);
void validate_quota_status(const json::Value& quota, const json::Value& old, field::ErrorList& errors);
void validate_limit_range(const json::Value& range, field::ErrorList& errors);
void validate_limit_range_update(const json::Value& range, const json::Value& old, field::ErrorList& errors);

// core_events.cc: written as core/v1 (lenient), as events.k8s.io/v1 (strict)
void validate_core_event(const json::Value& event, field::ErrorList& errors);
void validate_core_event_update(const json::Value& event, const json::Value& old, field::ErrorList& errors);
void validate_event(const json::Value& event, field::ErrorList& errors);
void validate_event_update(const json::Value& event, const json::Value& old, field::ErrorList& errors);

}  // namespace kayak::api::validation
