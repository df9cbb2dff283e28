// pod_worker.cc: the loop of one pod: gather facts, plan, act, report. Starting containers is in pod_start.cc.
#include "agent/pod/pod_worker.h"

#include <algorithm>

#include "agent/pod/pod_status.h"
#include "api/views/core_v1.h"
#include "base/strings.h"

namespace kayak::agent {

using namespace std::chrono_literals;

namespace {
// A container that ran this long has recovered: its back-off starts over. Source: kubelet, 2 * the longest back-off.
constexpr Duration kBackoffReset = 10min;
constexpr std::int64_t kGoneGraceSeconds = 1;  // deleted by force: no one waits for it

RestartPolicy parse_policy(std::string_view text) {
  if (text == "Never") return RestartPolicy::kNever;
  if (text == "OnFailure") return RestartPolicy::kOnFailure;
  return RestartPolicy::kAlways;
}
}  // namespace

PodWorker::PodWorker(PodDeps& deps, api::ObjectRef pod)
    : deps_(deps),
      uid_(pod->uid()),
      namespace_(pod->namespace_()),
      name_(pod->name()),
      pod_(pod),
      document_(pod->document()) {}

PodWorker::PodWorker(PodDeps& deps, const SandboxStatus& orphan)
    : deps_(deps), uid_(orphan.pod_uid), namespace_(orphan.namespace_), name_(orphan.name), gone_(true) {}

void PodWorker::update(api::ObjectRef pod) {
  if (pod->revision() <= pod_->revision()) return;  // the answer to a write of ours was faster
  const api::core_v1::PodView before(document_.get(), nullptr);
  json::Document document = pod->document();
  const api::core_v1::PodView after(document.get(), nullptr);
  const bool urgent =
      before.metadata().deletion_grace_period_seconds() != after.metadata().deletion_grace_period_seconds() ||
      before.metadata().deletion_timestamp().has_value() != after.metadata().deletion_timestamp().has_value();
  pod_ = std::move(pod);
  document_ = std::move(document);
  if (urgent && interrupt_) interrupt_->stop();
  wake_.set();
}

void PodWorker::gone() {
  gone_ = true;
  if (interrupt_) interrupt_->stop();
  wake_.set();
}

void PodWorker::runtime_changed() { wake_.set(); }

void PodWorker::stop_containers() {
  stop_requested_ = true;
  if (interrupt_) interrupt_->stop();
  wake_.set();
}

bool PodWorker::idle_and_stopped() const {
  if (done_) return true;
  const std::optional<SandboxStatus> sandbox = deps_.runtime.sandbox(uid_);
  return !sandbox || std::none_of(sandbox->containers.begin(), sandbox->containers.end(),
                                  [](const ContainerStatus& c) { return c.state == ContainerState::kRunning; });
}

const json::Value* PodWorker::container_spec(const std::string& name) const {
  if (!document_) return nullptr;
  for (const char* list_name : {"initContainers", "containers"}) {
    const json::Value* list = document_->at({"spec", list_name});
    if (!list || !list->is_array()) continue;
    for (const json::Value& container : list->as_array()) {
      const json::Value* its_name = container.find("name");
      if (its_name && its_name->string_or() == name) return &container;
    }
  }
  return nullptr;
}

// When an ended container runs again: at once the first time, then after 10 s, 20 s, ... 5 min.
void PodWorker::judge_exit(ContainerFacts& facts, const PodFacts& pod, Book& book) {
  if (!facts.latest || facts.latest->state != ContainerState::kExited || facts.replaced) return;
  if (book.judged_id != facts.latest->id) {
    book.judged_id = facts.latest->id;
    const Duration ran = facts.latest->finished - facts.latest->started;
    if (ran >= kBackoffReset) book.next_restart_delay = Duration(0);
    book.restart_delay = book.next_restart_delay;
    book.restart_at = deps_.context.clock.now() + book.restart_delay;
    book.next_restart_delay = next_delay(book.next_restart_delay);
    const bool restarts = should_restart(pod.restart_policy, facts) && !pod.deleting && !pod.deadline_exceeded;
    if (book.restart_delay > Duration(0) && restarts && !gone_ && !stop_requested_) {
      event(
          facts.name, "Warning", "BackOff",
          cat("Back-off restarting failed container ", facts.name, " in pod ", name_, "_", namespace_, "(", uid_, ")"));
    }
  }
  facts.restart_at = book.restart_at;
  facts.restart_delay = book.restart_delay;
}

ContainerFacts PodWorker::facts_of(const json::Value& container, bool init, const PodFacts& pod) {
  const api::core_v1::ContainerView view(&container, nullptr);
  ContainerFacts facts;
  facts.name = view.name();
  facts.init = init;
  facts.sidecar = init && view.restart_policy().value_or("") == "Always";
  Book& book = books_[facts.name];
  facts.next_attempt = book.attempt_floor;
  if (pod.sandbox) {
    for (const ContainerStatus& status : pod.sandbox->containers) {
      if (status.name != facts.name || status.state == ContainerState::kCreated) continue;
      if (!facts.latest || status.attempt > facts.latest->attempt) {
        facts.previous = std::move(facts.latest);
        facts.latest = status;
      } else if (!facts.previous || status.attempt > facts.previous->attempt) {
        facts.previous = status;
      }
    }
  }
  if (facts.latest) facts.next_attempt = std::max(facts.next_attempt, facts.latest->attempt + 1);
  facts.failure = book.failure;
  // Only the image of a container can change. Source: kubelet HashContainer.
  facts.changed = facts.latest && facts.latest->image != view.image();
  facts.replaced = facts.latest && facts.latest->id == book.replaced_id;
  judge_exit(facts, pod, book);
  return facts;
}

// Its waiting state shows the refusal; the event is what `kubectl describe` ends with.
void PodWorker::tell_refusal(const PodFacts& facts) {
  if (!facts.refusal || facts.deleting || gone_ || told_refusal_ == facts.refusal->message) return;
  told_refusal_ = facts.refusal->message;
  event("", "Warning", "Failed", cat("Error: ", facts.refusal->message));
}

PodFacts PodWorker::gather() {
  PodFacts facts;
  facts.uid = uid_;
  facts.namespace_ = namespace_;
  facts.name = name_;
  facts.gone = gone_;
  facts.stop_requested = stop_requested_;
  facts.sandbox = deps_.runtime.sandbox(uid_);
  facts.sandbox_failure = sandbox_failure_;
  facts.grace_seconds = kGoneGraceSeconds;
  facts.deadline_exceeded = deadline_exceeded_;
  if (!document_) {
    // An orphan: what runs is all that counts.
    if (facts.sandbox) {
      for (const ContainerStatus& status : facts.sandbox->containers) {
        ContainerFacts c;
        c.name = status.name;
        c.latest = status;
        facts.main.push_back(std::move(c));
      }
    }
    return facts;
  }
  const api::core_v1::PodView pod(document_.get(), nullptr);
  facts.restart_policy = parse_policy(pod.spec().restart_policy());
  facts.deleting = pod.metadata().deletion_timestamp().has_value();
  facts.refusal = deps_.runtime.check_pod(*document_);
  if (!gone_) {
    facts.grace_seconds = pod.spec().termination_grace_period_seconds().value_or(30);
    if (facts.deleting)
      facts.grace_seconds = pod.metadata().deletion_grace_period_seconds().value_or(facts.grace_seconds);
  }
  const std::string_view phase = pod.status().phase();
  facts.settled = !facts.sandbox && (phase == "Succeeded" || phase == "Failed");
  facts.settled_well = phase == "Succeeded";
  const std::optional<std::int64_t> limit = pod.spec().active_deadline_seconds();
  if (limit && pod.status().start_time()) {
    const Duration left = *pod.status().start_time() + std::chrono::seconds(*limit) - deps_.context.clock.wall();
    facts.deadline = deps_.context.clock.now() + left;
  }
  const json::Value* init = document_->at({"spec", "initContainers"});
  for (const json::Value& c : init && init->is_array() ? init->as_array() : json::Array()) {
    facts.init.push_back(facts_of(c, true, facts));
  }
  const json::Value* main = document_->at({"spec", "containers"});
  for (const json::Value& c : main && main->is_array() ? main->as_array() : json::Array()) {
    facts.main.push_back(facts_of(c, false, facts));
  }
  return facts;
}

Task<void> PodWorker::run(StopToken stop) {
  if (document_) {
    // Restart counts go on after a reboot has taken the containers.
    const api::core_v1::PodView pod(document_.get(), nullptr);
    for (const auto& status : pod.status().container_statuses()) {
      if (!status.container_id().empty()) {
        books_[std::string(status.name())].attempt_floor = static_cast<std::uint32_t>(status.restart_count()) + 1;
      }
    }
  }
  while (!stop.stopped()) {
    wake_.reset();
    PodFacts facts = gather();
    const Instant now = deps_.context.clock.now();
    if (facts.deadline && *facts.deadline <= now && !deadline_exceeded_ && !facts.settled) {
      deadline_exceeded_ = facts.deadline_exceeded = true;
      event("", "Normal", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline");
    }
    tell_refusal(facts);
    const Plan plan = plan_pod(facts, now);
    if (plan.action.type == Action::Type::kFinish) {
      const bool finished = co_await finish(stop);
      if (finished) break;
      continue;
    }
    if (!facts.settled) co_await report(stop);
    if (plan.action.type == Action::Type::kWait) {
      io::Loop::Timer timer;
      std::optional<Instant> at = plan.wake_at;
      if (report_retry_.nanoseconds != 0 && (!at || report_retry_ < *at)) at = report_retry_;
      if (at)
        timer =
            deps_.context.loop.after(std::max<Duration>(*at - deps_.context.clock.now(), 1ms), [this] { wake_.set(); });
      co_await wake_.wait(stop);
      continue;
    }
    interrupt_ = std::make_unique<io::StopSource>(stop);
    co_await carry_out(plan.action, interrupt_->token());
    interrupt_.reset();
  }
  done_ = true;
}

Task<void> PodWorker::carry_out(Action action, StopToken stop) {
  switch (action.type) {
    case Action::Type::kCreateSandbox:
      co_await create_sandbox(stop);
      break;
    case Action::Type::kStartContainer:
      co_await start_container(action.container, action.attempt, stop);
      break;
    case Action::Type::kStopContainers:
      co_await stop_running(action.container, action.grace_seconds, stop);
      break;
    case Action::Type::kRemoveSandbox: {
      const bool keep_logs =
          !gone_ && document_ && !api::core_v1::PodView(document_.get(), nullptr).metadata().deletion_timestamp();
      Result<void> removed = co_await deps_.runtime.remove_sandbox(uid_, keep_logs, stop);
      if (!removed && removed.error().code() != Code::kCancelled) {
        deps_.context.log.error("cannot remove the pod's sandbox, trying again",
                                {{"pod", cat(namespace_, "/", name_)}, {"error", removed.error().message()}});
        (void)co_await deps_.context.loop.sleep(1s, stop);
      }
      break;
    }
    case Action::Type::kDropPrevious: {
      Result<void> removed = co_await deps_.runtime.remove_container(action.id, stop);
      if (!removed && removed.error().code() != Code::kCancelled) {
        deps_.context.log.error("cannot remove an ended container, trying again",
                                {{"container", action.id}, {"error", removed.error().message()}});
        (void)co_await deps_.context.loop.sleep(1s, stop);
      }
      break;
    }
    case Action::Type::kWait:
    case Action::Type::kFinish:
      break;
  }
}

Task<void> PodWorker::create_sandbox(StopToken stop) {
  SandboxSpec spec;
  spec.pod = document_;
  spec.host_ips = deps_.host_ips;
  Result<SandboxStatus> made = co_await deps_.runtime.create_sandbox(std::move(spec), stop);
  if (made) {
    sandbox_failure_ = RetryState();
    co_return;
  }
  if (made.error().code() == Code::kCancelled) co_return;
  sandbox_failure_.reason = "FailedCreatePodSandBox";
  sandbox_failure_.message = made.error().message();
  sandbox_failure_.delay = next_delay(sandbox_failure_.delay);
  sandbox_failure_.retry_at = deps_.context.clock.now() + sandbox_failure_.delay;
  event("", "Warning", "FailedCreatePodSandBox", cat("Failed to create pod sandbox: ", made.error().message()));
}

Task<Result<void>> PodWorker::stop_one(std::string id, std::int64_t grace_seconds, StopToken stop) {
  Result<void> stopped = co_await deps_.runtime.stop_container(id, grace_seconds, stop);
  if (!stopped && stopped.error().code() != Code::kCancelled && stopped.error().code() != Code::kNotFound) {
    deps_.context.log.error("cannot stop a container, trying again",
                            {{"container", id}, {"error", stopped.error().message()}});
    (void)co_await deps_.context.loop.sleep(1s, stop);
  }
  co_return Result<void>();  // the plan sees whether it still runs
}

// All containers that run, or the one named `only`, which runs again with its new image.
Task<void> PodWorker::stop_running(std::string only, std::int64_t grace_seconds, StopToken stop) {
  const std::optional<SandboxStatus> sandbox = deps_.runtime.sandbox(uid_);
  if (!sandbox) co_return;
  io::TaskScope scope(stop);
  for (const ContainerStatus& status : sandbox->containers) {
    if (status.state != ContainerState::kRunning || (!only.empty() && status.name != only)) continue;
    if (only.empty()) {
      event(status.name, "Normal", "Killing", cat("Stopping container ", status.name));
    } else {
      event(status.name, "Normal", "Killing", cat("Container ", status.name, " definition changed, will be restarted"));
      books_[status.name].replaced_id = status.id;
    }
    scope.spawn(stop_one(status.id, grace_seconds, scope.token()));
  }
  Result<void> joined = co_await scope.join();
  ASSERT(joined.ok());  // stop_one reports by the runtime's state alone
}

// True when the API no longer has the pod.
Task<bool> PodWorker::finish(StopToken stop) {
  if (gone_ || !document_) co_return true;
  client::DeleteOptions options;
  options.grace_seconds = 0;
  options.uid = uid_;
  Result<void> removed = co_await deps_.client.remove(api::kinds::pods(), namespace_, name_, options, stop);
  if (removed || removed.error().code() == Code::kNotFound || removed.error().code() == Code::kConflict) co_return true;
  deps_.context.log.warn("cannot remove the pod from the API, trying again",
                         {{"pod", cat(namespace_, "/", name_)}, {"error", removed.error().message()}});
  (void)co_await deps_.context.loop.sleep(1s, stop);
  co_return false;
}

Task<void> PodWorker::report(StopToken stop) {
  report_retry_ = Instant();
  if (gone_ || !document_) co_return;
  StatusInputs inputs;
  inputs.pod = document_.get();
  inputs.host_ips = deps_.host_ips;
  inputs.now = deps_.context.clock.now();
  inputs.wall = deps_.context.clock.wall();
  json::Value patch = json::Value(json::Object());
  patch["metadata"]["uid"] = uid_;
  // Others write conditions, too: what we replace must be what we saw.
  patch["metadata"]["resourceVersion"] = std::to_string(pod_->revision());
  patch["status"] = pod_status(gather(), inputs);
  std::string text = json::write(*patch.find("status"));
  if (text == reported_) co_return;
  client::WriteOptions options;
  options.subresource = "status";
  Result<api::ObjectRef> written = co_await deps_.client.patch(
      api::kinds::pods(), namespace_, name_, client::PatchType::kMerge, std::move(patch), options, stop);
  if (written) {
    reported_ = std::move(text);
    update(std::move(*written));
    co_return;
  }
  const Code code = written.error().code();
  if (code == Code::kNotFound || code == Code::kConflict || code == Code::kCancelled)
    co_return;  // its deletion or the newer version is on the way, and wakes us
  deps_.context.log.warn("cannot report the pod's status, trying again",
                         {{"pod", cat(namespace_, "/", name_)}, {"error", written.error().message()}});
  report_retry_ = deps_.context.clock.now() + 5s;
}

void PodWorker::event(const std::string& container, const char* type, const char* reason, std::string message) {
  if (!document_) return;
  json::Value reference = json::Value(json::Object());
  reference["kind"] = "Pod";
  reference["namespace"] = namespace_;
  reference["name"] = name_;
  reference["uid"] = uid_;
  reference["apiVersion"] = "v1";
  reference["resourceVersion"] = std::to_string(pod_->revision());
  if (!container.empty()) {
    bool init = false;
    const json::Value* list = document_->at({"spec", "initContainers"});
    for (const json::Value& c : list && list->is_array() ? list->as_array() : json::Array()) {
      init = init || (c.find("name") && c.find("name")->string_or() == container);
    }
    reference["fieldPath"] = cat("spec.", init ? "initContainers" : "containers", "{", container, "}");
  }
  deps_.recorder.event(std::move(reference), type, reason, std::move(message));
}

}  // namespace kayak::agent
