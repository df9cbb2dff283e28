// task.h: coroutines. Task<T> is lazy and awaited once; TaskScope joins what it spawned; Event and Queue are the
// ways to wait for another coroutine.
// Everything is resumed from the thread's ready queue, which the Loop drains: no symmetric transfer (it overflows
// the stack at -O0 and under sanitizers), and no frame is destroyed while one of its own awaiters is on the stack.
// GCC 12 destroys aggregates in braces (default arguments, too), values of conditionals and lambdas that own a capture
// twice in a statement with co_await: name them on a line before (docs/decisions.md; ./dev lint finds them).
#pragma once

#include <coroutine>
#include <cstdlib>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"
#include "io/stop.h"

namespace kayak::io {

// The coroutines of this thread that can go on. A Loop (or a test) drains it.
class ReadyQueue {
 public:
  static ReadyQueue& current();  // this thread's own
  void push(std::coroutine_handle<> handle) { queue_.push_back(handle); }
  // Goes on only after the next begin_turn: what gives way to I/O and timers.
  void push_later(std::coroutine_handle<> handle) { later_.push_back(handle); }
  void begin_turn();
  bool empty() const { return queue_.empty() && later_.empty(); }
  // Where the next one to be resumed goes on; null when there is none.
  const void* next_code() const;
  // Resumes at most `limit` handles; true when some could go on at once.
  bool drain(std::size_t limit = 100'000);

 private:
  std::deque<std::coroutine_handle<>> queue_, later_;
};

template <typename T>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation;
  bool starting = false;
  bool done = false;

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename P>
    void await_suspend(std::coroutine_handle<P> handle) const noexcept {
      PromiseBase& promise = handle.promise();
      promise.done = true;
      // While `starting`, the awaiting coroutine is still in await_suspend below and goes on by itself.
      if (promise.continuation && !promise.starting) ReadyQueue::current().push(promise.continuation);
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  // Our code reports by Result; an exception that gets here is a bug or out of memory.
  [[noreturn]] void unhandled_exception() noexcept;
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    ASSERT(value);
    return std::move(*value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace detail

// A coroutine that starts when it is awaited and is awaited once. Destroying it before it ended destroys its frame:
// only allowed when it never started or has ended.
template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() { reset(); }

  struct Awaiter {
    std::coroutine_handle<promise_type> handle;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> parent) const {
      promise_type& promise = handle.promise();
      promise.continuation = parent;
      promise.starting = true;
      handle.resume();
      promise.starting = false;
      return !promise.done;
    }
    T await_resume() const { return handle.promise().take(); }
  };
  Awaiter operator co_await() const& noexcept { return Awaiter{handle_}; }
  Awaiter operator co_await() const&& noexcept { return Awaiter{handle_}; }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  void reset() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }
  std::coroutine_handle<promise_type> handle_;
};

template <typename T>
Task<T> detail::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// Something that happens at most once until it is reset; any number of coroutines may wait for it.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { ASSERT(waiters_.empty()); }
  bool is_set() const { return set_; }
  void set();  // wakes all waiters
  void reset() { set_ = false; }
  // True when set; false when `stop` fired first. The Event must outlive the wait.
  Task<bool> wait(StopToken stop = StopToken());

 private:
  struct Waiter {
    std::coroutine_handle<> handle;
    bool fired = false;
    bool set = false;
  };
  struct Wait;
  void fire(Waiter& waiter, bool set);
  bool set_ = false;
  std::list<Waiter*> waiters_;
};

// An unbounded queue between coroutines of one loop.
template <typename T>
class Queue {
 public:
  void push(T item) {
    items_.push_back(std::move(item));
    ready_.set();
  }
  // No more items will come: takers get what is left, then nullopt.
  void close() {
    closed_ = true;
    ready_.set();
  }
  bool closed() const { return closed_; }
  std::size_t size() const { return items_.size(); }
  std::optional<T> try_pop() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    if (items_.empty() && !closed_) ready_.reset();
    return item;
  }
  // The next item; nullopt when `stop` fired or the queue was closed and is empty.
  Task<std::optional<T>> pop(StopToken stop = StopToken()) {
    while (items_.empty() && !closed_) {
      ready_.reset();
      const bool woken = co_await ready_.wait(stop);
      if (!woken) co_return std::nullopt;
    }
    co_return try_pop();
  }

 private:
  std::deque<T> items_;
  bool closed_ = false;
  Event ready_;
};

// Owns running coroutines: nothing is detached, the scope outlives what it spawned.
class TaskScope {
 public:
  explicit TaskScope(const StopToken& parent = StopToken()) : stop_(parent) { idle_.set(); }
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope() { ASSERT(running_ == 0); }  // join() was awaited to its end

  StopToken token() const { return stop_.token(); }
  void stop() { stop_.stop(); }
  std::size_t running() const { return running_; }
  // Starts `task` at once (it runs until its first suspension). A failure other than Cancelled stops the scope.
  void spawn(Task<Result<void>> task);
  void spawn(Task<void> task);
  // Waits until everything spawned has ended; the first failure, if any. It does not stop anything by itself.
  Task<Result<void>> join();

 private:
  struct Driver;
  static Driver drive(TaskScope* scope, Task<Result<void>> task);
  static Driver drive_void(TaskScope* scope, Task<void> task);
  void ended(Result<void> result);
  StopSource stop_;
  std::size_t running_ = 0;
  std::optional<Error> failure_;
  Event idle_;
};

}  // namespace kayak::io

namespace kayak {
using io::StopToken;
using io::Task;
}  // namespace kayak
