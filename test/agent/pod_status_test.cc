// pod_status_test.cc: the conditions of a pod as the node reports them.
#include "agent/pod/pod_status.h"

#include <catch2/catch.hpp>
#include <map>

#include "support/documents.h"

using namespace kayak;
using namespace kayak::agent;
using test::doc;

namespace {

PodFacts running_pod() {
  PodFacts facts;
  facts.uid = "u";
  SandboxStatus sandbox;
  sandbox.ready = true;
  sandbox.ips = {"10.42.0.2"};
  facts.sandbox = sandbox;
  ContainerFacts container;
  container.name = "c";
  ContainerStatus status;
  status.id = "abc";
  status.name = "c";
  status.state = ContainerState::kRunning;
  container.latest = status;
  facts.main.push_back(container);
  return facts;
}

// "True@3 2026-01-02T00:00:00Z" by type: status, observedGeneration, lastTransitionTime.
std::map<std::string, std::string> conditions_of(const PodFacts& facts, const json::Value& pod) {
  StatusInputs inputs;
  inputs.pod = &pod;
  REQUIRE(parse_time("2026-01-02T00:00:00Z", &inputs.wall));
  const json::Value status = pod_status(facts, inputs);
  std::map<std::string, std::string> found;
  for (const json::Value& c : status.find("conditions")->as_array()) {
    const json::Value* generation = c.find("observedGeneration");
    found[std::string(c.find("type")->string_or())] =
        cat(c.find("status")->string_or(), "@", generation ? json::write(*generation) : "none", " ",
            c.find("lastTransitionTime")->string_or());
  }
  return found;
}

}  // namespace

TEST_CASE("the node reports a pod's conditions, that it has a node among them") {
  // As of a pod that came with spec.nodeName: no scheduler has written anything.
  const json::Value pod =
      doc("{'metadata':{'generation':3},'spec':{'containers':[{'name':'c','image':'i'}]},'status':{}}");
  std::map<std::string, std::string> want;
  for (const char* type : {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"}) {
    want[type] = "True@3 2026-01-02T00:00:00Z";
  }
  CHECK(conditions_of(running_pod(), pod) == want);
}

TEST_CASE("conditions that stay as they are keep their time; those of others are kept whole") {
  const json::Value pod =
      doc("{'metadata':{'generation':4},'spec':{'containers':[{'name':'c','image':'i'}]},'status':{'conditions':["
          "{'type':'PodScheduled','status':'True','lastTransitionTime':'2026-01-01T00:00:00Z'},"
          "{'type':'Ready','status':'False','observedGeneration':3,'lastTransitionTime':'2026-01-01T00:00:00Z'},"
          "{'type':'example.com/gate','status':'False','lastTransitionTime':'2026-01-01T00:00:00Z'}]}}");
  const std::map<std::string, std::string> found = conditions_of(running_pod(), pod);
  CHECK(found.at("PodScheduled") == "True@4 2026-01-01T00:00:00Z");
  CHECK(found.at("Ready") == "True@4 2026-01-02T00:00:00Z");
  CHECK(found.at("example.com/gate") == "False@none 2026-01-01T00:00:00Z");
}

TEST_CASE("a pod is ready when its readiness gates are True") {
  struct Row {
    std::string conditions, ready, message;
  };
  for (const Row& row :
       {Row{"[]", "False",
            "corresponding condition of pod readiness gate \"a.io/g\" does not exist., corresponding condition of pod "
            "readiness gate \"b.io/g\" does not exist."},
        Row{"[{'type':'a.io/g','status':'True'},{'type':'b.io/g','status':'Unknown'}]", "False",
            "the status of pod readiness gate \"b.io/g\" is not \"True\", but Unknown"},
        Row{"[{'type':'a.io/g','status':'True'},{'type':'b.io/g','status':'True'}]", "True", ""}}) {
    CAPTURE(row.conditions);
    const json::Value pod = doc(
        cat("{'metadata':{'generation':1},'spec':{'containers':[{'name':'c','image':'i'}],'readinessGates':[",
            "{'conditionType':'a.io/g'},{'conditionType':'b.io/g'}]},'status':{'conditions':", row.conditions, "}}"));
    StatusInputs inputs;
    inputs.pod = &pod;
    const json::Value status = pod_status(running_pod(), inputs);
    std::string ready, message, containers;
    for (const json::Value& c : status.find("conditions")->as_array()) {
      const std::string_view type = c.find("type")->string_or();
      if (type == "ContainersReady") containers = c.find("status")->string_or();
      if (type != "Ready") continue;
      ready = c.find("status")->string_or();
      if (const json::Value* text = c.find("message")) message = text->string_or();
    }
    CHECK(containers == "True");
    CHECK(ready == row.ready);
    CHECK(message == row.message);
  }
}
