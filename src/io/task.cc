// task.cc: the ready queue, stop tokens, events and scopes behind task.h and stop.h.
#include "io/task.h"

#include <cstdio>
#include <exception>

namespace kayak::io {

ReadyQueue& ReadyQueue::current() {
  thread_local ReadyQueue queue;
  return queue;
}

void ReadyQueue::begin_turn() {
  for (; !later_.empty(); later_.pop_front()) queue_.push_back(later_.front());
}

const void* ReadyQueue::next_code() const {
  // A coroutine's frame begins with the address at which it is resumed (GCC, clang).
  return queue_.empty() ? nullptr : *static_cast<void* const*>(queue_.front().address());
}

bool ReadyQueue::drain(std::size_t limit) {
  for (; limit > 0 && !queue_.empty(); --limit) {
    std::coroutine_handle<> handle = queue_.front();
    queue_.pop_front();
    handle.resume();
  }
  return !queue_.empty();
}

void detail::PromiseBase::unhandled_exception() noexcept {
  try {
    throw;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kayak: exception left a coroutine: %s\n", e.what());
  } catch (...) {
    std::fprintf(stderr, "kayak: unknown exception left a coroutine\n");
  }
  std::abort();
}

StopCallback::StopCallback(const StopToken& token, std::function<void()> callback) {
  if (!token.state_) return;
  if (token.state_->stopped) {
    callback();
    return;
  }
  state_ = token.state_;
  place_ = state_->callbacks.insert(state_->callbacks.end(), std::move(callback));
}

void StopCallback::reset() {
  // Once fired, stop() has taken the callbacks out of the list and `place_` is dead.
  if (state_ && !state_->stopped) state_->callbacks.erase(place_);
  state_.reset();
}

StopSource::StopSource(const StopToken& parent) : StopSource() {
  if (!parent.state_) return;
  std::weak_ptr<detail::StopState> weak = state_;
  auto fire = [weak] {
    if (auto state = weak.lock()) {
      StopSource source;
      source.state_ = state;
      source.stop();
    }
  };
  parent_ = StopCallback(parent, fire);
}

void StopSource::stop() {
  if (state_->stopped) return;
  std::shared_ptr<detail::StopState> keep = state_;
  // A callback may destroy another's StopCallback: with `stopped` set that touches nothing, and the function itself
  // lives in `callbacks` until all have run. Callbacks only wake coroutines, so running one too many is harmless
  // only if its target still lives: each owner therefore marks itself dead before it goes (see Event::Wait).
  keep->stopped = true;
  std::list<std::function<void()>> callbacks;
  callbacks.swap(keep->callbacks);
  for (const auto& callback : callbacks) callback();
}

// One wait on an Event. The waiter lives in this awaiter, so in the waiting coroutine's frame.
struct Event::Wait {
  Event& event;
  StopToken stop;
  Waiter waiter{};
  StopCallback on_stop{};

  bool await_ready() {
    waiter.set = event.set_;
    return event.set_ || stop.stopped();
  }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter.handle = handle;
    event.waiters_.push_back(&waiter);
    on_stop = StopCallback(stop, [this] { event.fire(waiter, false); });
  }
  bool await_resume() const { return waiter.set; }
};

void Event::fire(Waiter& waiter, bool set) {
  if (waiter.fired) return;
  waiter.fired = true;
  waiter.set = set;
  waiters_.remove(&waiter);
  // The waiting frame is only resumed, and so only destroyed, later from the ready queue: `waiter` is alive now.
  ReadyQueue::current().push(waiter.handle);
}

void Event::set() {
  set_ = true;
  while (!waiters_.empty()) fire(*waiters_.front(), true);
}

Task<bool> Event::wait(StopToken stop) {
  Wait wait{*this, std::move(stop)};
  const bool set = co_await wait;
  co_return set;
}

// A coroutine that nobody awaits: it frees itself at its end. The scope counts it.
struct TaskScope::Driver {
  struct promise_type {
    Driver get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::abort(); }
  };
};

TaskScope::Driver TaskScope::drive(TaskScope* scope, Task<Result<void>> task) {
  Result<void> result;
  {
    Task<Result<void>> owned = std::move(task);
    result = co_await owned;
  }
  scope->ended(std::move(result));
}

TaskScope::Driver TaskScope::drive_void(TaskScope* scope, Task<void> task) {
  {
    Task<void> owned = std::move(task);
    co_await owned;
  }
  scope->ended(Result<void>());
}

void TaskScope::spawn(Task<Result<void>> task) {
  ++running_;
  idle_.reset();
  drive(this, std::move(task));
}

void TaskScope::spawn(Task<void> task) {
  ++running_;
  idle_.reset();
  drive_void(this, std::move(task));
}

void TaskScope::ended(Result<void> result) {
  if (!result && !failure_ && result.error().code() != Code::kCancelled) {
    failure_ = result.error();
    stop_.stop();
  }
  ASSERT(running_ > 0);
  if (--running_ == 0) idle_.set();
}

Task<Result<void>> TaskScope::join() {
  while (running_ > 0) {
    const bool set = co_await idle_.wait();
    ASSERT(set);
  }
  if (failure_) co_return *failure_;
  co_return Result<void>();
}

}  // namespace kayak::io
