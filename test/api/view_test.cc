// Tests of the generated views and drafts.
#include <catch2/catch.hpp>

#include "api/drafts/apps_v1.h"
#include "api/drafts/core_v1.h"
#include "api/views/core_v1.h"
#include "base/json.h"

using namespace kayak;
using namespace kayak::api::core_v1;

namespace {

json::Document document(std::string_view text) {
  Result<json::Value> value = json::read(text);
  if (!value) FAIL(value.error().message() << " in " << text);
  return std::make_shared<const json::Value>(*std::move(value));
}

constexpr std::string_view kPod =
    R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"ns","labels":{"app":"a","tier":"b"},)"
    R"("creationTimestamp":"2024-02-20T00:00:00Z"},"spec":{"volumes":[{"name":"v","emptyDir":{}}],"containers":[)"
    R"({"name":"one","image":"i:1","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"500m"}},)"
    R"("livenessProbe":{"httpGet":{"path":"/","port":"http"},"periodSeconds":5}},{"name":"two","image":"i:2","resources":{}}],)"
    R"("terminationGracePeriodSeconds":0,"hostNetwork":true},"status":{}})";

}  // namespace

TEST_CASE("a view reads what is there and gives zero for the rest") {
  const PodView pod(document(kPod));
  CHECK(pod.kind() == "Pod");
  CHECK(pod.metadata().name() == "p");
  CHECK(pod.metadata().namespace_() == "ns");
  CHECK(pod.metadata().creation_timestamp()->seconds() == 1708387200);
  CHECK(!pod.metadata().deletion_timestamp());
  CHECK(pod.metadata().labels().get("tier") == "b");
  CHECK(!pod.metadata().labels().find("none"));
  CHECK(pod.spec().termination_grace_period_seconds() == 0);
  CHECK(!pod.spec().active_deadline_seconds());
  CHECK(pod.spec().host_network());
  CHECK(!pod.spec().host_pid());
  std::string seen;
  for (const ContainerView container : pod.spec().containers()) {
    seen += std::string(container.name()) + "=" + std::string(container.image()) + " ";
  }
  CHECK(seen == "one=i:1 two=i:2 ");
  const ContainerView one = pod.spec().containers()[0];
  CHECK(one.ports()[0].container_port() == 80);
  CHECK(one.resources().limits().get("cpu").milli_value() == 500);
  const ProbeView probe = one.liveness_probe();
  CHECK(probe.period_seconds() == 5);
  CHECK(probe.http_get().port().text == "http");    // an inline message's field among the probe's own
  CHECK(probe.handler().http_get().path() == "/");  // and the inline message by itself
  CHECK(pod.spec().volumes()[0].empty_dir());
  CHECK(!pod.spec().volumes()[0].host_path());
  CHECK(pod.spec()
            .affinity()
            .node_affinity()
            .required_during_scheduling_ignored_during_execution()
            .node_selector_terms()
            .empty());
}

TEST_CASE("a view keeps its document") {
  ContainerView container;
  {
    const PodView pod(document(kPod));
    container = pod.spec().containers()[1];
  }
  CHECK(container.name() == "two");
  CHECK(!ContainerView());
}

TEST_CASE("values of the wrong type read as zero") {
  const PodView pod(document(R"({"metadata":[1],"spec":{"containers":"x","nodeName":7,"priority":"high"}})"));
  CHECK(pod.metadata().name().empty());
  CHECK(pod.spec().containers().empty());
  CHECK(pod.spec().node_name().empty());
  CHECK(pod.spec().priority() == 0);
}

TEST_CASE("a draft changes its own copy") {
  const json::Document before = document(kPod);
  const std::string text_before = json::write(*before);
  PodDraft draft{PodView(before)};
  draft.spec().set_node_name("n1");
  draft.spec().set_host_network(false);
  draft.spec().clear_termination_grace_period_seconds();
  draft.metadata().labels().set("new", "label");
  draft.metadata().labels().erase("app");
  draft.metadata().add_finalizers("f");
  PodConditionDraft condition = draft.status().add_conditions();
  condition.set_type("Ready");
  condition.set_status("True");
  condition.set_last_transition_time(WallTime{1708387200'000000});
  draft.spec().containers()[0].liveness_probe().http_get().set_port(8080);
  draft.spec().containers()[1].resources().limits().set("memory", Quantity::of_binary(1 << 30));
  CHECK(draft.view().spec().node_name() == "n1");
  const api::Frozen frozen = std::move(draft).freeze();
  CHECK(json::write(*before) == text_before);
  CHECK(frozen.text ==
        R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"ns",)"
        R"("creationTimestamp":"2024-02-20T00:00:00Z","labels":{"new":"label","tier":"b"},"finalizers":["f"]},)"
        R"("spec":{"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"one","image":"i:1",)"
        R"("ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"500m"}},)"
        R"("livenessProbe":{"httpGet":{"path":"/","port":8080},"periodSeconds":5}},)"
        R"({"name":"two","image":"i:2","resources":{"limits":{"memory":"1Gi"}}}],"nodeName":"n1"},)"
        R"("status":{"conditions":[{"type":"Ready","status":"True","lastProbeTime":null,)"
        R"("lastTransitionTime":"2024-02-20T00:00:00Z"}]}})");
  CHECK(json::write(*frozen.document) == frozen.text);
}

TEST_CASE("drafts inside a draft stay valid while others appear") {
  PodDraft pod;
  PodSpecDraft spec = pod.spec();
  auto meta = pod.metadata();
  spec.set_node_name("n");
  spec.security_context().set_run_as_user(1000);
  spec.affinity();
  spec.set_priority(3);
  meta.set_name("x");
  meta.labels().set("a", "b");
  pod.status().set_phase("Running");
  CHECK(json::write(std::move(pod).take()) ==
        R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","labels":{"a":"b"}},"spec":{"containers":null,)"
        R"("nodeName":"n","securityContext":{"runAsUser":1000},"affinity":{},"priority":3},)"
        R"("status":{"phase":"Running"}})");
}

TEST_CASE("a draft takes parts of other documents") {
  const PodView pod(document(kPod));
  api::apps_v1::ReplicaSetDraft set;
  set.spec().set_replicas(2);
  set.spec().template_().set_spec(pod.spec());
  set.spec().template_().metadata().set_labels(pod.metadata().labels());
  const api::Frozen frozen = std::move(set).freeze();
  const api::apps_v1::ReplicaSetView view(frozen.document);
  CHECK(view.api_version() == "apps/v1");
  CHECK(view.spec().replicas() == 2);
  CHECK(view.spec().template_().spec() == pod.spec());
  CHECK(view.spec().template_().metadata().labels().size() == 2);
}
