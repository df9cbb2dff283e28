// validate_devices.h: what the rules of resource claims and of resource slices share.
#pragma once

#include <string_view>
#include <vector>

#include "api/validation/validate_groups.h"

namespace kayak::api::validation {

constexpr std::string_view kDeviceGroup = "resource.k8s.io";

// DNS subdomains joined by "/".
void check_pool_name(const Checked& name);
// An attribute's or a capacity's key, "model" or "gpu.example.com/model"; errors are about `place`.
void check_attribute_key(const Checked& place, std::string_view key);
// The same, its domain written out.
void check_attribute_name(const Checked& name);
void check_uuid(const Checked& uid);
void check_device_toleration(const Checked& toleration);
// bindingConditions and bindingFailureConditions of a device.
void check_binding_conditions(const Checked& device);
std::vector<Row> slice_rows();  // validate_slices.cc

}  // namespace kayak::api::validation
