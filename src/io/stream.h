// stream.h: byte streams and listeners on the loop: TCP, unix sockets, pipes. TLS streams (tls.h) are the same type.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/task.h"

namespace kayak::io {

// Bytes with whatever keeps them alive: an emitter hands out slices of shared buffers and copies nothing.
struct Slice {
  std::string_view bytes;
  std::shared_ptr<const void> owner;  // null for static data
  static Slice of(std::string text) {
    auto kept = std::make_shared<const std::string>(std::move(text));
    return Slice{*kept, kept};
  }
};
using Slices = std::vector<Slice>;

// An address with a port; text form "1.2.3.4:80" or "[::1]:80".
struct Endpoint {
  std::string ip;  // numeric IPv4 or IPv6
  std::uint16_t port = 0;
  std::string to_string() const;
};

class Stream {
 public:
  virtual ~Stream() = default;  // closes when open; every read and write has ended by then
  // At least one byte into `buffer`; 0 at the end of the stream. Errors: Io, Cancelled. One reader at a time.
  virtual Task<Result<std::size_t>> read(std::span<char> buffer, StopToken stop = StopToken()) = 0;
  // All of `data`, in order; ends when the kernel has taken it (that is the back-pressure). One writer at a time.
  // After Cancelled the stream is unusable, as part of the data may have gone out.
  virtual Task<Result<void>> write(Slices data, StopToken stop = StopToken()) = 0;
  // Ends when a read would not have to wait (bytes, the end or a failure are there), so that an idle connection needs
  // no buffer of its own. Errors: Cancelled. Counts as the one reader; the default ends at once.
  virtual Task<Result<void>> wait_readable(StopToken stop = StopToken());
  // Tells the peer that no more will be written (FIN, close_notify). Errors: Io, Cancelled.
  virtual Task<Result<void>> shutdown(StopToken stop = StopToken()) = 0;
  // At once; pending reads and writes end with Cancelled.
  virtual void close() = 0;
  virtual Endpoint peer() const = 0;  // empty for unix sockets and pipes
  virtual Endpoint local() const = 0;
};
using StreamPtr = std::unique_ptr<Stream>;

class Listener {
 public:
  virtual ~Listener() = default;
  // Errors: Cancelled; running out of descriptors is waited out and logged, not returned.
  virtual Task<Result<StreamPtr>> accept(StopToken stop = StopToken()) = 0;
  virtual Endpoint local() const = 0;
};

// Errors: Io (address in use names the address and says who may hold it), Invalid (not an address).
Result<std::unique_ptr<Listener>> listen_tcp(Context context, const Endpoint& at, int backlog = 511);
// Replaces a stale socket file; mode 0600.
Result<std::unique_ptr<Listener>> listen_unix(Context context, const std::string& path);
Task<Result<StreamPtr>> connect_tcp(Context context, Endpoint to, StopToken stop = StopToken());
Task<Result<StreamPtr>> connect_unix(Context context, std::string path, StopToken stop = StopToken());
// For a TCP connection whose peer must be missed soon: what the other host has not acknowledged after `unacknowledged`
// breaks it (Io), and no more than about `unsent_bytes` wait in the kernel, so that what is urgent has little to queue
// behind. Before TLS. Nothing happens to other streams, or where the kernel cannot.
void tune_for_peers(Stream& plain, Duration unacknowledged, int unsent_bytes);
// Takes over a pipe, socket or FIFO descriptor that the loop can poll, and makes it (and every copy of it)
// non-blocking. Errors: Invalid (a regular file), Io.
Result<StreamPtr> adopt_fd(Context context, Fd fd);
// Two connected streams, for tests and for talking to helpers.
Result<std::pair<StreamPtr, StreamPtr>> stream_pair(Context context);
// `host` numeric or by c-ares (/etc/hosts first); every address in order. Errors: NotFound, Timeout.
Task<Result<std::vector<std::string>>> resolve(Context context, std::string host, StopToken stop = StopToken());
// resolve, then connect_tcp to each until one answers.
Task<Result<StreamPtr>> connect_host(Context context, std::string host, std::uint16_t port,
                                     StopToken stop = StopToken());

}  // namespace kayak::io
