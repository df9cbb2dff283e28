// core_warnings.cc: what is accepted but unwise in the core group, but for pods and templates of pods.
// Source: kubernetes pkg/api/service/warnings.go, pkg/api/persistentvolume/util.go and the kinds' strategies (v1.36).
#include "api/validation/checked.h"
#include "api/validation/read.h"
#include "api/validation/warnings.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

using Warnings = std::vector<std::string>;

bool has_annotation(const json::Value& object, std::string_view name) {
  return object.at({"metadata", "annotations", name}) != nullptr;
}

void warn_ips(const Checked& list, Warnings& warnings) {
  each_item(list, [&](const Checked& ip) { warn_ip(ip, warnings); });
}

void warn_headless(const json::Value& spec, Warnings& warnings) {
  if (!text(spec, "loadBalancerIP").empty()) {
    warnings.push_back("spec.loadBalancerIP is ignored for headless services");
  }
  if (!list(spec, "externalIPs").empty()) warnings.push_back("spec.externalIPs is ignored for headless services");
  if (text(spec, "sessionAffinity") != "None") {
    warnings.push_back("spec.SessionAffinity is ignored for headless services");
  }
}

void warn_service(const json::Value& object, const Checked& root, Warnings& warnings) {
  constexpr std::string_view kHints = "service.kubernetes.io/topology-aware-hints";
  if (has_annotation(object, kHints)) {
    warnings.push_back(
        cat("annotation ", kHints, " is deprecated, please use service.kubernetes.io/topology-mode instead"));
  }
  const json::Value& values = part(object, "spec");
  const Checked spec = root["spec"];
  const std::string_view type = text(values, "type"), address = text(values, "clusterIP");
  const bool external = type == "ExternalName", headless = type == "ClusterIP" && address == "None";
  const bool external_ips = !list(values, "externalIPs").empty();
  if (!address.empty() && address != "None") warn_ips(spec["clusterIPs"], warnings);
  if (headless) warn_headless(values, warnings);
  warn_ips(spec["externalIPs"], warnings);
  if (external_ips && !headless && !external) {
    warnings.push_back("spec.externalIPs is deprecated and may no longer be implemented in some clusters");
  }
  warn_ip(spec["loadBalancerIP"], warnings);
  each_item(spec["loadBalancerSourceRanges"], [&](const Checked& range) { warn_cidr(range, warnings); });
  if (external && external_ips) {
    warnings.push_back("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
  }
  if (!external && !text(values, "externalName").empty()) {
    warnings.push_back("spec.externalName is ignored when spec.type is not \"ExternalName\"");
  }
  if (text(values, "trafficDistribution") == "PreferClose") {
    warnings.push_back("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
  }
}

void warn_addresses(const json::Value& object, const Checked& root, Warnings& warnings) {
  if (object.at({"metadata", "labels", "endpoints.kubernetes.io/managed-by"}) != nullptr) return;
  each_item(root["subsets"], [&](const Checked& subset) {
    for (const char* name : {"addresses", "notReadyAddresses"}) {
      each_item(subset[name], [&](const Checked& address) { warn_ip(address["ip"], warnings); });
    }
  });
}

void warn_class_annotation(const json::Value& object, Warnings& warnings) {
  constexpr std::string_view kClass = "volume.beta.kubernetes.io/storage-class";
  if (!has_annotation(object, kClass)) return;
  warnings.push_back(
      cat("metadata.annotations[", kClass, "]: deprecated since v1.8; use \"storageClassName\" attribute instead"));
}

void warn_volume(const json::Value& object, const Checked& root, Warnings& warnings) {
  warn_class_annotation(object, warnings);
  constexpr std::string_view kOptions = "volume.beta.kubernetes.io/mount-options";
  if (has_annotation(object, kOptions)) {
    warnings.push_back(
        cat("metadata.annotations[", kOptions, "]: deprecated since v1.31; use \"mountOptions\" attribute instead"));
  }
  const json::Value& values = part(object, "spec");
  if (text(values, "persistentVolumeReclaimPolicy") == "Recycle") {
    warnings.push_back(
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
        "approach is to use dynamic provisioning.");
  }
  const Checked spec = root["spec"];
  const Checked affinity = spec["nodeAffinity"];
  const Checked required = affinity["required"];
  each_item(required["nodeSelectorTerms"], [&](const Checked& term) { warn_node_selector(term, warnings); });
  struct Source {
    std::string_view name, what;
  };
  for (const Source& source : {Source{"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
                               Source{"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
                               Source{"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
                               Source{"storageos", "deprecated in v1.22, non-functional in v1.25+"},
                               Source{"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
                               Source{"rbd", "deprecated in v1.28, non-functional in v1.31+"}}) {
    if (get(values, source.name) == nullptr) continue;
    const std::string_view shown = source.name == "storageos" ? std::string_view("storageOS") : source.name;
    warnings.push_back(cat("spec.", shown, ": ", source.what));
  }
}

void warn_node(const json::Value& object, const Checked& root, Warnings& warnings) {
  const json::Value& values = part(object, "spec");
  if (get(values, "configSource") != nullptr) warnings.push_back("spec.configSource: the feature is removed");
  if (!text(values, "externalID").empty()) {
    warnings.push_back("spec.externalID: this field is deprecated, and is unused by Kubernetes");
  }
  const Checked spec = root["spec"];
  each_item(spec["podCIDRs"], [&](const Checked& range) { warn_cidr(range, warnings); });
}

// More requested than may be used.
void warn_quota(const json::Value& object, Warnings& warnings) {
  const json::Value& hard = part(part(object, "spec"), "hard");
  for (const std::string_view resource : {"cpu", "memory", "storage", "ephemeral-storage"}) {
    std::string requests = cat("requests.", resource);
    const std::string limits = cat("limits.", resource);
    if (hard.find(requests) == nullptr && (resource == "cpu" || resource == "memory")) requests = resource;
    const std::string_view requested = text(hard, requests), limit = text(hard, limits);
    const auto most = Quantity::parse(requested), least = Quantity::parse(limit);
    if (!most || !least || *most <= *least) continue;
    warnings.push_back(
        cat("ResourceQuota ", requests, " (", requested, ") should be less than ", limits, " (", limit, ")"));
  }
}

}  // namespace

void warn_core(const Kind& kind, const json::Value& object, const json::Value* old, Warnings& warnings) {
  if (!kind.group.empty()) return;
  field::ErrorList unused;
  const Checked root(object, unused);
  if (kind.plural == "services") return warn_service(object, root, warnings);
  if (kind.plural == "endpoints") return warn_addresses(object, root, warnings);
  if (kind.plural == "persistentvolumes") return warn_volume(object, root, warnings);
  if (kind.plural == "persistentvolumeclaims") {
    warn_class_annotation(object, warnings);
    return warn_claim_quantities(part(object, "spec"), field::Path("spec"), warnings);
  }
  if (kind.plural == "nodes") return warn_node(object, root, warnings);
  if (kind.plural == "resourcequotas" && old == nullptr) return warn_quota(object, warnings);
  constexpr std::string_view kMountable = "kubernetes.io/enforce-mountable-secrets";
  const bool said = old != nullptr && has_annotation(*old, kMountable);
  if (kind.plural == "serviceaccounts" && has_annotation(object, kMountable) && !said) {
    warnings.push_back(cat("metadata.annotations[", kMountable,
                           "]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"));
  }
}

}  // namespace kayak::api::validation
