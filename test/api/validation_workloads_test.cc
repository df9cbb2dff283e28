// validation_workloads_test.cc: the rules of apps, batch, autoscaling and policy, a row each.
#include <catch2/catch.hpp>

#include "api/kind.h"
#include "api/support_validation.h"
#include "api/validation/cron.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::check_creates;
using kayak::test::check_updates;

namespace {

const Kind& kind_of(const char* group, const char* version, const char* plural) {
  const Kind* kind = find_kind(group, version, plural);
  REQUIRE(kind != nullptr);
  return *kind;
}

#define TEMPLATE(RESTART)                                                              \
  R"("template":{"metadata":{"labels":{"app":"a"}},"spec":{"restartPolicy":")" RESTART \
  R"(","containers":[{"name":"c","image":"i"}]}})"

const char* kReplicas = R"({"metadata":{"name":"a","namespace":"d"},
  "spec":{"selector":{"matchLabels":{"app":"a"}},)" TEMPLATE("Always") "}}";
const char* kStatefulSet = R"({"metadata":{"name":"a","namespace":"d"},
  "spec":{"serviceName":"s","selector":{"matchLabels":{"app":"a"}},)" TEMPLATE("Always") "}}";
// As the server has made it: the selector and the labels carry the uid.
const char* kJob = R"({"metadata":{"name":"a","namespace":"d","uid":"u"},
  "spec":{"selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":"u"}},
    "template":{"metadata":{"labels":{"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a",
        "controller-uid":"u","job-name":"a"}},
      "spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}})";
const char* kCronJob = R"({"metadata":{"name":"a","namespace":"d"},
  "spec":{"schedule":"*/5 * * * *","jobTemplate":{"spec":{)" TEMPLATE("Never") "}}}}";
const char* kAutoscaler = R"({"metadata":{"name":"a","namespace":"d"},
  "spec":{"maxReplicas":5,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},
    "metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]}})";
const char* kBudget = R"({"metadata":{"name":"a","namespace":"d"},
  "spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"a"}}}})";

const std::string kNegative = ": must be greater than or equal to 0";
const std::string kPercent =
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')";

}  // namespace

TEST_CASE("deployments") {
  const Kind& kind = kinds::deployments();
  check_creates(
      kind, kReplicas,
      {
          {"", ""},
          {R"(spec.strategy = {"type":"Recreate"})", ""},
          {R"(spec.strategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":"100%"}})", ""},
          {"spec.replicas = -1", "spec.replicas: Invalid value: -1" + kNegative},
          {"spec.minReadySeconds = -1", "spec.minReadySeconds: Invalid value: -1" + kNegative},
          {"spec.revisionHistoryLimit = -1", "spec.revisionHistoryLimit: Invalid value: -1" + kNegative},
          {"spec.progressDeadlineSeconds = 5\nspec.minReadySeconds = 5",
           "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"},
          {"spec.selector = -",
           "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` "
           "does not match template `labels`]"},
          {"spec.selector = {}", "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
          {R"(spec.template.metadata.labels = {"app":"x"})",
           "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template "
           "`labels`"},
          {R"(spec.selector = {"matchExpressions":[{"key":"app","operator":"In"}]})",
           "[spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or "
           "'NotIn', spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\"}]}: "
           "invalid label selector]"},
          {R"(spec.template.spec.restartPolicy = "Never")",
           "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""},
          {"spec.template.spec.activeDeadlineSeconds = 5",
           "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"},
          {R"(spec.strategy = {"type":"Recreate","rollingUpdate":{"maxSurge":1}})",
           "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"},
          {R"(spec.strategy = {"type":"Other"})",
           "spec.strategy: Unsupported value: {\"type\":\"Other\"}: supported values: \"Recreate\", \"RollingUpdate\""},
          {R"(spec.strategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":"0%"}})",
           "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"},
          {R"(spec.strategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":"x","maxUnavailable":1}})",
           "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": " + kPercent},
          {R"(spec.strategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":"101%"}})",
           "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"},
          {R"(spec.strategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":-1,"maxUnavailable":1}})",
           "spec.strategy.rollingUpdate.maxSurge: Invalid value: -1" + kNegative},
      });
  check_updates(kind, "", kReplicas,
                {
                    {"", "spec.replicas = 3", ""},
                    {"", R"(spec.template.spec.containers[0].image = "j")", ""},
                    {"", R"(spec.selector.matchLabels = {"app":"b"}
                            spec.template.metadata.labels = {"app":"b"})",
                     "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"},
                });
  check_updates(
      kind, "status", kReplicas,
      {
          {"", R"(status = {"replicas":3,"readyReplicas":2,"availableReplicas":1,"updatedReplicas":3})", ""},
          {"", "status.unavailableReplicas = -1", "status.unavailableReplicas: Invalid value: -1" + kNegative},
          {"", R"(status = {"replicas":1,"readyReplicas":2})",
           "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"},
          {"", R"(status = {"replicas":2,"readyReplicas":1,"availableReplicas":2})",
           "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"},
          {"status.collisionCount = 2", "status.collisionCount = 1",
           "status.collisionCount: Invalid value: 1: cannot be decremented"},
      });
}

TEST_CASE("replica sets") {
  const Kind& kind = kinds::replica_sets();
  check_creates(
      kind, kReplicas,
      {
          {"", ""},
          {"spec.replicas = -1", "spec.replicas: Invalid value: -1" + kNegative},
          {"spec.selector = {}", "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
      });
  check_updates(kind, "", kReplicas,
                {
                    {"", "spec.minReadySeconds = 1", ""},
                    {"", R"(spec.selector.matchLabels = {"app":"b"}
                            spec.template.metadata.labels = {"app":"b"})",
                     "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"},
                });
  check_updates(
      kind, "status", kReplicas,
      {
          {"", R"(status = {"replicas":2,"fullyLabeledReplicas":2,"readyReplicas":2,"availableReplicas":2})", ""},
          {"", R"(status = {"replicas":1,"fullyLabeledReplicas":2})",
           "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas"},
      });
}

TEST_CASE("stateful sets") {
  const Kind& kind = kinds::stateful_sets();
  check_creates(
      kind, kStatefulSet,
      {
          {"", ""},
          // A claim's volume need not be said in the template, and hides one of its name.
          {R"(spec.volumeClaimTemplates = [{"metadata":{"name":"v"},)"
           R"("spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]
           spec.template.spec.containers[0].volumeMounts = [{"name":"v","mountPath":"/v"}])",
           ""},
          {R"(spec.volumeClaimTemplates = [{"metadata":{"name":"v"},"spec":{"accessModes":["ReadWriteOnce"]}}])",
           "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"},
          {R"(metadata.name = "a.b")", "metadata.name: Invalid value: \"a.b\": must not contain dots"},
          {R"(spec.serviceName = "S")",
           "spec.serviceName: Invalid value: \"S\": a lowercase RFC 1123 label must consist of lower case alphanumeric "
           "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
           "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"},
          {R"(spec.podManagementPolicy = "Other")",
           "spec.podManagementPolicy: Invalid value: \"Other\": must be 'OrderedReady' or 'Parallel'"},
          {R"(spec.updateStrategy = {"type":"Other"})",
           "spec.updateStrategy: Invalid value: {\"type\":\"Other\"}: must be 'RollingUpdate' or 'OnDelete'"},
          {R"(spec.updateStrategy = {"type":"OnDelete","rollingUpdate":{"partition":1}})",
           "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy "
           "'RollingUpdate'"},
          {R"(spec.updateStrategy = {"type":"RollingUpdate","rollingUpdate":{"partition":-1}})",
           "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1" + kNegative},
          {R"(spec.updateStrategy = {"type":"RollingUpdate","rollingUpdate":{"partition":1,"maxUnavailable":0}})",
           "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"},
          {R"(spec.ordinals.start = -1)", "spec.ordinals.start: Invalid value: -1" + kNegative},
          {R"(spec.persistentVolumeClaimRetentionPolicy = {"whenDeleted":"Keep","whenScaled":"Retain"})",
           "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"Keep\": supported values: "
           "\"Retain\", \"Delete\""},
          {"spec.selector = {}", "spec.selector: Invalid value: {}: empty selector is invalid for statefulset"},
          {"spec.template.spec.activeDeadlineSeconds = 5",
           "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not "
           "Supported"},
      });
  const std::string forbidden =
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
      "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
      "forbidden";
  check_updates(kind, "", kStatefulSet,
                {
                    {"", "spec.replicas = 3\nspec.ordinals.start = 1\nspec.minReadySeconds = 1", ""},
                    {"", "spec.revisionHistoryLimit = 1", ""},
                    {"", R"(spec.serviceName = "t")", forbidden},
                    {"", R"(spec.podManagementPolicy = "Parallel")", forbidden},
                    // A name that was accepted once stays.
                    {R"(spec.serviceName = "S.S")", "spec.replicas = 3", ""},
                    {R"(spec.template.spec.containers[0].name = "C")", "spec.replicas = 3", ""},
                });
  check_updates(kind, "status", kStatefulSet,
                {
                    {"", R"(status = {"replicas":2,"readyReplicas":2,"availableReplicas":1})", ""},
                    {"", R"(status = {"replicas":2,"readyReplicas":1,"availableReplicas":2})",
                     "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas"},
                    {"status.collisionCount = 2", R"(status = {"replicas":0})",
                     "status.collisionCount: Invalid value: 0: cannot be decremented"},
                });
}

TEST_CASE("daemon sets and controller revisions") {
  const Kind& kind = kinds::daemon_sets();
  check_creates(
      kind, kReplicas,
      {
          {"", ""},
          {R"(spec.updateStrategy = {"type":"OnDelete"})", ""},
          {R"(spec.updateStrategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":0}})", ""},
          {"spec.selector = {}", "spec.selector: Invalid value: {}: empty selector is invalid for daemonset"},
          {R"(spec.updateStrategy = {"type":"Other"})",
           "spec.updateStrategy: Unsupported value: {\"type\":\"Other\"}: supported values: \"RollingUpdate\", "
           "\"OnDelete\""},
          {R"(spec.updateStrategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}})",
           "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is "
           "non-zero"},
          {R"(spec.updateStrategy = {"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":0}})",
           "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"},
          {"spec.template.spec.activeDeadlineSeconds = 5",
           "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"},
      });
  check_updates(kind, "", kReplicas,
                {
                    {"", "spec.minReadySeconds = 1", ""},
                    {"", R"(spec.selector.matchLabels = {"app":"b"}
                            spec.template.metadata.labels = {"app":"b"})",
                     "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"},
                });
  check_updates(kind, "status", kReplicas,
                {
                    {"", R"(status = {"currentNumberScheduled":1,"numberReady":1})", ""},
                    {"", "status.numberReady = -1", "status.numberReady: Invalid value: -1" + kNegative},
                });

  const Kind& revisions = kind_of("apps", "v1", "controllerrevisions");
  const char* revision = R"({"metadata":{"name":"a","namespace":"d"},"revision":1,"data":{"a":1}})";
  check_creates(revisions, revision,
                {
                    {"", ""},
                    {"data = -", "data: Required value: data is mandatory"},
                    {"data = 5", "data: Required value: data must be a valid JSON object"},
                    {"revision = -1", "revision: Invalid value: -1" + kNegative},
                });
  check_updates(revisions, "", revision,
                {{"", "revision = 2", ""}, {"", "data.a = 2", "data: Invalid value: {\"a\":2}: field is immutable"}});
}

TEST_CASE("jobs") {
  const Kind& kind = kinds::jobs();
  const std::string indexed = "spec.completionMode = \"Indexed\"\nspec.completions = 5\n";
  check_creates(
      kind, kJob,
      {
          {"", ""},
          {indexed + "spec.backoffLimitPerIndex = 1\nspec.maxFailedIndexes = 2", ""},
          {indexed + R"(spec.successPolicy = {"rules":[{"succeededIndexes":"0,2-3","succeededCount":2}]})", ""},
          {R"(spec.podFailurePolicy = {"rules":[{"action":"FailJob","onExitCodes":{"operator":"In","values":[1,3]}},)"
           R"({"action":"Ignore","onPodConditions":[{"type":"DisruptionTarget","status":"True"}]}]})",
           ""},
          {"spec.parallelism = -1", "spec.parallelism: Invalid value: -1" + kNegative},
          {"spec.completions = -1", "spec.completions: Invalid value: -1" + kNegative},
          {"spec.backoffLimit = -1", "spec.backoffLimit: Invalid value: -1" + kNegative},
          {"spec.ttlSecondsAfterFinished = -1", "spec.ttlSecondsAfterFinished: Invalid value: -1" + kNegative},
          {indexed + "spec.maxFailedIndexes = 1",
           "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"},
          {"spec.backoffLimitPerIndex = 1",
           "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"},
          {"spec.completionMode = \"Indexed\"\nspec.parallelism = 1",
           "spec.completions: Required value: when completion mode is Indexed"},
          {R"(spec.completionMode = "Other")",
           "spec.completionMode: Unsupported value: \"Other\": supported values: \"NonIndexed\", \"Indexed\""},
          {indexed + "spec.parallelism = 100001",
           "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is "
           "Indexed"},
          {indexed + "spec.backoffLimitPerIndex = 1\nspec.maxFailedIndexes = 6",
           "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"},
          {R"(spec.completionMode = "Indexed"
              spec.completions = 100001
              spec.parallelism = 10001
              spec.backoffLimitPerIndex = 1)",
           "[spec.maxFailedIndexes: Required value: must be specified when completions is above 100000, "
           "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above "
           "100000 and used with backoff limit per index]"},
          {R"(spec.managedBy = "nobody")",
           "spec.managedBy: Invalid value: \"nobody\": must be a domain-prefixed path (such as \"acme.io/foo\")"},
          {R"(spec.podReplacementPolicy = "Never")",
           "spec.podReplacementPolicy: Unsupported value: \"Never\": supported values: \"Failed\", "
           "\"TerminatingOrFailed\""},
          {R"(spec.template.spec.restartPolicy = "Always")",
           "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""},
          {R"(spec.template.spec.restartPolicy = "OnFailure"
              spec.podFailurePolicy = {"rules":[]})",
           "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is supported when "
           "podFailurePolicy is specified"},
          {R"(spec.podFailurePolicy = {"rules":[{"action":"Other"}]})",
           "[spec.podFailurePolicy.rules[0].action: Unsupported value: \"Other\": supported values: \"Count\", "
           "\"FailIndex\", \"FailJob\", \"Ignore\", spec.podFailurePolicy.rules[0]: Invalid value: specifying one of "
           "OnExitCodes and OnPodConditions is required]"},
          {R"(spec.podFailurePolicy = {"rules":[{"onExitCodes":{"operator":"In","values":[0,2,2,1],)"
           R"("containerName":"x"}}]})",
           "[spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" "
           "\"Ignore\"], spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one "
           "of "
           "the container or initContainer names in the pod template, "
           "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator, "
           "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2, "
           "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [0,2,2,1]: must be ordered]"},
          {R"(spec.podFailurePolicy = {"rules":[{"action":"FailIndex","onExitCodes":{"operator":"NotIn","values":[1]}}]})",
           "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to "
           "be "
           "set"},
          {R"(spec.successPolicy = {"rules":[{"succeededCount":1}]})",
           "spec.successPolicy: Invalid value: {\"rules\":[{\"succeededCount\":1}]}: requires indexed completion mode"},
          {indexed + R"(spec.successPolicy = {"rules":[]})",
           "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is "
           "specified"},
          {indexed + R"(spec.successPolicy = {"rules":[{}]})",
           "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be "
           "specified"},
          {indexed + R"(spec.successPolicy = {"rules":[{"succeededIndexes":"3-2"}]})",
           "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"3-2\": error parsing succeededIndexes: "
           "non-increasing order, previous: 3, current: 2"},
          {indexed + R"(spec.successPolicy = {"rules":[{"succeededIndexes":"9"}]})",
           "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"9\": error parsing succeededIndexes: too "
           "large index: \"9\""},
          {indexed + R"(spec.successPolicy = {"rules":[{"succeededIndexes":"0-1","succeededCount":3}]})",
           "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number "
           "of indexes in the specified succeededIndexes field)"},
          {R"(spec.selector = {"matchLabels":{"x":"y"}})",
           "[spec.selector: Invalid value: {\"matchLabels\":{\"x\":\"y\"}}: `selector` not auto-generated, "
           "spec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\","
           "\"batch.kubernetes.io/job-name\":\"a\",\"controller-uid\":\"u\",\"job-name\":\"a\"}: `selector` does not "
           "match template `labels`]"},
          {R"(spec.template.metadata.labels = {"batch.kubernetes.io/controller-uid":"u","controller-uid":"u",)"
           R"("batch.kubernetes.io/job-name":"b"})",
           "[spec.template.metadata.labels[job-name]: Required value: must be 'a', "
           "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Invalid value: "
           "{\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"b\","
           "\"controller-uid\":\"u\"}: must be 'a']"},
          {"spec.selector = -",
           "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: "
           "{\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"a\","
           "\"controller-uid\":\"u\",\"job-name\":\"a\"}: `selector` does not match template `labels`]"},
      });
}

TEST_CASE("changes of jobs") {
  const Kind& kind = kinds::jobs();
  const std::string image = "spec.template.spec.containers[0].image = \"j\"";
  check_updates(
      kind, "", kJob,
      {
          {"spec.completions = 1\nspec.parallelism = 1", "spec.parallelism = 3\nspec.suspend = true", ""},
          {"", "spec.completions = 3", "spec.completions: Invalid value: 3: field is immutable"},
          {"spec.completionMode = \"Indexed\"\nspec.completions = 5\nspec.parallelism = 5",
           "spec.completions = 3\nspec.parallelism = 3", ""},
          {"spec.completionMode = \"Indexed\"\nspec.completions = 5\nspec.parallelism = 5", "spec.completions = 3",
           "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"},
          {"", "spec.completionMode = \"Indexed\"\nspec.completions = 1",
           "spec.completionMode: Invalid value: \"Indexed\": field is immutable"},
          {"", R"(spec.managedBy = "acme.io/foo")",
           "spec.managedBy: Invalid value: \"acme.io/foo\": field is immutable"},
          // Suspended and not started: what the scheduler looks at, and resources, may change.
          {"spec.suspend = true", R"(spec.template.spec.nodeSelector = {"a":"b"}
                                     spec.template.metadata.annotations = {"a":"b"}
                                     spec.template.spec.containers[0].resources.requests.cpu = "1")",
           ""},
          {"spec.suspend = true", R"(spec.template.spec.affinity.nodeAffinity = {})", ""},
      });
  const json::Value old = test::stored_object(kind, kJob);
  // The whole template is shown, as upstream shows it.
  const std::string shown = json::write(*test::changed(old, image).at({"spec", "template"}));
  const std::string pod = json::write(*test::changed(old, image).at({"spec", "template", "spec"}));
  check_updates(
      kind, "", kJob,
      {
          {"", image, "spec.template: Invalid value: " + shown + ": field is immutable"},
          {"spec.suspend = true", image, "spec.template.spec: Invalid value: " + pod + ": field is immutable"},
          {R"(spec.suspend = true
                        status.startTime = "2026-01-01T00:00:00Z")",
           image, "spec.template: Invalid value: " + shown + ": field is immutable"},
      });
}

TEST_CASE("the status of jobs") {
  const Kind& kind = kinds::jobs();
  const std::string start = "status.startTime = \"2026-01-01T00:00:00Z\"\n";
  const std::string completed = start + "status.completionTime = \"2026-01-01T00:00:01Z\"\n";
  const std::string complete =
      "status.conditions = [{\"type\":\"SuccessCriteriaMet\",\"status\":\"True\"},"
      "{\"type\":\"Complete\",\"status\":\"True\"}]\n";
  check_updates(
      kind, "status", kJob,
      {
          {"", start + "status.active = 1\nstatus.ready = 1", ""},
          {start, completed + complete + "status.succeeded = 1", ""},
          {"", "status.failed = -1",
           "[status.failed: Invalid value: -1" + kNegative +
               ", status.failed: Invalid value: -1: cannot decrease the failed counter]"},
          {"status.succeeded = 2", "status.succeeded = 1",
           "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"},
          {"", "status.ready = 1", "status.ready: Invalid value: 1: cannot set more ready pods than active"},
          {"", R"(status.uncountedTerminatedPods = {"succeeded":["a",""],"failed":["a"]})",
           "[status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty, "
           "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"]"},
          {start, R"(status.conditions = [{"type":"Complete","status":"True"}])",
           "[status.completionTime: Required value: completionTime is required for Complete jobs, status.conditions: "
           "Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition]"},
          {start, R"(status.conditions = [{"type":"Failed","status":"True"}])",
           "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true "
           "condition"},
          {"", completed + complete + "status.active = 1",
           "status.active: Invalid value: 1: active>0 is invalid for finished job"},
          {"", "status.completionTime = \"2026-01-01T00:00:00Z\"",
           "status.completionTime: Invalid value: \"2026-01-01T00:00:00Z\": cannot set completionTime when there is no "
           "Complete=True condition"},
          {"", "status.completionTime = \"2025-01-01T00:00:00Z\"\n" + start + complete,
           "status.completionTime: Invalid value: \"2025-01-01T00:00:00Z\": must be equal to or after `startTime`"},
          {completed + complete, "status.conditions = []",
           "[status.completionTime: Invalid value: \"2026-01-01T00:00:01Z\": cannot set completionTime when there is "
           "no "
           "Complete=True condition, status.conditions: Invalid value: cannot disable the terminal Complete=True "
           "condition, status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition]"},
          {start, "status.startTime = \"2027-01-01T00:00:00Z\"",
           "status.startTime: Invalid value: \"2027-01-01T00:00:00Z\": field is immutable for unsuspended job once "
           "set"},
          {"spec.completions = 5", R"(status.completedIndexes = "1")",
           "status.completedIndexes: Invalid value: \"1\": cannot set non-empty completedIndexes when non-indexed "
           "completion mode"},
          {"spec.completionMode = \"Indexed\"\nspec.completions = 5", R"(status.completedIndexes = "x")",
           "status.completedIndexes: Invalid value: \"x\": error parsing completedIndexes: cannot convert string to "
           "integer for index: \"x\""},
          {"spec.completionMode = \"Indexed\"\nspec.completions = 5\nspec.backoffLimitPerIndex = 1",
           "status.completedIndexes = \"0-2\"\nstatus.failedIndexes = \"2,4\"",
           "status.failedIndexes: Invalid value: \"2,4\": failedIndexes and completedIndexes overlap at index: 2"},
      });
}

TEST_CASE("cron jobs") {
  const Kind& kind = kind_of("batch", "v1", "cronjobs");
  const std::string spec = "spec.schedule: Invalid value: ";
  const std::string zone = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
  check_creates(
      kind, kCronJob,
      {
          {"", ""},
          {R"(spec.schedule = "@daily")", ""},
          {R"(spec.timeZone = "Etc/UTC")", ""},
          {R"(spec.timeZone = "UTC")", ""},
          {"spec.schedule = -", "spec.schedule: Required value"},
          {R"(spec.schedule = "* * * *")", spec + "\"* * * *\": expected exactly 5 fields, found 4: [* * * *]"},
          {R"(spec.schedule = "TZ=UTC * * * * *")", spec + "\"TZ=UTC * * * * *\": " + zone},
          {R"(spec.timeZone = "")", "spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"},
          {R"(spec.timeZone = "Moon/Base")",
           "spec.timeZone: Invalid value: \"Moon/Base\": unknown time zone Moon/Base"},
          {R"(spec.timeZone = "../UTC")", "spec.timeZone: Invalid value: \"../UTC\": unknown time zone ../UTC"},
          {R"(spec.timeZone = "Local")",
           "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in "
           "https://www.iana.org/time-zones"},
          {R"(spec.concurrencyPolicy = "Other")",
           "spec.concurrencyPolicy: Unsupported value: \"Other\": supported values: \"Allow\", \"Forbid\", "
           "\"Replace\""},
          {"spec.startingDeadlineSeconds = -1", "spec.startingDeadlineSeconds: Invalid value: -1" + kNegative},
          {"spec.failedJobsHistoryLimit = -1", "spec.failedJobsHistoryLimit: Invalid value: -1" + kNegative},
          {R"(spec.jobTemplate.spec.selector = {})",
           "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated"},
          {"spec.jobTemplate.spec.manualSelector = true",
           "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\""},
          {R"(spec.jobTemplate.spec.template.spec.restartPolicy = "Always")",
           "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""},
          {cat("metadata.name = \"", std::string(53, 'a'), "\""),
           cat("metadata.name: Invalid value: \"", std::string(53, 'a'), "\": must be no more than 52 characters")},
      });
  check_updates(kind, "", kCronJob,
                {
                    {"", R"(spec.schedule = "0 0 * * *")", ""},
                    {R"(spec.schedule = "TZ=UTC * * * * *")", "spec.suspend = true", ""},
                    {R"(spec.schedule = "TZ=UTC * * * * *")", R"(spec.timeZone = "UTC")",
                     spec + "\"TZ=UTC * * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule"},
                    {R"(spec.timeZone = "Moon/Base")", "spec.suspend = true", ""},
                    {cat("metadata.name = \"", std::string(60, 'a'), "\""), "spec.suspend = true", ""},
                });
  check_updates(kind, "status", kCronJob, {{"", "status.lastScheduleTime = \"2026-01-01T00:00:00Z\"", ""}});
}

TEST_CASE("cron schedules") {
  struct Row {
    const char* text;
    const char* error;
    std::uint64_t minutes, hours;
  };
  const std::uint64_t all_hours = (std::uint64_t{1} << 24) - 1;
  for (const Row& row : {
           Row{"*/15 * * * *", "", 1ULL | 1ULL << 15 | 1ULL << 30 | 1ULL << 45, all_hours},
           Row{"  5,10-12 3/10  * JAN-mar ? ", "", 1ULL << 5 | 7ULL << 10, 1ULL << 3 | 1ULL << 13 | 1ULL << 23},
           Row{"@hourly", "", 1, all_hours},
           Row{"@midnight", "", 1, 1},
           Row{"0 0 * * sun", "", 1, 1},
           Row{"CRON_TZ=UTC  0 0 1 1 *", "", 1, 1},
           Row{", 0 * * *", "", 0, 1},
           Row{"@every 90m", "", 0, 0},
           Row{"", "empty spec string", 0, 0},
           Row{"60 * * * *", "end of range (60) above maximum (59): 60", 0, 0},
           Row{"* * 0 * *", "beginning of range (0) below minimum (1): 0", 0, 0},
           Row{"* 5-3 * * *", "beginning of range (5) beyond end of range (3): 5-3", 0, 0},
           Row{"*/0 * * * *", "step of range should be a positive number: */0", 0, 0},
           Row{"x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax", 0, 0},
           Row{"99999999999999999999 * * * *",
               "failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value "
               "out "
               "of range",
               0, 0},
           Row{"1-2-3 * * * *", "too many hyphens: 1-2-3", 0, 0},
           Row{"1/2/3 * * * *", "too many slashes: 1/2/3", 0, 0},
           Row{"*/-1 * * * *", "negative number (-1) not allowed: -1", 0, 0},
           Row{"@often", "unrecognized descriptor: @often", 0, 0},
           Row{"@every x", "failed to parse duration @every x: time: invalid duration \"x\"", 0, 0},
           Row{"@every 5", "failed to parse duration @every 5: time: missing unit in duration \"5\"", 0, 0},
           Row{"@every 5d", "failed to parse duration @every 5d: time: unknown unit \"d\" in duration \"5d\"", 0, 0},
           Row{"TZ=0", "invalid schedule format: runtime error: slice bounds out of range [:-1]", 0, 0},
           Row{"TZ=Moon/Base * * * * *", "provided bad location Moon/Base: unknown time zone Moon/Base", 0, 0},
           Row{"TZ=../x * * * * *", "provided bad location ../x: time: invalid location name", 0, 0},
       }) {
    CAPTURE(row.text);
    const auto schedule = validation::parse_cron(row.text);
    CHECK((schedule ? std::string() : schedule.error().message()) == row.error);
    if (!schedule) continue;
    CHECK(schedule->minutes == row.minutes);
    CHECK(schedule->hours == row.hours);
  }
  const auto days = validation::parse_cron("0 0 1-5 * mon/2");
  REQUIRE(days);
  CHECK_FALSE(days->any_day_of_month);
  CHECK_FALSE(days->any_day_of_week);
  CHECK(days->days_of_week == (1U << 1 | 1U << 3 | 1U << 5));
  const auto every = validation::parse_cron("TZ=UTC @every 1h30m");
  REQUIRE(every);
  CHECK(every->every_seconds == 5400);
  CHECK(every->time_zone == "UTC");
}

TEST_CASE("horizontal pod autoscalers") {
  const Kind& kind = kind_of("autoscaling", "v2", "horizontalpodautoscalers");
  const std::string path = "spec.metrics[0].";
  check_creates(
      kind, kAutoscaler,
      {
          {"", ""},
          {R"(spec.scaleTargetRef = {"apiVersion":"v1","kind":"ReplicationController","name":"r"})", ""},
          {"spec.maxReplicas = 0",
           "[spec.maxReplicas: Required value: must be set and greater than 0, "
           "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`]"},
          {"spec.minReplicas = 0\nspec.maxReplicas = 1",
           "[spec.minReplicas: Invalid value: 0: must be greater than or equal to 1, spec.metrics: Forbidden: must "
           "specify at least one Object or External metric to support scaling to zero replicas]"},
          {"spec.minReplicas = 6",
           "spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"},
          {R"(spec.scaleTargetRef = {"apiVersion":"v1","kind":"Deployment","name":"a/b"})",
           "[spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/', spec.scaleTargetRef.apiVersion: "
           "Invalid value: \"v1\": apiVersion must specify API group]"},
          {R"(spec.scaleTargetRef = {"apiVersion":"a/b/c","kind":"X","name":"a"})",
           "spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"},
          {R"(spec.metrics = [{"type":"Resource","pods":{"metric":{"name":"m"},)"
           R"("target":{"type":"AverageValue","averageValue":"1"}}}])",
           path + "resource: Required value: must populate information for the given metric source"},
          {R"(spec.metrics = [{"type":"External","external":{"metric":{"name":"m"},)"
           R"("target":{"type":"Value","value":"0"}}}])",
           path + "external.target.value: Invalid value: \"0\": must be positive"},
          {R"(spec.metrics[0].resource.target = {"type":"Utilization","averageUtilization":0})",
           path + "resource.target.averageUtilization: Invalid value: 0: must be greater than 0"},
          {R"(spec.metrics[0].resource.target = {"type":"Other"})",
           "[" + path +
               "resource.target.type: Invalid value: \"Other\": must be either Utilization, Value, or "
               "AverageValue, " +
               path +
               "resource.target.averageUtilization: Required value: must set either a target raw value or a target "
               "utilization]"},
          {R"(spec.behavior = {"scaleUp":{"policies":[{"type":"Pods","value":0,"periodSeconds":1801}]}})",
           "[spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero, "
           "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800]"},
          {R"(spec.behavior = {"scaleDown":{"stabilizationWindowSeconds":3601,"selectPolicy":"Other"}})",
           "[spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to "
           "3600, spec.behavior.scaleDown.selectPolicy: Unsupported value: \"Other\": supported values: \"Disabled\", "
           "\"Max\", \"Min\"]"},
      });
  check_updates(kind, "", kAutoscaler,
                {
                    {"", "spec.maxReplicas = 9", ""},
                    {R"(spec.scaleTargetRef.apiVersion = "v1")", "spec.maxReplicas = 9", ""},
                    {"", R"(spec.scaleTargetRef.apiVersion = "v1")",
                     "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group"},
                });
  check_updates(kind, "status", kAutoscaler,
                {
                    {"", R"(status = {"currentReplicas":1,"desiredReplicas":1})", ""},
                    {"", R"(status = {"currentReplicas":-1,"desiredReplicas":1})",
                     "status.currentReplicas: Invalid value: -1" + kNegative},
                });
}

TEST_CASE("pod disruption budgets") {
  const Kind& kind = kind_of("policy", "v1", "poddisruptionbudgets");
  check_creates(
      kind, kBudget,
      {
          {"", ""},
          {R"(spec.minAvailable = "50%")", ""},
          {R"(metadata.name = "A:b")", ""},
          {"spec.maxUnavailable = 1",
           "spec: Invalid value: {\"minAvailable\":1,\"selector\":{\"matchLabels\":{\"app\":\"a\"}},"
           "\"maxUnavailable\":1}: minAvailable and maxUnavailable cannot be both set"},
          {"spec.minAvailable = -1", "spec.minAvailable: Invalid value: -1" + kNegative},
          {R"(spec.minAvailable = "x")", "spec.minAvailable: Invalid value: \"x\": " + kPercent},
          {R"(spec.minAvailable = "200%")",
           "spec.minAvailable: Invalid value: \"200%\": must not be greater than 100%"},
          {R"(spec.unhealthyPodEvictionPolicy = "Other")",
           "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Other\": supported values: \"AlwaysAllow\", "
           "\"IfHealthyBudget\""},
      });
  const std::string counters = R"("disruptionsAllowed":0,"currentHealthy":0,"desiredHealthy":0)";
  check_updates(
      kind, "status", kBudget,
      {
          {"",
           "status = {" + counters +
               R"(,"expectedPods":1,"conditions":[{"type":"A","status":"True",)"
               R"("lastTransitionTime":"2026-01-01T00:00:00Z","reason":"R","message":""}]})",
           ""},
          {"", "status = {" + counters + R"(,"expectedPods":-1})",
           "status.expectedPods: Invalid value: -1" + kNegative},
          {"",
           "status = {" + counters +
               R"(,"expectedPods":1,"conditions":[{"type":"A","status":"Maybe",)"
               R"("lastTransitionTime":"2026-01-01T00:00:00Z","reason":"","message":""}]})",
           "[status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", "
           "\"Unknown\", status.conditions[0].reason: Required value]"},
      });
}
