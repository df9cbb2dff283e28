// validate_devices.cc: the rules of device classes, resource claims and their templates. Expressions in CEL are looked
// at for their length alone: what they say is for the engine that runs them.
// Source: kubernetes pkg/apis/resource/validation (v1.36).
#include "api/validation/validate_devices.h"

#include <unordered_set>

#include "api/validation/ip.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxRequests = 32;
constexpr std::size_t kMaxConstraints = 32;
constexpr std::size_t kMaxConfig = 32;
constexpr std::size_t kMaxResults = 32;
constexpr std::size_t kMaxSelectors = 32;
constexpr std::size_t kMaxAlternatives = 8;
constexpr std::size_t kMaxExpression = 10 * 1024;
constexpr std::size_t kMaxRaw = 10 * 1024;
constexpr std::size_t kMaxReservedFor = 256;
constexpr std::size_t kMaxDeviceConditions = 8;
constexpr std::size_t kMaxPoolName = 253;
constexpr std::size_t kMaxId = 32;

// ---- selectors and parameters

void check_selectors(const Checked& selectors) {
  if (selectors.size() > kMaxSelectors) return selectors.too_many(kMaxSelectors);
  each_item(selectors, [](const Checked& selector) {
    const Checked cel = selector["cel"];
    if (!cel.present()) return cel.required();
    const Checked expression = cel["expression"];
    if (expression.text().size() > kMaxExpression) expression.too_long(kMaxExpression);
  });
}

void check_raw(const Checked& raw) {
  const json::Value omitted("<value omitted>");
  if (!raw.present()) return raw.required();
  if (json::write(raw.value()).size() > kMaxRaw) return raw.too_long(kMaxRaw);
  if (!raw.value().is_object()) raw.invalid(omitted, "must be a valid JSON object");
}

void check_configuration(const Checked& config) {
  const Checked opaque = config["opaque"];
  if (!opaque.present()) return opaque.required();
  check_csi_driver_name(opaque["driver"]);
  check_raw(opaque["parameters"]);
}

// ---- names of requests

// Whether `name` is a request of the claim, or "request/subrequest".
bool names_request(const Checked& requests, std::string_view name) {
  const std::vector<std::string_view> parts = split(name, '/');
  if (parts.size() > 2) return false;
  bool found = false;
  each_item(requests, [&](const Checked& request) {
    if (request["name"].text() != parts[0]) return;
    if (parts.size() == 1) {
      found = true;
      return;
    }
    each_item(request["firstAvailable"],
              [&](const Checked& alternative) { found = found || alternative["name"].text() == parts[1]; });
  });
  return found;
}

void check_request_name(const Checked& name, const Checked& requests) {
  constexpr std::string_view kWords =
      "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  const std::vector<std::string_view> parts = split(name.text(), '/');
  if (parts.size() > 2) return name.invalid(kWords);
  for (const std::string_view part : parts) name.invalid_each(part, dns1123_label(part));
  if (!names_request(requests, name.text())) name.invalid(name.text(), kWords);
}

void check_request_names(const Checked& names, const Checked& requests) {
  if (names.size() > kMaxRequests) return names.too_many(kMaxRequests);
  each_item(names, [&](const Checked& name) { check_request_name(name, requests); });
  const Repeats repeated(names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (repeated[i]) names.item(i).duplicate();
  }
}

// ---- requests

void check_exact_request(const Checked& request) {
  check_required_name(request["deviceClassName"], dns1123_subdomain);
  check_selectors(request["selectors"]);
  const Checked mode = request["allocationMode"];
  const Checked count = request["count"];
  if (mode.text() == "All") {
    if (count.number() != 0) count.invalid("must not be specified when allocationMode is 'All'");
  } else if (mode.text() != "ExactCount") {
    mode.not_supported({"All", "ExactCount"});
  } else if (count.number() <= 0) {
    count.invalid(count.number(), "must be greater than zero");
  }
  each_item(request["tolerations"], check_device_toleration);
}

// The item itself is named when it repeats the name of an earlier one.
void check_unique_names(const Checked& list, std::string_view member) {
  const Repeats repeated(list, member);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Checked item = list.item(i);
    if (repeated[i]) item.duplicate(item[member].text());
  }
}

void check_request(const Checked& request) {
  check_name(request["name"], dns1123_label);
  const Checked exactly = request["exactly"];
  const Checked alternatives = request["firstAvailable"];
  if (!exactly.present() && alternatives.size() == 0) {
    return request.required("exactly one of `exactly` or `firstAvailable` is required");
  }
  if (exactly.present() && alternatives.size() > 0) {
    return request.invalid(json::Value(),
                           "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
  }
  if (exactly.present()) return check_exact_request(exactly);
  if (alternatives.size() > kMaxAlternatives) return alternatives.too_many(kMaxAlternatives);
  each_item(alternatives, [](const Checked& alternative) {
    check_name(alternative["name"], dns1123_label);
    check_exact_request(alternative);
  });
  check_unique_names(alternatives, "name");
}

void check_constraint(const Checked& constraint, const Checked& requests) {
  check_request_names(constraint["requests"], requests);
  const Checked match = constraint["matchAttribute"];
  const Checked distinct = constraint["distinctAttribute"];
  if (match.present()) return check_attribute_name(match);
  if (distinct.present()) return check_attribute_name(distinct);
  constraint.required(
      "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set");
}

void check_claim_spec(const Checked& spec) {
  const Checked devices = spec["devices"];
  const Checked requests = devices["requests"];
  // What else is wrong is said when they are few enough to be searched.
  if (requests.size() > kMaxRequests) return requests.too_many(kMaxRequests);
  each_item(requests, check_request);
  check_unique_names(requests, "name");
  const Checked constraints = devices["constraints"];
  if (constraints.size() > kMaxConstraints) {
    constraints.too_many(kMaxConstraints);
  } else {
    each_item(constraints, [&](const Checked& constraint) { check_constraint(constraint, requests); });
  }
  const Checked config = devices["config"];
  if (config.size() > kMaxConfig) return config.too_many(kMaxConfig);
  each_item(config, [&](const Checked& entry) {
    check_request_names(entry["requests"], requests);
    check_configuration(entry);
  });
}

void create_claim(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_claim_spec(root["spec"]);
}

void update_spec_immutable(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_immutable(root["spec"], old.find("spec"));
}

// ---- a claim's status

void check_results(const Checked& devices, const Checked& requests) {
  const Checked results = devices["results"];
  if (results.size() > kMaxResults) {
    results.too_many(kMaxResults);
  } else {
    each_item(results, [&](const Checked& result) {
      const Checked request = result["request"];
      check_request_name(request, requests);
      check_csi_driver_name(result["driver"]);
      check_pool_name(result["pool"]);
      check_name(result["device"], dns1123_label);
      check_binding_conditions(result);
      const Checked share = result["shareID"];
      if (share.present()) check_uuid(share);
    });
  }
  const Checked config = devices["config"];
  if (config.size() > 2 * kMaxConfig) return config.too_many(2 * kMaxConfig);
  each_item(config, [&](const Checked& entry) {
    const Checked source = entry["source"];
    if (source.text().empty()) {
      source.required();
    } else {
      check_choice(source, {"FromClaim", "FromClass"});
    }
    check_request_names(entry["requests"], requests);
    check_configuration(entry);
  });
}

std::string device_id(const Checked& device) {
  const std::string_view share = device["shareID"].text();
  return cat(device["driver"].text(), "/", device["pool"].text(), "/", device["device"].text(),
             share.empty() ? "" : "/", share);
}

void check_network_data(const Checked& data) {
  constexpr std::size_t kMaxInterface = 256, kMaxHardware = 128, kMaxIps = 16;
  if (!data.present()) return;
  const Checked interface = data["interfaceName"];
  if (interface.text().size() > kMaxInterface) interface.too_long(kMaxInterface);
  const Checked hardware = data["hardwareAddress"];
  if (hardware.text().size() > kMaxHardware) hardware.too_long(kMaxHardware);
  const Checked ips = data["ips"];
  if (ips.size() > kMaxIps) return ips.too_many(kMaxIps);
  const Repeats repeated(ips);
  for (std::size_t i = 0; i < ips.size(); ++i) {
    const Checked address = ips.item(i);
    IpRange range;
    if (!parse_cidr(address.text(), &range)) {
      address.invalid("must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
    }
    if (repeated[i]) address.duplicate();
  }
}

using DeviceIds = std::unordered_set<std::string>;
void check_device_status(const Checked& device, const DeviceIds& allocated, DeviceIds* seen) {
  check_csi_driver_name(device["driver"]);
  check_pool_name(device["pool"]);
  check_name(device["device"], dns1123_label);
  const Checked share = device["shareID"];
  if (share.present()) check_uuid(share);
  const std::string id = device_id(device);
  if (allocated.count(id) == 0) device.invalid(id, "must be an allocated device in the claim");
  const Checked conditions = device["conditions"];
  if (conditions.size() > kMaxDeviceConditions) conditions.too_many(kMaxDeviceConditions);
  check_conditions(conditions);
  const Checked data = device["data"];
  if (data.present()) check_raw(data);
  check_network_data(device["networkData"]);
  if (!seen->insert(id).second) device.duplicate(id);
}

void check_reserved_for(const Checked& status, const json::Value& old, bool deleting) {
  const Checked consumers = status["reservedFor"];
  if (consumers.size() > kMaxReservedFor) {
    consumers.too_many(kMaxReservedFor);
  } else {
    each_item(consumers, [](const Checked& consumer) {
      for (const std::string_view member : {"resource", "name", "uid"}) {
        if (consumer[member].text().empty()) consumer[member].required();
      }
    });
    check_unique_names(consumers, "uid");
  }
  if (consumers.size() == 0) return;
  if (!status["allocation"].present()) {
    return consumers.forbidden("may not be specified when `allocated` is not set");
  }
  if (!deleting) return;
  field::ErrorList unused;
  const Checked old_root(old, unused);
  const Checked old_status = old_root["status"];
  Seen before;
  each_item(old_status["reservedFor"], [&](const Checked& consumer) { before.add(consumer["uid"].text()); });
  bool added = false;
  each_item(consumers, [&](const Checked& consumer) { added = added || !before.has(consumer["uid"].text()); });
  if (added) {
    consumers.forbidden("new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set");
  }
}

void update_claim_status(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  const Checked allocation = status["allocation"];
  check_reserved_for(status, old, !same_value(object.at({"metadata", "deletionTimestamp"}), nullptr));
  const Checked allocated = allocation["devices"];
  const Checked results = allocated["results"];
  DeviceIds ids, seen;
  each_item(results, [&](const Checked& result) { ids.insert(device_id(result)); });
  each_item(status["devices"], [&](const Checked& device) { check_device_status(device, ids, &seen); });
  if (!allocation.present()) return;
  const json::Value* before = old.at({"status", "allocation"});
  if (!same_value(before, nullptr)) return check_immutable(allocation, before);
  const Checked spec = root["spec"];
  const Checked wanted = spec["devices"];
  check_results(allocated, wanted["requests"]);
  const Checked selector = allocation["nodeSelector"];
  if (selector.present()) check_node_selector(selector.value(), selector.path(), errors);
}

// ---- templates and classes

void create_claim_template(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked metadata = spec["metadata"];
  if (metadata.present()) {
    validate_annotations(metadata["annotations"].get(), metadata.path().child("annotations"), errors);
    validate_labels(metadata["labels"].get(), metadata.path().child("labels"), errors);
    for (const auto& [member, value] : metadata.value().as_object()) {
      const Checked field = metadata[member];
      if (field.present() && !contains({"annotations", "labels"}, member)) field.forbidden("cannot be set");
    }
  }
  check_claim_spec(spec["spec"]);
}

bool is_extended_resource(std::string_view name) {
  constexpr std::string_view kRequests = "requests.";
  if (name.find('/') == std::string_view::npos || name.find("kubernetes.io/") != std::string_view::npos) return false;
  return !name.starts_with(kRequests) && qualified_name(cat(kRequests, name)).empty();
}

void create_class(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_selectors(spec["selectors"]);
  const Checked config = spec["config"];
  if (config.size() > kMaxConfig) {
    config.too_many(kMaxConfig);
  } else {
    each_item(config, check_configuration);
  }
  const Checked resource = spec["extendedResourceName"];
  if (resource.present() && !is_extended_resource(resource.text())) {
    resource.invalid("must be a valid extended resource name");
  }
}

void update_class(const json::Value& object, const json::Value&, field::ErrorList& errors) {
  create_class(object, errors);
}

}  // namespace

// ---- shared with resource slices

void check_pool_name(const Checked& name) {
  if (name.text().empty()) return name.required();
  if (name.text().size() > kMaxPoolName) name.too_long(kMaxPoolName);
  for (const std::string_view part : split(name.text(), '/')) name.invalid_each(part, dns1123_subdomain(part));
}

void check_attribute_key(const Checked& place, std::string_view key) {
  const std::vector<std::string_view> parts = split(key, '/');
  if (parts.size() > 2) return;
  if (parts.size() == 2) {
    if (parts[0].empty()) {
      place.invalid("", "the domain must not be empty");
    } else {
      constexpr std::size_t kMaxDomain = 63;
      if (parts[0].size() > kMaxDomain) place.too_long(kMaxDomain);
      place.invalid_each(parts[0], dns1123_subdomain(to_lower(parts[0])));
    }
    if (parts[1].empty()) return place.invalid("", "the name must not be empty");
  }
  if (parts.back().size() > kMaxId) place.too_long(kMaxId);
  place.invalid_each(parts.back(), c_identifier(parts.back()));
}

void check_attribute_name(const Checked& name) {
  check_attribute_key(name, name.text());
  if (name.text().find('/') == std::string_view::npos) {
    name.invalid("a fully qualified name must be a domain and a name separated by a slash");
  }
}

void check_uuid(const Checked& uid) {
  const std::string_view text = uid.text();
  constexpr std::size_t kLength = 36;
  bool good = text.size() == kLength;
  for (std::size_t i = 0; i < text.size() && good; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    good = dash ? text[i] == '-' : digit;
  }
  if (!good) {
    uid.invalid(
        "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase "
        "hexadecimal characters");
  }
}

void check_device_toleration(const Checked& toleration) {
  const Checked key = toleration["key"];
  if (!key.text().empty()) check_name(key, qualified_name);
  const Checked op = toleration["operator"];
  const Checked value = toleration["value"];
  if (op.text() == "Exists") {
    if (!value.text().empty()) value.invalid("must be empty for operator `Exists`");
  } else if (op.text() == "Equal") {
    check_name(value, label_value);
  } else if (op.text().empty()) {
    op.required();
  } else {
    op.not_supported({"Equal", "Exists"});
  }
  const Checked effect = toleration["effect"];
  if (!effect.text().empty()) check_choice(effect, {"NoExecute", "NoSchedule", "None"});
}

void check_binding_conditions(const Checked& device) {
  constexpr std::size_t kMaxConditions = 4;
  const Checked conditions = device["bindingConditions"];
  const Checked failures = device["bindingFailureConditions"];
  for (const Checked* list : {&conditions, &failures}) {
    if (list->size() > kMaxConditions) {
      list->too_many(kMaxConditions);
    } else {
      each_item(*list, [](const Checked& condition) { check_name(condition, qualified_name); });
    }
  }
  const Repeats repeated_conditions(conditions);
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (repeated_conditions[i]) conditions.item(i).duplicate();
  }
  const Repeats repeated_failures(failures);
  for (std::size_t i = 0; i < failures.size(); ++i) {
    const Checked failure = failures.item(i);
    if (repeated_failures[i]) failure.duplicate();
    bool overlaps = false;
    each_item(conditions, [&](const Checked& condition) { overlaps = overlaps || condition.text() == failure.text(); });
    if (overlaps) failure.invalid("bindingFailureConditions must not overlap with bindingConditions");
  }
  if (conditions.size() == 0 && failures.size() > 0) {
    conditions.invalid("bindingConditions are required to use bindingFailureConditions");
  }
  if (failures.size() == 0 && conditions.size() > 0) {
    failures.invalid("bindingFailureConditions are required to use bindingConditions");
  }
}

std::vector<Row> device_rows() {
  std::vector<Row> rows = {
      {kDeviceGroup, "deviceclasses", "", dns1123_subdomain, create_class, update_class},
      {kDeviceGroup, "resourceclaims", "", dns1123_subdomain, create_claim, update_spec_immutable},
      {kDeviceGroup, "resourceclaims", "status", nullptr, nullptr, update_claim_status},
      {kDeviceGroup, "resourceclaimtemplates", "", dns1123_subdomain, create_claim_template, update_spec_immutable},
  };
  append_rows(rows, slice_rows());
  return rows;
}

}  // namespace kayak::api::validation
