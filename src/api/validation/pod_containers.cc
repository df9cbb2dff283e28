// pod_containers.cc: ordinary, init and ephemeral containers: names, images, ports, environment, mounts.
// Source: kubernetes pkg/apis/core/validation validateContainers and what it calls (v1.36).
#include <unordered_map>
#include <unordered_set>

#include "api/validation/checked.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxRestartRules = 20;
constexpr std::size_t kMaxExitCodes = 255;

using Names = Seen;

void check_ports(const json::Value& container, const field::Path& path, field::ErrorList& errors) {
  Names names;
  const auto ports = list(container, "ports");
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const json::Value& port = ports[i];
    const field::Path own = path.index(i);
    const std::string_view name = text(port, "name");
    if (!name.empty()) {
      const Messages messages = port_name(name);
      if (!messages.empty()) {
        field::append_invalid(errors, own.child("name"), json::Value(name), messages);
      } else if (names.has(name)) {
        errors.push_back(field::duplicate(own.child("name"), json::Value(name)));
      } else {
        names.add(name);
      }
    }
    const std::int64_t inner = number(port, "containerPort"), host = number(port, "hostPort");
    if (inner == 0) {
      errors.push_back(field::required(own.child("containerPort"), ""));
    } else {
      field::append_invalid(errors, own.child("containerPort"), inner, port_number(inner));
    }
    if (host != 0) field::append_invalid(errors, own.child("hostPort"), host, port_number(host));
    check_protocol(text(port, "protocol"), own.child("protocol"), errors);
  }
}

// Host ports that two of `containers` want.
void check_host_ports(std::span<const json::Value> containers, const field::Path& path, field::ErrorList& errors) {
  std::unordered_set<std::string> taken;
  for (std::size_t c = 0; c < containers.size(); ++c) {
    const auto ports = list(containers[c], "ports");
    for (std::size_t p = 0; p < ports.size(); ++p) {
      const std::int64_t host = number(ports[p], "hostPort");
      if (host == 0) continue;
      const std::string key = cat(text(ports[p], "protocol"), "/", text(ports[p], "hostIP"), "/", host);
      if (!taken.insert(key).second) {
        errors.push_back(field::duplicate(path.index(c).child("ports").index(p).child("hostPort"), key));
      }
    }
  }
}

// ---- environment

void check_key_selector(const json::Value& selector, const field::Path& path, field::ErrorList& errors) {
  check_text(text(selector, "name"), dns1123_subdomain, path.child("name"), errors);
  const std::string_view key = text(selector, "key");
  if (key.empty()) {
    errors.push_back(field::required(path.child("key"), ""));
  } else {
    check_text(key, config_map_key, path.child("key"), errors);
  }
}

void check_file_selector(const json::Value& selector, const field::Path& path, field::ErrorList& errors) {
  const std::string_view key = text(selector, "key"), volume = text(selector, "volumeName");
  if (key.empty()) {
    errors.push_back(field::required(path.child("key"), ""));
  } else {
    check_text(key, env_var_name, path.child("key"), errors);
  }
  if (volume.empty()) {
    errors.push_back(field::required(path.child("volumeName"), ""));
  } else {
    check_text(volume, dns1123_label, path.child("volumeName"), errors);
  }
  const std::string_view file = text(selector, "path");
  if (file.empty()) {
    errors.push_back(field::required(path.child("path"), ""));
  } else {
    check_path_no_backsteps(file, path.child("path"), errors);
  }
}

void check_value_from(const json::Value& variable, const field::Path& path, field::ErrorList& errors) {
  const json::Value& from = *variable.find("valueFrom");
  int sources = 0;
  if (const json::Value* source = get(from, "fieldRef"); source != nullptr && ++sources != 0) {
    check_field_selector(*source, false, path.child("fieldRef"), errors);
  }
  if (const json::Value* source = get(from, "resourceFieldRef"); source != nullptr && ++sources != 0) {
    check_resource_selector(*source, false, path.child("resourceFieldRef"), errors);
  }
  for (const char* name : {"configMapKeyRef", "secretKeyRef"}) {
    if (const json::Value* source = get(from, name); source != nullptr && ++sources != 0) {
      check_key_selector(*source, path.child(name), errors);
    }
  }
  if (const json::Value* source = get(from, "fileKeyRef"); source != nullptr && ++sources != 0) {
    check_file_selector(*source, path.child("fileKeyRef"), errors);
  }
  if (sources == 0) {
    errors.push_back(field::invalid(
        path, "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"));
  } else if (!text(variable, "value").empty()) {
    errors.push_back(field::invalid(path, "", "may not be specified when `value` is not empty"));
  } else if (sources > 1) {
    errors.push_back(field::invalid(path, "", "may not have more than one field specified at a time"));
  }
}

void check_env(const json::Value& container, const field::Path& path, field::ErrorList& errors) {
  const auto variables = list(container, "env");
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const std::string_view name = text(variables[i], "name");
    if (name.empty()) {
      errors.push_back(field::required(path.index(i).child("name"), ""));
    } else if (const Messages messages = env_var_name(name); !messages.empty()) {
      field::append_invalid(errors, path.index(i).child("name"), json::Value(name), messages);
    }
    if (get(variables[i], "valueFrom") != nullptr) {
      check_value_from(variables[i], path.index(i).child("valueFrom"), errors);
    }
  }
}

void check_env_from(const json::Value& container, const field::Path& path, field::ErrorList& errors) {
  const auto sources = list(container, "envFrom");
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const field::Path own = path.index(i);
    const std::string_view prefix = text(sources[i], "prefix");
    if (!prefix.empty()) check_text(prefix, env_var_name, own.child("prefix"), errors);
    int count = 0;
    for (const char* name : {"configMapRef", "secretRef"}) {
      const json::Value* source = get(sources[i], name);
      if (source == nullptr) continue;
      ++count;
      const std::string_view target = text(*source, "name");
      if (target.empty()) {
        errors.push_back(field::required(own.child(name).child("name"), ""));
      } else {
        // A trailing dash passes: upstream looks at it as at a prefix.
        field::append_invalid(errors, own.child(name).child("name"), json::Value(target),
                              name_prefix(dns1123_subdomain, target));
      }
    }
    if (count == 0) {
      errors.push_back(field::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    } else if (count > 1) {
      errors.push_back(field::invalid(path, "", "may not have more than one field specified at a time"));
    }
  }
}

// ---- mounts and devices

void check_propagation(const json::Value& mount, const json::Value& container, const field::Path& path,
                       field::ErrorList& errors) {
  constexpr std::string_view kModes[] = {"Bidirectional", "HostToContainer", "None"};
  const json::Value* mode = get(mount, "mountPropagation");
  if (mode == nullptr) return;
  const field::Path own = path.child("mountPropagation");
  if (!one_of(mode->string_or(), kModes)) errors.push_back(field::not_supported(own, *mode, kModes));
  if (mode->string_or() == "Bidirectional" && !flag(part(container, "securityContext"), "privileged")) {
    errors.push_back(
        field::forbidden(own, "Bidirectional mount propagation is available only to privileged containers"));
  }
}

void check_recursive_read_only(const json::Value& mount, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kModes[] = {"Disabled", "Enabled", "IfPossible"};
  const json::Value* mode = get(mount, "recursiveReadOnly");
  if (mode == nullptr || mode->string_or() == "Disabled") return;
  const field::Path own = path.child("recursiveReadOnly");
  if (!one_of(mode->string_or(), kModes)) {
    errors.push_back(field::not_supported(own, *mode, kModes));
    return;
  }
  if (!flag(mount, "readOnly")) errors.push_back(field::forbidden(own, "may only be specified when readOnly is true"));
  const json::Value* propagation = get(mount, "mountPropagation");
  if (propagation != nullptr && propagation->string_or() != "None") {
    errors.push_back(field::forbidden(own, "may only be specified when mountPropagation is None or not specified"));
  }
}

Seen texts_of(std::span<const json::Value> items, std::string_view member) {
  Seen texts;
  for (const json::Value& item : items) texts.add(text(item, member));
  return texts;
}

void check_sub_paths(const json::Value& mount, const field::Path& path, const field::Path& own,
                     field::ErrorList& errors) {
  const std::string_view sub = text(mount, "subPath"), expression = text(mount, "subPathExpr");
  if (!sub.empty()) check_local_path(sub, path.child("subPath"), errors);
  if (expression.empty()) return;
  if (!sub.empty()) {
    errors.push_back(field::invalid(own.child("subPathExpr"), json::Value(expression),
                                    "subPathExpr and subPath are mutually exclusive"));
  }
  check_local_path(expression, path.child("subPathExpr"), errors);
}

void check_mounts(const json::Value& container, const PodChecks& checks, const field::Path& path,
                  field::ErrorList& errors) {
  const auto mounts = list(container, "volumeMounts");
  const auto devices = list(container, "volumeDevices");
  const Seen device_names = texts_of(devices, "name"), device_paths = texts_of(devices, "devicePath");
  Seen paths;
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const json::Value& mount = mounts[i];
    const field::Path own = path.index(i);
    const std::string_view name = text(mount, "name"), where = text(mount, "mountPath");
    const auto invalid = [&](const char* member, std::string_view value, const char* why) {
      errors.push_back(field::invalid(own.child(member), json::Value(value), why));
    };
    if (name.empty()) errors.push_back(field::required(own.child("name"), ""));
    if (checks.find_volume(name) == nullptr) errors.push_back(field::not_found(own.child("name"), json::Value(name)));
    if (where.empty()) errors.push_back(field::required(own.child("mountPath"), ""));
    if (!paths.add(where)) invalid("mountPath", where, "must be unique");
    if (device_names.has(name)) invalid("name", name, "must not already exist in volumeDevices");
    if (device_paths.has(where)) {
      invalid("mountPath", where, "must not already exist as a path in volumeDevices");
    }
    check_sub_paths(mount, path, own, errors);
    check_propagation(mount, container, path, errors);
    check_recursive_read_only(mount, path, errors);
  }
}

bool has_backsteps(std::string_view value) {
  const std::vector<std::string_view> parts = split(value, '/');
  return std::find(parts.begin(), parts.end(), "..") != parts.end();
}

void check_devices(const json::Value& container, const PodChecks& checks, const field::Path& path,
                   field::ErrorList& errors) {
  const auto mounts = list(container, "volumeMounts");
  const auto devices = list(container, "volumeDevices");
  const Seen mount_names = texts_of(mounts, "name"), mount_paths = texts_of(mounts, "mountPath");
  Seen names, paths;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const field::Path own = path.index(i);
    const std::string_view name = text(devices[i], "name"), where = text(devices[i], "devicePath");
    const auto invalid = [&](const char* member, std::string_view value, const char* why) {
      errors.push_back(field::invalid(own.child(member), json::Value(value), why));
    };
    const json::Value* volume = checks.find_volume(name);
    if (name.empty()) errors.push_back(field::required(own.child("name"), ""));
    if (!name.empty() && !names.add(name)) invalid("name", name, "must be unique");
    if (volume == nullptr) {
      errors.push_back(field::not_found(own.child("name"), json::Value(name)));
    } else if (get(*volume, "persistentVolumeClaim") == nullptr && get(*volume, "ephemeral") == nullptr) {
      invalid("name", name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
    }
    if (where.empty()) errors.push_back(field::required(own.child("devicePath"), ""));
    if (!paths.add(where)) invalid("devicePath", where, "must be unique");
    if (has_backsteps(where)) invalid("devicePath", where, "can not contain backsteps ('..')");
    if (mount_names.has(name)) invalid("name", name, "must not already exist in volumeMounts");
    if (mount_paths.has(where)) {
      invalid("devicePath", where, "must not already exist as a path in volumeMounts");
    }
  }
}

// ---- restarts

void check_resize_policy(const json::Value& container, const PodChecks& checks, const field::Path& path,
                         field::ErrorList& errors) {
  constexpr std::string_view kResources[] = {"cpu", "memory"};
  constexpr std::string_view kPolicies[] = {"NotRequired", "RestartContainer"};
  const auto check = [&](std::string_view value, std::span<const std::string_view> choices) {
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
    errors.push_back(value.empty() ? field::required(path, "")
                                   : field::not_supported(path, json::Value(value), choices));
  };
  const auto policies = list(container, "resizePolicy");
  Seen resources;
  for (std::size_t i = 0; i < policies.size(); ++i) {
    const std::string_view resource = text(policies[i], "resourceName"), policy = text(policies[i], "restartPolicy");
    if (!resources.add(resource)) {
      errors.push_back(field::duplicate(path.index(i), json::Value(resource)));
    }
    check(resource, kResources);
    check(policy, kPolicies);
    if (text(checks.spec, "restartPolicy") == "Never" && policy != "NotRequired") {
      errors.push_back(
          field::invalid(path, json::Value(policy), "must be 'NotRequired' when pod `restartPolicy` is 'Never'"));
    }
  }
}

void check_restart_rules(const json::Value& container, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kPolicies[] = {"Always", "Never", "OnFailure"};
  constexpr std::string_view kActions[] = {"Restart", "RestartAllContainers"};
  constexpr std::string_view kOperators[] = {"In", "NotIn"};
  const json::Value* policy = get(container, "restartPolicy");
  const auto rules = list(container, "restartPolicyRules");
  if (policy == nullptr && !rules.empty()) {
    errors.push_back(
        field::required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used"));
  } else if (policy != nullptr && !one_of(policy->string_or(), kPolicies)) {
    errors.push_back(field::not_supported(path.child("restartPolicy"), *policy, kPolicies));
  }
  const field::Path rules_path = rules.empty() ? field::Path() : path.child("restartPolicyRules");
  if (rules.size() > kMaxRestartRules) errors.push_back(field::too_many(rules_path, rules.size(), kMaxRestartRules));
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const field::Path own = rules_path.index(i);
    const std::string_view action = text(rules[i], "action");
    if (!one_of(action, kActions)) {
      errors.push_back(field::not_supported(own.child("action"), json::Value(action), kActions));
    }
    const json::Value* codes = get(rules[i], "exitCodes");
    if (codes == nullptr) {
      errors.push_back(field::required(own.child("exitCodes"), "must be specified"));
      continue;
    }
    const std::string_view op = text(*codes, "operator");
    if (!one_of(op, kOperators)) {
      errors.push_back(field::not_supported(own.child("exitCodes").child("operator"), json::Value(op), kOperators));
    }
    const std::size_t values = list(*codes, "values").size();
    if (values > kMaxExitCodes) {
      errors.push_back(field::too_many(own.child("exitCodes").child("values"), values, kMaxExitCodes));
    }
  }
}

// ---- all containers

void check_common(const json::Value& container, const PodChecks& checks, const field::Path& path,
                  field::ErrorList& errors) {
  constexpr std::string_view kPolicies[] = {"File", "FallbackToLogsOnError"};
  const std::string_view name = text(container, "name");
  if (name.empty()) {
    errors.push_back(field::required(path.child("name"), ""));
  } else if (const Messages messages = dns1123_label(name); !messages.empty()) {
    field::append_invalid(errors, path.child("name"), json::Value(name), messages);
  }
  require_text(container, "image", path, errors);
  const std::string_view policy = text(container, "terminationMessagePolicy");
  if (policy.empty()) {
    errors.push_back(field::required(path.child("terminationMessagePolicy"), ""));
  } else if (!one_of(policy, kPolicies)) {
    errors.push_back(field::not_supported(path.child("terminationMessagePolicy"), json::Value(policy), kPolicies));
  }
  if (get(container, "ports") != nullptr) check_ports(container, path.child("ports"), errors);
  if (get(container, "env") != nullptr) check_env(container, path.child("env"), errors);
  if (get(container, "envFrom") != nullptr) check_env_from(container, path.child("envFrom"), errors);
  if (get(container, "volumeMounts") != nullptr) {
    check_mounts(container, checks, path.child("volumeMounts"), errors);
  }
  if (get(container, "volumeDevices") != nullptr) {
    check_devices(container, checks, path.child("volumeDevices"), errors);
  }
  check_pull_policy(container, "imagePullPolicy", path, errors);
  if (const json::Value* resources = get(container, "resources")) {
    check_resources(*resources, false, checks.claims, path.child("resources"), errors);
  }
  if (get(container, "resizePolicy") != nullptr) {
    check_resize_policy(container, checks, path.child("resizePolicy"), errors);
  }
  check_container_security(container, checks, path, errors);
}

// What a pod's containers must keep; a template's may hold a placeholder.
void check_image_blanks(const json::Value& container, const field::Path& path, field::ErrorList& errors) {
  const std::string_view image = text(container, "image");
  if (trim(image).size() == image.size()) return;
  errors.push_back(
      field::invalid(path.child("image"), json::Value(image), "must not have leading or trailing whitespace"));
}

Names names_of(std::span<const json::Value> containers, Names names = Names()) {
  for (const json::Value& container : containers) names.add(text(container, "name"));
  return names;
}

bool is_sidecar(const json::Value& container) { return text(container, "restartPolicy") == "Always"; }

void check_init_extras(const json::Value& container, const PodChecks& checks, const field::Path& own,
                       field::ErrorList& errors) {
  if (is_sidecar(container)) {
    if (const json::Value* lifecycle = get(container, "lifecycle")) {
      check_lifecycle(*lifecycle, checks.spec, own.child("lifecycle"), errors);
    }
    check_probes(container, checks.spec, own, errors);
    return;
  }
  for (const char* name : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}) {
    if (get(container, name) == nullptr) continue;
    errors.push_back(
        field::forbidden(own.child(name), "may not be set for init containers without restartPolicy=Always"));
  }
  const auto policies = list(container, "resizePolicy");
  Seen resources;
  for (std::size_t p = 0; p < policies.size(); ++p) {
    if (text(policies[p], "restartPolicy") != "RestartContainer") continue;
    errors.push_back(field::invalid(own.child("resizePolicy").index(p).child("restartPolicy"), "RestartContainer",
                                    "must not be set to 'RestartContainer' for non-sidecar initContainers"));
  }
}

}  // namespace

void check_protocol(std::string_view protocol, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kProtocols[] = {"SCTP", "TCP", "UDP"};
  if (protocol.empty()) {
    errors.push_back(field::required(path, ""));
  } else if (!one_of(protocol, kProtocols)) {
    errors.push_back(field::not_supported(path, json::Value(protocol), kProtocols));
  }
}

void check_pull_policy(const json::Value& holder, std::string_view name, const field::Path& path,
                       field::ErrorList& errors) {
  constexpr std::string_view kPolicies[] = {"Always", "IfNotPresent", "Never"};
  const std::string_view policy = text(holder, name);
  if (one_of(policy, kPolicies)) return;
  const field::Path own = path.child(name);
  if (policy.empty()) {
    errors.push_back(field::required(own, ""));
  } else {
    errors.push_back(field::not_supported(own, json::Value(policy), kPolicies));
  }
}

void check_containers(PodChecks& checks, const field::Path& path) {
  const auto containers = list(checks.spec, "containers");
  if (containers.empty()) {
    checks.errors.push_back(field::required(path, ""));
    return;
  }
  Names names;
  for (std::size_t i = 0; i < containers.size(); ++i) {
    const json::Value& container = containers[i];
    const field::Path own = path.index(i);
    check_common(container, checks, own, checks.errors);
    const std::string_view name = text(container, "name");
    if (names.has(name)) checks.errors.push_back(field::duplicate(own.child("name"), json::Value(name)));
    names.add(name);
    if (const json::Value* lifecycle = get(container, "lifecycle")) {
      check_lifecycle(*lifecycle, checks.spec, own.child("lifecycle"), checks.errors);
    }
    check_probes(container, checks.spec, own, checks.errors);
    check_restart_rules(container, own, checks.errors);
    if (checks.is_pod()) check_image_blanks(container, own, checks.errors);
  }
  check_host_ports(containers, path, checks.errors);
}

void check_init_containers(PodChecks& checks, const field::Path& path) {
  const auto containers = list(checks.spec, "initContainers");
  if (containers.empty()) return;
  Names names = names_of(list(checks.spec, "containers"));
  for (std::size_t i = 0; i < containers.size(); ++i) {
    const json::Value& container = containers[i];
    const field::Path own = path.index(i);
    check_common(container, checks, own, checks.errors);
    check_restart_rules(container, own, checks.errors);
    const std::string_view name = text(container, "name");
    if (names.has(name)) {
      checks.errors.push_back(field::duplicate(own.child("name"), json::Value(name)));
    } else if (!name.empty()) {
      names.add(name);
    }
    check_host_ports(containers.subspan(i, 1), path, checks.errors);  // they run one after the other
    check_init_extras(container, checks, own, checks.errors);
    if (checks.is_pod()) check_image_blanks(container, own, checks.errors);
  }
}

void check_ephemeral_containers(PodChecks& checks, const field::Path& path) {
  constexpr std::string_view kRefused[] = {
      "ports",         "resources",      "resizePolicy", "restartPolicy", "restartPolicyRules",
      "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",
  };
  constexpr std::string_view kWhy = "cannot be set for an Ephemeral Container";
  const auto containers = list(checks.spec, "ephemeralContainers");
  if (containers.empty()) return;
  const Names others = names_of(list(checks.spec, "initContainers"), names_of(list(checks.spec, "containers")));
  Names all = others;
  field::ErrorList& errors = checks.errors;
  for (std::size_t i = 0; i < containers.size(); ++i) {
    const json::Value& container = containers[i];
    const field::Path own = path.index(i);
    check_common(container, checks, own, errors);
    check_image_blanks(container, own, errors);
    const std::string_view name = text(container, "name"), target = text(container, "targetContainerName");
    if (all.has(name)) errors.push_back(field::duplicate(own.child("name"), json::Value(name)));
    all.add(name);
    if (!target.empty() && !others.has(target)) {
      errors.push_back(field::not_found(own.child("targetContainerName"), json::Value(target)));
    }
    for (const std::string_view refused : kRefused) {
      const json::Value* value = get(container, refused);
      const bool empty = value == nullptr || (value->is_object() && value->as_object().empty());
      if (!empty) errors.push_back(field::forbidden(own.child(refused), kWhy));
    }
    const auto mounts = list(container, "volumeMounts");
    for (std::size_t m = 0; m < mounts.size(); ++m) {
      for (const char* member : {"subPath", "subPathExpr"}) {
        if (text(mounts[m], member).empty()) continue;
        errors.push_back(field::forbidden(own.child("volumeMounts").index(m).child(member), kWhy));
      }
    }
  }
}

void check_file_keys(PodChecks& checks, const field::Path& path) {
  std::unordered_map<std::string_view, const json::Value*> volumes;
  for (const json::Value& volume : list(checks.spec, "volumes")) volumes.emplace(text(volume, "name"), &volume);
  const auto check = [&](const json::Value& selector, const field::Path& own) {
    const std::string_view name = text(selector, "volumeName");
    const auto volume = volumes.find(name);
    if (volume == volumes.end()) {
      checks.errors.push_back(field::not_found(own, json::Value(name)));
    } else if (get(*volume->second, "emptyDir") == nullptr) {
      checks.errors.push_back(field::invalid(own, json::Value(name), "referenced volume must be of type emptyDir"));
    }
  };
  for (const char* kind : {"initContainers", "containers", "ephemeralContainers"}) {
    const auto containers = list(checks.spec, kind);
    for (std::size_t c = 0; c < containers.size(); ++c) {
      const auto env = list(containers[c], "env");
      for (std::size_t e = 0; e < env.size(); ++e) {
        const json::Value* selector = get(part(env[e], "valueFrom"), "fileKeyRef");
        if (selector == nullptr) continue;
        check(
            *selector,
            path.child(kind).index(c).child("env").index(e).child("valueFrom").child("fileKeyRef").child("volumeName"));
      }
    }
  }
}

// ---- references to fields and resources

void check_field_selector(const json::Value& selector, bool of_volume, const field::Path& path,
                          field::ErrorList& errors) {
  constexpr std::string_view kEnv[] = {
      "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
      "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs",
  };
  constexpr std::string_view kVolume[] = {
      "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
  };
  const std::string_view version = text(selector, "apiVersion");
  std::string_view wanted = text(selector, "fieldPath");
  for (const char* name : {"apiVersion", "fieldPath"}) {
    if (!text(selector, name).empty()) continue;
    errors.push_back(field::required(path.child(name), ""));
    return;
  }
  const auto unconvertible = [&](std::string_view why) {
    errors.push_back(
        field::invalid(path.child("fieldPath"), json::Value(wanted), cat("error converting fieldPath: ", why)));
  };
  if (version != "v1") return unconvertible(cat("unsupported pod version: ", version));
  const std::size_t bracket = wanted.find("['");
  if (bracket != wanted.npos && wanted.ends_with("']")) {
    const std::string_view base = wanted.substr(0, bracket);
    const std::string_view key = wanted.substr(bracket + 2, wanted.size() - bracket - 4);
    if (base == "metadata.annotations") return check_text(to_lower(key), qualified_name, path, errors);
    if (base == "metadata.labels") return check_text(key, qualified_name, path, errors);
    return unconvertible(cat("field label does not support subscript: ", wanted));
  }
  if (wanted == "spec.host") wanted = "spec.nodeName";  // its name before v1
  const bool known = one_of(wanted, kEnv) || one_of(wanted, kVolume) || wanted == "spec.restartPolicy" ||
                     wanted == "spec.schedulerName" || wanted == "status.phase";
  if (!known) return unconvertible(cat("field label not supported: ", wanted));
  if (of_volume ? one_of(wanted, kVolume) : one_of(wanted, kEnv)) return;
  errors.push_back(of_volume ? field::not_supported(path.child("fieldPath"), json::Value(wanted), kVolume)
                             : field::not_supported(path.child("fieldPath"), json::Value(wanted), kEnv));
}

namespace {

void check_divisor(std::string_view resource, std::string_view divisor, const field::Path& path,
                   field::ErrorList& errors) {
  constexpr std::string_view kCpu[] = {"1m", "1"};
  constexpr std::string_view kBytes[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P", "1E",
                                         "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};
  if (divisor.empty() || divisor == "0") return;
  const std::string_view what = resource.substr(std::min(resource.find('.'), resource.size() - 1) + 1);
  const auto refuse = [&](std::string_view why) {
    errors.push_back(field::invalid(path.child("divisor"), json::Value(resource), why));
  };
  const auto refuse_bytes = [&](std::string_view name) {
    refuse(cat("only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the ",
               name, " resource"));
  };
  if (what == "cpu") {
    if (!one_of(divisor, kCpu)) refuse("only divisor's values 1m and 1 are supported with the cpu resource");
  } else if (one_of(divisor, kBytes)) {
    return;
  } else if (what == "memory") {
    refuse_bytes("memory");
  } else if (what == "ephemeral-storage") {
    refuse_bytes("local ephemeral storage");
  } else if (what.starts_with("hugepages-")) {
    refuse_bytes("hugepages");
  }
}

}  // namespace

void check_resource_selector(const json::Value& selector, bool of_volume, const field::Path& path,
                             field::ErrorList& errors) {
  constexpr std::string_view kResources[] = {
      "limits.cpu",   "limits.ephemeral-storage",   "limits.memory",
      "requests.cpu", "requests.ephemeral-storage", "requests.memory",
  };
  const std::string_view resource = text(selector, "resource");
  if (of_volume && text(selector, "containerName").empty()) {
    errors.push_back(field::required(path.child("containerName"), ""));
  } else if (resource.empty()) {
    errors.push_back(field::required(path.child("resource"), ""));
  } else if (!one_of(resource, kResources) && !resource.starts_with("limits.hugepages-") &&
             !resource.starts_with("requests.hugepages-")) {
    errors.push_back(field::not_supported(path.child("resource"), json::Value(resource), kResources));
  }
  if (!resource.empty()) check_divisor(resource, text(selector, "divisor"), path, errors);
}

}  // namespace kayak::api::validation
