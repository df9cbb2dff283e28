// env.cc: container environments.
#include "agent/runtime/env.h"

#include <algorithm>

#include "agent/runtime/pod_doc.h"
#include "agent/runtime/resources.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

void set_env(EnvList& env, std::string name, std::string value) {
  for (auto& [key, old] : env) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  env.emplace_back(std::move(name), std::move(value));
}

const std::string* find_env(const EnvList& env, std::string_view name) {
  for (const auto& [key, value] : env) {
    if (key == name) return &value;
  }
  return nullptr;
}

// Upstream takes every printable ASCII name without '='.
bool is_env_name(std::string_view name) {
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f && c != '='; });
}

// ConfigMap data as text; Secret data decoded from base64. False when it is neither.
bool data_value(bool secret, const json::Value& value, std::string* out) {
  if (!value.is_string()) return false;
  if (!secret) {
    *out = value.as_string();
    return true;
  }
  return base64_decode(value.as_string(), out);
}

struct Source {
  bool secret = false;
  std::string name;
  const json::Value* document = nullptr;  // null: it does not exist
};

Source find_source(const json::Value& pod, const EnvInputs& inputs, const json::Value& ref, bool secret) {
  Source source;
  source.secret = secret;
  source.name = text_at(ref, {"name"});
  const auto& map = secret ? inputs.secrets : inputs.config_maps;
  const auto it = map.find(cat(pod_namespace(pod), "/", source.name));
  if (it != map.end()) source.document = it->second.get();
  return source;
}

Error not_found(const Source& source) {
  return Error(Code::kInvalid, cat(source.secret ? "secret" : "configmap", " ", quote(source.name), " not found"));
}

// All of a ConfigMap or Secret, names prefixed; names that cannot be variables are left out.
Result<void> add_env_from(const json::Value& pod, const json::Value& from, const EnvInputs& inputs, EnvList& env) {
  const std::string prefix(text_at(from, {"prefix"}));
  for (const bool secret : {false, true}) {
    const json::Value* ref = from.find(secret ? "secretRef" : "configMapRef");
    if (ref == nullptr || !ref->is_object()) continue;
    const Source source = find_source(pod, inputs, *ref, secret);
    if (source.document == nullptr) {
      if (bool_at(*ref, {"optional"})) continue;
      return not_found(source);
    }
    for (const auto& [key, value] : members(source.document->find("data"))) {
      std::string name = prefix + key;
      std::string text;
      if (is_env_name(name) && data_value(secret, value, &text)) set_env(env, std::move(name), std::move(text));
    }
  }
  return Result<void>();
}

// One key of a ConfigMap or Secret; false in `*present` when it is optional and absent.
Result<std::string> key_value(const json::Value& pod, const json::Value& ref, bool secret, const EnvInputs& inputs,
                              bool* present) {
  const Source source = find_source(pod, inputs, ref, secret);
  const bool optional = bool_at(ref, {"optional"});
  const std::string key(text_at(ref, {"key"}));
  *present = false;
  if (source.document == nullptr) {
    if (optional) return std::string();
    return not_found(source);
  }
  const json::Value* value = source.document->at({"data", key});
  std::string text;
  if (value == nullptr || !data_value(secret, *value, &text)) {
    if (optional) return std::string();
    return Error(Code::kInvalid, cat("couldn't find key ", key, " in ", secret ? "Secret" : "ConfigMap", " ",
                                     pod_namespace(pod), "/", source.name));
  }
  *present = true;
  return text;
}

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) {
  if (divisor <= 0) divisor = 1;
  return value / divisor + (value % divisor > 0 ? 1 : 0);
}

Result<std::string> resource_field_value(const json::Value& pod, const json::Value& container, const json::Value& ref,
                                         const NodeCapacity& node) {
  const json::Value* of = &container;
  if (const std::string_view name = text_at(ref, {"containerName"}); !name.empty()) of = find_container(pod, name);
  if (of == nullptr) return Error(Code::kInvalid, cat("container ", text_at(ref, {"containerName"}), " not found"));
  const std::string_view path = text_at(ref, {"resource"});
  const std::size_t dot = path.find('.');
  const std::string_view kind = path.substr(0, dot);
  const std::string_view resource = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  if ((kind != "limits" && kind != "requests") || resource.empty()) {
    return Error(Code::kInvalid, cat("unsupported container resource : ", path));
  }
  const bool cpu = resource == "cpu";
  bool found = false;
  std::int64_t value = resource_value(*of, kind, resource, &found);
  // An unset limit is what the node can give.
  if (!found && kind == "limits") value = cpu ? node.milli_cpu : resource == "memory" ? node.memory_bytes : 0;
  std::int64_t divisor = cpu ? 1000 : 1;
  if (const json::Value* given = ref.find("divisor"); given != nullptr) {
    const std::string text = given->is_int() ? std::to_string(given->as_int()) : std::string(given->string_or("0"));
    const Result<Quantity> quantity = Quantity::parse(text);
    if (quantity && !quantity->is_zero()) divisor = cpu ? quantity->milli_value() : quantity->value();
  }
  return std::to_string(divide_up(value, divisor));
}

// The value of `valueFrom`; false in `*present` when an optional source is absent.
Result<std::string> value_from(const json::Value& pod, const json::Value& container, const json::Value& from,
                               const EnvInputs& inputs, const NodeCapacity& node, bool* present) {
  *present = true;
  if (const json::Value* ref = from.find("fieldRef"); ref != nullptr) {
    return field_value(pod, text_at(*ref, {"fieldPath"}), inputs);
  }
  if (const json::Value* ref = from.find("resourceFieldRef"); ref != nullptr) {
    return resource_field_value(pod, container, *ref, node);
  }
  if (const json::Value* ref = from.find("configMapKeyRef"); ref != nullptr) {
    return key_value(pod, *ref, false, inputs, present);
  }
  if (const json::Value* ref = from.find("secretKeyRef"); ref != nullptr) {
    return key_value(pod, *ref, true, inputs, present);
  }
  return Error(Code::kInvalid, "valueFrom names no source that is supported");
}

// The x of "metadata.labels['x']"; false when `path` is not of that form.
bool subscript(std::string_view path, std::string_view base, std::string_view* key) {
  if (path.size() < base.size() + 5 || path.substr(0, base.size()) != base) return false;
  path.remove_prefix(base.size());
  if (path.substr(0, 2) != "['" || path.substr(path.size() - 2) != "']") return false;
  *key = path.substr(2, path.size() - 4);
  return true;
}

}  // namespace

std::vector<EnvReference> env_references(const json::Value& container) {
  std::vector<EnvReference> out;
  const auto add = [&out](const json::Value* ref, EnvReference::Kind kind) {
    if (ref == nullptr || !ref->is_object()) return;
    const std::string_view name = text_at(*ref, {"name"});
    const bool optional = bool_at(*ref, {"optional"});
    for (EnvReference& known : out) {
      if (known.kind == kind && known.name == name) {
        known.optional = known.optional && optional;
        return;
      }
    }
    EnvReference reference;
    reference.kind = kind;
    reference.name = name;
    reference.optional = optional;
    out.push_back(std::move(reference));
  };
  for (const json::Value& from : items(container.find("envFrom"))) {
    add(from.find("configMapRef"), EnvReference::Kind::kConfigMap);
    add(from.find("secretRef"), EnvReference::Kind::kSecret);
  }
  for (const json::Value& variable : items(container.find("env"))) {
    add(variable.at({"valueFrom", "configMapKeyRef"}), EnvReference::Kind::kConfigMap);
    add(variable.at({"valueFrom", "secretKeyRef"}), EnvReference::Kind::kSecret);
  }
  return out;
}

Result<std::string> field_value(const json::Value& pod, std::string_view path, const EnvInputs& inputs) {
  std::string_view key;
  for (const std::string_view map : {"labels", "annotations"}) {
    if (!subscript(path, cat("metadata.", map), &key)) continue;
    return std::string(text_at(pod, {"metadata", map, key}));
  }
  if (path == "metadata.name") return std::string(pod_name(pod));
  if (path == "metadata.namespace") return std::string(pod_namespace(pod));
  if (path == "metadata.uid") return std::string(pod_uid(pod));
  if (path == "spec.nodeName") return std::string(text_at(pod, {"spec", "nodeName"}));
  if (path == "spec.serviceAccountName") return std::string(text_at(pod, {"spec", "serviceAccountName"}));
  const auto first = [](const std::vector<std::string>& ips) { return ips.empty() ? std::string() : ips.front(); };
  if (path == "status.podIP") return first(inputs.pod_ips);
  if (path == "status.podIPs") return join(inputs.pod_ips, ",");
  if (path == "status.hostIP") return first(inputs.host_ips);
  if (path == "status.hostIPs") return join(inputs.host_ips, ",");
  return Error(Code::kInvalid, cat("unsupported fieldPath: ", path));
}

Result<EnvList> container_env(const json::Value& pod, const json::Value& container, const EnvInputs& inputs,
                              const NodeCapacity& node) {
  EnvList env;
  for (const json::Value& from : items(container.find("envFrom"))) {
    if (Result<void> added = add_env_from(pod, from, inputs, env); !added) return added.error();
  }
  // A variable may refer to those before it, then to the service links.
  const auto lookup = [&](std::string_view name) -> const std::string* {
    if (const std::string* value = find_env(env, name)) return value;
    return find_env(inputs.services, name);
  };
  for (const json::Value& variable : items(container.find("env"))) {
    std::string name(text_at(variable, {"name"}));
    const json::Value* from = variable.find("valueFrom");
    if (from == nullptr || !from->is_object()) {
      std::string value = expand(text_at(variable, {"value"}), lookup);
      set_env(env, std::move(name), std::move(value));
      continue;
    }
    bool present = false;
    Result<std::string> value = value_from(pod, container, *from, inputs, node, &present);
    if (!value) return value.error();
    if (present) set_env(env, std::move(name), std::move(*value));
  }
  for (const auto& [name, value] : inputs.services) {
    if (find_env(env, name) == nullptr) env.emplace_back(name, value);
  }
  return env;
}

std::string expand(std::string_view text, const std::function<const std::string*(std::string_view)>& lookup) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t dollar = text.find('$', at);
    if (dollar == std::string_view::npos || dollar + 1 >= text.size()) break;
    out.append(text.substr(at, dollar - at));
    const char next = text[dollar + 1];
    const std::size_t close = next == '(' ? text.find(')', dollar + 2) : std::string_view::npos;
    if (close != std::string_view::npos) {
      const std::string_view name = text.substr(dollar + 2, close - dollar - 2);
      if (const std::string* value = lookup(name)) {
        out.append(*value);
      } else {
        out.append(text.substr(dollar, close + 1 - dollar));
      }
      at = close + 1;
      continue;
    }
    out.push_back('$');
    if (next != '$') out.push_back(next);  // "$$" is an escaped '$'; anything else stays as it is
    at = dollar + 2;
  }
  if (at < text.size()) out.append(text.substr(at));
  return out;
}

std::string expand(std::string_view text, const EnvList& env) {
  return expand(text, [&env](std::string_view name) { return find_env(env, name); });
}

}  // namespace kayak::agent
