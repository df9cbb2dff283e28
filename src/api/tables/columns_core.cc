// columns_core.cc: columns of the core group.
#include <algorithm>
#include <set>

#include "api/tables/cells.h"
#include "base/strings.h"

namespace kayak::api::cells {

namespace {

// ---- pods

bool sidecar(const json::Value& pod, std::string_view name) {
  for (const json::Value& c : list_at(pod, "spec.initContainers")) {
    if (text_at(c, "name") == name) return text_at(c, "restartPolicy") == "Always";
  }
  return false;
}

// What `kubectl get pods` shows as STATUS, and the restarts that go with it.
struct PodSummary {
  std::string status;
  std::int64_t ready = 0, total = 0, restarts = 0;
  const json::Value* last_restart = nullptr;  // the latest time a container ended before a restart
};

void note_restart(const json::Value& status, PodSummary& summary) {
  const json::Value* finished = at(status, "lastState.terminated.finishedAt");
  // RFC 3339 in UTC with whole seconds: text order is time order.
  if (finished && (!summary.last_restart || finished->string_or() > summary.last_restart->string_or()))
    summary.last_restart = finished;
}

// True while an init container holds the pod up; then `summary.status` says which.
bool summarize_init(const json::Value& pod, PodSummary& summary) {
  const json::Array& statuses = list_at(pod, "status.initContainerStatuses");
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const json::Value& c = statuses[i];
    const bool is_sidecar = sidecar(pod, text_at(c, "name"));
    summary.restarts += int_at(c, "restartCount");
    note_restart(c, summary);
    const json::Value* started = at(c, "started");
    if (is_sidecar && started && started->bool_or(false)) {
      const json::Value* ready = at(c, "ready");
      if (ready && ready->bool_or(false)) ++summary.ready;
      continue;
    }
    const json::Value* terminated = at(c, "state.terminated");
    if (terminated && int_at(*terminated, "exitCode") == 0 && !is_sidecar) continue;
    const std::string reason = text_at(c, "state.waiting.reason");
    if (terminated) {
      const std::string why = text_at(*terminated, "reason");
      const std::int64_t signal = int_at(*terminated, "signal");
      summary.status = cat("Init:", !why.empty()  ? why
                                    : signal != 0 ? cat("Signal:", signal)
                                                  : cat("ExitCode:", int_at(*terminated, "exitCode")));
    } else if (!reason.empty() && reason != "PodInitializing") {
      summary.status = cat("Init:", reason);
    } else {
      summary.status = cat("Init:", i, "/", list_at(pod, "spec.initContainers").size());
    }
    return true;
  }
  return false;
}

void summarize_main(const json::Value& pod, PodSummary& summary) {
  const json::Array& statuses = list_at(pod, "status.containerStatuses");
  bool any_running = false;
  std::int64_t restarts = 0;
  for (const json::Value& c : list_at(pod, "status.initContainerStatuses")) {
    if (sidecar(pod, text_at(c, "name"))) restarts += int_at(c, "restartCount");
  }
  for (std::size_t i = statuses.size(); i-- > 0;) {
    const json::Value& c = statuses[i];
    restarts += int_at(c, "restartCount");
    note_restart(c, summary);
    const std::string waiting = text_at(c, "state.waiting.reason");
    const json::Value* terminated = at(c, "state.terminated");
    const json::Value* ready = at(c, "ready");
    if (!waiting.empty()) {
      summary.status = waiting;
    } else if (terminated) {
      const std::string why = text_at(*terminated, "reason");
      const std::int64_t signal = int_at(*terminated, "signal");
      summary.status = !why.empty()  ? why
                       : signal != 0 ? cat("Signal:", signal)
                                     : cat("ExitCode:", int_at(*terminated, "exitCode"));
    } else if (ready && ready->bool_or(false) && at(c, "state.running")) {
      any_running = true;
      ++summary.ready;
    }
  }
  summary.restarts = restarts;
  if (summary.status == "Completed" && any_running)
    summary.status = condition(pod, "Ready") == "True" ? "Running" : "NotReady";
}

PodSummary summarize(const json::Value& pod) {
  PodSummary summary;
  summary.status = text_at(pod, "status.reason", text_at(pod, "status.phase"));
  summary.total = static_cast<std::int64_t>(list_at(pod, "spec.containers").size());
  for (const json::Value& c : list_at(pod, "spec.initContainers"))
    summary.total += text_at(c, "restartPolicy") == "Always";
  if (const json::Value* scheduled = find_condition(pod, "PodScheduled");
      scheduled && text_at(*scheduled, "reason") == "SchedulingGated") {
    summary.status = "SchedulingGated";
  }
  const bool initializing = summarize_init(pod, summary);
  if (!initializing || condition(pod, "Initialized") == "True") summarize_main(pod, summary);
  if (at(pod, "metadata.deletionTimestamp")) {
    const std::string phase = text_at(pod, "status.phase");
    if (text_at(pod, "status.reason") == "NodeLost") {
      summary.status = "Unknown";
    } else if (phase != "Succeeded" && phase != "Failed") {
      summary.status = "Terminating";
    }
  }
  return summary;
}

json::Value pod_ready(const CellInput& in) {
  const PodSummary s = summarize(in.object);
  return cat(s.ready, "/", s.total);
}
json::Value pod_status(const CellInput& in) { return summarize(in.object).status; }
json::Value pod_restarts(const CellInput& in) {
  const PodSummary s = summarize(in.object);
  if (s.restarts == 0 || !s.last_restart) return std::to_string(s.restarts);
  return cat(s.restarts, " (", age_text(s.last_restart, in.now), " ago)");
}
json::Value pod_ip(const CellInput& in) {
  const json::Array& ips = list_at(in.object, "status.podIPs");
  return ips.empty() ? std::string("<none>") : text_at(ips.front(), "ip", "<none>");
}
json::Value pod_gates(const CellInput& in) {
  const json::Array& gates = list_at(in.object, "spec.readinessGates");
  if (gates.empty()) return "<none>";
  std::size_t good = 0;
  for (const json::Value& gate : gates) good += condition(in.object, text_at(gate, "conditionType")) == "True";
  return cat(good, "/", gates.size());
}

constexpr TableColumn kPod[] = {
    kName,
    {.name = "Ready", .cell = pod_ready},
    {.name = "Status", .cell = pod_status},
    {.name = "Restarts", .cell = pod_restarts},
    kAge,
    {.name = "IP", .priority = 1, .cell = pod_ip},
    {.name = "Node", .priority = 1, .cell = text, .path = "spec.nodeName", .fallback = "<none>"},
    {.name = "Nominated Node", .priority = 1, .cell = text, .path = "status.nominatedNodeName", .fallback = "<none>"},
    {.name = "Readiness Gates", .priority = 1, .cell = pod_gates},
};

constexpr TableColumn kPodTemplate[] = {
    kName,
    {.name = "Containers", .cell = containers, .path = "template.spec"},
    {.name = "Images", .cell = images, .path = "template.spec"},
    {.name = "Pod Labels", .cell = labels, .path = "template.metadata.labels"},
};

// ---- services and endpoints

json::Value service_cluster_ip(const CellInput& in) {
  const json::Array& ips = list_at(in.object, "spec.clusterIPs");
  if (!ips.empty()) return std::string(ips.front().string_or());
  return text_at(in.object, "spec.clusterIP", "<none>");
}

json::Value service_external_ip(const CellInput& in) {
  const std::string type = text_at(in.object, "spec.type");
  std::vector<std::string> external;
  for (const json::Value& ip : list_at(in.object, "spec.externalIPs")) external.emplace_back(ip.string_or());
  if (type == "ClusterIP" || type == "NodePort") return external.empty() ? std::string("<none>") : join(external, ",");
  if (type == "ExternalName") return text_at(in.object, "spec.externalName");
  if (type != "LoadBalancer") return "<unknown>";
  std::set<std::string> ingress;
  for (const json::Value& entry : list_at(in.object, "status.loadBalancer.ingress")) {
    const std::string address = text_at(entry, "ip", text_at(entry, "hostname"));
    if (!address.empty()) ingress.insert(address);
  }
  std::vector<std::string> all(ingress.begin(), ingress.end());
  all.insert(all.end(), external.begin(), external.end());
  return all.empty() ? std::string("<pending>") : join(all, ",");
}

json::Value service_ports(const CellInput& in) {
  std::vector<std::string> ports;
  for (const json::Value& port : list_at(in.object, "spec.ports")) {
    const std::int64_t node_port = int_at(port, "nodePort");
    ports.push_back(
        cat(int_at(port, "port"), node_port > 0 ? cat(":", node_port) : "", "/", text_at(port, "protocol")));
  }
  return ports.empty() ? std::string("<none>") : join(ports, ",");
}

json::Value endpoints(const CellInput& in) {
  if (list_at(in.object, "subsets").empty()) return "<none>";
  std::vector<std::string> pairs;
  for (const json::Value& subset : list_at(in.object, "subsets")) {
    const json::Array& ports = list_at(subset, "ports");
    if (ports.empty()) {
      for (const json::Value& address : list_at(subset, "addresses")) pairs.push_back(text_at(address, "ip"));
    }
    for (const json::Value& port : ports) {
      for (const json::Value& address : list_at(subset, "addresses")) {
        const std::string ip = text_at(address, "ip");
        const bool v6 = ip.find(':') != std::string::npos;
        pairs.push_back(cat(v6 ? "[" : "", ip, v6 ? "]" : "", ":", int_at(port, "port")));
      }
    }
  }
  const std::string shown = more(pairs, 3);
  return shown.empty() ? std::string("<none>") : shown;
}

constexpr TableColumn kService[] = {
    kName,
    {.name = "Type", .cell = text, .path = "spec.type"},
    {.name = "Cluster-IP", .cell = service_cluster_ip},
    {.name = "External-IP", .cell = service_external_ip},
    {.name = "Port(s)", .cell = service_ports},
    kAge,
    {.name = "Selector", .priority = 1, .cell = labels, .path = "spec.selector"},
};
constexpr TableColumn kEndpoints[] = {kName, {.name = "Endpoints", .cell = endpoints}, kAge};

// ---- nodes

json::Value node_status(const CellInput& in) {
  const std::string ready = condition(in.object, "Ready");
  std::string status = ready.empty() ? "Unknown" : ready == "True" ? "Ready" : "NotReady";
  const json::Value* unschedulable = at(in.object, "spec.unschedulable");
  if (unschedulable && unschedulable->bool_or(false)) status += ",SchedulingDisabled";
  return status;
}

json::Value node_roles(const CellInput& in) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  for (const auto& [key, value] : object_at(in.object, "metadata.labels")) {
    if (key.size() > kPrefix.size() && key.compare(0, kPrefix.size(), kPrefix) == 0)
      roles.insert(key.substr(kPrefix.size()));
    if (key == "kubernetes.io/role" && !value.string_or().empty()) roles.emplace(value.string_or());
  }
  return roles.empty() ? std::string("<none>") : join(std::vector<std::string>(roles.begin(), roles.end()), ",");
}

json::Value node_address(const CellInput& in) {
  for (const json::Value& address : list_at(in.object, "status.addresses")) {
    if (text_at(address, "type") == in.path) return text_at(address, "address");
  }
  return "<none>";
}

constexpr TableColumn kNode[] = {
    kName,
    {.name = "Status", .cell = node_status},
    {.name = "Roles", .cell = node_roles},
    kAge,
    {.name = "Version", .cell = text, .path = "status.nodeInfo.kubeletVersion"},
    {.name = "Internal-IP", .priority = 1, .cell = node_address, .path = "InternalIP"},
    {.name = "External-IP", .priority = 1, .cell = node_address, .path = "ExternalIP"},
    {.name = "OS-Image", .priority = 1, .cell = text, .path = "status.nodeInfo.osImage", .fallback = "<unknown>"},
    {.name = "Kernel-Version",
     .priority = 1,
     .cell = text,
     .path = "status.nodeInfo.kernelVersion",
     .fallback = "<unknown>"},
    {.name = "Container-Runtime",
     .priority = 1,
     .cell = text,
     .path = "status.nodeInfo.containerRuntimeVersion",
     .fallback = "<unknown>"},
};

// ---- events, of both groups: core/v1 names fields that events.k8s.io/v1 calls deprecated...

const json::Value* either(const json::Value& event, std::string_view core, std::string_view other) {
  const json::Value* value = at(event, core);
  return value ? value : at(event, other);
}

json::Value event_last_seen(const CellInput& in) {
  const json::Value* time = at(in.object, "series.lastObservedTime");
  if (!time) time = either(in.object, "lastTimestamp", "deprecatedLastTimestamp");
  if (!time) time = either(in.object, "firstTimestamp", "deprecatedFirstTimestamp");
  if (!time) time = at(in.object, "eventTime");
  return age_text(time, in.now);
}
json::Value event_first_seen(const CellInput& in) {
  const json::Value* time = either(in.object, "firstTimestamp", "deprecatedFirstTimestamp");
  return age_text(time ? time : at(in.object, "eventTime"), in.now);
}
json::Value event_object(const CellInput& in) {
  const json::Value* about = either(in.object, "involvedObject", "regarding");
  if (!about) return "";
  const std::string name = text_at(*about, "name");
  const std::string kind = to_lower(text_at(*about, "kind"));
  return name.empty() ? kind : cat(kind, "/", name);
}
json::Value event_subobject(const CellInput& in) {
  const json::Value* about = either(in.object, "involvedObject", "regarding");
  return about ? text_at(*about, "fieldPath") : "";
}
json::Value event_source(const CellInput& in) {
  const json::Value* source = either(in.object, "source", "deprecatedSource");
  std::string component = source ? text_at(*source, "component") : "";
  if (component.empty())
    component = either(in.object, "reportingComponent", "reportingController")
                    ? text_at(*either(in.object, "reportingComponent", "reportingController"), "")
                    : "";
  std::string host = source ? text_at(*source, "host") : "";
  if (host.empty()) host = text_at(in.object, "reportingInstance");
  return host.empty() ? component : cat(component, ", ", host);
}
json::Value event_message(const CellInput& in) {
  return std::string(trim(text_at(in.object, "message", text_at(in.object, "note"))));
}
json::Value event_count(const CellInput& in) {
  if (const json::Value* series = at(in.object, "series.count")) return series->int_or(1);
  const json::Value* count = either(in.object, "count", "deprecatedCount");
  return count && count->int_or(0) > 0 ? count->int_or(1) : 1;
}

constexpr TableColumn kEvent[] = {
    {.name = "Last Seen", .cell = event_last_seen},
    {.name = "Type", .cell = text, .path = "type"},
    {.name = "Reason", .cell = text, .path = "reason"},
    {.name = "Object", .cell = event_object},
    {.name = "Subobject", .priority = 1, .cell = event_subobject},
    {.name = "Source", .priority = 1, .cell = event_source},
    {.name = "Message", .cell = event_message},
    {.name = "First Seen", .priority = 1, .cell = event_first_seen},
    {.name = "Count", .priority = 1, .cell = event_count},
    {.name = "Name", .format = "name", .priority = 1, .cell = text, .path = "metadata.name"},
};

// ---- configuration and volumes

std::string short_modes(const json::Array& modes) {
  struct Row {
    std::string_view mode, shown;
  };
  std::vector<std::string> out;
  for (const Row& row : {Row{"ReadWriteOnce", "RWO"}, Row{"ReadOnlyMany", "ROX"}, Row{"ReadWriteMany", "RWX"},
                         Row{"ReadWriteOncePod", "RWOP"}}) {
    const bool there =
        std::any_of(modes.begin(), modes.end(), [&](const json::Value& m) { return m.string_or() == row.mode; });
    if (there) out.emplace_back(row.shown);
  }
  return join(out, ",");
}

json::Value volume_status(const CellInput& in) {
  return at(in.object, "metadata.deletionTimestamp") ? std::string("Terminating") : text_at(in.object, "status.phase");
}
json::Value volume_modes(const CellInput& in) { return short_modes(list_at(in.object, "spec.accessModes")); }
json::Value volume_class(const CellInput& in) {
  const auto& annotations = object_at(in.object, "metadata.annotations");
  if (const json::Value* beta = annotations.find("volume.beta.kubernetes.io/storage-class"))
    return std::string(beta->string_or());
  return text_at(in.object, "spec.storageClassName");
}
json::Value volume_claim(const CellInput& in) {
  if (!at(in.object, "spec.claimRef")) return "";
  return cat(text_at(in.object, "spec.claimRef.namespace"), "/", text_at(in.object, "spec.claimRef.name"));
}
json::Value claim_capacity(const CellInput& in) {
  return text_at(in.object, "spec.volumeName").empty() ? std::string()
                                                       : text_at(in.object, "status.capacity.storage", "0");
}
json::Value claim_modes(const CellInput& in) {
  return text_at(in.object, "spec.volumeName").empty() ? std::string()
                                                       : short_modes(list_at(in.object, "status.accessModes"));
}

constexpr TableColumn kPersistentVolume[] = {
    kName,
    {.name = "Capacity", .cell = text, .path = "spec.capacity.storage"},
    {.name = "Access Modes", .cell = volume_modes},
    {.name = "Reclaim Policy", .cell = text, .path = "spec.persistentVolumeReclaimPolicy"},
    {.name = "Status", .cell = volume_status},
    {.name = "Claim", .cell = volume_claim},
    {.name = "StorageClass", .cell = volume_class},
    {.name = "VolumeAttributesClass", .cell = text, .path = "spec.volumeAttributesClassName", .fallback = "<unset>"},
    {.name = "Reason", .cell = text, .path = "status.reason"},
    kAge,
    {.name = "VolumeMode", .priority = 1, .cell = text, .path = "spec.volumeMode", .fallback = "<unset>"},
};
constexpr TableColumn kPersistentVolumeClaim[] = {
    kName,
    {.name = "Status", .cell = volume_status},
    {.name = "Volume", .cell = text, .path = "spec.volumeName"},
    {.name = "Capacity", .cell = claim_capacity},
    {.name = "Access Modes", .cell = claim_modes},
    {.name = "StorageClass", .cell = volume_class},
    {.name = "VolumeAttributesClass", .cell = text, .path = "spec.volumeAttributesClassName", .fallback = "<unset>"},
    kAge,
    {.name = "VolumeMode", .priority = 1, .cell = text, .path = "spec.volumeMode", .fallback = "<unset>"},
};

const json::Value* health(const json::Value& object) {
  for (const json::Value& c : list_at(object, "conditions")) {
    if (text_at(c, "type") == "Healthy") return &c;
  }
  return nullptr;
}
json::Value component_status(const CellInput& in) {
  const json::Value* c = health(in.object);
  const std::string status = c ? text_at(*c, "status") : "";
  return status == "True" ? "Healthy" : status == "False" ? "Unhealthy" : "Unknown";
}
json::Value component_text(const CellInput& in) {
  const json::Value* c = health(in.object);
  return c ? text_at(*c, in.path) : std::string();
}

// path "limits" or "requests": which of the quota's entries.
json::Value quota(const CellInput& in) {
  std::vector<std::string> entries;
  for (const auto& [name, hard] : object_at(in.object, "status.hard")) {
    if ((name.rfind("limits.", 0) == 0) != (in.path == "limits")) continue;
    const json::Value* used = object_at(in.object, "status.used").find(name);
    entries.push_back(cat(name, ": ", used ? used->string_or() : "0", "/", hard.string_or()));
  }
  std::sort(entries.begin(), entries.end());
  return join(entries, ", ");
}

constexpr TableColumn kComponentStatus[] = {kName,
                                            {.name = "Status", .cell = component_status},
                                            {.name = "Message", .cell = component_text, .path = "message"},
                                            {.name = "Error", .cell = component_text, .path = "error"}};
constexpr TableColumn kResourceQuota[] = {kName,
                                          {.name = "Request", .cell = quota, .path = "requests"},
                                          {.name = "Limit", .cell = quota, .path = "limits"},
                                          kAge};
constexpr TableColumn kNamespace[] = {kName, {.name = "Status", .cell = text, .path = "status.phase"}, kAge};
constexpr TableColumn kSecret[] = {
    kName, {.name = "Type", .cell = text, .path = "type"}, {.name = "Data", .cell = count, .path = "data"}, kAge};
constexpr TableColumn kServiceAccount[] = {kName, {.name = "Secrets", .cell = count, .path = "secrets"}, kAge};
constexpr TableColumn kConfigMap[] = {kName, {.name = "Data", .cell = count, .path = "data,binaryData"}, kAge};

constexpr KindColumns kRows[] = {
    {"", "Pod", kPod},
    {"", "PodTemplate", kPodTemplate},
    {"", "Service", kService},
    {"", "Endpoints", kEndpoints},
    {"", "Node", kNode},
    {"", "Event", kEvent},
    {"events.k8s.io", "Event", kEvent},
    {"", "Namespace", kNamespace},
    {"", "Secret", kSecret},
    {"", "ServiceAccount", kServiceAccount},
    {"", "ConfigMap", kConfigMap},
    {"", "PersistentVolume", kPersistentVolume},
    {"", "PersistentVolumeClaim", kPersistentVolumeClaim},
    {"", "ComponentStatus", kComponentStatus},
    {"", "ResourceQuota", kResourceQuota},
};

}  // namespace

std::span<const KindColumns> core_columns() { return kRows; }

}  // namespace kayak::api::cells
