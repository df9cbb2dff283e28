// event_recorder.cc: sends events in the background; a caller never waits and never fails.
// Source: client-go tools/record (broadcaster: bounded queue, 12 tries 10 s apart while the API is away).

#include "client/client.h"
#include "client/event_correlator.h"

namespace kayak::client {

namespace {
using namespace std::chrono_literals;

constexpr std::size_t kMaxQueued = 1000;
constexpr int kMaxTries = 12;
constexpr Duration kRetryWait = 10s;

struct Pending {
  EventInput input;
  WallTime at;
};

// Shared by the recorder and its sending task, which may outlive it by one event.
struct Sender {
  Sender(Context context, Client& client, std::string component, std::string host)
      : loop(context.loop),
        clock(context.clock),
        random(context.random),
        log(context.log),
        client(client),
        correlator(std::move(component), std::move(host)) {}

  Loop& loop;
  Clock& clock;
  Random& random;
  Log log;
  Client& client;
  EventCorrelator correlator;
  io::Queue<Pending> queue;
};

bool may_succeed_later(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout || error.code() == Code::kServerTimeout ||
         error.code() == Code::kTooManyRequests;
}

Task<Result<void>> write_event(Sender& sender, EventWrite write, StopToken stop) {
  const Kind& events = api::kinds::events();
  WriteOptions options;
  if (write.patch) {
    json::Value patch = *write.patch;
    const Result<ObjectRef> patched = co_await sender.client.patch(events, write.namespace_, write.name,
                                                                   PatchType::kMerge, std::move(patch), options, stop);
    if (patched) co_return Result<void>();
    if (patched.error().code() != Code::kNotFound) co_return patched.error();
  }
  json::Value object = write.object;
  const Result<ObjectRef> created =
      co_await sender.client.create(events, write.namespace_, std::move(object), options, stop);
  if (!created) co_return created.error();
  co_return Result<void>();
}

Task<Result<void>> send_all(std::shared_ptr<Sender> sender, StopToken stop) {
  for (;;) {
    std::optional<Pending> pending = co_await sender->queue.pop(stop);
    if (!pending) co_return Result<void>();
    const std::optional<EventWrite> write = sender->correlator.correlate(std::move(pending->input), pending->at);
    if (!write) continue;
    for (int tries = 1;; ++tries) {
      const Result<void> sent = co_await write_event(*sender, *write, stop);
      if (sent || stop.stopped()) break;
      if (!may_succeed_later(sent.error()) || tries == kMaxTries) {
        // An event in a namespace that is going away is refused by design.
        sender->log.debug("event not recorded", {{"event", write->name}, {"error", sent.error().message()}});
        break;
      }
      // The first wait is shortened at random so that all components do not come back together.
      const auto full = static_cast<std::uint64_t>(kRetryWait.count());
      const Duration wait = tries == 1 ? Duration(static_cast<std::int64_t>(sender->random.below(full))) : kRetryWait;
      const Result<void> waited = co_await sender->loop.sleep(wait, stop);
      if (!waited) co_return Result<void>();
    }
  }
}

class QueueingRecorder final : public EventRecorder {
 public:
  explicit QueueingRecorder(std::shared_ptr<Sender> sender) : sender_(std::move(sender)) {}
  ~QueueingRecorder() override { sender_->queue.close(); }

  void event(const ObjectRef& about, std::string type, std::string reason, std::string message) override {
    event(reference_to(*about), std::move(type), std::move(reason), std::move(message));
  }
  void event(json::Value reference, std::string type, std::string reason, std::string message) override {
    if (sender_->queue.size() >= kMaxQueued) {
      sender_->log.warn("event dropped, too many are waiting", {{"reason", reason}});
      return;
    }
    EventInput input{std::move(reference), std::move(type), std::move(reason), std::move(message)};
    sender_->queue.push(Pending{std::move(input), sender_->clock.wall()});
  }

 private:
  std::shared_ptr<Sender> sender_;
};

}  // namespace

json::Value reference_to(const api::Object& object) {
  json::Value reference;
  reference["kind"] = object.kind().kind;
  if (!object.namespace_().empty()) reference["namespace"] = object.namespace_();
  reference["name"] = object.name();
  reference["uid"] = object.uid();
  reference["apiVersion"] = object.kind().api_version();
  reference["resourceVersion"] = cat(object.revision());
  return reference;
}

std::unique_ptr<EventRecorder> make_event_recorder(Context context, Client& client, std::string component,
                                                   std::string host, io::TaskScope& scope) {
  auto sender = std::make_shared<Sender>(std::move(context), client, std::move(component), std::move(host));
  scope.spawn(send_all(sender, scope.token()));
  return std::make_unique<QueueingRecorder>(std::move(sender));
}

}  // namespace kayak::client
