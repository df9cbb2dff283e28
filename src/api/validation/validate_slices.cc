// validate_slices.cc: the rules of resource slices: what devices a driver has to offer.
// Source: kubernetes pkg/apis/resource/validation (v1.36).
#include <unordered_map>

#include "api/validation/pods.h"
#include "api/validation/validate_devices.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxDevices = 128;
constexpr std::size_t kMaxAdvancedDevices = 64;  // when a device has taints, counters or lists, which take more space
constexpr std::size_t kMaxCounterSets = 8;
constexpr std::size_t kMaxCounters = 32;
constexpr std::size_t kMaxConsumptions = 2;
constexpr std::size_t kMaxTaints = 16;
constexpr std::size_t kMaxAttributesAndCapacities = 32;
constexpr std::size_t kMaxAttributeValues = 48;
constexpr std::size_t kMaxAttributeText = 64;
constexpr std::size_t kMaxChoices = 10;

constexpr std::string_view kListMembers[] = {"bools", "ints", "strings", "versions"};

// ---- attributes

bool all_of(std::string_view text, bool (*predicate)(char c)) {
  return std::all_of(text.begin(), text.end(), predicate);
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_identifier_char(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '-'; }
bool is_number(std::string_view text) {
  return !text.empty() && all_of(text, is_digit) && (text.size() == 1 || text.front() != '0');
}
bool is_identifier(std::string_view text) { return !text.empty() && all_of(text, is_identifier_char); }

// Source: semver.org 2.0.0.
bool is_semantic_version(std::string_view text) {
  if (const std::size_t plus = text.find('+'); plus != std::string_view::npos) {
    const auto build = split(text.substr(plus + 1), '.');
    if (!std::all_of(build.begin(), build.end(), is_identifier)) return false;
    text = text.substr(0, plus);
  }
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto release = split(text.substr(dash + 1), '.');
    const auto is_release = [](std::string_view part) {
      return is_identifier(part) && (!all_of(part, is_digit) || is_number(part));
    };
    if (!std::all_of(release.begin(), release.end(), is_release)) return false;
    text = text.substr(0, dash);
  }
  const auto numbers = split(text, '.');
  return numbers.size() == 3 && std::all_of(numbers.begin(), numbers.end(), is_number);
}

void check_attribute_text(const Checked& value) {
  if (value.text().size() > kMaxAttributeText) value.too_long(kMaxAttributeText);
}
void check_attribute_version(const Checked& value) {
  if (!is_semantic_version(value.text())) {
    value.invalid("must be a string compatible with semver.org spec 2.0.0");
  }
  check_attribute_text(value);
}

void check_attribute(const Checked& attribute) {
  int values = 0;
  for (const std::string_view member : {"bool", "int", "string", "version"}) {
    const Checked value = attribute[member];
    if (!value.present()) continue;
    ++values;
    if (member == "string") check_attribute_text(value);
    if (member == "version") check_attribute_version(value);
  }
  for (const std::string_view member : kListMembers) {
    const Checked list = attribute[member];
    if (!list.present()) continue;
    ++values;
    if (list.size() == 0) list.invalid("must not be empty if specified");
    if (member == "strings") each_item(list, check_attribute_text);
    if (member == "versions") each_item(list, check_attribute_version);
  }
  constexpr std::string_view kOne = "exactly one value must be specified";
  if (values == 0) attribute.invalid("", kOne);
  if (values > 1) attribute.invalid(kOne);
}

std::size_t count_values(const Checked& attributes) {
  std::size_t count = 0;
  each_entry(attributes, [&](std::string_view, const Checked& attribute) {
    std::size_t listed = 0;
    for (const std::string_view member : kListMembers) listed += attribute[member].size();
    count += std::max<std::size_t>(listed, 1);
  });
  return count;
}

// ---- capacities

Quantity quantity_of(const Checked& field) {
  if (field.value().is_int()) return Quantity::of(field.number());
  return Quantity::parse(field.text()).value_or(Quantity());
}

void check_valid_values(const Checked& values, const Quantity& capacity, const Checked& fallback) {
  for (std::size_t i = 1; i < values.size(); ++i) {
    const Checked value = values.item(i);
    if (quantity_of(values.item(i - 1)) > quantity_of(value)) value.invalid("values must be sorted in ascending order");
  }
  if (values.size() > kMaxChoices) return values.too_many(kMaxChoices);
  const Quantity wanted = quantity_of(fallback);
  bool has_default = false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Checked value = values.item(i);
    const Quantity own = quantity_of(value);
    has_default = has_default || own == wanted;
    if (own > capacity) value.invalid(cat("option is larger than capacity value: ", capacity.to_string()));
    for (std::size_t before = 0; before < i; ++before) {
      if (quantity_of(values.item(before)).value() != own.value()) continue;
      value.duplicate(std::to_string(own.value()));
      break;
    }
  }
  if (!has_default) values.invalid(fallback.value(), "default value is not valid according to the requestPolicy");
}

void check_step(const Checked& step, const Checked& value, const Checked& min) {
  const std::int64_t width = quantity_of(step).value();
  const std::int64_t above = quantity_of(value).value() - quantity_of(min).value();
  if (width == 0 || above % width == 0) return;
  step.invalid(value.value(),
               cat("value is not a multiple of a given step (", step.text(), ") from (", min.text(), ")"));
}

void check_valid_range(const Checked& range, const Quantity& capacity, const Checked& fallback) {
  const Checked min = range["min"];
  const Checked max = range["max"];
  const Checked step = range["step"];
  if (!min.present()) return min.required("required when validRange is defined");
  const Quantity low = quantity_of(min), wanted = quantity_of(fallback);
  const std::string limit = capacity.to_string();
  if (low > capacity) min.invalid(cat("min is larger than capacity value: ", limit));
  if (wanted < low) min.invalid(fallback.value(), cat("default is less than min: ", low.to_string()));
  if (max.present()) {
    const Quantity high = quantity_of(max);
    if (low > high) max.invalid(min.value(), cat("min is larger than max: ", high.to_string()));
    if (high > capacity) max.invalid(cat("max is larger than capacity value: ", limit));
    if (wanted > high) max.invalid(fallback.value(), cat("default is more than max: ", high.to_string()));
  }
  if (!step.present()) return;
  const Quantity next = low + quantity_of(step);
  if (next > capacity) step.invalid(cat("one step ", next.to_string(), " is larger than capacity value: ", limit));
  check_step(step, fallback, min);
  if (max.present()) check_step(step, max, min);
}

void check_request_policy(const Checked& policy, const Quantity& capacity) {
  const Checked values = policy["validValues"];
  const Checked range = policy["validRange"];
  const Checked fallback = policy["default"];
  if (values.size() > 0 && range.present()) {
    return policy.forbidden(
        "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at "
        "the same time");
  }
  if (values.size() > 0) {
    if (!fallback.present()) return fallback.required("required when validValues is defined");
    check_valid_values(values, capacity, fallback);
  } else if (range.present()) {
    if (!fallback.present()) return fallback.required("required when validRange is defined");
    check_valid_range(range, capacity, fallback);
  }
}

void check_capacity(const Checked& capacity, bool shared) {
  const Checked policy = capacity["requestPolicy"];
  if (!policy.present()) return;
  if (shared) {
    check_request_policy(policy, quantity_of(capacity["value"]));
  } else {
    policy.forbidden("allowMultipleAllocations must be true");
  }
}

// ---- counters

void check_counters(const Checked& counters) {
  if (counters.size() == 0) return counters.required();
  if (counters.size() > kMaxCounters) return counters.too_many(kMaxCounters);
  each_entry(counters, [&](std::string_view key, const Checked&) { counters.invalid_each(key, dns1123_label(key)); });
}

void check_unique(const Checked& list, std::string_view member) {
  const Repeats repeated(list, member);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Checked item = list.item(i);
    if (repeated[i]) item.duplicate(item[member].text());
  }
}

void check_counter_sets(const Checked& sets) {
  if (sets.size() > kMaxCounterSets) return sets.too_many(kMaxCounterSets);
  each_item(sets, [](const Checked& set) {
    check_required_name(set["name"], dns1123_label);
    check_counters(set["counters"]);
  });
  check_unique(sets, "name");
}

void check_consumptions(const Checked& consumptions) {
  if (consumptions.size() > kMaxConsumptions) return consumptions.too_many(kMaxConsumptions);
  each_item(consumptions, [](const Checked& consumption) {
    check_required_name(consumption["counterSet"], dns1123_label);
    check_counters(consumption["counters"]);
  });
  check_unique(consumptions, "counterSet");
}

// ---- nodes

// A node's name, a selector, or all nodes: how many of them are said, and their names for messages.
std::vector<std::string> check_nodes(const Checked& holder, std::string_view empty_name_words) {
  std::vector<std::string> said;
  const Checked name = holder["nodeName"];
  const Checked selector = holder["nodeSelector"];
  if (name.present() && name.text().empty()) name.invalid(empty_name_words);
  if (!name.text().empty()) {
    said.emplace_back("`nodeName`");
    check_name(name, dns1123_subdomain);
  }
  if (selector.present()) {
    said.emplace_back("`nodeSelector`");
    check_node_selector(selector.value(), selector.path(), selector.errors());
  }
  return said;
}

void check_only_true(const Checked& flag, std::string_view name, std::vector<std::string>* said) {
  if (!flag.present()) return;
  if (flag.flag()) {
    said->emplace_back(name);
  } else {
    flag.invalid("must be either unset or set to true");
  }
}

void check_exactly_one(const Checked& holder, const std::vector<std::string>& said, std::string_view words,
                       std::string_view more) {
  if (said.empty()) holder.required(words);
  if (said.size() > 1) holder.invalid(cat("{", join(said, ", "), "}"), cat(words, more));
}

void check_device_nodes(const Checked& device, bool per_device) {
  if (!per_device) {
    if (device["nodeName"].present() || device["nodeSelector"].present() || device["allNodes"].present()) {
      device.invalid(json::Value(),
                     "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
                     "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
    }
    return;
  }
  std::vector<std::string> said = check_nodes(device, "must not be empty");
  check_only_true(device["allNodes"], "`allNodes`", &said);
  check_exactly_one(device, said,
                    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
                    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec",
                    "");
}

// ---- devices

// The taints of the old slice's devices by the devices' names: what was accepted once may stay.
using OldTaints = std::unordered_map<std::string_view, const json::Value*>;
OldTaints taints_of(const json::Value* old_spec) {
  OldTaints taints;
  const json::Value* devices = old_spec == nullptr ? nullptr : old_spec->find("devices");
  if (devices == nullptr || !devices->is_array()) return taints;
  for (const json::Value& device : devices->as_array()) {
    const json::Value* name = device.find("name");
    taints.emplace(name == nullptr ? std::string_view() : name->string_or(), device.find("taints"));
  }
  return taints;
}

void check_taints(const Checked& taints) {
  if (taints.size() > kMaxTaints) return taints.too_many(kMaxTaints);
  each_item(taints, [](const Checked& taint) {
    check_name(taint["key"], qualified_name);
    const Checked value = taint["value"];
    if (!value.text().empty()) check_name(value, label_value);
    const Checked effect = taint["effect"];
    if (effect.text().empty()) {
      effect.required();
    } else {
      check_choice(effect, {"NoExecute", "NoSchedule", "None"});
    }
  });
}

void check_device(const Checked& device, bool per_device, const OldTaints& old_taints) {
  check_name(device["name"], dns1123_label);
  const Checked attributes = device["attributes"];
  const Checked capacities = device["capacity"];
  const std::size_t members = attributes.size() + capacities.size();
  if (members > kMaxAttributesAndCapacities) {
    device.invalid(static_cast<std::int64_t>(members),
                   cat("the total number of attributes and capacities must not exceed ", kMaxAttributesAndCapacities));
  }
  if (const std::size_t values = count_values(attributes); values > kMaxAttributeValues) {
    device.invalid(static_cast<std::int64_t>(values),
                   cat("the total number of attribute values must not exceed ", kMaxAttributeValues));
  }
  each_entry(attributes, [&](std::string_view key, const Checked& attribute) {
    check_attribute_key(attributes, key);
    check_attribute(attribute);
  });
  const bool shared = device["allowMultipleAllocations"].flag();
  each_entry(capacities, [&](std::string_view key, const Checked& capacity) {
    check_attribute_key(capacities, key);
    check_capacity(capacity, shared);
  });
  const Checked taints = device["taints"];
  const auto before = old_taints.find(device["name"].text());
  if (before == old_taints.end() || !same_value(taints.get(), before->second)) check_taints(taints);
  check_consumptions(device["consumesCounters"]);
  check_device_nodes(device, per_device);
  check_binding_conditions(device);
}

bool is_advanced(const Checked& devices) {
  bool advanced = false;
  each_item(devices, [&](const Checked& device) {
    advanced = advanced || device["taints"].size() > 0 || device["consumesCounters"].size() > 0;
    each_entry(device["attributes"], [&](std::string_view, const Checked& attribute) {
      for (const std::string_view member : kListMembers) advanced = advanced || attribute[member].present();
    });
  });
  return advanced;
}

void check_pool(const Checked& pool) {
  check_pool_name(pool["name"]);
  const Checked count = pool["resourceSliceCount"];
  if (count.number() <= 0) count.invalid(count.number(), "must be greater than zero");
  const Checked generation = pool["generation"];
  if (generation.number() < 0) generation.invalid("must be greater than or equal to zero");
}

void check_slice_nodes(const Checked& spec) {
  std::vector<std::string> said = check_nodes(spec, "must be either unset or set to a non-empty string");
  const Checked selector = spec["nodeSelector"];
  const Checked terms = selector["nodeSelectorTerms"];
  if (selector.present() && terms.size() != 1) terms.invalid("must have exactly one node selector term");
  check_only_true(spec["allNodes"], "`allNodes`", &said);
  check_only_true(spec["perDeviceNodeSelection"], "`perDeviceNodeSelection`", &said);
  check_exactly_one(spec, said,
                    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
                    ", but multiple fields are set");
}

void check_slice_spec(const Checked& spec, const json::Value* old_spec) {
  check_csi_driver_name(spec["driver"]);
  const Checked pool = spec["pool"];
  check_pool(pool);
  if (old_spec != nullptr) {
    check_immutable(pool["name"], old_spec->at({"pool", "name"}));
    check_immutable(spec["driver"], old_spec->find("driver"));
    check_immutable(spec["nodeName"], old_spec->find("nodeName"));
  }
  check_slice_nodes(spec);
  const Checked devices = spec["devices"];
  const Checked sets = spec["sharedCounters"];
  if (sets.present() && devices.present()) spec.invalid("", "only one of `sharedCounters` or `devices` is allowed");
  const std::size_t max = is_advanced(devices) ? kMaxAdvancedDevices : kMaxDevices;
  if (devices.size() > max) {
    devices.too_many(max);
  } else {
    const bool per_device = spec["perDeviceNodeSelection"].flag();
    const OldTaints old_taints = taints_of(old_spec);
    each_item(devices, [&](const Checked& device) { check_device(device, per_device, old_taints); });
    check_unique(devices, "name");
  }
  check_counter_sets(sets);
}

void create_slice(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_slice_spec(root["spec"], nullptr);
}

void update_slice(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_slice_spec(root["spec"], &object_at(old, "spec"));
}

}  // namespace

std::vector<Row> slice_rows() {
  return {{kDeviceGroup, "resourceslices", "", dns1123_subdomain, create_slice, update_slice}};
}

}  // namespace kayak::api::validation
