// validate_storage.cc: the rules of storage classes and of what CSI drivers say about themselves.
// Source: kubernetes pkg/apis/storage/validation (v1.36).
#include <unordered_map>

#include "api/validation/pods.h"
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxParameterBytes = 256 * 1024;
constexpr std::size_t kMaxParameters = 512;
constexpr std::size_t kMaxMetadataBytes = 256 * 1024;
constexpr std::size_t kMaxErrorBytes = 1024;
constexpr std::size_t kMaxNodeId = 256;

void check_provisioner(const Checked& name) {
  if (name.text().empty()) return name.required();
  const std::string lower = to_lower(name.text());
  name.invalid_each(lower, qualified_name(lower));
}

std::size_t bytes_of(const Checked& map) {
  std::size_t bytes = 0;
  each_entry(map, [&](std::string_view key, const Checked& value) { bytes += key.size() + value.text().size(); });
  return bytes;
}

void check_parameters(const Checked& parameters, bool may_be_empty) {
  if (parameters.size() > kMaxParameters) return parameters.too_long(kMaxParameters);
  each_entry(parameters, [&](std::string_view key, const Checked&) {
    if (key.empty()) parameters.invalid("", "field can not be empty.");
  });
  if (bytes_of(parameters) > kMaxParameterBytes) parameters.too_long(kMaxParameterBytes);
  if (!may_be_empty && parameters.size() == 0) parameters.required("must contain at least one key/value pair");
}

// ---- storage classes

void check_topology_expression(const Checked& expression, bool repeated_key) {
  const Checked values = expression["values"];
  if (values.size() == 0) values.required();
  const Repeats repeated(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (repeated[i]) values.item(i).duplicate();
  }
  check_name(expression["key"], qualified_name);
  if (repeated_key) expression["key"].duplicate();
}

// The expressions as one text, the same for every order of keys and of values.
std::string text_of_term(const Checked& expressions) {
  std::vector<std::string> parts;
  each_item(expressions, [&](const Checked& expression) {
    std::vector<std::string> values;
    each_item(expression["values"], [&](const Checked& value) { values.push_back(quote(value.text())); });
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    parts.push_back(cat(quote(expression["key"].text()), ":", join(values, ",")));
  });
  std::sort(parts.begin(), parts.end());
  return join(parts, ";");
}

void check_topologies(const Checked& topologies) {
  std::unordered_set<std::string> terms;
  each_item(topologies, [&](const Checked& term) {
    const Checked expressions = term["matchLabelExpressions"];
    const Repeats repeated(expressions, "key");
    for (std::size_t i = 0; i < expressions.size(); ++i) check_topology_expression(expressions.item(i), repeated[i]);
    if (!terms.insert(text_of_term(expressions)).second) expressions.duplicate("");
  });
}

void create_storage_class(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_provisioner(root["provisioner"]);
  check_parameters(root["parameters"], true);
  const Checked reclaim = root["reclaimPolicy"];
  if (!reclaim.text().empty()) check_choice(reclaim, {"Delete", "Retain"});
  const Checked mode = root["volumeBindingMode"];
  if (!mode.present()) {
    mode.required();
  } else {
    check_choice(mode, {"Immediate", "WaitForFirstConsumer"});
  }
  check_topologies(root["allowedTopologies"]);
}

void update_storage_class(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  create_storage_class(object, errors);
  const Checked root(object, errors);
  for (const std::string_view member : {"parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"}) {
    check_immutable(root[member], old.find(member));
  }
}

void create_attributes_class(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_provisioner(root["driverName"]);
  check_parameters(root["parameters"], false);
}

void update_attributes_class(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  for (const std::string_view member : {"driverName", "parameters"}) {
    if (!same_member(object, old, {member})) root[member].forbidden(cat("updates to ", member, " are forbidden."));
  }
  create_attributes_class(object, errors);
}

// ---- volume attachments

void check_attachment_source(const Checked& source) {
  const Checked inline_spec = source["inlineVolumeSpec"];
  const Checked name = source["persistentVolumeName"];
  constexpr std::string_view kOne = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (!inline_spec.present() && !name.present()) return source.required(kOne);
  if (inline_spec.present() && name.present()) return source.forbidden(kOne);
  if (name.present()) {
    if (name.text().empty()) name.required("must specify non empty persistentVolumeName");
    return;
  }
  for (const std::string_view member : {"claimRef", "capacity"}) {
    const Checked field = inline_spec[member];
    if (field.present()) field.forbidden("may not be specified in the context of inline volumes");
  }
  if (!inline_spec["csi"].present())
    inline_spec["csi"].required("has to be specified in the context of inline volumes");
  if (inline_spec["accessModes"].size() == 0) inline_spec["accessModes"].required();
  check_persistent_sources(inline_spec.value(), "", inline_spec.path(), inline_spec.errors());
}

void check_volume_error(const Checked& error) {
  if (!error.present()) return;
  // Upstream names the limit of another field.
  if (error["message"].text().size() > kMaxErrorBytes) error["message"].too_long(kMaxMetadataBytes);
  const Checked code = error["errorCode"];
  if (code.number() < 0) code.invalid("must be between 0 and 2147483647, inclusive");
}

void check_attachment_status(const Checked& status) {
  const Checked metadata = status["attachmentMetadata"];
  if (bytes_of(metadata) > kMaxMetadataBytes) metadata.too_long(kMaxMetadataBytes);
  check_volume_error(status["attachError"]);
  check_volume_error(status["detachError"]);
}

void create_attachment(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  check_csi_driver_name(spec["attacher"]);
  const Checked source = spec["source"];
  check_attachment_source(source);
  check_name(spec["nodeName"], dns1123_subdomain);
  check_attachment_status(root["status"]);
  const Checked volume = source["persistentVolumeName"];
  if (volume.present()) check_name(volume, dns1123_subdomain);
}

void update_attachment(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  create_attachment(object, errors);
  const Checked root(object, errors);
  check_immutable(root["spec"], old.find("spec"));
}

// ---- CSI nodes

void check_node_driver(const Checked& driver, bool repeated_name) {
  const Checked name = driver["name"];
  check_csi_driver_name(name);
  const Checked id = driver["nodeID"];
  if (id.text().empty()) id.required();
  if (id.text().size() > kMaxNodeId) id.invalid(cat("must be ", kMaxNodeId, " characters or less"));
  const Checked allocatable = driver["allocatable"];
  check_non_negative(allocatable["count"]);
  if (repeated_name) name.duplicate();
  const Checked keys = driver["topologyKeys"];
  const Repeats repeated(keys);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Checked key = keys.item(i);
    if (key.text().empty()) driver.required();
    if (repeated[i]) driver.duplicate(key.value());
    driver.invalid_each(key.value(), qualified_name(key.text()));
  }
}

void create_csi_node(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked drivers = spec["drivers"];
  const Repeats repeated(drivers, "name");
  for (std::size_t i = 0; i < drivers.size(); ++i) check_node_driver(drivers.item(i), repeated[i]);
}

bool same_but_for_allocatable(const json::Value& a, const json::Value& b) {
  const auto differs = [](const json::Value& one, const json::Value& other) {
    for (const auto& [key, value] : one.as_object()) {
      if (key != "allocatable" && !same_value(&value, other.find(key))) return true;
    }
    return false;
  };
  return !differs(a, b) && !differs(b, a);
}

void update_csi_node(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  create_csi_node(object, errors);
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  const Checked drivers = spec["drivers"];
  const Checked old_root(old, errors);
  const Checked old_spec = old_root["spec"];
  std::unordered_map<std::string_view, const json::Value*> before;
  each_item(old_spec["drivers"], [&](const Checked& driver) { before[driver["name"].text()] = driver.get(); });
  each_item(drivers, [&](const Checked& driver) {
    const auto old_driver = before.find(driver["name"].text());
    if (old_driver == before.end() || same_but_for_allocatable(driver.value(), *old_driver->second)) return;
    drivers.invalid(driver.value(), "field is immutable");
  });
}

// ---- CSI drivers

void check_token_requests(const Checked& requests) {
  constexpr std::int64_t kMinSeconds = 600;
  constexpr std::int64_t kMaxSeconds = std::int64_t{1} << 32;
  const Repeats repeated(requests, "audience");
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Checked request = requests.item(i);
    if (repeated[i]) {
      request["audience"].duplicate(request["audience"].text());
      continue;
    }
    const Checked seconds = request["expirationSeconds"];
    if (!seconds.present()) continue;
    if (seconds.number() < kMinSeconds) seconds.invalid("may not specify a duration less than 10 minutes");
    if (seconds.number() > kMaxSeconds) seconds.invalid("may not specify a duration larger than 2^32 seconds");
  }
}

void create_csi_driver(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  // Upstream spells the place so.
  if (!spec["attachRequired"].present()) spec["attachedRequired"].required();
  for (const std::string_view member : {"podInfoOnMount", "storageCapacity"}) {
    if (!spec[member].present()) spec[member].required();
  }
  const Checked policy = spec["fsGroupPolicy"];
  if (policy.present()) check_choice(policy, {"File", "None", "ReadWriteOnceWithFSType"});
  const Checked requests = spec["tokenRequests"];
  check_token_requests(requests);
  const Checked modes = spec["volumeLifecycleModes"];
  each_item(modes, [&](const Checked& mode) {
    if (contains({"Persistent", "Ephemeral"}, mode.text())) return;
    constexpr std::string_view kModes[] = {"Persistent", "Ephemeral"};
    modes.errors().push_back(field::not_supported(modes.path(), mode.value(), kModes));
  });
  if (!spec["seLinuxMount"].present()) spec["seLinuxMount"].required();
  const Checked period = spec["nodeAllocatableUpdatePeriodSeconds"];
  constexpr std::int64_t kMinPeriod = 10;
  if (period.present() && period.number() < kMinPeriod) {
    period.invalid("must be greater than or equal to 10 seconds");
  }
  const Checked in_secrets = spec["serviceAccountTokenInSecrets"];
  if (in_secrets.present() && requests.size() == 0) {
    in_secrets.invalid("serviceAccountTokenInSecrets is set but no tokenRequests are specified");
  }
}

void update_csi_driver(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  create_csi_driver(object, errors);
  const Checked root(object, errors);
  const Checked spec = root["spec"];
  if (!same_member(object, old, {"spec", "attachRequired"})) {
    spec["attachedRequired"].invalid(spec["attachRequired"].value(), "field is immutable");
  }
  check_immutable(spec["volumeLifecycleModes"], old.at({"spec", "volumeLifecycleModes"}));
}

// ---- capacities

void create_capacity(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_label_selector(root["nodeTopology"]);
  check_name(root["storageClassName"], dns1123_subdomain);
  const Checked capacity = root["capacity"];
  if (capacity.present() && quantity_sign(capacity) < 0) capacity.invalid("must be greater than or equal to 0");
}

void update_capacity(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  create_capacity(object, errors);
  const Checked root(object, errors);
  check_immutable(root["nodeTopology"], old.find("nodeTopology"));
  check_immutable(root["storageClassName"], old.find("storageClassName"));
}

}  // namespace

std::vector<Row> storage_rows() {
  constexpr std::string_view kGroup = "storage.k8s.io";
  return {
      {kGroup, "storageclasses", "", dns1123_subdomain, create_storage_class, update_storage_class},
      {kGroup, "volumeattributesclasses", "", dns1123_subdomain, create_attributes_class, update_attributes_class},
      {kGroup, "volumeattachments", "", dns1123_subdomain, create_attachment, update_attachment},
      {kGroup, "volumeattachments", "status", nullptr, nullptr, update_attachment},
      {kGroup, "csinodes", "", dns1123_subdomain, create_csi_node, update_csi_node},
      {kGroup, "csidrivers", "", dns1123_subdomain, create_csi_driver, update_csi_driver},
      {kGroup, "csistoragecapacities", "", dns1123_subdomain, create_capacity, update_capacity},
  };
}

}  // namespace kayak::api::validation
