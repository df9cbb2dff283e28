// pod_status.cc: see pod_status.h.
#include "agent/pod/pod_status.h"

#include <algorithm>

#include "api/views/core_v1.h"
#include "base/strings.h"

namespace kayak::agent {

namespace {

json::Value object() { return json::Value(json::Object()); }

json::Value waiting(const std::string& reason, const std::string& message) {
  json::Value state = object();
  state["waiting"]["reason"] = reason;
  if (!message.empty()) state["waiting"]["message"] = message;
  return state;
}

json::Value terminated(const ContainerStatus& status) {
  json::Value state = object();
  json::Value& t = state["terminated"];
  t["exitCode"] = status.exit_code;
  if (status.signal != 0) t["signal"] = status.signal;
  t["reason"] = status.reason;
  if (!status.message.empty()) t["message"] = status.message;
  t["startedAt"] = status.started.microseconds == 0 ? json::Value() : json::Value(format_time(status.started));
  t["finishedAt"] = status.finished.microseconds == 0 ? json::Value() : json::Value(format_time(status.finished));
  t["containerID"] = container_id_text(status.id);
  return state;
}

json::Value running_state(const ContainerStatus& status) {
  json::Value state = object();
  state["running"]["startedAt"] = format_time(status.started);
  return state;
}

struct Shown {
  json::Value state, last;
  bool ready = false, started = false;
};

// What one container's status shows now.
Shown show(const PodFacts& facts, const ContainerFacts& c, bool initialized, Instant now) {
  Shown shown;
  const bool will_restart =
      should_restart(facts.restart_policy, c) && !facts.deleting && !facts.gone && !facts.deadline_exceeded;
  if (c.latest && c.latest->state == ContainerState::kRunning) {
    shown.state = running_state(*c.latest);
    shown.started = true;
    shown.ready = !c.init || c.sidecar;
    if (c.previous) shown.last = terminated(*c.previous);
  } else if (c.latest && c.latest->state == ContainerState::kExited) {
    if (!c.failure.reason.empty() && will_restart) {
      shown.state = waiting(c.failure.reason, c.failure.message);
      shown.last = terminated(*c.latest);
    } else if (will_restart && c.restart_at > now) {
      const std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(c.restart_delay).count();
      const std::string span = seconds >= 60 ? cat(seconds / 60, "m", seconds % 60, "s") : cat(seconds, "s");
      shown.state = waiting("CrashLoopBackOff", cat("back-off ", span, " restarting failed container=", c.name,
                                                    " pod=", facts.name, "_", facts.namespace_, "(", facts.uid, ")"));
      shown.last = terminated(*c.latest);
    } else {
      shown.state = terminated(*c.latest);
      if (c.previous) shown.last = terminated(*c.previous);
      shown.ready = c.init && !c.sidecar && c.latest->exit_code == 0;
    }
  } else if (facts.refusal) {
    shown.state = waiting(facts.refusal->reason, facts.refusal->message);
  } else if (!c.failure.reason.empty()) {
    shown.state = waiting(c.failure.reason, c.failure.message);
  } else {
    const bool waits_for_init = !initialized && !facts.init.empty();
    shown.state = waiting(waits_for_init ? "PodInitializing" : "ContainerCreating", "");
  }
  return shown;
}

json::Value container_status(const PodFacts& facts, const ContainerFacts& c, const std::string& image, bool initialized,
                             Instant now) {
  Shown shown = show(facts, c, initialized, now);
  json::Value status = object();
  status["name"] = c.name;
  status["state"] = std::move(shown.state);
  status["lastState"] = shown.last.is_null() ? object() : std::move(shown.last);
  status["ready"] = shown.ready;
  status["restartCount"] = static_cast<std::int64_t>(c.latest ? c.latest->attempt : c.next_attempt);
  status["image"] = c.latest ? c.latest->image : image;
  status["imageID"] = c.latest ? c.latest->image_id : "";
  if (c.latest) status["containerID"] = container_id_text(c.latest->id);
  status["started"] = shown.started;
  return status;
}

// Keeps conditions' transition times and what others wrote.
class Conditions {
 public:
  Conditions(const json::Value* existing, WallTime now, std::int64_t generation)
      : now_(format_time(now)), generation_(generation) {
    if (existing && existing->is_array()) list_ = existing->as_array();
  }
  void set(const char* type, bool value, const std::string& reason = "", const std::string& message = "") {
    json::Value condition = object();
    condition["type"] = type;
    if (generation_ > 0) condition["observedGeneration"] = generation_;
    condition["status"] = value ? "True" : "False";
    condition["lastProbeTime"] = nullptr;
    condition["lastTransitionTime"] = now_;
    if (!reason.empty()) condition["reason"] = reason;
    if (!message.empty()) condition["message"] = message;
    for (json::Value& old : list_) {
      const json::Value* old_type = old.find("type");
      if (!old_type || old_type->string_or() != type) continue;
      const json::Value* old_status = old.find("status");
      const json::Value* since = old.find("lastTransitionTime");
      if (old_status && since && old_status->string_or() == (value ? "True" : "False"))
        condition["lastTransitionTime"] = *since;
      old = std::move(condition);
      return;
    }
    list_.push_back(std::move(condition));
  }
  // "True", "False", ... of a condition; "" when nobody has set it.
  std::string status_of(std::string_view type) const {
    for (const json::Value& condition : list_) {
      const json::Value* its_type = condition.find("type");
      const json::Value* status = condition.find("status");
      if (its_type && its_type->string_or() == type) return status ? std::string(status->string_or()) : "";
    }
    return "";
  }
  json::Value take() { return json::Value(std::move(list_)); }

 private:
  json::Array list_;
  std::string now_;
  std::int64_t generation_;
};

// "containers with unready status: [a b]"
std::string unready_message(const std::vector<std::string>& names, const char* what) {
  std::string text = cat("containers with ", what, " status: [");
  for (std::size_t i = 0; i < names.size(); ++i) text += cat(i == 0 ? "" : " ", names[i]);
  return text + "]";
}

// What others still have to say before the pod is ready; "" when its readiness gates are open.
// Source: kubelet status.GeneratePodReadyCondition.
std::string closed_gates(const api::core_v1::PodView& pod, const Conditions& conditions) {
  std::vector<std::string> closed;
  for (const auto& gate : pod.spec().readiness_gates()) {
    const std::string status = conditions.status_of(gate.condition_type());
    const std::string name = quote(gate.condition_type());
    if (status.empty()) {
      closed.push_back(cat("corresponding condition of pod readiness gate ", name, " does not exist."));
    } else if (status != "True") {
      closed.push_back(cat("the status of pod readiness gate ", name, " is not \"True\", but ", status));
    }
  }
  return join(closed, ", ");
}

json::Value ip_list(const std::vector<std::string>& ips) {
  json::Array list;
  for (const std::string& ip : ips) {
    json::Value entry = object();
    entry["ip"] = ip;
    list.push_back(std::move(entry));
  }
  return json::Value(std::move(list));
}

}  // namespace

std::string container_id_text(const std::string& id) { return id.empty() ? "" : cat("kayak://", id); }

json::Value pod_status(const PodFacts& facts, const StatusInputs& inputs) {
  const api::core_v1::PodView pod(inputs.pod, nullptr);
  const PodPhase phase = phase_of(facts, inputs.now);
  const bool finished = phase == PodPhase::kSucceeded || phase == PodPhase::kFailed;
  const bool initialized =
      std::all_of(facts.init.begin(), facts.init.end(),
                  [](const ContainerFacts& c) {
                    return c.sidecar
                               ? c.latest.has_value()
                               : c.latest && c.latest->state == ContainerState::kExited && c.latest->exit_code == 0;
                  }) ||
      std::any_of(facts.main.begin(), facts.main.end(), [](const ContainerFacts& c) { return c.latest.has_value(); });

  json::Value status = object();
  status["observedGeneration"] = pod.metadata().generation();
  status["phase"] = phase_name(phase);

  json::Array init_statuses, statuses;
  std::vector<std::string> unready, incomplete;
  auto image_of = [](auto list, const std::string& name) {
    for (const auto& c : list) {
      if (c.name() == name) return std::string(c.image());
    }
    return std::string();
  };
  for (const ContainerFacts& c : facts.init) {
    init_statuses.push_back(
        container_status(facts, c, image_of(pod.spec().init_containers(), c.name), initialized, inputs.now));
    if (!init_statuses.back().find("ready")->bool_or(false)) incomplete.push_back(c.name);
  }
  for (const ContainerFacts& c : facts.main) {
    statuses.push_back(container_status(facts, c, image_of(pod.spec().containers(), c.name), initialized, inputs.now));
    if (!statuses.back().find("ready")->bool_or(false)) unready.push_back(c.name);
  }

  Conditions conditions(pod.status().json() ? pod.status().json()->find("conditions") : nullptr, inputs.wall,
                        pod.metadata().generation());
  conditions.set("PodReadyToStartContainers", facts.sandbox && facts.sandbox->ready);
  if (initialized) {
    conditions.set("Initialized", true, phase == PodPhase::kSucceeded ? "PodCompleted" : "");
  } else {
    conditions.set("Initialized", false, "ContainersNotInitialized", unready_message(incomplete, "incomplete"));
  }
  const bool ready = unready.empty() && !finished && phase == PodPhase::kRunning && !facts.gone;
  std::string reason, message;
  if (!ready) {
    reason = phase == PodPhase::kSucceeded ? "PodCompleted"
             : phase == PodPhase::kFailed  ? "PodFailed"
                                           : "ContainersNotReady";
    if (!finished) message = unready_message(unready, "unready");
  }
  const std::string gates = ready ? closed_gates(pod, conditions) : std::string();
  if (gates.empty()) {
    conditions.set("Ready", ready, reason, message);
  } else {
    conditions.set("Ready", false, "ReadinessGatesNotReady", gates);
  }
  conditions.set("ContainersReady", ready, reason, message);
  // A pod that is here has been given a node, by whomever.
  conditions.set("PodScheduled", true);
  status["conditions"] = conditions.take();

  if (facts.deadline_exceeded) {
    status["reason"] = "DeadlineExceeded";
    status["message"] = "Pod was active on the node longer than the specified deadline";
  }
  if (!inputs.host_ips.empty()) {
    status["hostIP"] = inputs.host_ips.front();
    status["hostIPs"] = ip_list(inputs.host_ips);
  }
  if (facts.sandbox && !facts.sandbox->ips.empty()) {
    status["podIP"] = facts.sandbox->ips.front();
    status["podIPs"] = ip_list(facts.sandbox->ips);
  } else if (const auto ip = pod.status().pod_ip(); !ip.empty() && (finished || facts.deleting)) {
    status["podIP"] = ip;  // an ended pod keeps showing where it was
    if (const json::Value* ips = pod.status().json()->find("podIPs")) status["podIPs"] = *ips;
  }
  const std::optional<WallTime> start = pod.status().start_time();
  status["startTime"] = format_time(start ? *start : inputs.wall);
  if (!init_statuses.empty()) status["initContainerStatuses"] = json::Value(std::move(init_statuses));
  status["containerStatuses"] = json::Value(std::move(statuses));
  if (!pod.status().qos_class().empty()) status["qosClass"] = pod.status().qos_class();
  return status;
}

}  // namespace kayak::agent
