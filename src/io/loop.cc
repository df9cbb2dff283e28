// loop.cc: the libuv loop, its timers, its pool and its ready queue.
#include "io/loop.h"

#include <uv.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <utility>
#include <vector>

#include "io/poller.h"
#include "io/spawner.h"
#include "io/stall_watch.h"
#include "io/tls_runtime.h"

namespace kayak::io {

namespace {
// libuv counts milliseconds: round up, so that a timer never fires early.
std::uint64_t to_milliseconds(Duration duration) {
  const std::int64_t ns = std::max<std::int64_t>(duration.count(), 0);
  return static_cast<std::uint64_t>((ns + 999'999) / 1'000'000);
}

// Coroutines that wake each other without end still let I/O and timers in after so long.
constexpr std::uint64_t kDrainNanoseconds = 2'000'000;
}  // namespace

struct Loop::Impl {
  uv_loop_t loop;
  uv_async_t posted_async;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle;  // active only while ready coroutines are left over, so that the poll does not sleep
  std::mutex mutex;
  std::deque<std::function<void()>> posted;
  std::vector<std::function<void()>> turn_ends;
  StallWatch stalls;

  void drain() {
    ReadyQueue& ready = ReadyQueue::current();
    const std::uint64_t start = stalls.end_piece("callback");
    for (const void* code = ready.next_code(); code != nullptr; code = ready.next_code()) {
      ready.drain(1);
      if (stalls.end_piece("coroutine", code) - start >= kDrainNanoseconds) break;
    }
    if (!ready.empty()) {
      uv_idle_start(&idle, [](uv_idle_t*) {});
    } else {
      uv_idle_stop(&idle);
    }
  }
  void run_turn_ends() {
    if (turn_ends.empty()) return;
    for (auto& action : std::exchange(turn_ends, {})) action();
    if (!turn_ends.empty() || !ReadyQueue::current().empty()) uv_idle_start(&idle, [](uv_idle_t*) {});
    stalls.end_piece("end of a turn");
  }
  void run_posted() {
    std::deque<std::function<void()>> actions;
    {
      std::lock_guard lock(mutex);
      actions.swap(posted);
    }
    stalls.begin();
    for (auto& action : actions) action();
    stalls.end_piece("posted call");
  }
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {
  uv_ = &impl_->loop;
  // A peer or child that went away is an error of the write (EPIPE), not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  ASSERT(uv_loop_init(uv_) == 0);
  uv_->data = this;
  impl_->posted_async.data = impl_.get();
  ASSERT(uv_async_init(uv_, &impl_->posted_async, [](uv_async_t* h) { static_cast<Impl*>(h->data)->run_posted(); }) ==
         0);
  uv_prepare_init(uv_, &impl_->prepare);
  uv_check_init(uv_, &impl_->check);
  uv_idle_init(uv_, &impl_->idle);
  impl_->prepare.data = impl_.get();
  impl_->check.data = impl_.get();
  uv_prepare_start(&impl_->prepare, [](uv_prepare_t* h) {
    Impl* impl = static_cast<Impl*>(h->data);
    impl->drain();
    impl->run_turn_ends();
    impl->stalls.end_turn();
  });
  uv_check_start(&impl_->check, [](uv_check_t* h) {
    Impl* impl = static_cast<Impl*>(h->data);
    impl->stalls.begin();
    ReadyQueue::current().begin_turn();
    impl->drain();
  });
  // Only real work keeps the loop alive.
  uv_unref(reinterpret_cast<uv_handle_t*>(&impl_->prepare));
  uv_unref(reinterpret_cast<uv_handle_t*>(&impl_->check));
  poller_ = std::make_unique<Poller>(uv_);
}

Loop::~Loop() {
  tls_.reset();
  spawner_.reset();
  poller_.reset();
  uv_close(reinterpret_cast<uv_handle_t*>(&impl_->posted_async), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&impl_->prepare), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&impl_->check), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&impl_->idle), nullptr);
  while (uv_run(uv_, UV_RUN_NOWAIT) != 0) {
  }
  ASSERT(uv_loop_close(uv_) == 0);  // a handle that is still open is a leak of ours
}

namespace {
struct RootRun {
  bool done = false;
  Result<void> result;
  uv_loop_t* loop;
};
Task<void> run_root(Task<Result<void>> task, RootRun* root) {
  Task<Result<void>> owned = std::move(task);
  root->result = co_await owned;
  root->done = true;
  uv_stop(root->loop);
}
}  // namespace

Spawner& Loop::spawner() {
  if (!spawner_) spawner_ = std::make_unique<Spawner>(*this);
  return *spawner_;
}

TlsRuntime& Loop::tls() {
  if (!tls_) tls_ = std::make_unique<TlsRuntime>();
  return *tls_;
}

Result<void> Loop::run(Task<Result<void>> task) {
  RootRun root{.loop = uv_};
  TaskScope scope;
  scope.spawn(run_root(std::move(task), &root));
  while (!root.done || scope.running() > 0) {
    // DEFAULT returns on uv_stop or when nothing is left that could wake anyone (the async handle keeps it alive).
    uv_run(uv_, root.done ? UV_RUN_NOWAIT : UV_RUN_DEFAULT);
  }
  return root.result;
}

void Loop::at_end_of_turn(std::function<void()> action) { impl_->turn_ends.push_back(std::move(action)); }

void Loop::post(std::function<void()> action) {
  // The loop may run the action, and end with it, as soon as the mutex is free: nothing of it is touched after that.
  std::lock_guard lock(impl_->mutex);
  impl_->posted.push_back(std::move(action));
  uv_async_send(&impl_->posted_async);
}

void Loop::offload_erased(std::function<void()> work, std::function<void()> done) {
  struct Request {
    uv_work_t uv;
    std::function<void()> work, done;
  };
  auto* request = new Request{{}, std::move(work), std::move(done)};
  request->uv.data = request;
  const int rc = uv_queue_work(
      uv_, &request->uv, [](uv_work_t* r) { static_cast<Request*>(r->data)->work(); },
      [](uv_work_t* r, int) {
        std::unique_ptr<Request> owned(static_cast<Request*>(r->data));
        StallWatch& stalls = static_cast<Loop*>(r->loop->data)->stalls();
        stalls.begin();
        owned->done();
        stalls.end_piece("result of the pool");
      });
  ASSERT(rc == 0);
}

struct Loop::Timer::Impl {
  uv_timer_t uv;
  std::function<void()> action;
};

void Loop::Timer::Closer::operator()(Impl* impl) const {
  // The action may be what runs right now: only the closed handle frees it.
  uv_timer_stop(&impl->uv);
  uv_close(reinterpret_cast<uv_handle_t*>(&impl->uv), [](uv_handle_t* h) { delete static_cast<Impl*>(h->data); });
}

Loop::Timer::~Timer() = default;
Loop::Timer& Loop::Timer::operator=(Timer&& other) noexcept = default;
void Loop::Timer::cancel() { impl_.reset(); }

Loop::Timer Loop::after(Duration delay, std::function<void()> action) {
  Timer timer;
  timer.impl_.reset(new Timer::Impl{{}, std::move(action)});
  uv_timer_init(uv_, &timer.impl_->uv);
  timer.impl_->uv.data = timer.impl_.get();
  // The loop's cached time may be old when a long callback sets a timer.
  uv_update_time(uv_);
  uv_timer_start(
      &timer.impl_->uv,
      [](uv_timer_t* t) {
        StallWatch& stalls = static_cast<Loop*>(t->loop->data)->stalls();
        stalls.begin();
        static_cast<Timer::Impl*>(t->data)->action();
        stalls.end_piece("timer");
      },
      to_milliseconds(delay), 0);
  return timer;
}

Loop::Timer Loop::every(Duration period, std::function<void()> action) {
  Timer timer = after(period, std::move(action));
  uv_timer_set_repeat(&timer.impl_->uv, std::max<std::uint64_t>(to_milliseconds(period), 1));
  return timer;
}

Task<Result<void>> Loop::sleep(Duration duration, StopToken stop) {
  Event fired;
  Timer timer = after(duration, [&fired] { fired.set(); });
  const bool slept = co_await fired.wait(stop);
  timer.cancel();
  if (!slept) co_return Error(Code::kCancelled, "stopped while waiting");
  co_return Result<void>();
}

namespace {
struct YieldAwaiter {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { ReadyQueue::current().push_later(handle); }
  void await_resume() const noexcept {}
};
}  // namespace

Task<void> Loop::yield() { co_await YieldAwaiter(); }

void Loop::watch_stalls(Log log, Metrics& metrics) { impl_->stalls.report_to(std::move(log), metrics); }
StallWatch& Loop::stalls() { return impl_->stalls; }

Deadline::Deadline(Loop& loop, Duration after, const StopToken& parent)
    : source_(std::make_shared<StopSource>(parent)), expired_(std::make_shared<bool>(false)) {
  auto fire = [source = source_, expired = expired_] {
    if (source->stopped()) return;
    *expired = true;
    source->stop();
  };
  timer_ = loop.after(after, fire);
}

Error Deadline::error(std::string_view what) const {
  if (*expired_) return Error(Code::kTimeout, std::string(what) + ": timed out");
  return Error(Code::kCancelled, std::string(what) + ": stopped");
}

}  // namespace kayak::io
