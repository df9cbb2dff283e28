// worker.h: one named thread that does one thing after another for the loop: spawning, TLS handshakes.
// What may take long in numbers (hashing, unpacking) goes to the pool instead (Loop::offload).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>

#include "io/loop.h"

namespace kayak::io {

class Worker {
 public:
  // `name` is what ps and top show, at most 15 characters. The thread starts with the first job.
  Worker(std::string name, std::size_t max_queued);
  ~Worker();  // jobs that have not started are dropped, the running one is waited for
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // False when the queue is full: the job is not taken.
  bool submit(std::function<void()> job);

  // Runs `work` on the thread and gives its result; nullopt when the queue is full. Not cancellable. The worker must
  // outlive the call.
  template <typename F>
  Task<std::optional<std::invoke_result_t<F>>> run(Loop& loop, F work);

 private:
  void serve();
  const std::string name_;
  const std::size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

template <typename F>
Task<std::optional<std::invoke_result_t<F>>> Worker::run(Loop& loop, F work) {
  struct State {
    Event done;
    std::optional<std::invoke_result_t<F>> result;
  };
  auto state = std::make_shared<State>();
  auto wake = [state] { state->done.set(); };
  auto job = [state, &loop, wake, work = std::move(work)]() mutable {
    state->result.emplace(work());
    loop.post(wake);
  };
  if (!submit(std::move(job))) co_return std::nullopt;
  co_await state->done.wait();
  co_return std::move(state->result);
}

}  // namespace kayak::io
