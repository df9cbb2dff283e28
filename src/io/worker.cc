// worker.cc: the thread behind worker.h.
#include "io/worker.h"

#include <pthread.h>

#include <csignal>

namespace kayak::io {

Worker::Worker(std::string name, std::size_t max_queued) : name_(std::move(name)), max_queued_(max_queued) {}

Worker::~Worker() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool Worker::submit(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    if (jobs_.size() >= max_queued_) return false;
    jobs_.push_back(std::move(job));
  }
  if (!thread_.joinable()) {
    // Signals are the main thread's business; the new thread inherits the mask.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { serve(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  } else {
    changed_.notify_one();
  }
  return true;
}

void Worker::serve() {
  pthread_setname_np(pthread_self(), name_.c_str());
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace kayak::io
