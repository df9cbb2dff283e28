// loop.h: the one event loop (libuv) and what every component is handed: Context.
// Owns the uv loop, its timers and the worker pool. Sockets, files and processes have headers of their own.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "io/task.h"

struct uv_loop_s;

namespace kayak::io {

class Poller;
class Spawner;
class StallWatch;
class TlsRuntime;

class Loop {
 public:
  Loop();
  ~Loop();  // everything that was opened on it must be closed by then
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs `task` to its end, with everything else on the loop; its result.
  Result<void> run(Task<Result<void>> task);
  // Any thread: `action` runs on the loop soon, in order of posting. Dropped when the loop is being destroyed.
  void post(std::function<void()> action);

  // Runs `work` (which must not touch anything of the loop) on the pool and gives its result. Not cancellable: a
  // scope that is stopped waits for it.
  template <typename F>
  Task<std::invoke_result_t<F>> offload(F work);

  // Errors: Cancelled when `stop` fired first.
  Task<Result<void>> sleep(Duration duration, StopToken stop = StopToken());
  // Goes on in the loop's next turn, so that I/O and timers are served in between.
  Task<void> yield();
  // Runs `action` once, when this turn has done all it has to do and before the loop waits: what a turn gathers for
  // another thread is handed over in one piece. It must not block. Dropped when the loop is being destroyed.
  void at_end_of_turn(std::function<void()> action);

  // `action` once after `delay` (or every `period`), until the handle is destroyed. The callback must not block.
  class Timer {
   public:
    Timer() = default;
    Timer(Timer&& other) noexcept = default;
    Timer& operator=(Timer&& other) noexcept;
    ~Timer();
    void cancel();
    explicit operator bool() const { return impl_ != nullptr; }

   private:
    friend class Loop;
    struct Impl;
    struct Closer {
      void operator()(Impl* impl) const;
    };
    std::unique_ptr<Impl, Closer> impl_;
  };
  // Turns of the loop that take 5 ms and more go into the metric kayak_loop_stall_seconds, one a second into the log.
  void watch_stalls(Log log, Metrics& metrics);

  Timer after(Duration delay, std::function<void()> action);
  Timer every(Duration period, std::function<void()> action);

  // For the files of src/io alone.
  uv_loop_s* uv() { return uv_; }
  Poller& poller() { return *poller_; }
  Spawner& spawner();  // made at the first use
  TlsRuntime& tls();   // likewise
  StallWatch& stalls();

 private:
  struct Impl;
  void offload_erased(std::function<void()> work, std::function<void()> done);
  std::unique_ptr<Impl> impl_;
  uv_loop_s* uv_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<Spawner> spawner_;
  std::unique_ptr<TlsRuntime> tls_;
};

// Fires its token when the deadline passes or the parent stops.
class Deadline {
 public:
  Deadline(Loop& loop, Duration after, const StopToken& parent = StopToken());
  StopToken token() const { return source_->token(); }
  bool expired() const { return *expired_; }
  // Timeout when the deadline passed, Cancelled when the parent stopped.
  Error error(std::string_view what) const;

 private:
  std::shared_ptr<StopSource> source_;
  std::shared_ptr<bool> expired_;
  Loop::Timer timer_;
};

// What a component is given instead of globals.
struct Context {
  Loop& loop;
  Clock& clock;
  Random& random;
  Log log;
  Metrics& metrics;
  Context named(std::string_view component) const {
    return Context{loop, clock, random, log.named(component), metrics};
  }
};

template <typename F>
Task<std::invoke_result_t<F>> Loop::offload(F work) {
  using R = std::invoke_result_t<F>;
  auto done = std::make_shared<Event>();
  if constexpr (std::is_void_v<R>) {
    offload_erased(std::move(work), [done] { done->set(); });
    co_await done->wait();
  } else {
    auto result = std::make_shared<std::optional<R>>();
    auto fill = [result, work = std::move(work)]() mutable { result->emplace(work()); };
    offload_erased(std::move(fill), [done] { done->set(); });
    co_await done->wait();
    co_return std::move(**result);
  }
}

}  // namespace kayak::io

namespace kayak {
using io::Context;
using io::Loop;
}  // namespace kayak
