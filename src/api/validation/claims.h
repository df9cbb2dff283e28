// claims.h: what a PersistentVolumeClaim's spec must keep, also inside a pod's volume or a StatefulSet.
#pragma once

#include "api/validation/field.h"
#include "base/json.h"

namespace kayak::api::validation {

// `allow_any_group`: an API group of the data source that was there before is not looked at again.
void check_claim_spec(const json::Value& spec, const field::Path& path, field::ErrorList& errors,
                      bool allow_any_group = false);
// A PersistentVolumeClaimTemplate: of its metadata only labels and annotations may be set.
void check_claim_template(const json::Value& claim, const field::Path& path, field::ErrorList& errors);
// spec.accessModes of a claim or a volume. `missing` is what is said when there is none.
void check_access_modes(const json::Value& spec, std::string_view missing, const field::Path& path,
                        field::ErrorList& errors);

}  // namespace kayak::api::validation
