// pod_plan.cc: see pod_plan.h.
#include "agent/pod/pod_plan.h"

#include <algorithm>

namespace kayak::agent {

using namespace std::chrono_literals;

namespace {

bool running(const ContainerFacts& c) { return c.latest && c.latest->state == ContainerState::kRunning; }
bool ended(const ContainerFacts& c) { return c.latest && c.latest->state == ContainerState::kExited; }
bool succeeded(const ContainerFacts& c) { return ended(c) && c.latest->exit_code == 0; }

bool any_running(const PodFacts& facts) {
  return std::any_of(facts.main.begin(), facts.main.end(), running) ||
         std::any_of(facts.init.begin(), facts.init.end(), running);
}

// An init container is past when it has succeeded; a sidecar when it runs.
bool init_past(const ContainerFacts& c) { return c.sidecar ? running(c) : succeeded(c); }

bool init_failed_for_good(const PodFacts& facts) {
  if (facts.restart_policy != RestartPolicy::kNever) return false;
  return std::any_of(facts.init.begin(), facts.init.end(),
                     [](const ContainerFacts& c) { return !c.sidecar && ended(c) && c.latest->exit_code != 0; });
}

bool past_deadline(const PodFacts& facts, Instant now) {
  return facts.deadline_exceeded || (facts.deadline && *facts.deadline <= now);
}

// Nothing in the pod will run again by itself.
bool terminal(const PodFacts& facts, Instant now) {
  const PodPhase phase = phase_of(facts, now);
  return phase == PodPhase::kSucceeded || phase == PodPhase::kFailed;
}

void wake(Plan& plan, Instant at) {
  if (!plan.wake_at || at < *plan.wake_at) plan.wake_at = at;
}

// What to do for one container that should be running; false when there is nothing to do now.
bool start_if_due(const ContainerFacts& c, Instant now, Plan& plan) {
  if (c.latest && c.latest->state != ContainerState::kExited) return false;
  const Instant due = std::max(c.failure.reason.empty() ? Instant{} : c.failure.retry_at,
                               ended(c) && !c.replaced ? c.restart_at : Instant{});
  if (due > now) {
    wake(plan, due);
    return false;
  }
  plan.action.type = Action::Type::kStartContainer;
  plan.action.container = c.name;
  plan.action.attempt = c.next_attempt;
  return true;
}

bool drop_previous(const ContainerFacts& c, Plan& plan) {
  // One ended container is kept for `kubectl logs --previous` and lastState.
  if (!c.previous || !ended(c)) return false;
  plan.action.type = Action::Type::kDropPrevious;
  plan.action.container = c.name;
  plan.action.id = c.previous->id;
  return true;
}

Plan take_down(const PodFacts& facts) {
  Plan plan;
  if (any_running(facts)) {
    plan.action.type = Action::Type::kStopContainers;
    plan.action.grace_seconds = facts.grace_seconds;
  } else if (facts.sandbox) {
    plan.action.type = Action::Type::kRemoveSandbox;
  } else {
    plan.action.type = Action::Type::kFinish;
  }
  return plan;
}

}  // namespace

Duration next_delay(Duration current) {
  if (current <= Duration(0)) return 10s;
  return std::min<Duration>(current * 2, 300s);
}

bool should_restart(RestartPolicy policy, const ContainerFacts& container) {
  if (!ended(container)) return true;
  if (container.sidecar || container.replaced) return true;
  if (container.init) return container.latest->exit_code != 0 && policy != RestartPolicy::kNever;
  switch (policy) {
    case RestartPolicy::kAlways:
      return true;
    case RestartPolicy::kOnFailure:
      return container.latest->exit_code != 0;
    case RestartPolicy::kNever:
      return false;
  }
  return false;
}

const char* phase_name(PodPhase phase) {
  switch (phase) {
    case PodPhase::kPending:
      return "Pending";
    case PodPhase::kRunning:
      return "Running";
    case PodPhase::kSucceeded:
      return "Succeeded";
    case PodPhase::kFailed:
      return "Failed";
  }
  return "Unknown";
}

PodPhase phase_of(const PodFacts& facts, Instant now) {
  if (facts.settled) return facts.settled_well ? PodPhase::kSucceeded : PodPhase::kFailed;
  if (past_deadline(facts, now)) return PodPhase::kFailed;
  if (init_failed_for_good(facts)) return PodPhase::kFailed;
  const bool initialized = std::all_of(facts.init.begin(), facts.init.end(),
                                       [](const ContainerFacts& c) { return init_past(c) || (c.sidecar && c.latest); });
  // A main container that ran proves that the init containers once ended, also when a reboot has taken their records.
  const bool any_started =
      std::any_of(facts.main.begin(), facts.main.end(), [](const ContainerFacts& c) { return c.latest.has_value(); });
  if (!initialized && !any_started) return PodPhase::kPending;
  bool all_ended = true, all_good = true, any_waiting = false;
  for (const ContainerFacts& c : facts.main) {
    if (!c.latest) any_waiting = true;
    if (!ended(c) || should_restart(facts.restart_policy, c)) all_ended = false;
    if (!succeeded(c)) all_good = false;
  }
  if (any_waiting) return PodPhase::kPending;
  if (!all_ended) return PodPhase::kRunning;
  return all_good ? PodPhase::kSucceeded : PodPhase::kFailed;
}

Plan plan_pod(const PodFacts& facts, Instant now) {
  if (facts.gone || facts.deleting) return take_down(facts);
  Plan plan;
  if (facts.stop_requested) {
    if (any_running(facts)) {
      plan.action.type = Action::Type::kStopContainers;
      plan.action.grace_seconds = facts.grace_seconds;
    }
    return plan;
  }
  if (terminal(facts, now)) {
    // Sidecars, and what a deadline overtook.
    if (any_running(facts)) {
      plan.action.type = Action::Type::kStopContainers;
      plan.action.grace_seconds = facts.grace_seconds;
    }
    return plan;
  }
  if (facts.deadline) wake(plan, *facts.deadline);
  if (facts.refusal) return plan;
  if (facts.sandbox && !facts.sandbox->ready) {
    if (any_running(facts)) {
      plan.action.type = Action::Type::kStopContainers;
      plan.action.grace_seconds = facts.grace_seconds;
    } else {
      plan.action.type = Action::Type::kRemoveSandbox;
    }
    return plan;
  }
  if (!facts.sandbox) {
    if (!facts.sandbox_failure.reason.empty() && facts.sandbox_failure.retry_at > now) {
      wake(plan, facts.sandbox_failure.retry_at);
    } else {
      plan.action.type = Action::Type::kCreateSandbox;
    }
    return plan;
  }
  bool main_started =
      std::any_of(facts.main.begin(), facts.main.end(), [](const ContainerFacts& c) { return c.latest.has_value(); });
  for (const ContainerFacts& c : facts.init) {
    if (init_past(c)) continue;
    // Once the main containers ran, only sidecars are started again.
    if (main_started && !c.sidecar) continue;
    if (drop_previous(c, plan)) return plan;
    if (should_restart(facts.restart_policy, c) && start_if_due(c, now, plan)) return plan;
    if (!main_started) return plan;
  }
  for (const ContainerFacts& c : facts.main) {
    if (running(c) && c.changed) {
      plan.action.type = Action::Type::kStopContainers;
      plan.action.container = c.name;
      plan.action.grace_seconds = facts.grace_seconds;
      return plan;
    }
    if (running(c) || !should_restart(facts.restart_policy, c)) continue;
    if (drop_previous(c, plan)) return plan;
    if (start_if_due(c, now, plan)) return plan;
  }
  return plan;
}

}  // namespace kayak::agent
