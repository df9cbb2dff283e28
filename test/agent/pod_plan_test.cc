// What a pod does next, and what its status shows, for every state its containers can be in.
#include "agent/pod/pod_plan.h"

#include <catch2/catch.hpp>

#include "agent/pod/pod_status.h"
#include "base/strings.h"
#include "support_pod.h"

namespace kayak::agent {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTime = 1000s;  // "now" in all tests
Instant at(Duration when) { return Instant() + when; }
Instant now() { return at(kTime); }

// "-": never started; "created": being started; "run"; or the exit code it ended with.
ContainerFacts container(const std::string& name, const std::string& state) {
  ContainerFacts facts;
  facts.name = name;
  if (state == "-") return facts;
  ContainerStatus status;
  status.id = name + "0";
  status.name = name;
  status.state = state == "run" ? ContainerState::kRunning : ContainerState::kExited;
  status.exit_code = state == "run" ? 0 : std::stoi(state);
  status.reason = status.exit_code == 0 ? "Completed" : "Error";
  facts.latest = status;
  facts.next_attempt = 1;
  return facts;
}

struct Setup {
  RestartPolicy policy = RestartPolicy::kAlways;
  std::string init, main;  // states of init and main containers, separated by spaces
};

PodFacts pod(const Setup& setup) {
  PodFacts facts;
  facts.uid = "u-1";
  facts.namespace_ = "default";
  facts.name = "web";
  facts.restart_policy = setup.policy;
  facts.sandbox.emplace();
  facts.sandbox->ready = true;
  int n = 0;
  for (const std::string_view state : split(setup.init, ' ')) {
    if (state.empty()) continue;
    facts.init.push_back(container(cat("i", n++), std::string(state)));
    facts.init.back().init = true;
  }
  n = 0;
  for (const std::string_view state : split(setup.main, ' ')) {
    if (!state.empty()) facts.main.push_back(container(cat("c", n++), std::string(state)));
  }
  return facts;
}

std::string text(const Plan& plan) {
  switch (plan.action.type) {
    case Action::Type::kWait:
      return plan.wake_at
                 ? cat("wait ", std::chrono::duration_cast<std::chrono::seconds>(*plan.wake_at - now()).count())
                 : "wait";
    case Action::Type::kCreateSandbox:
      return "sandbox";
    case Action::Type::kRemoveSandbox:
      return "remove";
    case Action::Type::kStartContainer:
      return cat("start ", plan.action.container, " ", plan.action.attempt);
    case Action::Type::kStopContainers:
      return cat("stop ", plan.action.grace_seconds, plan.action.container.empty() ? "" : " ", plan.action.container);
    case Action::Type::kDropPrevious:
      return cat("drop ", plan.action.id);
    case Action::Type::kFinish:
      return "finish";
  }
  return "?";
}

constexpr RestartPolicy kAlways = RestartPolicy::kAlways, kOnFailure = RestartPolicy::kOnFailure,
                        kNever = RestartPolicy::kNever;

TEST_CASE("pod plan: what comes next, and the phase") {
  struct Row {
    RestartPolicy policy;
    std::string init, main, next, phase;
  };
  for (const Row& row : {
           Row{kAlways, "", "-", "start c0 0", "Pending"},
           Row{kAlways, "", "run", "wait", "Running"},
           Row{kAlways, "", "run -", "start c1 0", "Pending"},
           Row{kAlways, "", "0", "start c0 1", "Running"},
           Row{kAlways, "", "1", "start c0 1", "Running"},
           Row{kOnFailure, "", "0", "wait", "Succeeded"},
           Row{kOnFailure, "", "1", "start c0 1", "Running"},
           Row{kOnFailure, "", "0 run", "wait", "Running"},
           Row{kNever, "", "0", "wait", "Succeeded"},
           Row{kNever, "", "0 3", "wait", "Failed"},
           Row{kNever, "", "3 run", "wait", "Running"},
           // Init containers: one after the other, each to a good end.
           Row{kAlways, "- -", "-", "start i0 0", "Pending"},
           Row{kAlways, "run -", "-", "wait", "Pending"},
           Row{kAlways, "0 -", "-", "start i1 0", "Pending"},
           Row{kAlways, "0 0", "-", "start c0 0", "Pending"},
           Row{kAlways, "1 -", "-", "start i0 1", "Pending"},
           Row{kOnFailure, "1", "-", "start i0 1", "Pending"},
           Row{kNever, "1", "-", "wait", "Failed"},
           // They do not run again with a main container that ended, nor when their records are gone.
           Row{kAlways, "0", "1", "start c0 1", "Running"},
           Row{kAlways, "-", "run", "wait", "Running"},
       }) {
    CAPTURE(row.init, row.main);
    const PodFacts facts = pod(Setup{row.policy, row.init, row.main});
    CHECK(text(plan_pod(facts, now())) == row.next);
    CHECK(phase_name(phase_of(facts, now())) == row.phase);
  }
}

TEST_CASE("pod plan: waits, ends and what is refused") {
  struct Row {
    const char* what;
    void (*change)(PodFacts&);
    std::string next, phase;
  };
  for (const Row& row : {
           Row{"back-off of a restart", [](PodFacts& f) { f.main[0].restart_at = at(kTime + 20s); }, "wait 20",
               "Running"},
           Row{"back-off that is over", [](PodFacts& f) { f.main[0].restart_at = at(kTime - 1s); }, "start c0 1",
               "Running"},
           Row{"back-off of a failed start",
               [](PodFacts& f) {
                 f.main[0].failure.reason = "ErrImagePull";
                 f.main[0].failure.retry_at = at(kTime + 10s);
               },
               "wait 10", "Running"},
           Row{"only one ended container is kept",
               [](PodFacts& f) {
                 f.main[0].previous = f.main[0].latest;
                 f.main[0].previous->id = "older";
               },
               "drop older", "Running"},
           Row{"deleted, all ended", [](PodFacts& f) { f.deleting = true; }, "remove", "Running"},
           Row{"deleted, nothing left",
               [](PodFacts& f) {
                 f.deleting = true;
                 f.sandbox.reset();
               },
               "finish", "Running"},
           Row{"deleted while it runs",
               [](PodFacts& f) {
                 f.deleting = true;
                 f.grace_seconds = 7;
                 f.main[0].latest->state = ContainerState::kRunning;
               },
               "stop 7", "Running"},
           Row{"gone from the API while it runs",
               [](PodFacts& f) {
                 f.gone = true;
                 f.grace_seconds = 1;
                 f.main[0].latest->state = ContainerState::kRunning;
               },
               "stop 1", "Running"},
           Row{"the node stops its pods",
               [](PodFacts& f) {
                 f.stop_requested = true;
                 f.main[0].latest->state = ContainerState::kRunning;
               },
               "stop 30", "Running"},
           Row{"nor does it start one then", [](PodFacts& f) { f.stop_requested = true; }, "wait", "Running"},
           Row{"a deadline ahead",
               [](PodFacts& f) {
                 f.deadline = at(kTime + 5s);
                 f.main[0].latest->state = ContainerState::kRunning;
               },
               "wait 5", "Running"},
           Row{"a deadline that is over",
               [](PodFacts& f) {
                 f.deadline = now();
                 f.main[0].latest->state = ContainerState::kRunning;
               },
               "stop 30", "Failed"},
           Row{"another image while it runs",
               [](PodFacts& f) {
                 f.main[0].latest->state = ContainerState::kRunning;
                 f.main[0].changed = true;
               },
               "stop 30 c0", "Running"},
           Row{"stopped for it",
               [](PodFacts& f) {
                 f.restart_policy = kNever;
                 f.main[0].restart_at = at(kTime + 20s);
                 f.main[0].replaced = true;
               },
               "start c0 1", "Running"},
           Row{"another image when it has ended",
               [](PodFacts& f) {
                 f.restart_policy = kNever;
                 f.main[0].changed = true;
               },
               "wait", "Failed"},
           Row{"refused",
               [](PodFacts& f) {
                 f.refusal = Refusal{"CreateContainerConfigError", "no"};
               },
               "wait", "Running"},
           Row{"no sandbox", [](PodFacts& f) { f.sandbox.reset(); }, "sandbox", "Running"},
           Row{"no sandbox, tried before",
               [](PodFacts& f) {
                 f.sandbox.reset();
                 f.sandbox_failure.reason = "x";
                 f.sandbox_failure.retry_at = at(kTime + 3s);
               },
               "wait 3", "Running"},
           Row{"a sandbox that a reboot took", [](PodFacts& f) { f.sandbox->ready = false; }, "remove", "Running"},
           Row{"ended before and settled",
               [](PodFacts& f) {
                 f.sandbox.reset();
                 f.settled = true;
               },
               "wait", "Failed"},
       }) {
    CAPTURE(row.what);
    PodFacts facts = pod(Setup{kAlways, "", "1"});
    row.change(facts);
    CHECK(text(plan_pod(facts, now())) == row.next);
    CHECK(phase_name(phase_of(facts, now())) == row.phase);
  }
}

TEST_CASE("pod plan: the back-off goes from 10 s to 5 min") {
  std::vector<std::int64_t> seconds;
  Duration delay{0};
  for (int i = 0; i < 7; ++i) {
    delay = next_delay(delay);
    seconds.push_back(std::chrono::duration_cast<std::chrono::seconds>(delay).count());
  }
  CHECK(seconds == std::vector<std::int64_t>{10, 20, 40, 80, 160, 300, 300});
}

// "waiting CrashLoopBackOff", "terminated Error", "running".
std::string state_text(const json::Value& status) {
  for (const char* kind : {"waiting", "terminated", "running"}) {
    const json::Value* state = status.at({"state", kind});
    if (!state) continue;
    const json::Value* reason = state->find("reason");
    return reason ? cat(kind, " ", reason->string_or()) : kind;
  }
  return "";
}

TEST_CASE("pod status: a container's state") {
  struct Row {
    const char* what;
    void (*change)(PodFacts&);
    std::string state;
    std::int64_t restarts;
    bool ready, last;
  };
  for (const Row& row : {
           Row{"runs", [](PodFacts& f) { f.main[0].latest->state = ContainerState::kRunning; }, "running", 0, true,
               false},
           Row{"was never started", [](PodFacts& f) { f.main[0] = container("c0", "-"); }, "waiting ContainerCreating",
               0, false, false},
           Row{"waits for init containers",
               [](PodFacts& f) {
                 f.main[0] = container("c0", "-");
                 f.init.push_back(container("i0", "run"));
                 f.init[0].init = true;
               },
               "waiting PodInitializing", 0, false, false},
           Row{"waits for its restart",
               [](PodFacts& f) {
                 f.main[0].restart_at = at(kTime + 15s);
                 f.main[0].restart_delay = 20s;
               },
               "waiting CrashLoopBackOff", 0, false, true},
           Row{"will not restart",
               [](PodFacts& f) {
                 f.restart_policy = kNever;
                 f.main[0].restart_at = at(kTime + 15s);
               },
               "terminated Error", 0, false, false},
           Row{"cannot be pulled",
               [](PodFacts& f) {
                 f.main[0] = container("c0", "-");
                 f.main[0].failure.reason = "ImagePullBackOff";
               },
               "waiting ImagePullBackOff", 0, false, false},
           Row{"cannot be pulled again",
               [](PodFacts& f) {
                 f.main[0].latest->attempt = 2;
                 f.main[0].failure.reason = "ImagePullBackOff";
               },
               "waiting ImagePullBackOff", 2, false, true},
           Row{"is refused",
               [](PodFacts& f) {
                 f.main[0] = container("c0", "-");
                 f.refusal = Refusal{"CreateContainerConfigError", "no"};
               },
               "waiting CreateContainerConfigError", 0, false, false},
       }) {
    CAPTURE(row.what);
    PodFacts facts = pod(Setup{kAlways, "", "1"});
    row.change(facts);
    const json::Value document = test::pod_with("{'containers':[{'name':'c0','image':'i'}]}");
    StatusInputs inputs;
    inputs.pod = &document;
    inputs.now = now();
    const json::Value status = pod_status(facts, inputs);
    const json::Value& shown = status.find("containerStatuses")->as_array().at(0);
    CHECK(state_text(shown) == row.state);
    CHECK(shown.find("restartCount")->as_int() == row.restarts);
    CHECK(shown.find("ready")->as_bool() == row.ready);
    CHECK(shown.find("lastState")->as_object().empty() == !row.last);
  }
}

TEST_CASE("pod status: readiness gates") {
  struct Row {
    std::string conditions, ready, reason, message;
  };
  for (const Row& row : {
           Row{"[]", "False", "ReadinessGatesNotReady",
               "corresponding condition of pod readiness gate \"a/b\" does not exist."},
           Row{"[{'type':'a/b','status':'False'}]", "False", "ReadinessGatesNotReady",
               "the status of pod readiness gate \"a/b\" is not \"True\", but False"},
           Row{"[{'type':'a/b','status':'True'}]", "True", "", ""},
       }) {
    CAPTURE(row.conditions);
    PodFacts facts = pod(Setup{kAlways, "", "run"});
    json::Value document =
        test::pod_with("{'readinessGates':[{'conditionType':'a/b'}],'containers':[{'name':'c0','image':'i'}]}");
    document["status"]["conditions"] = test::js(row.conditions);
    StatusInputs inputs;
    inputs.pod = &document;
    inputs.now = now();
    const json::Value status = pod_status(facts, inputs);
    int seen = 0;
    for (const json::Value& condition : status.find("conditions")->as_array()) {
      const std::string type(condition.find("type")->string_or());
      const std::string value(condition.find("status")->string_or());
      if (type == "ContainersReady") CHECK(value == "True");
      if (type == "a/b") ++seen;  // kept
      if (type != "Ready") continue;
      ++seen;
      CHECK(value == row.ready);
      CHECK((condition.find("reason") ? condition.find("reason")->string_or() : "") == row.reason);
      CHECK((condition.find("message") ? condition.find("message")->string_or() : "") == row.message);
    }
    CHECK(seen == (row.conditions == "[]" ? 1 : 2));
  }
}

TEST_CASE("pod status: the back-off message spells minutes as Go does") {
  struct Row {
    Duration delay;
    std::string span;
  };
  for (const Row& row : {Row{10s, "10s"}, Row{40s, "40s"}, Row{80s, "1m20s"}, Row{300s, "5m0s"}}) {
    PodFacts facts = pod(Setup{kAlways, "", "1"});
    facts.main[0].restart_at = at(kTime + 1s);
    facts.main[0].restart_delay = row.delay;
    const json::Value document = test::pod_with("{'containers':[{'name':'c0','image':'i'}]}");
    StatusInputs inputs;
    inputs.pod = &document;
    inputs.now = now();
    const json::Value status = pod_status(facts, inputs);
    const json::Value* message = status.find("containerStatuses")->as_array().at(0).at({"state", "waiting", "message"});
    REQUIRE(message != nullptr);
    CHECK(message->string_or() == cat("back-off ", row.span, " restarting failed container=c0 pod=web_default(u-1)"));
  }
}

}  // namespace
}  // namespace kayak::agent
