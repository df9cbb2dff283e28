// support_http.h: an HTTP server in a thread of its own, and a client that writes and reads raw bytes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "io/http.h"

namespace kayak::test {

// What handlers of a TestServer did; written on its thread.
struct Seen {
  std::atomic<int> handled{0};  // handlers that have ended
  std::atomic<int> running{0};  // handlers that run now
  std::atomic<int> gone{0};     // /watch handlers that were told that their client is gone
  std::atomic<int> most_running{0};
  std::atomic<std::size_t> body_bytes{0};  // read by /echo and /count
  std::atomic<std::size_t> written{0};     // by /flood, accepted by write()
};

// Serves these paths:
//   /hello          "hello"                          /big?N       N bytes
//   /echo           the request body                 /count       reads the body, answers its size
//   /show           what the request was             /ignore      answers without reading the body
//   /stream?N       N pieces, streamed               /flood       streams until the client is gone
//   /watch          one event, then waits until gone /sleep?MS    answers after MS milliseconds
//   /none           no answer                        /cut         starts a response and leaves it
//   /upgrade        takes the connection over and echoes its bytes in upper case
//   /split          a header value with a line break /close       answers "Connection: close"
//   /who            the client certificate's name    /trailers    "body", then a field grpc-status: 0
class TestServer {
 public:
  explicit TestServer(io::HttpLimits limits = io::HttpLimits(), Duration drain = std::chrono::milliseconds(200),
                      std::optional<io::TlsServerOptions> tls = std::nullopt);
  ~TestServer();  // stops it
  std::uint16_t port() const { return port_; }
  std::string url(std::string_view path) const;  // "http://127.0.0.1:PORT/path", or https
  Seen& seen() { return seen_; }
  void stop();  // begins to drain; the destructor waits for the end
  bool ended() const { return ended_; }

 private:
  Seen seen_;
  std::atomic<std::uint16_t> port_{0};
  std::atomic<bool> ended_{false};
  bool is_tls_;
  std::function<void()> stop_;
  bool stopped_ = false;
  std::thread thread_;
};

// A blocking TCP client on loopback. Every wait ends after `kPatience`.
class RawClient {
 public:
  static constexpr int kPatienceMs = 10'000;
  explicit RawClient(std::uint16_t port);
  void send(std::string_view bytes);  // gives up silently when the peer has closed
  void finish_sending();              // FIN
  void close() { fd_.reset(); }
  std::string read_some();  // "" at the end
  std::string read_exactly(std::size_t size);
  std::string read_until(std::string_view mark);  // up to and including `mark`, or to the end
  std::string read_to_end();                      // until the peer closes; "...(reset)" when it resets
  bool closed();                                  // whether the peer closes now, without further bytes
  int fd() const { return fd_.get(); }

 private:
  bool fill();
  Fd fd_;
  std::string buffer_;
  bool reset_ = false;
};

// Waits up to kPatienceMs for `condition`.
bool eventually(const std::function<bool()>& condition);
// The output of a shell command, stderr included.
std::string shell(const std::string& command);
// A request head with Host: "GET /hello HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n".
std::string get(std::string_view path, std::string_view fields = "");
std::string post(std::string_view path, std::string_view fields, std::string_view body);
// A JSON-free look at a response: status of "HTTP/1.1 200 OK...".
int status_of(std::string_view response);
std::string body_of(std::string_view response);
long resident_kb();  // VmRSS of this process

}  // namespace kayak::test
