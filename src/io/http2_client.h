// http2_client.h: HTTP/2 to one server over one connection: many requests at once, bodies streamed both ways.
// Whoever makes the stream chooses how (TLS with ALPN "h2", plain TCP or a unix socket with prior knowledge); whoever
// holds the client connects anew when it ends. gRPC on top of it is grpc.h.
// Source: RFC 9113.
#pragma once

#include <memory>
#include <string>

#include "io/http.h"
#include "io/loop.h"

namespace kayak::io {

struct Http2ClientOptions {
  std::size_t max_header_bytes = 64 * 1024;  // of a response's head or trailers, as RFC 9113 6.5.2 counts
  std::size_t max_headers = 200;
  std::size_t max_streams = 1000;  // at once; the server's own limit applies, too
  // While requests run (those that may be silent: while something of theirs was sent since) and nothing was heard for
  // the first time, a PING asks; without an answer within the second the
  // connection is given up. Servers punish pings that come too often (etcd below 5 s).
  Duration ping_after = std::chrono::seconds(30);
  Duration ping_timeout = std::chrono::seconds(10);
  Duration write_timeout = std::chrono::seconds(60);  // a server that takes nothing
};

struct Http2Request {
  std::string method = "GET";
  std::string scheme = "https";
  std::string authority;  // host:port as the server is to see it
  std::string path = "/";
  Headers headers;                                // pseudo, connection and length fields are ours
  Slices body;                                    // the whole body, unless it is streamed
  bool streams_body = false;                      // then write() and finish() send it
  bool may_be_silent = false;                     // stays open for long with nothing to say: no reason for a PING
  Duration timeout = Duration::zero();            // for all of it, from open() to the last byte; zero: no limit
  std::size_t max_body_bytes = 64 * 1024 * 1024;  // of the response, in total; 0: no limit (a stream of messages)
};

// One request under way. Destroying it before its end resets the stream (CANCEL). Every error is final: it ends the
// request, with one of these codes.
//   Unavailable  the server has not begun with it (GOAWAY, REFUSED_STREAM, never sent): safe to send again
//   Io           the connection or the stream broke: the server may have acted on it
//   Timeout (of the request, or the server is silent), Cancelled (its token or the client's fired),
//   TooLarge (head or body beyond the limits)
class Http2Call {
 public:
  virtual ~Http2Call() = default;
  // Ends when all has left our queue, which the server's flow-control window holds up. One at a time.
  virtual Task<Result<void>> write(Slices data) = 0;
  virtual Task<Result<void>> finish() = 0;
  // Waits for the response's head. Its fields are headers() from then on.
  virtual Task<Result<int>> status() = 0;
  virtual const Headers& headers() const = 0;
  // The response's body; what is not read holds up the server. Its `stop` ends the wait alone, not the request.
  virtual HttpBody& body() = 0;
  // Complete when the body has been read to its end.
  virtual const Headers& trailers() const = 0;
};

class Http2Client {
 public:
  static std::unique_ptr<Http2Client> create(Context context, StreamPtr stream, Http2ClientOptions options);
  virtual ~Http2Client() = default;  // run() has ended, or was never called
  // Carries the connection until `stop` fires (running requests then end with Cancelled), the server ends it, or it
  // breaks. Called once. Errors: Io, Timeout (the server does not answer).
  virtual Task<Result<void>> run(StopToken stop) = 0;
  // Begins a request, in order of calls when the server takes no more at once. `stop` holds for the whole request.
  // Errors: as of Http2Call, and Invalid (a malformed request).
  virtual Task<Result<std::unique_ptr<Http2Call>>> open(Http2Request request, StopToken stop = StopToken()) = 0;
  // Whether open() can still succeed: false after GOAWAY or the end.
  virtual bool usable() const = 0;
};

}  // namespace kayak::io
