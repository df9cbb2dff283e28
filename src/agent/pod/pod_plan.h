// pod_plan.h: decides what one pod does next. Values in, values out (style, rule 3): no clock, no I/O.
// The worker (pod_worker.h) gathers facts, carries out the one action it is given, and asks again.
// Source: core/v1 PodSpec, PodStatus; Kubernetes docs, "Pod Lifecycle".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/runtime/runtime.h"
#include "base/clock.h"
#include "base/json.h"

namespace kayak::agent {

enum class RestartPolicy : std::uint8_t { kAlways, kOnFailure, kNever };

// A failure that is tried again later: pulling, creating or starting.
struct RetryState {
  std::string reason;  // as the container's waiting state shows it, e.g. ErrImagePull; empty: no failure
  std::string message;
  Instant retry_at;
  Duration delay{0};  // the next failure waits twice as long
};

struct ContainerFacts {
  std::string name;
  bool init = false;
  bool sidecar = false;                     // an init container with restartPolicy Always
  std::optional<ContainerStatus> latest;    // of the highest attempt that the runtime knows
  std::optional<ContainerStatus> previous;  // the one before, ended
  std::uint32_t next_attempt = 0;
  bool changed = false;   // it runs another image than the spec names now
  bool replaced = false;  // it was stopped for that, and runs again whatever the restart policy says
  RetryState failure;     // of the last try to start it; cleared by a start
  // When an ended container may run again, and how long the wait was (0: at once).
  Instant restart_at;
  Duration restart_delay{0};
};

struct PodFacts {
  std::string uid, namespace_, name;
  RestartPolicy restart_policy = RestartPolicy::kAlways;
  std::optional<Refusal> refusal;  // it asks for what is not honoured
  bool gone = false;               // the API no longer has it
  bool deleting = false;
  std::int64_t grace_seconds = 30;
  bool stop_requested = false;  // the node shuts its pods down
  std::optional<SandboxStatus> sandbox;
  RetryState sandbox_failure;
  bool settled = false;                    // the API says it has ended and nothing of it is here: it never runs again
  bool settled_well = false;               // ended with success
  std::optional<Instant> deadline;         // activeDeadlineSeconds
  bool deadline_exceeded = false;          // and reported so already
  std::vector<ContainerFacts> init, main;  // in the order of the spec
};

enum class PodPhase : std::uint8_t { kPending, kRunning, kSucceeded, kFailed };
// The pod's phase as its containers say.
PodPhase phase_of(const PodFacts& facts, Instant now);
const char* phase_name(PodPhase phase);

struct Action {
  enum class Type : std::uint8_t {
    kWait,  // until an event or `wake_at`
    kCreateSandbox,
    kRemoveSandbox,   // with all its containers; logs stay when the pod lives on
    kStartContainer,  // pull when needed, create, start
    kStopContainers,  // all that run, or `container` alone, to be replaced
    kDropPrevious,    // forget the container `id`: a newer attempt has ended
    kFinish,          // nothing of the pod is left here: tell the API
  };
  Type type = Type::kWait;
  std::string container;  // kStartContainer: its name; kStopContainers: empty for all
  std::string id;         // kDropPrevious
  std::uint32_t attempt = 0;
  std::int64_t grace_seconds = 0;
};
struct Plan {
  Action action;
  std::optional<Instant> wake_at;
};
Plan plan_pod(const PodFacts& facts, Instant now);

// Whether an ended container runs again under `policy`.
bool should_restart(RestartPolicy policy, const ContainerFacts& container);

// The next delay of a back-off from 10 s to 5 min. Source: kubelet's container and image back-off.
Duration next_delay(Duration current);

}  // namespace kayak::agent
