// http_server.h: HTTP exchanges as requests of the API, and its answers as bytes. The only file of src/api that knows
// methods, headers and status lines.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/api.h"
#include "api/encode.h"
#include "api/query.h"
#include "api/request_info.h"
#include "io/http.h"

namespace kayak::api {

// An answer to a path that is no resource: discovery, health, metrics, OpenAPI.
struct PathAnswer {
  int status = 200;
  std::string content_type = "application/json";
  io::Headers headers;
  io::Slices body;
};
struct PathRequest {
  const io::HttpRequest& http;
  std::string path;  // decoded
  QueryPairs query;
};
// A row of the table of paths. Ending in '/', it also answers for everything below.
struct PathRow {
  std::string path;
  std::function<Result<PathAnswer>(const PathRequest& request)> answer;
  bool slow = false;  // takes milliseconds: answered on the pool, so it must not touch anything of the loop
};

class HttpAdapter {
 public:
  HttpAdapter(Context context, ApiServer& server) : context_(context.named("http")), server_(server) {}
  void add_path(PathRow row) { paths_.push_back(std::move(row)); }
  const std::vector<PathRow>& paths() const { return paths_; }
  // Serves one exchange to its end.
  Task<void> serve(io::HttpExchange& exchange);

 private:
  struct Reply;
  Task<Result<void>> serve_path(io::HttpExchange& exchange, Reply& reply, std::string path);
  Task<Result<void>> serve_resource(io::HttpExchange& exchange, Reply& reply, const RequestInfo& info);
  Task<Result<void>> read_body(io::HttpExchange& exchange, const RequestInfo& info, ApiRequest& request);
  Task<Result<void>> send_response(io::HttpExchange& exchange, Reply& reply, const EncodeOptions& encode,
                                   ApiResponse response);
  Task<Result<void>> send_watch(io::HttpExchange& exchange, Reply& reply, EncodeOptions encode,
                                std::unique_ptr<WatchSource> source, std::optional<Error> failure);
  Task<Result<void>> send_stream(io::HttpExchange& exchange, Reply& reply, std::unique_ptr<io::HttpBody> stream);
  Task<Result<void>> send_error(io::HttpExchange& exchange, Reply& reply, const Error& error);

  Context context_;
  ApiServer& server_;
  std::vector<PathRow> paths_;
};

}  // namespace kayak::api
