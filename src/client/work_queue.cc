// work_queue.cc: keys to reconcile, with delays and back-off, and the workers that take them.
#include "client/work_queue.h"

#include <algorithm>
#include <cmath>

namespace kayak::client {

namespace {
using namespace std::chrono_literals;

constexpr Duration kBaseDelay = 5ms;
constexpr Duration kMaxDelay = 1000s;
constexpr double kRetriesPerSecond = 10;
constexpr double kRetryBurst = 100;
}  // namespace

void DelayedKeys::add(const ObjectKey& key, Instant ready_at) {
  auto [place, added] = times_.emplace(key, ready_at);
  if (!added) {
    if (place->second <= ready_at) return;
    order_.erase({place->second, key});
    place->second = ready_at;
  }
  order_.emplace(ready_at, key);
}

std::optional<Instant> DelayedKeys::next() const {
  if (order_.empty()) return std::nullopt;
  return order_.begin()->first;
}

std::vector<ObjectKey> DelayedKeys::take_ready(Instant now) {
  std::vector<ObjectKey> ready;
  while (!order_.empty() && order_.begin()->first <= now) {
    ready.push_back(order_.begin()->second);
    times_.erase(ready.back());
    order_.erase(order_.begin());
  }
  return ready;
}

Duration RetryLimiter::next_delay(const ObjectKey& key, Instant now) {
  const int failures = failures_[key]++;
  // 5 ms * 2^18 is beyond the limit already; more shifts would overflow.
  const Duration own = failures >= 18 ? kMaxDelay : std::min<Duration>(kMaxDelay, kBaseDelay * (1LL << failures));
  return std::max(own, bucket_delay(now));
}

int RetryLimiter::failures(const ObjectKey& key) const {
  auto place = failures_.find(key);
  return place == failures_.end() ? 0 : place->second;
}

Duration RetryLimiter::bucket_delay(Instant now) {
  const double elapsed = std::chrono::duration<double>(now - refilled_).count();
  tokens_ = std::min(kRetryBurst, tokens_ + elapsed * kRetriesPerSecond) - 1;
  refilled_ = now;
  if (tokens_ >= 0) return Duration(0);
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(-tokens_ / kRetriesPerSecond));
}

bool KeyLine::add(const ObjectKey& key) {
  if (!dirty_.insert(key).second) return false;
  if (processing_.contains(key)) return true;
  line_.push_back(key);
  return true;
}

std::optional<ObjectKey> KeyLine::take() {
  if (line_.empty()) return std::nullopt;
  ObjectKey key = std::move(line_.front());
  line_.pop_front();
  dirty_.erase(key);
  processing_.insert(key);
  return key;
}

void KeyLine::done(const ObjectKey& key) {
  processing_.erase(key);
  if (dirty_.contains(key)) line_.push_back(key);
}

namespace {

class LoopWorkQueue final : public WorkQueue {
 public:
  LoopWorkQueue(Context context, const std::string& name)
      : loop_(context.loop),
        clock_(context.clock),
        adds_(context.metrics.counter("workqueue_adds_total", "Total number of adds handled by workqueue",
                                      Labels{{"name", name}})),
        retries_(context.metrics.counter("workqueue_retries_total", "Total number of retries handled by workqueue",
                                         Labels{{"name", name}})),
        depth_(context.metrics.gauge("workqueue_depth", "Current depth of workqueue", Labels{{"name", name}})) {}

  void add(const ObjectKey& key) override {
    if (!line_.add(key)) return;
    adds_.add();
    update_depth();
    if (line_.length() > 0) ready_.set();
  }

  void add_after(const ObjectKey& key, Duration delay) override {
    if (delay <= Duration(0)) return add(key);
    delayed_.add(key, clock_.now() + delay);
    arm();
  }

  void add_rate_limited(const ObjectKey& key) override {
    retries_.add();
    add_after(key, limiter_.next_delay(key, clock_.now()));
  }

  void forget(const ObjectKey& key) override { limiter_.forget(key); }

  Task<std::optional<ObjectKey>> take(StopToken stop) override {
    while (!stop.stopped()) {
      move_ready();
      if (std::optional<ObjectKey> key = line_.take()) {
        update_depth();
        co_return key;
      }
      ready_.reset();
      const bool woken = co_await ready_.wait(stop);
      if (!woken) break;
    }
    co_return std::nullopt;
  }

  void done(const ObjectKey& key) override {
    line_.done(key);
    update_depth();
    if (line_.length() > 0) ready_.set();
  }

  std::size_t length() const override { return line_.length(); }

 private:
  void move_ready() {
    for (const ObjectKey& key : delayed_.take_ready(clock_.now())) add(key);
  }

  // One timer for the earliest delayed key; none while nothing waits, so that an idle queue never wakes the process.
  void arm() {
    const std::optional<Instant> next = delayed_.next();
    if (!next) {
      timer_.cancel();
      armed_for_.reset();
      return;
    }
    if (armed_for_ && *armed_for_ <= *next) return;
    armed_for_ = next;
    timer_ = loop_.after(*next - clock_.now(), [this] { on_timer(); });
  }
  void on_timer() {
    armed_for_.reset();
    move_ready();
    arm();  // the clock may lag behind the timer: then it is set again for the rest
  }
  void update_depth() { depth_.set(static_cast<double>(line_.length())); }

  Loop& loop_;
  Clock& clock_;
  Counter& adds_;
  Counter& retries_;
  Gauge& depth_;
  KeyLine line_;
  DelayedKeys delayed_;
  RetryLimiter limiter_;
  io::Event ready_;
  std::optional<Instant> armed_for_;
  Loop::Timer timer_;
};

Task<Result<void>> work(Context context, WorkQueue& queue, const Reconcile& reconcile, StopToken stop) {
  Log& log = context.log;
  for (;;) {
    const std::optional<ObjectKey> key = co_await queue.take(stop);
    if (!key) co_return Error(Code::kCancelled, "stopped");
    const Result<Requeue> next = co_await reconcile(*key, stop);
    if (next) {
      queue.forget(*key);
      if (next->after) queue.add_after(*key, *next->after);
    } else if (stop.stopped()) {
      queue.done(*key);
      co_return Error(Code::kCancelled, "stopped");
    } else {
      // A lost race is no news: the next turn sees the newer object.
      const std::string name = key->namespace_.empty() ? key->name : cat(key->namespace_, "/", key->name);
      if (next.error().code() == Code::kConflict) {
        log.debug("reconcile lost a race, retrying", {{"key", name}, {"error", next.error().message()}});
      } else {
        log.warn("reconcile failed, retrying", {{"key", name}, {"error", next.error().message()}});
      }
      queue.add_rate_limited(*key);
    }
    queue.done(*key);
    // A reconcile may end without ever waiting: keys that keep coming must not hold up everything else on the loop.
    co_await context.loop.yield();
  }
}

}  // namespace

std::unique_ptr<WorkQueue> make_work_queue(Context context, std::string name) {
  return std::make_unique<LoopWorkQueue>(context, name);
}

Task<Result<void>> run_workers(Context context, WorkQueue& queue, int workers, Reconcile reconcile, StopToken stop) {
  io::TaskScope scope(stop);
  for (int i = 0; i < workers; ++i) scope.spawn(work(context, queue, reconcile, scope.token()));
  co_return co_await scope.join();
}

}  // namespace kayak::client
