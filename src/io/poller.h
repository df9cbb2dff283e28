// poller.h: readiness of file descriptors, for the files of src/io.
// Owns one epoll set which libuv polls as a single descriptor. uv_poll is not used per descriptor: it pays two
// epoll_ctl calls for each wake-up, 160 bytes per connection and an asynchronous close; here an edge-triggered
// registration is made once and closing is immediate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/fd.h"
#include "base/result.h"

struct uv_loop_s;

namespace kayak::io {

class Poller {
 public:
  // What is told about a descriptor. `on_events` gets EPOLL* bits; it only wakes coroutines and may remove watchers.
  class Watcher {
   public:
    virtual void on_events(std::uint32_t events) = 0;

   protected:
    ~Watcher() = default;
  };

  explicit Poller(uv_loop_s* loop);
  ~Poller();  // every watcher was removed; the loop runs once more to let go of the handle
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // `events` as epoll_ctl(2) takes them, EPOLLET included when wanted. Errors: Invalid (the descriptor cannot be
  // polled, like a regular file), Io.
  Result<void> add(int fd, std::uint32_t events, Watcher& watcher);
  void change(int fd, std::uint32_t events, Watcher& watcher);
  // Before the descriptor is closed: a copy of it in a child that is just being spawned would keep it registered.
  void remove(int fd, Watcher& watcher);

 private:
  struct Handle;
  struct HandleCloser {
    void operator()(Handle* handle) const;
  };
  void dispatch();
  void read_events();
  Fd epoll_;
  std::unique_ptr<Handle, HandleCloser> handle_;
  std::size_t watchers_ = 0;
  // The batch being dispatched; a watcher that is removed meanwhile is taken out of it.
  std::array<void*, 128> batch_{};
  std::size_t batch_size_ = 0;
};

}  // namespace kayak::io
