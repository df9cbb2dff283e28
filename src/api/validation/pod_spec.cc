// pod_spec.cc: the fields of a PodSpec that stand alone, and the order in which all of it is looked at.
// Source: kubernetes pkg/apis/core/validation ValidatePodSpec (v1.36).
#include "api/validation/ip.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxNameservers = 3;  // limits of libc's resolver
constexpr std::size_t kMaxSearches = 32;
constexpr std::size_t kMaxSearchBytes = 2048;
constexpr std::size_t kMaxHostname = 64;
constexpr std::int64_t kMaxInt32 = 2147483647;

// A field with a fixed set of values that may not be empty.
void check_choice(const json::Value& spec, std::string_view name, std::span<const std::string_view> choices,
                  const field::Path& path, field::ErrorList& errors) {
  const std::string_view value = text(spec, name);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  if (value.empty()) {
    errors.push_back(field::required(path.child(name), ""));
  } else {
    errors.push_back(field::not_supported(path.child(name), json::Value(value), choices));
  }
}

void check_dns(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const bool none = text(spec, "dnsPolicy") == "None";
  const json::Value* config = get(spec, "dnsConfig");
  if (config == nullptr) {
    if (none) errors.push_back(field::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
    return;
  }
  const auto nameservers = list(*config, "nameservers");
  if (none && nameservers.empty()) {
    errors.push_back(field::required(path.child("nameservers"),
                                     "must provide at least one DNS nameserver when `dnsPolicy` is None"));
    return;
  }
  if (nameservers.size() > kMaxNameservers) {
    errors.push_back(field::invalid(path.child("nameservers"), *config->find("nameservers"),
                                    cat("must not have more than ", kMaxNameservers, " nameservers")));
  }
  for (std::size_t i = 0; i < nameservers.size(); ++i) {
    field::append(errors, valid_legacy_ip(path.child("nameservers").index(i), nameservers[i].string_or()));
  }
  const auto searches = list(*config, "searches");
  if (searches.size() > kMaxSearches) {
    errors.push_back(field::invalid(path.child("searches"), *config->find("searches"),
                                    cat("must not have more than ", kMaxSearches, " search paths")));
  }
  std::size_t bytes = searches.empty() ? 0 : searches.size() - 1;
  for (const json::Value& search : searches) bytes += search.string_or().size();
  if (bytes > kMaxSearchBytes) {
    errors.push_back(field::invalid(
        path.child("searches"), *config->find("searches"),
        cat("must not have more than ", kMaxSearchBytes, " characters (including spaces) in the search list")));
  }
  for (std::size_t i = 0; i < searches.size(); ++i) {
    std::string_view search = searches[i].string_or();
    if (search == ".") continue;
    if (search.ends_with('.')) search.remove_suffix(1);
    check_text(search, dns1123_subdomain_with_underscore, path.child("searches").index(i), errors);
  }
  const auto options = list(*config, "options");
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (text(options[i], "name").empty()) {
      errors.push_back(field::required(path.child("options").index(i), "must not be empty"));
    }
  }
}

void check_host_network(const PodChecks& checks, const field::Path& path, field::ErrorList& errors) {
  if (!flag(checks.spec, "hostNetwork")) return;
  const auto containers = list(checks.spec, "containers");
  for (std::size_t c = 0; c < containers.size(); ++c) {
    const auto ports = list(containers[c], "ports");
    for (std::size_t p = 0; p < ports.size(); ++p) {
      const std::int64_t host = number(ports[p], "hostPort");
      // A template's ports are filled in when its pods are made.
      if ((!checks.is_pod() && host == 0) || host == number(ports[p], "containerPort")) continue;
      errors.push_back(field::invalid(path.child("containers").index(c).child("ports").index(p).child("hostPort"), host,
                                      "must match `containerPort` when `hostNetwork` is true"));
    }
  }
}

void check_host_users(const PodChecks& checks, const field::Path& path, field::ErrorList& errors) {
  if (checks.host_users()) return;
  struct Row {
    const char *field, *shown;
  };
  for (const Row& row : {Row{"hostNetwork", "hostNetwork"}, Row{"hostPID", "HostPID"}, Row{"hostIPC", "HostIPC"}}) {
    if (flag(checks.spec, row.field)) {
      errors.push_back(field::forbidden(path.child(row.shown), "when `hostUsers` is false"));
    }
  }
  visit_containers(checks.spec, path, [&](const json::Value& container, const field::Path& own) {
    if (list(container, "volumeDevices").empty()) return;
    errors.push_back(field::forbidden(own.child("volumeDevices"), "when `hostUsers` is false"));
  });
}

void check_hostname(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const json::Value* override = get(spec, "hostnameOverride");
  if (override != nullptr) {
    const field::Path own = path.child("hostnameOverride");
    if (flag(spec, "setHostnameAsFQDN")) {
      errors.push_back(field::forbidden(own, "may not be specified when setHostnameAsFQDN is true"));
    }
    if (flag(spec, "hostNetwork")) {
      errors.push_back(field::forbidden(own, "may not be specified when hostNetwork is true"));
    }
    if (override->string_or().size() > kMaxHostname) errors.push_back(field::too_long(own, kMaxHostname));
    check_text(override->string_or(), dns1123_subdomain, own, errors);
  }
}

void check_gates(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const auto readiness = list(spec, "readinessGates");
  for (std::size_t i = 0; i < readiness.size(); ++i) {
    check_text(text(readiness[i], "conditionType"), qualified_name,
               path.child("readinessGates").index(i).child("conditionType"), errors);
  }
  const auto scheduling = list(spec, "schedulingGates");
  for (std::size_t i = 0; i < scheduling.size(); ++i) {
    const std::string_view name = text(scheduling[i], "name");
    const field::Path own = path.child("schedulingGates").index(i);
    check_text(name, qualified_name, own, errors);
    for (std::size_t before = 0; before < i; ++before) {
      if (text(scheduling[before], "name") != name) continue;
      errors.push_back(field::duplicate(own, json::Value(name)));
      break;
    }
  }
}

void check_host_aliases(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const auto aliases = list(spec, "hostAliases");
  for (std::size_t i = 0; i < aliases.size(); ++i) {
    const field::Path own = path.child("hostAliases").index(i);
    field::append(errors, valid_legacy_ip(own.child("ip"), text(aliases[i], "ip")));
    const auto hostnames = list(aliases[i], "hostnames");
    for (std::size_t h = 0; h < hostnames.size(); ++h) {
      check_text(hostnames[h].string_or(), dns1123_subdomain, own.child("hostnames").index(h), errors);
    }
  }
}

// Names of other objects, and hostnames.
void check_names(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  struct Row {
    const char* name;
    NameRule rule;
  };
  constexpr Row kRows[] = {
      {"serviceAccountName", dns1123_subdomain},
      {"nodeName", dns1123_subdomain},
      {"hostname", dns1123_label},
      {"subdomain", dns1123_label},
      {"priorityClassName", dns1123_subdomain},
  };
  for (const Row& row : kRows) {
    const std::string_view value = text(spec, row.name);
    if (!value.empty()) check_text(value, row.rule, path.child(row.name), errors);
  }
  if (const json::Value* runtime = get(spec, "runtimeClassName")) {
    check_text(runtime->string_or(), dns1123_subdomain, path.child("runtimeClassName"), errors);
  }
}

void check_deadline(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const json::Value* deadline = get(spec, "activeDeadlineSeconds");
  if (deadline == nullptr) return;
  field::append_invalid(errors, path.child("activeDeadlineSeconds"), *deadline,
                        in_range(deadline->int_or(0), 1, kMaxInt32));
}

void check_scheduling_group(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const json::Value* group = get(spec, "schedulingGroup");
  if (group == nullptr) return;
  const field::Path own = path.child("schedulingGroup").child("podGroupName");
  if (const json::Value* name = get(*group, "podGroupName")) {
    check_text(name->string_or(), dns1123_subdomain, own, errors);
  } else {
    errors.push_back(field::invalid(own, nullptr, "must specify one of: `podGroupName`"));
  }
}

}  // namespace

const json::Value* PodChecks::find_volume(std::string_view name) const {
  const auto volume = volumes.find(name);
  return volume == volumes.end() ? nullptr : volume->second;
}

void validate_pod_spec(const json::Value& spec, const json::Value* pod_meta, const field::Path& path,
                       field::ErrorList& errors) {
  constexpr std::string_view kRestart[] = {"Always", "OnFailure", "Never"};
  constexpr std::string_view kDns[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"};
  constexpr std::string_view kPreemption[] = {"PreemptLowerPriority", "Never"};
  PodChecks checks{spec, pod_meta, errors, {}, {}};
  if (get(spec, "terminationGracePeriodSeconds") == nullptr) {
    errors.push_back(field::required(path.child("terminationGracePeriodSeconds"), ""));
  }
  check_volumes(checks, path.child("volumes"));
  check_resource_claims(checks, path.child("resourceClaims"));
  check_containers(checks, path.child("containers"));
  check_init_containers(checks, path.child("initContainers"));
  check_ephemeral_containers(checks, path.child("ephemeralContainers"));
  check_pod_resources(checks, path.child("resources"));
  check_host_network(checks, path, errors);
  check_choice(spec, "restartPolicy", kRestart, path, errors);
  check_choice(spec, "dnsPolicy", kDns, path, errors);
  if (const json::Value* selector = get(spec, "nodeSelector")) {
    validate_labels(selector, path.child("nodeSelector"), errors);
  }
  check_pod_security(checks, path);
  check_affinity(spec, path.child("affinity"), errors);
  check_dns(spec, path.child("dnsConfig"), errors);
  check_gates(spec, path, errors);
  check_topology_spread(spec, path.child("topologySpreadConstraints"), errors);
  check_host_users(checks, path, errors);
  check_hostname(spec, path, errors);
  check_deadline(spec, path, errors);
  check_names(spec, path, errors);
  if (const auto tolerations = list(spec, "tolerations"); !tolerations.empty()) {
    check_tolerations(tolerations, path.child("tolerations"), errors);
  }
  check_host_aliases(spec, path, errors);
  if (get(spec, "preemptionPolicy") != nullptr) check_choice(spec, "preemptionPolicy", kPreemption, path, errors);
  if (const json::Value* overhead = get(spec, "overhead")) {
    json::Object limits;  // upstream's check of requirements, of which the overhead is the limits
    limits.set("limits", *overhead);
    check_resources(json::Value(std::move(limits)), false, {}, path.child("overhead"), errors);
  }
  check_os(checks, path);
  check_scheduling_group(spec, path, errors);
  check_file_keys(checks, path);
}

}  // namespace kayak::api::validation
