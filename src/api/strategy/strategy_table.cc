// strategy_table.cc: the rows of every stored kind and of the subresources that are views of the object itself.
// Source: shared fact table strategy.tsv.
#include <algorithm>
#include <array>

#include "api/document.h"
#include "api/strategy/strategy.h"

namespace kayak::api {

namespace {

constexpr std::array<std::string_view, 1> kResetStatus = {"status"};
constexpr std::array<std::string_view, 1> kResetSpec = {"spec"};
constexpr std::array<std::string_view, 2> kResetSpecAndStatus = {"spec", "status"};
constexpr std::array<std::string_view, 2> kResetSpecAndMetadata = {"spec", "metadata"};
constexpr std::array<std::string_view, 2> kResetSpecAndLabels = {"spec", "metadata.labels"};
constexpr std::array<std::string_view, 3> kResetPodStatus = {"spec", "metadata.deletionTimestamp",
                                                             "metadata.ownerReferences"};
constexpr std::array<std::string_view, 2> kResetCsrStatus = {"spec", "status.conditions"};

constexpr std::array<std::string_view, 1> kKeepSpec = {"spec"};
constexpr std::array<std::string_view, 1> kKeepStatus = {"status"};
constexpr std::array<std::string_view, 2> kKeepSpecAndLabels = {"spec", "metadata.labels"};
constexpr std::array<std::string_view, 2> kKeepSpecAndOwners = {"spec", "metadata.ownerReferences"};
constexpr std::array<std::string_view, 5> kKeepApiServiceStatus = {"spec", "metadata.labels", "metadata.annotations",
                                                                   "metadata.finalizers", "metadata.ownerReferences"};

constexpr std::string_view kAdmissionGroup = "admissionregistration.k8s.io";
constexpr std::string_view kNotRun =
    "this server accepts the object but does not run admission webhooks or policies yet: it has no effect";
constexpr std::string_view kNoRbac =
    "this server accepts the object but does not enforce RBAC yet: access is decided by group membership alone";
constexpr std::string_view kNoPolicy =
    "this server accepts the object but does not enforce network policies yet: traffic is not restricted";
constexpr std::string_view kNoQuota =
    "this server accepts the object but does not enforce quotas and limit ranges yet: usage is not restricted";
constexpr std::string_view kNoController =
    "this server accepts the object but runs no controller for it yet: nothing will act on it";
constexpr std::string_view kNoRouting =
    "this server accepts the object and assigns its addresses but does not route traffic to services yet";

// A short way to a row; the members follow one another in the table's columns.
constexpr Strategy row(std::string_view group, std::string_view resource) {
  Strategy strategy;
  strategy.group = group;
  strategy.resource = resource;
  return strategy;
}
constexpr Strategy with_status(Strategy strategy) {
  strategy.has_status = true;
  strategy.reset_fields = kResetStatus;
  return strategy;
}
constexpr Strategy counts(Strategy strategy, Generation rule, bool starts = true) {
  strategy.generation = rule;
  strategy.starts_generation = starts;
  return strategy;
}
constexpr Strategy put_creates(Strategy strategy) {
  strategy.create_on_put = true;
  return strategy;
}
constexpr Strategy needs_revision(Strategy strategy) {
  strategy.put_needs_revision = true;
  return strategy;
}
constexpr Strategy answers_object(Strategy strategy) {
  strategy.delete_answer = DeleteAnswer::kObject;
  return strategy;
}
constexpr Strategy prepared(Strategy strategy, PrepareCreate create, PrepareUpdate update = nullptr) {
  strategy.prepare_create = create;
  strategy.prepare_update = update;
  return strategy;
}
constexpr Strategy collected(Strategy strategy, GarbageCollection rule) {
  strategy.garbage_collection = rule;
  return strategy;
}
constexpr Strategy unenforced(Strategy strategy, std::string_view warning) {
  strategy.not_enforced = warning;
  return strategy;
}
// A node agent registers with its status.
constexpr Strategy nodes() {
  Strategy strategy = with_status(row("", "nodes"));
  strategy.status_at_creation = true;
  return strategy;
}
constexpr Strategy pods() {
  Strategy strategy =
      prepared(counts(with_status(answers_object(row("", "pods"))), Generation::kSpec), prepare_pod_create);
  strategy.graceful = true;
  return strategy;
}
constexpr Strategy services() {
  Strategy strategy =
      prepared(put_creates(with_status(answers_object(row("", "services")))), nullptr, prepare_service_update);
  strategy.reserve = reserve_service;
  strategy.claimed_keys = service_keys;
  strategy.claim_text = service_key_text;
  strategy.not_enforced = kNoRouting;
  return strategy;
}
constexpr Strategy certificate_requests() {
  Strategy strategy = prepared(with_status(row("certificates.k8s.io", "certificatesigningrequests")),
                               prepare_csr_create, prepare_csr_update);
  strategy.reset_fields = kResetSpecAndStatus;
  return strategy;
}

constexpr auto kSpec = Generation::kSpec;

constexpr std::array kStrategies = {
    row("", "configmaps"),
    put_creates(row("", "endpoints")),
    collected(put_creates(row("", "events")), GarbageCollection::kUnsupported),
    unenforced(prepared(put_creates(row("", "limitranges")), prepare_limit_range_create), kNoQuota),
    prepared(with_status(answers_object(row("", "namespaces"))), prepare_namespace_create, prepare_namespace_update),
    nodes(),
    unenforced(prepared(with_status(answers_object(row("", "persistentvolumeclaims"))), prepare_claim_create,
                        prepare_claim_update),
               kNoController),
    prepared(with_status(answers_object(row("", "persistentvolumes"))), prepare_volume_create),
    pods(),
    counts(answers_object(row("", "podtemplates")), Generation::kTemplate),
    unenforced(collected(counts(with_status(row("", "replicationcontrollers")), kSpec), GarbageCollection::kOrphan),
               kNoController),
    unenforced(with_status(answers_object(row("", "resourcequotas"))), kNoQuota),
    prepared(row("", "secrets"), nullptr, prepare_secret_update),
    prepared(answers_object(row("", "serviceaccounts")), prepare_service_account_create,
             prepare_service_account_update),
    services(),
    unenforced(needs_revision(counts(row(kAdmissionGroup, "mutatingwebhookconfigurations"), Generation::kWebhooks)),
               kNotRun),
    unenforced(needs_revision(counts(row(kAdmissionGroup, "validatingwebhookconfigurations"), Generation::kWebhooks)),
               kNotRun),
    unenforced(needs_revision(counts(row(kAdmissionGroup, "mutatingadmissionpolicies"), kSpec)), kNotRun),
    unenforced(needs_revision(counts(with_status(row(kAdmissionGroup, "validatingadmissionpolicies")), kSpec)),
               kNotRun),
    unenforced(needs_revision(counts(row(kAdmissionGroup, "mutatingadmissionpolicybindings"), kSpec)), kNotRun),
    unenforced(needs_revision(counts(row(kAdmissionGroup, "validatingadmissionpolicybindings"), kSpec)), kNotRun),
    unenforced(
        prepared(needs_revision(counts(
                     with_status(answers_object(row("apiextensions.k8s.io", "customresourcedefinitions"))), kSpec)),
                 prepare_crd_create, prepare_crd_update),
        "this server accepts the object but does not serve custom resources yet"),
    prepared(needs_revision(with_status(row("apiregistration.k8s.io", "apiservices"))), prepare_api_service_create),
    row("apps", "controllerrevisions"),
    unenforced(prepared(counts(with_status(row("apps", "daemonsets")), kSpec), prepare_daemon_set_create,
                        prepare_daemon_set_update),
               kNoController),
    counts(with_status(row("apps", "deployments")), Generation::kSpecOrAnnotations),
    counts(with_status(row("apps", "replicasets")), kSpec),
    unenforced(prepared(counts(with_status(row("apps", "statefulsets")), kSpec), prepare_stateful_set_create),
               kNoController),
    unenforced(with_status(row("autoscaling", "horizontalpodautoscalers")), kNoController),
    unenforced(counts(with_status(row("batch", "cronjobs")), kSpec), kNoController),
    unenforced(collected(prepared(counts(with_status(row("batch", "jobs")), kSpec), prepare_job_create),
                         GarbageCollection::kOrphan),
               kNoController),
    certificate_requests(),
    needs_revision(put_creates(row("coordination.k8s.io", "leases"))),
    prepared(counts(row("discovery.k8s.io", "endpointslices"), Generation::kContentOrLabels),
             prepare_endpoint_slice_create, prepare_endpoint_slice_update),
    collected(put_creates(row("events.k8s.io", "events")), GarbageCollection::kUnsupported),
    counts(with_status(row("flowcontrol.apiserver.k8s.io", "flowschemas")), kSpec),
    counts(with_status(row("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations")), kSpec),
    counts(row("networking.k8s.io", "ingressclasses"), kSpec),
    unenforced(counts(with_status(row("networking.k8s.io", "ingresses")), kSpec), kNoController),
    row("networking.k8s.io", "ipaddresses"),
    unenforced(counts(row("networking.k8s.io", "networkpolicies"), kSpec), kNoPolicy),
    with_status(row("networking.k8s.io", "servicecidrs")),
    needs_revision(put_creates(row("node.k8s.io", "runtimeclasses"))),
    unenforced(needs_revision(counts(with_status(row("policy", "poddisruptionbudgets")), kSpec)), kNoController),
    unenforced(put_creates(row("rbac.authorization.k8s.io", "clusterroles")), kNoRbac),
    unenforced(put_creates(row("rbac.authorization.k8s.io", "clusterrolebindings")), kNoRbac),
    unenforced(put_creates(row("rbac.authorization.k8s.io", "roles")), kNoRbac),
    unenforced(put_creates(row("rbac.authorization.k8s.io", "rolebindings")), kNoRbac),
    counts(answers_object(row("resource.k8s.io", "deviceclasses")), kSpec),
    with_status(answers_object(row("resource.k8s.io", "resourceclaims"))),
    answers_object(row("resource.k8s.io", "resourceclaimtemplates")),
    counts(answers_object(row("resource.k8s.io", "resourceslices")), kSpec),
    counts(row("scheduling.k8s.io", "priorityclasses"), Generation::kNone),
    needs_revision(counts(answers_object(row("storage.k8s.io", "csidrivers")), kSpec, false)),
    needs_revision(answers_object(row("storage.k8s.io", "csinodes"))),
    needs_revision(row("storage.k8s.io", "csistoragecapacities")),
    answers_object(row("storage.k8s.io", "storageclasses")),
    needs_revision(with_status(answers_object(row("storage.k8s.io", "volumeattachments")))),
    answers_object(row("storage.k8s.io", "volumeattributesclasses")),
};

constexpr SubresourceStrategy view(std::string_view group, std::string_view resource, std::string_view subresource,
                                   std::span<const std::string_view> kept, std::span<const std::string_view> reset,
                                   PrepareUpdate prepare = nullptr) {
  SubresourceStrategy strategy;
  strategy.group = group;
  strategy.resource = resource;
  strategy.subresource = subresource;
  strategy.kept = kept;
  strategy.reset_fields = reset;
  strategy.prepare_update = prepare;
  return strategy;
}
constexpr SubresourceStrategy status(std::string_view group, std::string_view resource,
                                     PrepareUpdate prepare = nullptr) {
  return view(group, resource, "status", kKeepSpec, kResetSpec, prepare);
}
constexpr SubresourceStrategy only_status(std::string_view group, std::string_view resource) {
  SubresourceStrategy strategy = view(group, resource, "status", kKeepSpec, kResetSpecAndMetadata);
  strategy.keeps_metadata = true;
  return strategy;
}
constexpr SubresourceStrategy needs_revision(SubresourceStrategy strategy) {
  strategy.put_needs_revision = true;
  return strategy;
}

constexpr std::array kSubresources = {
    status("", "namespaces"),
    view("", "namespaces", "finalize", kKeepStatus, kResetStatus, prepare_namespace_finalize),
    status("", "nodes"),
    status("", "persistentvolumeclaims"),
    status("", "persistentvolumes", prepare_volume_status),
    view("", "pods", "status", kKeepSpecAndOwners, kResetPodStatus, prepare_pod_status),
    status("", "replicationcontrollers"),
    status("", "resourcequotas"),
    status("", "services"),
    needs_revision(only_status(kAdmissionGroup, "validatingadmissionpolicies")),
    needs_revision(status("apiextensions.k8s.io", "customresourcedefinitions")),
    needs_revision(
        view("apiregistration.k8s.io", "apiservices", "status", kKeepApiServiceStatus, kResetSpecAndMetadata)),
    status("apps", "daemonsets"),
    view("apps", "deployments", "status", kKeepSpecAndLabels, kResetSpecAndLabels),
    status("apps", "replicasets"),
    status("apps", "statefulsets"),
    status("autoscaling", "horizontalpodautoscalers"),
    status("batch", "cronjobs"),
    status("batch", "jobs"),
    view("certificates.k8s.io", "certificatesigningrequests", "status", kKeepSpec, kResetCsrStatus, prepare_csr_status),
    only_status("flowcontrol.apiserver.k8s.io", "flowschemas"),
    only_status("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    status("networking.k8s.io", "ingresses"),
    only_status("networking.k8s.io", "servicecidrs"),
    needs_revision(status("policy", "poddisruptionbudgets")),
    only_status("resource.k8s.io", "resourceclaims"),
    needs_revision(only_status("storage.k8s.io", "volumeattachments")),
};

constexpr Strategy kDefault = row("", "");

}  // namespace

const Strategy& strategy_of(const Kind& kind) {
  for (const Strategy& strategy : kStrategies) {
    if (strategy.resource == kind.plural && strategy.group == kind.group) return strategy;
  }
  return kDefault;
}

const SubresourceStrategy* subresource_strategy_of(const Kind& kind, std::string_view subresource) {
  for (const SubresourceStrategy& strategy : kSubresources) {
    if (strategy.resource == kind.plural && strategy.group == kind.group && strategy.subresource == subresource) {
      return &strategy;
    }
  }
  return nullptr;
}

bool generation_changed(Generation rule, const json::Value& object, const json::Value& old) {
  auto content_changed = [&] {
    for (const json::Value* side : {&object, &old}) {
      for (const auto& [key, value] : side->as_object()) {
        if (key != "metadata" && !same_member(object, old, key)) return true;
      }
    }
    return false;
  };
  auto meta_changed = [&](std::string_view name) {
    const json::Value* now = meta_find(object, name);
    const json::Value* before = meta_find(old, name);
    if (now == nullptr || before == nullptr) return now != before;
    return !(*now == *before);
  };
  switch (rule) {
    case Generation::kNone:
      return false;
    case Generation::kSpec:
      return !same_member(object, old, "spec");
    case Generation::kSpecOrAnnotations:
      return !same_member(object, old, "spec") || meta_changed("annotations");
    case Generation::kTemplate:
      return !same_member(object, old, "template");
    case Generation::kWebhooks:
      return !same_member(object, old, "webhooks");
    case Generation::kContent:
      return content_changed();
    case Generation::kContentOrLabels:
      return content_changed() || meta_changed("labels");
  }
  return false;
}

}  // namespace kayak::api
