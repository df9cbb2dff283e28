// pod_fields.cc: what this node does with each field of a PodSpec.
#include "agent/runtime/pod_fields.h"

#include <algorithm>

#include "agent/runtime/pod_doc.h"
#include "agent/runtime/pod_files.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

// Probes, lifecycle hooks, streams, devices, tokens and most volumes come with their own work. schedulingGates and the
// like are the scheduler's; tokens and secrets reach a container only through volumes. readinessGates,
// activeDeadlineSeconds, restartPolicy, initContainers and enableServiceLinks are honoured by the pod lifecycle.
constexpr PodFieldsRow kRows[] = {
    {"PodSpec",
     "volumes:Volume initContainers:Container containers:Container restartPolicy terminationGracePeriodSeconds "
     "activeDeadlineSeconds dnsPolicy nodeName hostNetwork hostPID hostIPC shareProcessNamespace "
     "securityContext:PodSecurityContext hostname subdomain hostAliases:HostAlias dnsConfig:PodDNSConfig "
     "readinessGates:PodReadinessGate enableServiceLinks setHostnameAsFQDN os:PodOS hostnameOverride "
     "resources:ResourceRequirements priority imagePullSecrets:LocalObjectReference",
     "nodeSelector serviceAccountName serviceAccount automountServiceAccountToken affinity schedulerName tolerations "
     "priorityClassName preemptionPolicy topologySpreadConstraints schedulingGates schedulingGroup",
     "ephemeralContainers runtimeClassName overhead hostUsers=true resourceClaims"},
    {"Container",
     "name image command args workingDir ports:ContainerPort envFrom:EnvFromSource env:EnvVar "
     "resources:ResourceRequirements volumeMounts:VolumeMount terminationMessagePath terminationMessagePolicy "
     "imagePullPolicy securityContext:SecurityContext",
     "resizePolicy",
     "restartPolicy restartPolicyRules volumeDevices livenessProbe readinessProbe startupProbe lifecycle stdin "
     "stdinOnce "
     "tty"},
    // hostPort of a hostNetwork pod is its containerPort: see is_fine_in_context.
    {"ContainerPort", "name containerPort protocol", "", "hostPort hostIP"},
    {"ResourceRequirements", "limits requests", "", "claims"},
    {"EnvFromSource", "prefix configMapRef:ConfigMapEnvSource secretRef:SecretEnvSource", "", ""},
    {"ConfigMapEnvSource", "name optional", "", ""},
    {"SecretEnvSource", "name optional", "", ""},
    {"EnvVar", "name value valueFrom:EnvVarSource", "", ""},
    {"EnvVarSource",
     "fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector configMapKeyRef:ConfigMapKeySelector "
     "secretKeyRef:SecretKeySelector",
     "", "fileKeyRef"},
    {"ObjectFieldSelector", "fieldPath", "apiVersion", ""},
    {"ResourceFieldSelector", "containerName resource divisor", "", ""},
    {"ConfigMapKeySelector", "name key optional", "", ""},
    {"SecretKeySelector", "name key optional", "", ""},
    {"VolumeMount", "name readOnly mountPath", "",
     "recursiveReadOnly=Disabled subPath subPathExpr mountPropagation=None"},
    {"SecurityContext",
     "capabilities:Capabilities privileged runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem "
     "allowPrivilegeEscalation seccompProfile:SeccompProfile appArmorProfile:AppArmorProfile",
     "windowsOptions", "seLinuxOptions procMount=Default"},
    {"Capabilities", "add drop", "", ""},
    {"SeccompProfile", "", "", "type=RuntimeDefault|Unconfined localhostProfile"},
    {"AppArmorProfile", "", "", "type=Unconfined localhostProfile"},
    {"PodSecurityContext",
     "runAsUser runAsGroup runAsNonRoot supplementalGroups supplementalGroupsPolicy fsGroup sysctls:Sysctl "
     "seccompProfile:SeccompProfile appArmorProfile:AppArmorProfile",
     "windowsOptions fsGroupChangePolicy seLinuxChangePolicy", "seLinuxOptions"},
    {"Sysctl", "name value", "", ""},
    {"HostAlias", "ip hostnames", "", ""},
    {"PodDNSConfig", "nameservers searches options:PodDNSConfigOption", "", ""},
    {"PodDNSConfigOption", "name value", "", ""},
    {"PodOS", "", "", "name=linux"},
    {"PodReadinessGate", "conditionType", "", ""},
    {"LocalObjectReference", "name", "", ""},
    {"Volume", "name hostPath:HostPathVolumeSource emptyDir:EmptyDirVolumeSource", "",
     "gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs persistentVolumeClaim rbd flexVolume "
     "cinder cephfs flocker downwardAPI fc azureFile configMap vsphereVolume quobyte azureDisk photonPersistentDisk "
     "projected portworxVolume scaleIO storageos csi ephemeral image"},
    {"HostPathVolumeSource", "path type", "", ""},
    // The size of a memory volume is kept by the kernel; on disk the limit is what eviction looks at.
    {"EmptyDirVolumeSource", "sizeLimit", "", "medium=Memory"},
};

// Does the space separated `list` hold `field`? What follows its name (":Message", "=a|b") goes to `rest`.
bool in_list(std::string_view list, std::string_view field, std::string_view* rest) {
  for (const std::string_view item : split(list, ' ')) {
    const std::size_t end = std::min(item.find_first_of(":="), item.size());
    if (item.substr(0, end) != field) continue;
    *rest = end < item.size() ? item.substr(end + 1) : std::string_view();
    return true;
  }
  return false;
}

bool is_empty_value(const json::Value& value) {
  switch (value.type()) {
    case json::Type::kNull:
      return true;
    case json::Type::kBool:
      return !value.as_bool();
    case json::Type::kInt:
      return value.as_int() == 0;
    case json::Type::kString:
      return value.as_string().empty();
    case json::Type::kArray:
      return value.as_array().empty();
    case json::Type::kObject:
      return value.as_object().empty();
    case json::Type::kNumber:
      break;
  }
  return false;
}

bool is_allowed_value(const json::Value& value, std::string_view allowed) {
  if (allowed.empty()) return false;
  const std::string text = value.is_bool()  ? cat(value.as_bool())
                           : value.is_int() ? cat(value.as_int())
                                            : std::string(value.string_or());
  const std::vector<std::string_view> fine = split(allowed, '|');
  return std::find(fine.begin(), fine.end(), text) != fine.end();
}

// `false` is the unusual value of hostUsers.
bool asks_for_something(std::string_view field, const json::Value& value, std::string_view allowed) {
  if (field == "hostUsers" && value.is_bool() && !value.as_bool()) return true;
  return !is_empty_value(value) && !is_allowed_value(value, allowed);
}

struct Walk {
  bool host_network = false;
  std::vector<std::string> refused;

  bool is_fine_in_context(std::string_view message, std::string_view field) const {
    return host_network && message == "ContainerPort" && field == "hostPort";
  }

  void visit(std::string_view message, const json::Value& value, const std::string& path) {
    if (value.is_array()) {
      for (std::size_t i = 0; i < value.as_array().size(); ++i)
        visit(message, value.as_array()[i], cat(path, "[", i, "]"));
      return;
    }
    for (const auto& [field, child] : members(&value)) {
      const std::string child_path = cat(path, ".", field);
      const std::optional<PodFieldRule> rule = pod_field_rule(message, field);
      const bool refuse = !rule || rule->treatment == Treatment::kRefused;
      if (refuse) {
        if (is_fine_in_context(message, field)) continue;
        if (asks_for_something(field, child, rule ? rule->allowed : std::string_view())) refused.push_back(child_path);
      } else if (!rule->child.empty()) {
        visit(rule->child, child, child_path);
      }
    }
  }
};

constexpr std::string_view kSafeSysctls[] = {"kernel.shm_rmid_forced",
                                             "net.ipv4.ip_local_port_range",
                                             "net.ipv4.tcp_syncookies",
                                             "net.ipv4.ping_group_range",
                                             "net.ipv4.ip_unprivileged_port_start",
                                             "net.ipv4.ip_local_reserved_ports",
                                             "net.ipv4.tcp_keepalive_time",
                                             "net.ipv4.tcp_fin_timeout",
                                             "net.ipv4.tcp_keepalive_intvl",
                                             "net.ipv4.tcp_keepalive_probes",
                                             "net.ipv4.tcp_rmem",
                                             "net.ipv4.tcp_wmem"};

enum class SysctlScope { kNone, kIpc, kNet };

// Only what has a namespace of its own can be a pod's.
SysctlScope sysctl_scope(std::string_view name) {
  const auto starts = [&](std::string_view prefix) { return name.substr(0, prefix.size()) == prefix; };
  if (starts("net.")) return SysctlScope::kNet;
  if (starts("kernel.shm") || starts("kernel.msg") || name == "kernel.sem" || starts("fs.mqueue."))
    return SysctlScope::kIpc;
  return SysctlScope::kNone;
}

bool is_sysctl_name(std::string_view name) {
  if (name.empty() || name.size() > 253 || name.find("..") != std::string_view::npos) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

bool is_sysctl_value(std::string_view value) {
  return value.size() <= 512 && std::all_of(value.begin(), value.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ' || c == '\t' ||
                  c == '-' || c == ',' || c == '.' || c == ':' || c == '_';
         });
}

Refusal refusal(std::string reason, std::string message) {
  Refusal out;
  out.reason = std::move(reason);
  out.message = std::move(message);
  return out;
}

}  // namespace

std::span<const PodFieldsRow> pod_fields() { return kRows; }

std::optional<PodFieldRule> pod_field_rule(std::string_view message, std::string_view field) {
  for (const PodFieldsRow& row : kRows) {
    if (row.message != message) continue;
    PodFieldRule rule;
    if (in_list(row.honoured, field, &rule.child)) {
      rule.treatment = Treatment::kHonoured;
      return rule;
    }
    std::string_view unused;
    if (in_list(row.harmless, field, &unused)) {
      rule.treatment = Treatment::kHarmless;
      return rule;
    }
    if (in_list(row.refused, field, &rule.allowed)) return rule;
  }
  return std::nullopt;
}

std::vector<std::string> refused_fields(const json::Value& pod) {
  Walk walk;
  walk.host_network = host_network(pod);
  if (const json::Value* spec = pod.find("spec")) walk.visit("PodSpec", *spec, "spec");
  return std::move(walk.refused);
}

bool is_safe_sysctl(std::string_view name) {
  return std::find(std::begin(kSafeSysctls), std::end(kSafeSysctls), name) != std::end(kSafeSysctls);
}

std::optional<Refusal> check_sysctls(const json::Value& pod, const std::vector<std::string>& allowed_unsafe) {
  for (const json::Value& sysctl : items(pod.at({"spec", "securityContext", "sysctls"}))) {
    const std::string written(text_at(sysctl, {"name"}));
    std::string name = written;
    std::replace(name.begin(), name.end(), '/', '.');
    const SysctlScope scope = sysctl_scope(name);
    const bool allowed =
        is_safe_sysctl(name) || std::any_of(allowed_unsafe.begin(), allowed_unsafe.end(), [&](const std::string& rule) {
          return rule == name || (!rule.empty() && rule.back() == '*' &&
                                  name.compare(0, rule.size() - 1, rule, 0, rule.size() - 1) == 0);
        });
    if (!is_sysctl_name(name) || scope == SysctlScope::kNone || !allowed) {
      return refusal("SysctlForbidden", cat("forbidden sysctl: ", quote(written), " not allowlisted"));
    }
    if (!is_sysctl_value(text_at(sysctl, {"value"}))) {
      return refusal("SysctlForbidden",
                     cat("forbidden sysctl: ", quote(written), " has a value that is not acceptable"));
    }
    if (scope == SysctlScope::kNet && host_network(pod)) {
      return refusal("SysctlForbidden",
                     cat("forbidden sysctl: ", quote(written), " not allowed with host net enabled"));
    }
    if (scope == SysctlScope::kIpc && bool_at(pod, {"spec", "hostIPC"})) {
      return refusal("SysctlForbidden",
                     cat("forbidden sysctl: ", quote(written), " not allowed with host ipc enabled"));
    }
  }
  return std::nullopt;
}

std::optional<Refusal> check_pod_fields(const json::Value& pod, const RuntimeOptions& options) {
  constexpr std::string_view kReason = "CreateContainerConfigError";
  // These become parts of paths and cgroup names. The API server lets nothing else through.
  for (const std::string_view name : {pod_uid(pod), pod_namespace(pod), pod_name(pod)}) {
    if (!is_path_segment(name))
      return refusal(std::string(kReason), cat("the pod's ", quote(name), " is not a valid name"));
  }
  for (const std::string_view list : {"containers", "initContainers"}) {
    for (const json::Value& container : items(pod.at({"spec", list}))) {
      const std::string_view name = text_at(container, {"name"});
      if (!is_path_segment(name))
        return refusal(std::string(kReason), cat("container name ", quote(name), " is not valid"));
    }
  }
  if (const std::vector<std::string> fields = refused_fields(pod); !fields.empty()) {
    return refusal(std::string(kReason), cat("this version of kayak does not support ", join(fields, ", "), " yet"));
  }
  if (std::optional<Refusal> sysctls = check_sysctls(pod, options.allowed_unsafe_sysctls)) return sysctls;
  const PodHostname name = pod_hostname(pod, options.cluster_domain);
  if (bool_at(pod, {"spec", "setHostnameAsFQDN"}) && !name.domain.empty() && name.hostname == name.short_name) {
    const std::string full = cat(name.short_name, ".", name.domain);
    return refusal(std::string(kReason),
                   cat("Failed to construct FQDN from Pod hostname and cluster domain, FQDN ", full,
                       " is too long (64 characters is the max, ", full.size(), " characters requested)"));
  }
  return std::nullopt;
}

}  // namespace kayak::agent
