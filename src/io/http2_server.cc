// http2_server.cc: HTTP/2 is not spoken yet: its preface gets the HTTP/1.1 server's 505.
#include "io/http_internal.h"

namespace kayak::io {

std::unique_ptr<HttpConnection> make_http2_connection(const HttpService& service, StreamPtr stream, InputBuffer input,
                                                      TlsPeer peer) {
  return make_http1_connection(service, std::move(stream), std::move(input), std::move(peer));
}

}  // namespace kayak::io
