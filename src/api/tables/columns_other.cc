// columns_other.cc: columns of networking, discovery, access, storage, admission, flow control and the API's own kinds.
#include <set>

#include "api/selector.h"
#include "api/tables/cells.h"
#include "base/strings.h"

namespace kayak::api::cells {

namespace {

// ---- networking

json::Value ingress_hosts(const CellInput& in) {
  std::vector<std::string> hosts;
  for (const json::Value& rule : list_at(in.object, "spec.rules")) {
    if (const std::string host = text_at(rule, "host"); !host.empty()) hosts.push_back(host);
  }
  return hosts.empty() ? std::string("*") : more(hosts, 3);
}
json::Value ingress_address(const CellInput& in) {
  std::set<std::string> addresses;
  for (const json::Value& entry : list_at(in.object, "status.loadBalancer.ingress")) {
    const std::string address = text_at(entry, "ip", text_at(entry, "hostname"));
    if (!address.empty()) addresses.insert(address);
  }
  return join(std::vector<std::string>(addresses.begin(), addresses.end()), ",");
}
json::Value ingress_ports(const CellInput& in) { return list_at(in.object, "spec.tls").empty() ? "80" : "80, 443"; }
json::Value ingress_parameters(const CellInput& in) {
  const json::Value* parameters = at(in.object, "spec.parameters");
  if (!parameters) return "<none>";
  const std::string group = text_at(*parameters, "apiGroup");
  return cat(text_at(*parameters, "kind"), group.empty() ? "" : ".", group, "/", text_at(*parameters, "name"));
}
json::Value address_parent(const CellInput& in) {
  const json::Value* parent = at(in.object, "spec.parentRef");
  if (!parent) return "<none>";
  const std::string group = text_at(*parent, "group"), ns = text_at(*parent, "namespace");
  return cat(to_lower(text_at(*parent, "resource")), group.empty() ? "" : ".", to_lower(group), ns.empty() ? "" : "/",
             ns, "/", text_at(*parent, "name"));
}
json::Value slice_ports(const CellInput& in) {
  std::vector<std::string> ports;
  for (const json::Value& port : list_at(in.object, "ports")) {
    ports.push_back(at(port, "port") ? text_at(port, "port") : text_at(port, "name", "*"));
  }
  return ports.empty() ? std::string("<unset>") : more(ports, 3);
}
json::Value slice_endpoints(const CellInput& in) {
  std::vector<std::string> addresses;
  for (const json::Value& endpoint : list_at(in.object, "endpoints")) {
    for (const json::Value& address : list_at(endpoint, "addresses")) addresses.emplace_back(address.string_or());
  }
  return addresses.empty() ? std::string("<unset>") : more(addresses, 3);
}

constexpr TableColumn kIngress[] = {
    kName,
    {.name = "Class", .cell = text, .path = "spec.ingressClassName", .fallback = "<none>"},
    {.name = "Hosts", .cell = ingress_hosts},
    {.name = "Address", .cell = ingress_address},
    {.name = "Ports", .cell = ingress_ports},
    kAge,
};
constexpr TableColumn kIngressClass[] = {kName,
                                         {.name = "Controller", .cell = text, .path = "spec.controller"},
                                         {.name = "Parameters", .cell = ingress_parameters},
                                         kAge};
constexpr TableColumn kNetworkPolicy[] = {
    kName, {.name = "Pod-Selector", .cell = selector, .path = "spec.podSelector"}, kAge};
constexpr TableColumn kIPAddress[] = {kName, {.name = "ParentRef", .cell = address_parent}};
constexpr TableColumn kServiceCIDR[] = {kName, {.name = "CIDRs", .cell = joined, .path = "spec.cidrs"}, kAge};
constexpr TableColumn kEndpointSlice[] = {
    kName,
    {.name = "AddressType", .cell = text, .path = "addressType"},
    {.name = "Ports", .cell = slice_ports},
    {.name = "Endpoints", .cell = slice_endpoints},
    kAge,
};

// ---- access

json::Value role_ref(const CellInput& in) {
  return cat(text_at(in.object, "roleRef.kind"), "/", text_at(in.object, "roleRef.name"));
}
json::Value subjects(const CellInput& in) {
  std::vector<std::string> names;
  for (const json::Value& subject : list_at(in.object, "subjects")) {
    if (text_at(subject, "kind") != in.path) continue;
    const std::string name = text_at(subject, "name");
    names.push_back(in.path == "ServiceAccount" ? cat(text_at(subject, "namespace"), "/", name) : name);
  }
  return join(names, ", ");
}
json::Value request_duration(const CellInput& in) {
  const json::Value* seconds = at(in.object, "spec.expirationSeconds");
  return seconds ? human_duration(std::chrono::seconds(seconds->int_or(0))) : "<none>";
}
json::Value request_condition(const CellInput& in) {
  auto has = [&](std::string_view type) { return find_condition(in.object, type) != nullptr; };
  std::string out = has("Denied") ? "Denied" : has("Approved") ? "Approved" : "Pending";
  if (has("Failed")) out += ",Failed";
  if (!text_at(in.object, "status.certificate").empty()) out += ",Issued";
  return out;
}

constexpr TableColumn kRoleBinding[] = {
    kName,
    {.name = "Role", .cell = role_ref},
    kAge,
    {.name = "Users", .priority = 1, .cell = subjects, .path = "User"},
    {.name = "Groups", .priority = 1, .cell = subjects, .path = "Group"},
    {.name = "ServiceAccounts", .priority = 1, .cell = subjects, .path = "ServiceAccount"},
};
constexpr TableColumn kCertificateSigningRequest[] = {
    kName,
    kAge,
    {.name = "SignerName", .cell = text, .path = "spec.signerName", .fallback = "<none>"},
    {.name = "Requestor", .cell = text, .path = "spec.username"},
    {.name = "RequestedDuration", .cell = request_duration},
    {.name = "Condition", .cell = request_condition},
};
constexpr TableColumn kLease[] = {kName, {.name = "Holder", .cell = text, .path = "spec.holderIdentity"}, kAge};

// ---- storage

json::Value class_name(const CellInput& in) {
  std::string name = text_at(in.object, "metadata.name");
  const json::Object& annotations = object_at(in.object, "metadata.annotations");
  for (std::string_view key : split(in.path, ',')) {
    const json::Value* value = annotations.find(key);
    if (value && value->string_or() == "true") return name + " (default)";
  }
  return name;
}
json::Value token_requests(const CellInput& in) {
  if (!at(in.object, "spec.tokenRequests")) return "<unset>";
  std::vector<std::string> audiences;
  for (const json::Value& request : list_at(in.object, "spec.tokenRequests"))
    audiences.push_back(text_at(request, "audience"));
  return join(audiences, ",");
}

constexpr TableColumn kStorageClass[] = {
    {.name = "Name",
     .format = "name",
     .cell = class_name,
     .path = "storageclass.kubernetes.io/is-default-class,storageclass.beta.kubernetes.io/is-default-class"},
    {.name = "Provisioner", .cell = text, .path = "provisioner"},
    {.name = "ReclaimPolicy", .cell = text, .path = "reclaimPolicy", .fallback = "Delete"},
    {.name = "VolumeBindingMode", .cell = text, .path = "volumeBindingMode", .fallback = "Immediate"},
    {.name = "AllowVolumeExpansion", .cell = boolean, .path = "allowVolumeExpansion", .fallback = "false"},
    kAge,
};
constexpr TableColumn kVolumeAttributesClass[] = {
    {.name = "Name", .format = "name", .cell = class_name, .path = "storageclass.kubernetes.io/is-default-class"},
    {.name = "DriverName", .cell = text, .path = "driverName"},
    kAge,
};
constexpr TableColumn kVolumeAttachment[] = {
    kName,
    {.name = "Attacher", .format = "name", .cell = text, .path = "spec.attacher"},
    {.name = "PV", .cell = text, .path = "spec.source.persistentVolumeName"},
    {.name = "Node", .cell = text, .path = "spec.nodeName"},
    {.name = "Attached", .type = "boolean", .cell = boolean, .path = "status.attached"},
    kAge,
};
constexpr TableColumn kCSINode[] = {
    kName, {.name = "Drivers", .type = "integer", .cell = count, .path = "spec.drivers"}, kAge};
constexpr TableColumn kCSIDriver[] = {
    kName,
    {.name = "AttachRequired", .type = "boolean", .cell = boolean, .path = "spec.attachRequired", .fallback = "true"},
    {.name = "PodInfoOnMount", .type = "boolean", .cell = boolean, .path = "spec.podInfoOnMount"},
    {.name = "StorageCapacity", .type = "boolean", .cell = boolean, .path = "spec.storageCapacity"},
    {.name = "TokenRequests", .cell = token_requests},
    {.name = "RequiresRepublish", .type = "boolean", .cell = boolean, .path = "spec.requiresRepublish"},
    {.name = "Modes", .cell = joined, .path = "spec.volumeLifecycleModes", .fallback = "<none>"},
    kAge,
};
constexpr TableColumn kCSIStorageCapacity[] = {
    kName,
    {.name = "StorageClassName", .cell = text, .path = "storageClassName"},
    {.name = "Capacity", .cell = text, .path = "capacity", .fallback = "<unset>"},
};

// ---- admission

json::Value param_kind(const CellInput& in) {
  const json::Value* kind = at(in.object, "spec.paramKind");
  return kind ? cat(text_at(*kind, "apiVersion"), "/", text_at(*kind, "kind")) : std::string("<unset>");
}
json::Value param_ref(const CellInput& in) {
  const json::Value* ref = at(in.object, "spec.paramRef");
  if (!ref) return "<unset>";
  const std::string name = text_at(*ref, "name");
  if (!name.empty()) return cat(text_at(*ref, "namespace", "*"), "/", name);
  Result<LabelSelector> parsed = LabelSelector::from_object(ref->find("selector"));
  return parsed ? parsed->to_string() : std::string("<invalid>");
}

constexpr TableColumn kWebhookConfiguration[] = {
    kName, {.name = "Webhooks", .type = "integer", .cell = count, .path = "webhooks"}, kAge};
constexpr TableColumn kValidatingAdmissionPolicy[] = {
    kName,
    {.name = "Validations", .type = "integer", .cell = count, .path = "spec.validations"},
    {.name = "ParamKind", .cell = param_kind},
    kAge};
constexpr TableColumn kMutatingAdmissionPolicy[] = {
    kName,
    {.name = "Mutations", .type = "integer", .cell = count, .path = "spec.mutations"},
    {.name = "ParamKind", .cell = param_kind},
    kAge};
constexpr TableColumn kAdmissionPolicyBinding[] = {kName,
                                                   {.name = "PolicyName", .cell = text, .path = "spec.policyName"},
                                                   {.name = "ParamRef", .cell = param_ref},
                                                   kAge};

// ---- flow control, scheduling, devices, the API itself

json::Value missing_level(const CellInput& in) {
  const std::string status = condition(in.object, "Dangling");
  return status.empty() ? std::string("?") : status;
}
constexpr TableColumn kFlowSchema[] = {
    kName,
    {.name = "PriorityLevel", .cell = text, .path = "spec.priorityLevelConfiguration.name"},
    {.name = "MatchingPrecedence", .cell = integer, .path = "spec.matchingPrecedence"},
    {.name = "DistinguisherMethod", .cell = text, .path = "spec.distinguisherMethod.type", .fallback = "<none>"},
    kAge,
    {.name = "MissingPL", .cell = missing_level},
};
constexpr TableColumn kPriorityLevelConfiguration[] = {
    kName,
    {.name = "Type", .cell = text, .path = "spec.type"},
    {.name = "NominalConcurrencyShares",
     .cell = integer,
     .path = "spec.limited.nominalConcurrencyShares",
     .fallback = "<none>"},
    {.name = "Queues", .cell = integer, .path = "spec.limited.limitResponse.queuing.queues", .fallback = "<none>"},
    {.name = "HandSize", .cell = integer, .path = "spec.limited.limitResponse.queuing.handSize", .fallback = "<none>"},
    {.name = "QueueLengthLimit",
     .cell = integer,
     .path = "spec.limited.limitResponse.queuing.queueLengthLimit",
     .fallback = "<none>"},
    kAge,
};
constexpr TableColumn kPriorityClass[] = {
    kName,
    {.name = "Value", .type = "integer", .cell = integer, .path = "value"},
    {.name = "Global-Default", .type = "boolean", .cell = boolean, .path = "globalDefault"},
    kAge,
    {.name = "PreemptionPolicy", .cell = text, .path = "preemptionPolicy"},
};
constexpr TableColumn kRuntimeClass[] = {kName, {.name = "Handler", .cell = text, .path = "handler"}, kAge};

json::Value claim_state(const CellInput& in) {
  std::vector<std::string> states;
  const bool deleted = at(in.object, "metadata.deletionTimestamp") != nullptr;
  if (deleted) states.emplace_back("deleted");
  if (!at(in.object, "status.allocation")) {
    if (!deleted) states.emplace_back("pending");
  } else {
    states.emplace_back("allocated");
    if (!list_at(in.object, "status.reservedFor").empty()) states.emplace_back("reserved");
  }
  return join(states, ",");
}
constexpr TableColumn kNameAndAge[] = {kName, kAge};
constexpr TableColumn kResourceClaim[] = {kName, {.name = "State", .cell = claim_state}, kAge};
constexpr TableColumn kResourceSlice[] = {
    kName,
    {.name = "Node", .cell = text, .path = "spec.nodeName"},
    {.name = "Driver", .cell = text, .path = "spec.driver"},
    {.name = "Pool", .cell = text, .path = "spec.pool.name"},
    kAge,
};

json::Value service_of(const CellInput& in) {
  const json::Value* service = at(in.object, "spec.service");
  return service ? cat(text_at(*service, "namespace"), "/", text_at(*service, "name")) : std::string("Local");
}
json::Value available(const CellInput& in) {
  const json::Value* c = find_condition(in.object, "Available");
  if (!c) return "Unknown";
  const std::string status = text_at(*c, "status"), reason = text_at(*c, "reason");
  return status == "True" || reason.empty() ? status : cat(status, " (", reason, ")");
}
constexpr TableColumn kAPIService[] = {
    kName, {.name = "Service", .cell = service_of}, {.name = "Available", .cell = available}, kAge};

constexpr KindColumns kRows[] = {
    {"networking.k8s.io", "Ingress", kIngress},
    {"networking.k8s.io", "IngressClass", kIngressClass},
    {"networking.k8s.io", "NetworkPolicy", kNetworkPolicy},
    {"networking.k8s.io", "IPAddress", kIPAddress},
    {"networking.k8s.io", "ServiceCIDR", kServiceCIDR},
    {"discovery.k8s.io", "EndpointSlice", kEndpointSlice},
    {"rbac.authorization.k8s.io", "RoleBinding", kRoleBinding},
    {"rbac.authorization.k8s.io", "ClusterRoleBinding", kRoleBinding},
    {"certificates.k8s.io", "CertificateSigningRequest", kCertificateSigningRequest},
    {"coordination.k8s.io", "Lease", kLease},
    {"storage.k8s.io", "StorageClass", kStorageClass},
    {"storage.k8s.io", "VolumeAttributesClass", kVolumeAttributesClass},
    {"storage.k8s.io", "VolumeAttachment", kVolumeAttachment},
    {"storage.k8s.io", "CSINode", kCSINode},
    {"storage.k8s.io", "CSIDriver", kCSIDriver},
    {"storage.k8s.io", "CSIStorageCapacity", kCSIStorageCapacity},
    {"admissionregistration.k8s.io", "MutatingWebhookConfiguration", kWebhookConfiguration},
    {"admissionregistration.k8s.io", "ValidatingWebhookConfiguration", kWebhookConfiguration},
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicy", kValidatingAdmissionPolicy},
    {"admissionregistration.k8s.io", "MutatingAdmissionPolicy", kMutatingAdmissionPolicy},
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", kAdmissionPolicyBinding},
    {"admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", kAdmissionPolicyBinding},
    {"flowcontrol.apiserver.k8s.io", "FlowSchema", kFlowSchema},
    {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", kPriorityLevelConfiguration},
    {"scheduling.k8s.io", "PriorityClass", kPriorityClass},
    {"node.k8s.io", "RuntimeClass", kRuntimeClass},
    {"resource.k8s.io", "DeviceClass", kNameAndAge},
    {"resource.k8s.io", "ResourceClaim", kResourceClaim},
    {"resource.k8s.io", "ResourceClaimTemplate", kNameAndAge},
    {"resource.k8s.io", "ResourceSlice", kResourceSlice},
    {"apiregistration.k8s.io", "APIService", kAPIService},
};

}  // namespace

std::span<const KindColumns> other_columns() { return kRows; }

}  // namespace kayak::api::cells
