// fd_stream.h: a stream over a descriptor: TCP and unix sockets, pipes, FIFOs. For the files of src/io.
// Reads and writes go straight between the kernel and the caller's memory; a connection that waits holds no buffer.
#pragma once

#include <sys/uio.h>

#include <coroutine>
#include <memory>
#include <optional>
#include <span>

#include "base/fd.h"
#include "io/address.h"
#include "io/poller.h"
#include "io/stream.h"

namespace kayak::io {

// One direction of a descriptor: whether a system call is worth trying, and the one coroutine that waits for it.
struct Readiness {
  std::coroutine_handle<> waiter;
  bool ready = true;
  bool in_use = false;
  void wake() {
    if (waiter) ReadyQueue::current().push(std::exchange(waiter, nullptr));
  }
};

// Waits until `side.ready`, `*open` is false or `stop` fires.
class ReadinessWait {
 public:
  ReadinessWait(Readiness& side, const Fd& open, StopToken stop) : side_(side), open_(open), stop_(std::move(stop)) {}
  bool await_ready() const { return side_.ready || !open_ || stop_.stopped(); }
  void await_suspend(std::coroutine_handle<> handle) {
    side_.waiter = handle;
    on_stop_ = StopCallback(stop_, [this] { side_.wake(); });
  }
  void await_resume() {}

 private:
  Readiness& side_;
  const Fd& open_;
  StopToken stop_;
  StopCallback on_stop_;
};

// Holds a direction for one operation: there is one reader and one writer at a time.
class InUse {
 public:
  explicit InUse(Readiness& side) : side_(side) {
    ASSERT(!side.in_use);
    side.in_use = true;
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
  ~InUse() { side_.in_use = false; }

 private:
  Readiness& side_;
};

class FdStream final : public Stream, private Poller::Watcher {
 public:
  // `fd` is non-blocking. `connecting`: connect(2) is under way, finish_connect comes first.
  static Result<std::unique_ptr<FdStream>> create(Loop& loop, Fd fd, bool connecting = false);
  ~FdStream() override;

  Task<Result<std::size_t>> read(std::span<char> buffer, StopToken stop) override;
  Task<Result<void>> write(Slices data, StopToken stop) override;
  Task<Result<void>> wait_readable(StopToken stop) override;
  Task<Result<void>> shutdown(StopToken stop) override;
  void close() override;
  Endpoint peer() const override { return peer_.endpoint(); }
  Endpoint local() const override;

  Task<Result<void>> wait_writable(StopToken stop);
  Task<Result<void>> finish_connect(StopToken stop);
  // Without waiting: the bytes read (0 at the end), nullopt when there are none yet.
  Result<std::optional<std::size_t>> try_read(std::span<char> buffer);
  // Without waiting: the bytes taken, 0 when there is no room.
  Result<std::size_t> try_write(const iovec* pieces, int count);
  // True when so much went through without a wait that others should get their turn first.
  bool turn_is_over();
  Loop& loop() { return loop_; }
  int fd() const { return fd_.get(); }  // for socket options

 private:
  FdStream(Loop& loop, Fd fd, bool socket, bool connecting);
  void on_events(std::uint32_t events) override;
  Result<std::size_t> try_write_some(Slices& data, std::size_t* first, std::size_t* skip);

  Loop& loop_;
  Fd fd_;
  SocketAddress peer_;
  Readiness in_, out_;
  bool socket_;
  bool hangup_ = false;           // end or failure is queued: an empty read is not the last word
  std::uint32_t turn_bytes_ = 0;  // moved since the last wait
};

}  // namespace kayak::io
