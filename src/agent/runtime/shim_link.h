// shim_link.h: the agent's connection to the shim of one pod.
// Owns the socket. Leaves to others: starting shims, what containers there are (containers.cc).
// Source: shim/protocol.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/stream.h"

namespace kayak::agent {

struct ShimContainer {
  std::string id;
  enum class State : std::uint8_t { kCreating, kCreated, kRunning, kExited } state = State::kCreating;
  int pid = 0;
  WallTime started, finished;
  int code = 0, signal = 0;
  bool unknown = false;
};

class ShimLink {
 public:
  struct Handlers {
    std::function<void(const ShimContainer& exited)> on_exit;
    std::function<void()> on_lost;  // the connection ended without close(); called once
  };
  // Connects to `directory`/socket and agrees on the version. Errors: Io, Unavailable (another version).
  static Task<Result<std::unique_ptr<ShimLink>>> connect(Context context, std::string directory, Handlers handlers);
  ~ShimLink();
  ShimLink(const ShimLink&) = delete;
  ShimLink& operator=(const ShimLink&) = delete;

  Task<Result<std::vector<ShimContainer>>> list();
  // Errors: Unavailable (connection lost), Internal with what the runtime said.
  Task<Result<int>> create(std::string id);             // its pid
  Task<Result<WallTime>> start(std::string id);         // when
  Task<Result<void>> kill(std::string id, int signal);  // Conflict: not running
  Task<Result<void>> remove(std::string id);
  Task<Result<void>> exit();  // the shim ends; Conflict while it has containers
  bool lost() const { return lost_; }
  // Ends the reader; await it before destruction.
  Task<void> close();

 private:
  struct Pending;
  ShimLink(Context context, io::StreamPtr stream, Handlers handlers);
  using Fields = std::vector<std::string>;
  Task<Result<Fields>> request(Fields words, std::vector<ShimContainer>* list = nullptr);
  Task<Result<void>> read_all();
  void take(std::string_view message);
  void fail_all();

  Context context_;
  io::StreamPtr stream_;
  Handlers handlers_;
  io::TaskScope scope_;
  std::string unread_;
  std::map<std::uint64_t, Pending*> pending_;
  std::uint64_t next_id_ = 1;
  bool lost_ = false, closing_ = false;
  // One writer at a time: requests are tiny, the wait is never seen.
  bool writing_ = false;
  io::Event may_write_;
};

}  // namespace kayak::agent
