// watch_hub.cc: waiting, reading from disk, and the timer of progress notes.
#include "store/watch_hub.h"

namespace kayak::store {

struct WatchHub::State {
  State(Loop& l, WatchSource& s) : loop(l), source(&s), groups(std::make_shared<WatchGroups>(s)) {}
  Loop& loop;
  WatchSource* source;  // null once closed
  std::shared_ptr<WatchGroups> groups;
  io::Loop::Timer progress_timer;
};

namespace {

class WatchImpl final : public Watch {
 public:
  explicit WatchImpl(std::shared_ptr<WatchHub::State> hub) : hub_(std::move(hub)) {}
  Result<void> begin(WatchRequest request) {
    auto cursor = hub_->groups->add(std::move(request), [this] { wake_.set(); });
    if (!cursor) return cursor.error();
    cursor_ = std::move(*cursor);
    return Result<void>();
  }
  Task<Result<std::vector<WatchBatch>>> next(StopToken stop) override;
  void request_progress() override { cursor_->request_progress(); }

 private:
  std::shared_ptr<WatchHub::State> hub_;
  io::Event wake_;
  std::unique_ptr<WatchCursor> cursor_;
};

Task<Result<std::vector<WatchBatch>>> WatchImpl::next(StopToken stop) {
  for (;;) {
    if (hub_->source != nullptr && stop.stopped()) co_return Error(Code::kCancelled, "stopped while watching");
    wake_.reset();
    WatchStep step = cursor_->step();
    switch (step.kind) {
      case WatchStep::Kind::kWait:
        co_await wake_.wait(stop);
        break;
      case WatchStep::Kind::kGive:
        co_return std::move(step.batches);
      case WatchStep::Kind::kFail:
        co_return *step.error;
      case WatchStep::Kind::kReadEvents: {
        const WatchGroup& group = cursor_->group();
        auto slice =
            co_await hub_->source->read_events(group.key, group.range_end, step.from, step.to, cursor_->previous());
        if (!slice) co_return slice.error();
        std::vector<WatchBatch> batches = cursor_->took_events(std::move(*slice));
        if (!batches.empty()) co_return batches;
        break;
      }
      case WatchStep::Kind::kReadValues: {
        auto values = co_await hub_->source->read_values(std::move(step.rows));
        if (!values) co_return values.error();
        co_return cursor_->took_values(*values);
      }
    }
  }
}

}  // namespace

WatchHub::WatchHub(Loop& loop, WatchSource& source) : state_(std::make_shared<State>(loop, source)) {}
WatchHub::~WatchHub() { close(); }

Result<std::unique_ptr<Watch>> WatchHub::add(WatchRequest request) {
  auto watch = std::make_unique<WatchImpl>(state_);
  if (auto begun = watch->begin(std::move(request)); !begun) return begun.error();
  return std::unique_ptr<Watch>(std::move(watch));
}

void WatchHub::publish(const Applied& applied) {
  State& state = *state_;
  if (!state.groups->publish(applied) || state.progress_timer) return;
  std::weak_ptr<State> weak = state_;
  auto fire = [weak] {
    auto still = weak.lock();
    if (!still) return;
    still->progress_timer.cancel();
    still->groups->send_progress();
  };
  state.progress_timer = state.loop.after(WatchGroups::kProgressDelay, fire);
}

void WatchHub::restart() { state_->groups->restart(); }

bool WatchHub::wants_previous() const { return state_->groups->wants_previous(); }

void WatchHub::close() {
  if (state_->source == nullptr) return;
  state_->source = nullptr;
  state_->progress_timer.cancel();
  state_->groups->close();
}

}  // namespace kayak::store
