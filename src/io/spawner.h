// spawner.h: the spawning thread and the children it made, until they are reaped. For src/io/process.cc and the Loop
// that owns it.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "base/fd.h"
#include "io/poller.h"
#include "io/process.h"
#include "io/worker.h"

namespace kayak::io {

// A child from its spawning to its reaping. Kept by the Spawner until reaped, so that no zombie stays when nobody
// waits.
class Child final : public Poller::Watcher {
 public:
  Child(Loop& loop, int pid, Fd pidfd) : loop_(loop), pid_(pid), pidfd_(std::move(pidfd)) {}
  ~Child() { unwatch(); }
  Result<void> watch();
  int pid() const { return pid_; }
  Result<void> kill(int signal);
  // The child and what it started, when it leads a session of its own.
  void kill_session();
  const std::optional<ExitStatus>& status() const { return status_; }
  Event& exited() { return exited_; }

 private:
  void on_events(std::uint32_t events) override;
  void unwatch();
  Loop& loop_;
  int pid_;
  Fd pidfd_;
  bool watched_ = false;
  std::optional<ExitStatus> status_;
  Event exited_;
};

class Spawner {
 public:
  explicit Spawner(Loop& loop);
  Worker& thread() { return thread_; }
  Result<std::shared_ptr<Child>> adopt(int pid, Fd pidfd);
  void forget(int pid) { children_.erase(pid); }

 private:
  Loop& loop_;
  std::map<int, std::shared_ptr<Child>> children_;
  Worker thread_;
};

}  // namespace kayak::io
