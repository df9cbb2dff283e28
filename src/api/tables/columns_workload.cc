// columns_workload.cc: columns of apps, batch, autoscaling, policy and the core's ReplicationController.
#include "api/tables/cells.h"
#include "base/strings.h"

namespace kayak::api::cells {

namespace {

constexpr TableColumn kDesired = {.name = "Desired", .type = "integer", .cell = integer, .path = "spec.replicas"};
constexpr TableColumn kCurrent = {.name = "Current", .type = "integer", .cell = integer, .path = "status.replicas"};
constexpr TableColumn kReady = {.name = "Ready", .type = "integer", .cell = integer, .path = "status.readyReplicas"};
constexpr TableColumn kContainers = {
    .name = "Containers", .priority = 1, .cell = containers, .path = "spec.template.spec"};
constexpr TableColumn kImages = {.name = "Images", .priority = 1, .cell = images, .path = "spec.template.spec"};
constexpr TableColumn kSelector = {.name = "Selector", .priority = 1, .cell = selector, .path = "spec.selector"};

constexpr TableColumn kReplicationController[] = {
    kName, kDesired,    kCurrent, kReady,
    kAge,  kContainers, kImages,  {.name = "Selector", .priority = 1, .cell = labels, .path = "spec.selector"}};
constexpr TableColumn kReplicaSet[] = {kName, kDesired, kCurrent, kReady, kAge, kContainers, kImages, kSelector};
constexpr TableColumn kDeployment[] = {
    kName,
    {.name = "Ready", .cell = ready_of},
    {.name = "Up-to-date", .cell = integer, .path = "status.updatedReplicas"},
    {.name = "Available", .cell = integer, .path = "status.availableReplicas"},
    kAge,
    kContainers,
    kImages,
    {.name = "Selector", .priority = 1, .cell = selector, .path = "spec.selector", .fallback = "empty"},
};
constexpr TableColumn kStatefulSet[] = {kName, {.name = "Ready", .cell = ready_of}, kAge, kContainers, kImages};
constexpr TableColumn kDaemonSet[] = {
    kName,
    {.name = "Desired", .type = "integer", .cell = integer, .path = "status.desiredNumberScheduled"},
    {.name = "Current", .type = "integer", .cell = integer, .path = "status.currentNumberScheduled"},
    {.name = "Ready", .type = "integer", .cell = integer, .path = "status.numberReady"},
    {.name = "Up-to-date", .type = "integer", .cell = integer, .path = "status.updatedNumberScheduled"},
    {.name = "Available", .type = "integer", .cell = integer, .path = "status.numberAvailable"},
    {.name = "Node Selector", .cell = labels, .path = "spec.template.spec.nodeSelector"},
    kAge,
    kContainers,
    kImages,
    kSelector,
};

json::Value revision_controller(const CellInput& in) {
  for (const json::Value& owner : list_at(in.object, "metadata.ownerReferences")) {
    const json::Value* controller = owner.find("controller");
    if (!controller || !controller->bool_or(false)) continue;
    const std::string version = text_at(owner, "apiVersion");
    const std::size_t slash = version.find('/');
    const std::string group = slash == std::string::npos ? "" : version.substr(0, slash);
    return cat(to_lower(text_at(owner, "kind")), group.empty() ? "" : ".", group, "/", text_at(owner, "name"));
  }
  return "<none>";
}
constexpr TableColumn kControllerRevision[] = {kName,
                                               {.name = "Controller", .cell = revision_controller},
                                               {.name = "Revision", .cell = integer, .path = "revision"},
                                               kAge};

json::Value job_status(const CellInput& in) {
  if (condition(in.object, "Complete") == "True") return "Complete";
  if (condition(in.object, "Failed") == "True") return "Failed";
  if (at(in.object, "metadata.deletionTimestamp")) return "Terminating";
  if (condition(in.object, "Suspended") == "True") return "Suspended";
  if (condition(in.object, "FailureTarget") == "True") return "FailureTarget";
  return "Running";
}
json::Value job_completions(const CellInput& in) {
  const std::int64_t succeeded = int_at(in.object, "status.succeeded");
  if (at(in.object, "spec.completions")) return cat(succeeded, "/", int_at(in.object, "spec.completions"));
  const std::int64_t parallelism = int_at(in.object, "spec.parallelism");
  return parallelism > 1 ? cat(succeeded, "/1 of ", parallelism) : cat(succeeded, "/1");
}
json::Value job_duration(const CellInput& in) {
  WallTime start, end;
  const json::Value* started = at(in.object, "status.startTime");
  if (!started || !parse_time(started->string_or(), &start)) return "";
  const json::Value* completed = at(in.object, "status.completionTime");
  if (!completed || !parse_time(completed->string_or(), &end)) end = in.now;
  return human_duration(end - start);
}
constexpr TableColumn kJob[] = {
    kName,
    {.name = "Status", .cell = job_status},
    {.name = "Completions", .cell = job_completions},
    {.name = "Duration", .cell = job_duration},
    kAge,
    kContainers,
    kImages,
    kSelector,
};

json::Value suspend(const CellInput& in) {
  const json::Value* value = at(in.object, "spec.suspend");
  return !value ? "<unset>" : value->bool_or(false) ? "True" : "False";
}
constexpr TableColumn kCronJob[] = {
    kName,
    {.name = "Schedule", .cell = text, .path = "spec.schedule"},
    {.name = "Timezone", .cell = text, .path = "spec.timeZone", .fallback = "<none>"},
    {.name = "Suspend", .type = "boolean", .cell = suspend},
    {.name = "Active", .type = "integer", .cell = count, .path = "status.active"},
    {.name = "Last Schedule", .cell = age, .path = "status.lastScheduleTime", .fallback = "<none>"},
    kAge,
    {.name = "Containers", .priority = 1, .cell = containers, .path = "spec.jobTemplate.spec.template.spec"},
    {.name = "Images", .priority = 1, .cell = images, .path = "spec.jobTemplate.spec.template.spec"},
    {.name = "Selector", .priority = 1, .cell = selector, .path = "spec.jobTemplate.spec.selector"},
};

// ---- autoscalers

json::Value scale_target(const CellInput& in) {
  return cat(text_at(in.object, "spec.scaleTargetRef.kind"), "/", text_at(in.object, "spec.scaleTargetRef.name"));
}

// The reported state of metric `index`, when its type fits.
const json::Value* reported(const json::Value& hpa, std::size_t index, std::string_view source) {
  const json::Array& current = list_at(hpa, "status.currentMetrics");
  return index < current.size() ? at(current[index], source) : nullptr;
}

std::string metric_text(const json::Value& hpa, std::size_t index, const json::Value& spec) {
  struct Source {
    std::string_view type, field;
  };
  for (const Source& source : {Source{"Resource", "resource"}, Source{"ContainerResource", "containerResource"}}) {
    if (text_at(spec, "type") != source.type) continue;
    const json::Value* wanted = at(spec, source.field);
    const json::Value* now = reported(hpa, index, source.field);
    if (!wanted) return "<unknown>";
    const std::string name = text_at(*wanted, "name");
    if (const std::string average = text_at(*wanted, "target.averageValue"); !average.empty()) {
      return cat(name, ": ", now ? text_at(*now, "current.averageValue", "<unknown>") : "<unknown>", "/", average);
    }
    const json::Value* used = now ? at(*now, "current.averageUtilization") : nullptr;
    const json::Value* target = at(*wanted, "target.averageUtilization");
    return cat(name, ": ", used ? cat(used->int_or(0), "%") : "<unknown>", "/",
               target ? cat(target->int_or(0), "%") : "<auto>");
  }
  if (text_at(spec, "type") == "Pods") {
    const json::Value* now = reported(hpa, index, "pods");
    return cat(now ? text_at(*now, "current.averageValue", "<unknown>") : "<unknown>", "/",
               text_at(spec, "pods.target.averageValue"));
  }
  const std::string_view field = text_at(spec, "type") == "Object" ? "object" : "external";
  const json::Value* wanted = at(spec, field);
  const json::Value* now = reported(hpa, index, field);
  if (!wanted) return "<unknown type>";
  if (const std::string average = text_at(*wanted, "target.averageValue"); !average.empty()) {
    return cat(now ? text_at(*now, "current.averageValue", "<unknown>") : "<unknown>", "/", average, " (avg)");
  }
  return cat(now ? text_at(*now, "current.value", "<unknown>") : "<unknown>", "/", text_at(*wanted, "target.value"));
}

json::Value hpa_targets(const CellInput& in) {
  // v1 knows processor use alone, in fields of its own.
  if (const json::Value* target = at(in.object, "spec.targetCPUUtilizationPercentage")) {
    const json::Value* used = at(in.object, "status.currentCPUUtilizationPercentage");
    return cat("cpu: ", used ? cat(used->int_or(0), "%") : "<unknown>", "/", target->int_or(0), "%");
  }
  const json::Array& metrics = list_at(in.object, "spec.metrics");
  if (metrics.empty()) return "<none>";
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < metrics.size() && i < 2; ++i) shown.push_back(metric_text(in.object, i, metrics[i]));
  std::string out = join(shown, ", ");
  if (metrics.size() > 2) out += cat(" + ", metrics.size() - 2, " more...");
  return out;
}

constexpr TableColumn kHorizontalPodAutoscaler[] = {
    kName,
    {.name = "Reference", .cell = scale_target},
    {.name = "Targets", .cell = hpa_targets},
    {.name = "MinPods", .cell = text, .path = "spec.minReplicas", .fallback = "<unset>"},
    {.name = "MaxPods", .cell = integer, .path = "spec.maxReplicas"},
    {.name = "Replicas", .cell = integer, .path = "status.currentReplicas"},
    kAge,
};
constexpr TableColumn kScale[] = {
    kName, kDesired, {.name = "Available", .type = "integer", .cell = integer, .path = "status.replicas"}, kAge};
constexpr TableColumn kPodDisruptionBudget[] = {
    kName,
    {.name = "Min Available", .cell = text, .path = "spec.minAvailable", .fallback = "N/A"},
    {.name = "Max Unavailable", .cell = text, .path = "spec.maxUnavailable", .fallback = "N/A"},
    {.name = "Allowed Disruptions", .type = "integer", .cell = integer, .path = "status.disruptionsAllowed"},
    kAge,
};

constexpr KindColumns kRows[] = {
    {"", "ReplicationController", kReplicationController},
    {"apps", "Deployment", kDeployment},
    {"apps", "ReplicaSet", kReplicaSet},
    {"apps", "StatefulSet", kStatefulSet},
    {"apps", "DaemonSet", kDaemonSet},
    {"apps", "ControllerRevision", kControllerRevision},
    {"batch", "Job", kJob},
    {"batch", "CronJob", kCronJob},
    {"autoscaling", "HorizontalPodAutoscaler", kHorizontalPodAutoscaler},
    {"autoscaling", "Scale", kScale},
    {"policy", "PodDisruptionBudget", kPodDisruptionBudget},
};

}  // namespace

std::span<const KindColumns> workload_columns() { return kRows; }

}  // namespace kayak::api::cells
