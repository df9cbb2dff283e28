// warnings.cc: see warnings.h. Mostly of pods and of the templates that make them.
// Source: kubernetes pkg/api/pod/warnings.go, pkg/api/node/util.go and the kinds' strategies (v1.36).
#include "api/validation/warnings.h"

#include <map>

#include "api/validation/checked.h"
#include "api/validation/pods.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

using Warnings = std::vector<std::string>;

constexpr std::string_view kNoSelector = ": a null labelSelector results in matching no pod";
constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";

void add(Warnings& warnings, const field::Path& path, std::string_view what) {
  warnings.push_back(cat(path.text(), what));
}

// ---- labels and annotations that have other names now

void warn_node_term(const json::Value& term, const field::Path& path, Warnings& warnings) {
  const auto expressions = list(term, "matchExpressions");
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    const std::string_view key = text(expressions[i], "key"), message = deprecated_label(key);
    if (message.empty()) continue;
    add(warnings, path.child("matchExpressions").index(i).child("key"), cat(": ", key, " is ", message));
  }
}

void warn_node_labels(const json::Value& spec, const field::Path& path, Warnings& warnings) {
  for (const auto& [key, value] : members(spec, "nodeSelector")) {
    const std::string_view message = deprecated_label(key);
    if (!message.empty()) add(warnings, path.child("nodeSelector").key(key), cat(": ", message));
  }
  const json::Value* affinity = get(part(spec, "affinity"), "nodeAffinity");
  if (affinity == nullptr) return;
  const field::Path own = path.child("affinity").child("nodeAffinity");
  constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
  constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";
  const auto terms = list(part(*affinity, kRequired), "nodeSelectorTerms");
  for (std::size_t i = 0; i < terms.size(); ++i) {
    warn_node_term(terms[i], own.child(kRequired).child("nodeSelectorTerms").index(i), warnings);
  }
  const auto preferred = list(*affinity, kPreferred);
  for (std::size_t i = 0; i < preferred.size(); ++i) {
    warn_node_term(part(preferred[i], "preference"), own.child(kPreferred).index(i).child("preference"), warnings);
  }
}

void warn_selectors(const json::Value& spec, const field::Path& path, Warnings& warnings) {
  const auto constraints = list(spec, "topologySpreadConstraints");
  for (std::size_t i = 0; i < constraints.size(); ++i) {
    const field::Path own = path.child("topologySpreadConstraints").index(i);
    const std::string_view key = text(constraints[i], "topologyKey"), message = deprecated_label(key);
    if (!message.empty()) add(warnings, own.child("topologyKey"), cat(": ", key, " is ", message));
    if (get(constraints[i], "labelSelector") == nullptr) add(warnings, own.child("labelSelector"), kNoSelector);
  }
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    const json::Value* affinity = get(part(spec, "affinity"), kind);
    if (affinity == nullptr) continue;
    for (const char* when :
         {"requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"}) {
      const auto terms = list(*affinity, when);
      for (std::size_t i = 0; i < terms.size(); ++i) {
        field::Path own = path.child("affinity").child(kind).child(when).index(i);
        const json::Value* term = &terms[i];
        if (when[0] == 'p') {
          term = &part(terms[i], "podAffinityTerm");
          own = own.child("podAffinityTerm");
        }
        if (get(*term, "labelSelector") == nullptr) add(warnings, own.child("labelSelector"), kNoSelector);
      }
    }
  }
}

void warn_annotations(const json::Value& meta, const json::Value& spec, const field::Path& path, bool of_template,
                      Warnings& warnings) {
  const json::Value& annotations = part(meta, "annotations");
  if (members(&annotations).empty()) return;
  const field::Path own = path.child("metadata").child("annotations");
  struct Row {
    std::string_view key, message;
  };
  for (const Row& row : {
           Row{"scheduler.alpha.kubernetes.io/critical-pod",
               R"(: non-functional in v1.16+; use the "priorityClassName" field instead)"},
           Row{"security.alpha.kubernetes.io/sysctls",
               R"(: non-functional in v1.11+; use the "sysctls" field instead)"},
           Row{"security.alpha.kubernetes.io/unsafe-sysctls",
               R"(: non-functional in v1.11+; use the "sysctls" field instead)"},
       }) {
    if (annotations.find(row.key) != nullptr) add(warnings, own.key(row.key), row.message);
  }
  constexpr std::string_view kSeccomp = R"(: non-functional in v1.27+; use the "seccompProfile" field instead)";
  const json::Value& context = part(spec, "securityContext");
  if (get(context, "seccompProfile") == nullptr && annotations.find(kSeccompPod) != nullptr) {
    add(warnings, own.key(kSeccompPod), kSeccomp);
  }
  visit_containers(spec, path, [&](const json::Value& container, const field::Path&) {
    const json::Value& inner = part(container, "securityContext");
    const std::string seccomp = cat(kSeccompContainer, text(container, "name"));
    if (get(inner, "seccompProfile") == nullptr && annotations.find(seccomp) != nullptr) {
      add(warnings, own.key(seccomp), kSeccomp);
    }
    const std::string armor = cat(kAppArmor, text(container, "name"));
    const bool has_field = get(inner, "appArmorProfile") != nullptr || get(context, "appArmorProfile") != nullptr;
    if (of_template && !has_field && annotations.find(armor) != nullptr) {
      add(warnings, own.key(armor), R"(: deprecated since v1.30; use the "appArmorProfile" field instead)");
    }
  });
}

// ---- volumes

void warn_volumes(const json::Value& spec, const field::Path& path, Warnings& warnings) {
  struct Row {
    const char *member, *shown, *message;
  };
  constexpr Row kRows[] = {
      {"photonPersistentDisk", "photonPersistentDisk", ": deprecated in v1.11, non-functional in v1.16+"},
      {"gitRepo", "gitRepo", ": deprecated in v1.11"},
      {"scaleIO", "scaleIO", ": deprecated in v1.16, non-functional in v1.22+"},
      {"flocker", "flocker", ": deprecated in v1.22, non-functional in v1.25+"},
      {"storageos", "storageOS", ": deprecated in v1.22, non-functional in v1.25+"},
      {"quobyte", "quobyte", ": deprecated in v1.22, non-functional in v1.25+"},
      {"glusterfs", "glusterfs", ": deprecated in v1.25, non-functional in v1.26+"},
      {"cephfs", "cephfs", ": deprecated in v1.28, non-functional in v1.31+"},
      {"rbd", "rbd", ": deprecated in v1.28, non-functional in v1.31+"},
  };
  const auto volumes = list(spec, "volumes");
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    for (const Row& row : kRows) {
      if (get(volumes[i], row.member) == nullptr) continue;
      add(warnings, path.child("volumes").index(i).child(row.shown), row.message);
    }
    const json::Value* claim = get(part(volumes[i], "ephemeral"), "volumeClaimTemplate");
    if (claim == nullptr) continue;
    const field::Path own = path.child("volumes").index(i).child("ephemeral").child("volumeClaimTemplate");
    warn_claim_quantities(part(*claim, "spec"), own.child("spec"), warnings);
  }
}

// ---- quantities of bytes that are no whole number

void warn_fraction(const json::Value& quantities, std::string_view resource, const field::Path& path,
                   Warnings& warnings) {
  const json::Value* value = get(quantities, resource);
  if (value == nullptr || !value->string_or().ends_with('m')) return;
  add(warnings, path.key(resource),
      cat(": fractional byte value ", quote(value->string_or()), " is invalid, must be an integer"));
}

void warn_container_quantities(const json::Value& container, const field::Path& path, Warnings& warnings) {
  const json::Value* resources = get(container, "resources");
  if (resources == nullptr || resources->as_object().empty()) return;
  for (const char* resource : {"memory", "ephemeral-storage"}) {
    for (const char* kind : {"limits", "requests"}) {
      warn_fraction(part(*resources, kind), resource, path.child("resources").child(kind), warnings);
    }
  }
}

// ---- things that are there twice

void warn_twice(const json::Value& spec, const char* member, const char* key, const field::Path& path,
                Warnings& warnings) {
  const auto items = list(spec, member);
  Seen seen;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string_view value = text(items[i], key);
    if (!seen.add(value))
      add(warnings, path.child(member).index(i).child(key), cat(": duplicate ", key, " ", quote(value)));
  }
}

void warn_env(const json::Value& container, const field::Path& path, Warnings& warnings) {
  const auto env = list(container, "env");
  Seen seen;
  for (std::size_t i = 0; i < env.size(); ++i) {
    const std::string_view name = text(env[i], "name"), value = text(env[i], "value");
    if (seen.add(name)) continue;
    // A value that builds on the one before it is meant.
    const std::string reference = cat("$(", name, ")");
    const bool builds =
        get(env[i], "valueFrom") == nullptr && value != reference && value.find(reference) != value.npos;
    if (builds) continue;
    add(warnings, path.child("env").index(i),
        cat(": hides previous definition of ", quote(name), ", which may be dropped when using apply"));
  }
}

struct Port {
  field::Path path;
  std::int64_t number, host;
  std::string_view protocol, ip;
};

void warn_ports(const json::Value& spec, const field::Path& path, Warnings& warnings) {
  // Of each number and protocol. Few are ever alike: more than some need not be compared, as a request may hold many.
  constexpr std::size_t kMaxAlike = 64;
  std::map<std::pair<std::int64_t, std::string_view>, std::vector<Port>> seen;
  visit_containers(spec, path, [&](const json::Value& container, const field::Path& own) {
    const auto ports = list(container, "ports");
    for (std::size_t i = 0; i < ports.size(); ++i) {
      Port port{own.child("ports").index(i), number(ports[i], "containerPort"), number(ports[i], "hostPort"),
                text(ports[i], "protocol"), text(ports[i], "hostIP")};
      if (!port.ip.empty() && port.host == 0) {
        add(warnings, port.path, cat(": hostIP set without hostPort: ", json::write(ports[i])));
      }
      std::vector<Port>& alike = seen[{port.number, port.protocol}];
      for (const Port& other : alike) {
        if (port.ip == other.ip && port.host == other.host) {
          add(warnings, port.path, cat(": duplicate port definition with ", other.path.text()));
        } else if (port.host == 0 || other.host == 0) {
          add(warnings, port.path, cat(": overlapping port definition with ", other.path.text()));
        } else if (port.host == other.host && port.ip.empty() != other.ip.empty()) {
          add(warnings, port.path, cat(": dangerously ambiguous port definition with ", other.path.text()));
        }
      }
      if (alike.size() < kMaxAlike) alike.push_back(std::move(port));
    }
  });
}

// `path` is of the template; without a name for a pod itself.
void warn_pod_addresses(const json::Value& spec, const field::Path& path, Warnings& warnings) {
  const auto warn = [&](std::string_view address, const field::Path& at) {
    const std::string warning = ip_warning(address);
    if (!warning.empty()) add(warnings, at, cat(": ", warning));
  };
  const auto servers = list(part(spec, "dnsConfig"), "nameservers"), aliases = list(spec, "hostAliases");
  for (std::size_t i = 0; i < servers.size(); ++i) {
    warn(servers[i].string_or(), path.child("dnsConfig").child("nameservers").index(i));
  }
  for (std::size_t i = 0; i < aliases.size(); ++i) {
    warn(text(aliases[i], "ip"), path.child("hostAliases").index(i).child("ip"));
  }
}

void warn_pod(const json::Value& pod, const field::Path& path, bool of_template, Warnings& warnings) {
  const json::Value& spec = part(pod, "spec");
  const field::Path own = path.child("spec");
  warn_node_labels(spec, own, warnings);
  warn_selectors(spec, own, warnings);
  warn_annotations(part(pod, "metadata"), spec, path, of_template, warnings);
  warn_volumes(spec, own, warnings);
  warn_twice(spec, "hostAliases", "ip", own, warnings);
  warn_pod_addresses(spec, own, warnings);
  warn_twice(spec, "imagePullSecrets", "name", own, warnings);
  const auto secrets = list(spec, "imagePullSecrets");
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    if (!text(secrets[i], "name").empty()) continue;
    add(warnings, own.child("imagePullSecrets").index(i).child("name"), ": invalid empty name \"\"");
  }
  for (const char* resource : {"memory", "ephemeral-storage"}) {
    warn_fraction(part(spec, "overhead"), resource, own.child("overhead"), warnings);
  }
  visit_containers(spec, own, [&](const json::Value& container, const field::Path& at) {
    warn_container_quantities(container, at, warnings);
    warn_env(container, at, warnings);
  });
  warn_ports(spec, own, warnings);
  if (number(spec, "terminationGracePeriodSeconds") < 0) {
    add(warnings, own.child("terminationGracePeriodSeconds"),
        ": must be >= 0; negative values are invalid and will be treated as 1");
  }
}

// ---- by kind

// Where a kind keeps the template of its pods.
struct Holder {
  std::string_view group, resource;
  std::initializer_list<std::string_view> path;
  bool names_pods;  // its own name is part of theirs
};
const Holder kHolders[] = {
    {"apps", "deployments", {"spec", "template"}, true},
    {"apps", "replicasets", {"spec", "template"}, true},
    {"apps", "statefulsets", {"spec", "template"}, false},
    {"apps", "daemonsets", {"spec", "template"}, false},
    {"batch", "jobs", {"spec", "template"}, true},
    {"batch", "cronjobs", {"spec", "jobTemplate", "spec", "template"}, true},
    {"", "replicationcontrollers", {"spec", "template"}, true},
    {"", "podtemplates", {"template"}, false},
};

const Holder* holder_of(const Kind& kind) {
  for (const Holder& holder : kHolders) {
    if (holder.resource == kind.plural && holder.group == kind.group) return &holder;
  }
  return nullptr;
}

void warn_name(const json::Value& object, std::string_view where, Warnings& warnings) {
  const Messages messages = dns1123_label(text(part(object, "metadata"), "name"));
  if (messages.empty()) return;
  warnings.push_back(cat("metadata.name: this is used in ", where,
                         ", which can result in surprising behavior; a DNS label is recommended: [",
                         join(messages, " "), "]"));
}

void warn_template(const Holder& holder, const json::Value& object, Warnings& warnings) {
  const json::Value* pod_template = object.at(holder.path);
  if (pod_template == nullptr || !pod_template->is_object()) return;
  field::Path path;
  for (const std::string_view name : holder.path) path = path.child(name);
  warn_pod(*pod_template, path, true, warnings);
}

bool is_core(const Kind& kind, std::string_view resource) { return kind.group.empty() && kind.plural == resource; }

}  // namespace

std::string_view deprecated_label(std::string_view key) {
  struct Row {
    std::string_view key, message;
  };
  constexpr Row kRows[] = {
      {"beta.kubernetes.io/arch", R"(deprecated since v1.14; use "kubernetes.io/arch" instead)"},
      {"beta.kubernetes.io/os", R"(deprecated since v1.14; use "kubernetes.io/os" instead)"},
      {"failure-domain.beta.kubernetes.io/region",
       R"(deprecated since v1.17; use "topology.kubernetes.io/region" instead)"},
      {"failure-domain.beta.kubernetes.io/zone",
       R"(deprecated since v1.17; use "topology.kubernetes.io/zone" instead)"},
      {"beta.kubernetes.io/instance-type", R"(deprecated since v1.17; use "node.kubernetes.io/instance-type" instead)"},
  };
  for (const Row& row : kRows) {
    if (row.key == key) return row.message;
  }
  return {};
}

void warn_claim_quantities(const json::Value& spec, const field::Path& path, Warnings& warnings) {
  for (const char* kind : {"requests", "limits"}) {
    const json::Value* quantities = get(part(spec, "resources"), kind);
    if (quantities == nullptr) continue;
    warn_fraction(*quantities, "storage", path.child("resources").child(kind), warnings);
  }
}

void warn_create(const Kind& kind, const json::Value& object, Warnings& warnings) {
  if (is_core(kind, "pods")) {
    warn_name(object, "the Pod's hostname", warnings);
    warn_pod(object, field::Path(), false, warnings);
  } else if (const Holder* holder = holder_of(kind)) {
    if (holder->names_pods) warn_name(object, "Pod names and hostnames", warnings);
    warn_template(*holder, object, warnings);
  }
  warn_core(kind, object, nullptr, warnings);
  warn_kind_create(kind, object, warnings);
}

void warn_update(const Kind& kind, const json::Value& object, const json::Value& old, Warnings& warnings) {
  if (const Holder* holder = holder_of(kind)) {
    if (!same(object.at(holder->path), old.at(holder->path))) warn_template(*holder, object, warnings);
  }
  warn_core(kind, object, &old, warnings);
  warn_kind_update(kind, object, old, warnings);
}

}  // namespace kayak::api::validation
