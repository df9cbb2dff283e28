// defaults_workload.cc: defaults of apps, batch and autoscaling.
// Source: Kubernetes v1.36 pkg/apis/{apps,batch}/v1, autoscaling/{v1,v2} SetDefaults_*.
#include <limits>

#include "api/defaults_impl.h"
#include "api/messages.h"

namespace kayak::api::defaults {
namespace {

using namespace messages;

constexpr FieldDefault kFields[] = {
    {&apps_v1_DeploymentSpec, "replicas", "1"},
    {&apps_v1_DeploymentSpec, "revisionHistoryLimit", "10"},
    {&apps_v1_DeploymentSpec, "progressDeadlineSeconds", "600"},
    {&apps_v1_DaemonSetSpec, "revisionHistoryLimit", "10"},
    {&apps_v1_StatefulSetSpec, "replicas", "1"},
    {&apps_v1_StatefulSetSpec, "podManagementPolicy", R"("OrderedReady")"},
    {&apps_v1_StatefulSetSpec, "revisionHistoryLimit", "10"},
    {&apps_v1_ReplicaSetSpec, "replicas", "1"},
    {&batch_v1_CronJobSpec, "concurrencyPolicy", R"("Allow")"},
    {&batch_v1_CronJobSpec, "suspend", "false"},
    {&batch_v1_CronJobSpec, "successfulJobsHistoryLimit", "3"},
    {&batch_v1_CronJobSpec, "failedJobsHistoryLimit", "1"},
    {&autoscaling_v1_HorizontalPodAutoscalerSpec, "minReplicas", "1"},
    {&autoscaling_v2_HorizontalPodAutoscalerSpec, "minReplicas", "1"},
};

void deployment(Node& deployment) {
  Node strategy = deployment.make_child("spec").make_child("strategy");
  strategy.set_default("type", "RollingUpdate");
  if (strategy.text("type") != "RollingUpdate") return;
  Node update = strategy.make_child("rollingUpdate");
  update.set_pointer("maxUnavailable", "25%");
  update.set_pointer("maxSurge", "25%");
}

void daemon_set(Node& set) {
  Node strategy = set.make_child("spec").make_child("updateStrategy");
  strategy.set_default("type", "RollingUpdate");
  if (strategy.text("type") != "RollingUpdate") return;
  Node update = strategy.make_child("rollingUpdate");
  update.set_pointer("maxUnavailable", 1);
  update.set_pointer("maxSurge", 0);
}

void stateful_set(Node& set) {
  Node spec = set.make_child("spec");
  Node strategy = spec.make_child("updateStrategy");
  const bool type_given = strategy.has("type");
  strategy.set_default("type", "RollingUpdate");
  if (!type_given) strategy.make_child("rollingUpdate");
  std::optional<Node> update = strategy.child("rollingUpdate");
  if (update && strategy.text("type") == "RollingUpdate") update->set_pointer("partition", 0);
  Node retention = spec.make_child("persistentVolumeClaimRetentionPolicy");
  retention.set_default("whenDeleted", "Retain");
  retention.set_default("whenScaled", "Retain");
  spec.for_each("volumeClaimTemplates", [](Node claim) {
    claim.set_default("kind", "PersistentVolumeClaim");
    claim.set_default("apiVersion", "v1");
  });
}

void job_labels(Node& job) {
  const std::optional<Node> spec = job.child("spec");
  const std::optional<Node> pod_template = spec ? spec->child("template") : std::nullopt;
  const std::optional<Node> metadata = pod_template ? pod_template->child("metadata") : std::nullopt;
  if (!metadata || !metadata->has("labels")) return;
  const json::Value labels = *metadata->get("labels");
  job.make_child("metadata").set_default("labels", labels);
}

// Of Job alone: a CronJob's job template keeps its gaps until a Job is made of it.
void job(Node& job) {
  Node spec = job.make_child("spec");
  if (!spec.is_set("completions") && !spec.is_set("parallelism")) spec.set("completions", 1);
  spec.set_pointer("parallelism", 1);
  if (!spec.is_set("backoffLimit")) {
    const bool per_index = spec.is_set("backoffLimitPerIndex");
    spec.set("backoffLimit", per_index ? std::int64_t{std::numeric_limits<std::int32_t>::max()} : 6);
  }
  spec.set_pointer("completionMode", "NonIndexed");
  spec.set_pointer("suspend", false);
  spec.set_pointer("manualSelector", false);
  const std::optional<Node> failure_policy = spec.child("podFailurePolicy");
  spec.set_pointer("podReplacementPolicy", failure_policy ? "Failed" : "TerminatingOrFailed");
  if (failure_policy) {
    spec.child("podFailurePolicy")->for_each("rules", [](Node rule) {
      rule.for_each("onPodConditions", [](Node condition) { condition.set_default("status", "True"); });
    });
  }
  job_labels(job);
}

// Four pods or a doubling per 15 s, whichever is more, up; everything per 15 s down.
constexpr std::string_view kScaleUpPolicies =
    R"([{"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}])";
constexpr std::string_view kScaleDownPolicies = R"([{"type":"Percent","value":100,"periodSeconds":15}])";
constexpr std::string_view kCpuAtEightyPercent =
    R"([{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}])";

json::Value parsed(std::string_view text) {
  Result<json::Value> value = json::read(text);
  ASSERT(value);
  return *std::move(value);
}

void autoscaler_v2(Node& autoscaler) {
  Node spec = autoscaler.make_child("spec");
  if (!spec.has("metrics")) spec.set("metrics", parsed(kCpuAtEightyPercent));
  std::optional<Node> behavior = spec.child("behavior");
  if (!behavior) return;
  Node up = behavior->make_child("scaleUp");
  up.set_pointer("stabilizationWindowSeconds", 0);
  up.set_pointer("selectPolicy", "Max");
  if (!up.is_set("policies")) up.set("policies", parsed(kScaleUpPolicies));
  Node down = behavior->make_child("scaleDown");
  down.set_pointer("selectPolicy", "Max");
  if (!down.is_set("policies")) down.set("policies", parsed(kScaleDownPolicies));
}

constexpr RuleDefault kRules[] = {
    {&apps_v1_Deployment, deployment},
    {&apps_v1_DaemonSet, daemon_set},
    {&apps_v1_StatefulSet, stateful_set},
    {&batch_v1_Job, job},
    {&autoscaling_v2_HorizontalPodAutoscaler, autoscaler_v2},
};

}  // namespace

constinit const Table kWorkloadDefaults = {kFields, kRules};

}  // namespace kayak::api::defaults
