// http_server.cc: one exchange from its first header to its last byte.
#include "api/http_server.h"

#include <algorithm>

#include "api/authorizer.h"
#include "api/negotiate.h"
#include "api/status.h"
#include "api/tables/tables.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::size_t kMaxBody = 3 * 1024 * 1024;  // upstream's limit
constexpr std::size_t kShownOfBody = 64;           // at most, in an error
constexpr std::size_t kMaxAuditId = 64;
constexpr std::size_t kMaxWarning = 1024, kMaxWarnings = 64;
// A watch without a timeout ends by itself after half an hour to an hour, so that clients spread over servers.
constexpr std::int64_t kMinWatchSeconds = 1800;

// Headers by which a caller would act as someone else. Not built, so refused: acting as oneself instead is no answer.
bool wants_impersonation(const io::Headers& headers) {
  for (const auto& field : headers) {
    if (to_lower(std::string_view(field.first).substr(0, 12)) == "impersonate-") return true;
  }
  return false;
}

// RFC 7234 5.5: a quoted string without control characters.
std::string warning_header(std::string_view text) {
  std::string quoted = "299 - \"";
  for (char c : text.substr(0, kMaxWarning)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) continue;
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  quoted.push_back('"');
  return quoted;
}

bool is_browser_or_curl(std::string_view agent) {
  return agent.starts_with("curl") || agent.starts_with("Wget") || agent.starts_with("Mozilla/5.0");
}

std::string audit_id_of(const io::Headers& headers, Random& random) {
  const std::string_view sent = headers.get("Audit-ID");
  const bool usable = !sent.empty() && sent.size() <= kMaxAuditId &&
                      std::all_of(sent.begin(), sent.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return usable ? std::string(sent) : random.uuid4();
}

bool has_own_encoding(const ApiResponse& response) { return response.object != nullptr || response.list.has_value(); }

std::string_view body_kind(const RequestInfo& info) {
  if (info.verb == Verb::kDelete || info.verb == Verb::kDeleteCollection) return "DeleteOptions";
  return info.subresource_row != nullptr ? info.subresource_row->kind : info.kind->kind;
}

MediaOffer offer_of(const RequestInfo& info) {
  MediaOffer offer;
  offer.stream = info.verb == Verb::kWatch;
  // Reviews and bindings, which can only be created, are questions and not objects: nothing to print as a row.
  offer.table = (info.subresource.empty() && info.kind->verbs != "create") || info.subresource == "status" ||
                info.subresource == "scale";
  offer.partial = info.subresource.empty() || info.subresource == "status";
  return offer;
}

}  // namespace

// What every answer of one exchange carries.
struct HttpAdapter::Reply {
  std::string audit_id;
  std::string agent;
  MediaChoice choice;  // for errors and documents
  std::vector<std::string> warnings;
  bool started = false;

  io::Headers headers(std::string content_type) const {
    io::Headers headers;
    headers.add("Audit-Id", audit_id);
    headers.add("Cache-Control", "no-cache, private");
    headers.add("Content-Type", std::move(content_type));
    std::vector<std::string> said;
    for (const std::string& warning : warnings) {
      if (said.size() == kMaxWarnings || std::find(said.begin(), said.end(), warning) != said.end()) continue;
      headers.add("Warning", warning_header(warning));
      said.push_back(warning);
    }
    return headers;
  }
};

Task<void> HttpAdapter::serve(io::HttpExchange& exchange) {
  const io::HttpRequest& http = exchange.request();
  Reply reply;
  reply.audit_id = audit_id_of(http.headers, context_.random);
  reply.agent = http.headers.get("User-Agent");
  auto query = io::parse_query(http.query);
  Result<RequestInfo> info = Error(Code::kBadRequest, "");
  if (query) info = parse_request_info(http.method, http.path, query_flag(*query, "watch"));

  const UserInfo user = user_of(http.peer);
  Result<void> served;
  const std::string path = info ? info->path : std::string();
  if (is_anonymous(user) && !is_public_path(path)) {
    served = co_await send_error(exchange, reply, Error(Code::kUnauthorized, "Unauthorized"));
  } else if (wants_impersonation(http.headers)) {
    served = co_await send_error(exchange, reply, bad_request("impersonation is not supported by this server"));
  } else if (!query) {
    served = co_await send_error(exchange, reply, bad_request(query.error().message()));
  } else if (!info) {
    served = co_await send_error(exchange, reply, info.error());
  } else if (info->is_resource) {
    served = co_await serve_resource(exchange, reply, *info);
  } else {
    served = co_await serve_path(exchange, reply, path);
  }
  if (!served && served.error().code() != Code::kCancelled) {
    context_.log.debug("request ended early", {{"path", http.path}, {"error", served.error().message()}});
  }
}

Task<Result<void>> HttpAdapter::serve_path(io::HttpExchange& exchange, Reply& reply, std::string path) {
  const io::HttpRequest& http = exchange.request();
  if (auto allowed = authorize_path(user_of(http.peer), http.method, path); !allowed) {
    co_return co_await send_error(exchange, reply, allowed.error());
  }
  const PathRow* found = nullptr;
  for (const PathRow& row : paths_) {
    const bool below = row.path.back() == '/' && path.size() >= row.path.size() && path.starts_with(row.path);
    const bool same = row.path == path || (row.path.back() == '/' && path == row.path.substr(0, row.path.size() - 1));
    if ((same || below) && (found == nullptr || row.path.size() > found->path.size())) found = &row;
  }
  if (found == nullptr) co_return co_await send_error(exchange, reply, no_such_path());
  if (http.method != "GET" && http.method != "HEAD") {
    co_return co_await send_error(exchange, reply,
                                  Error(Code::kMethodNotAllowed, "the server does not allow this method on this path"));
  }
  auto query = io::parse_query(http.query);
  if (query) {
    if (auto timeout = query_timeout(*query); !timeout) co_return co_await send_error(exchange, reply, timeout.error());
  }
  PathRequest request{http, std::move(path), query ? std::move(*query) : QueryPairs()};
  Result<PathAnswer> answer = Error(Code::kInternal, "no answer");
  if (found->slow) {
    auto work = [found, &request] { return found->answer(request); };
    answer = co_await context_.loop.offload(std::move(work));
  } else {
    answer = found->answer(request);
  }
  if (!answer) co_return co_await send_error(exchange, reply, answer.error());
  io::Headers headers = reply.headers(answer->content_type);
  for (const auto& [name, value] : answer->headers) headers.add(std::string(name), std::string(value));
  co_return co_await exchange.send(answer->status, std::move(headers), std::move(answer->body));
}

Task<Result<void>> HttpAdapter::read_body(io::HttpExchange& exchange, const RequestInfo& info, ApiRequest& request) {
  const bool wanted = info.verb == Verb::kCreate || info.verb == Verb::kUpdate || info.verb == Verb::kPatch ||
                      info.verb == Verb::kDelete || info.verb == Verb::kDeleteCollection;
  if (!wanted) co_return Result<void>();
  const io::Headers& headers = exchange.request().headers;
  std::string content_type(headers.get("Content-Type"));
  if (info.verb == Verb::kPatch) content_type = "application/json";
  if (const std::string_view encoding = headers.get("Content-Encoding"); !encoding.empty() && encoding != "identity") {
    co_return Error(Code::kUnsupportedMediaType,
                    cat("the body's Content-Encoding ", quote(encoding), " is not supported"), StatusDetails());
  }
  auto bytes = co_await exchange.body().read_all(kMaxBody, exchange.gone());
  if (!bytes && bytes.error().code() == Code::kTooLarge) {
    co_return Error(Code::kTooLarge, cat("Request entity too large: limit is ", kMaxBody), StatusDetails());
  }
  if (!bytes) co_return bytes.error();
  const bool deletes = info.verb == Verb::kDelete || info.verb == Verb::kDeleteCollection;
  if (deletes && bytes->empty()) co_return Result<void>();
  const std::string start = bytes->substr(0, kShownOfBody);
  auto decoded = co_await decode_body(context_, content_type, std::move(*bytes));
  if (!decoded && decoded.error().code() == Code::kBadRequest) {
    if (info.verb != Verb::kPatch) co_return unrecognized(content_type, body_kind(info), decoded.error(), start);
    const bool strategic = request.patch_type == PatchType::kStrategicMerge;
    co_return bad_request(cat(strategic ? "" : "error decoding patch: ", decoded.error().message()));
  }
  if (!decoded) co_return decoded.error();
  request.duplicate_fields = std::move(decoded->duplicate_fields);
  if (deletes) co_return apply_delete_options(decoded->document, request.remove);
  request.body = std::move(decoded->document);
  co_return Result<void>();
}

namespace {

// Said with every answer of a kind that is on its way out; empty for the others.
std::string_view deprecation(const Kind& kind) {
  if (!kind.group.empty()) return {};
  if (kind.plural == "endpoints") return "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
  if (kind.plural == "componentstatuses") return "v1 ComponentStatus is deprecated in v1.19+";
  return {};
}

}  // namespace

Task<Result<void>> HttpAdapter::serve_resource(io::HttpExchange& exchange, Reply& reply, const RequestInfo& info) {
  const io::HttpRequest& http = exchange.request();
  ApiRequest request;
  request.verb = info.verb;
  request.kind = info.kind;
  request.subresource = info.subresource;
  request.namespace_ = info.namespace_;
  request.name = info.name;
  request.user = user_of(http.peer);
  request.user_agent = reply.agent;
  request.audit_id = reply.audit_id;
  if (auto allowed = authorize(request.user, request); !allowed) {
    co_return co_await send_error(exchange, reply, allowed.error());
  }
  if (const std::string_view deprecated = deprecation(*info.kind); !deprecated.empty()) {
    reply.warnings.emplace_back(deprecated);
  }
  auto query = io::parse_query(http.query);
  ASSERT(query.ok());
  const std::string_view accept = http.headers.get("Accept");
  auto choice = negotiate(accept, offer_of(info));
  const bool is_log = info.subresource == "log";
  if (!choice && !is_log) co_return co_await send_error(exchange, reply, choice.error());
  EncodeOptions encode;
  encode.kind = info.kind;
  if (choice) encode.choice = *choice;
  const std::string* pretty = query_value(*query, "pretty");
  encode.choice.pretty =
      encode.choice.pretty || (pretty != nullptr ? query_flag(*query, "pretty") : is_browser_or_curl(reply.agent));
  if (const std::string* include = query_value(*query, "includeObject")) encode.include_object = *include;
  encode.now = context_.clock.wall();
  reply.choice = encode.choice;
  reply.choice.view = View::kObject;

  if (info.verb == Verb::kPatch) {
    // Before the options: one that only another patch type allows must not hide that the type is refused.
    auto type = patch_type_of(http.headers.get("Content-Type"));
    if (!type) co_return co_await send_error(exchange, reply, type.error());
    request.patch_type = *type;
  }
  if (auto applied = apply_query(*query, info, request); !applied) {
    co_return co_await send_error(exchange, reply, applied.error());
  }
  // Streams live as long as they are asked for by other means; what they say about a timeout is not read.
  const bool streaming = info.verb == Verb::kWatch || is_log;
  Result<std::optional<Duration>> timeout = std::optional<Duration>();
  if (!streaming) timeout = query_timeout(*query);
  if (!timeout) co_return co_await send_error(exchange, reply, timeout.error());
  if (auto body = co_await read_body(exchange, info, request); !body) {
    co_return co_await send_error(exchange, reply, body.error());
  }
  if (info.verb == Verb::kWatch && request.read.timeout_seconds.value_or(0) <= 0) {
    request.read.timeout_seconds =
        kMinWatchSeconds + static_cast<std::int64_t>(context_.random.below(kMinWatchSeconds));
  }
  std::optional<io::Deadline> deadline;
  if (*timeout) deadline.emplace(context_.loop, **timeout, exchange.gone());
  const StopToken stop = deadline ? deadline->token() : exchange.gone();
  auto response = co_await server_.handle(std::move(request), stop);
  if (!response && deadline && deadline->expired()) {
    response = Error(Code::kTimeout, "Timeout: request did not complete within the requested timeout", StatusDetails());
  }
  if (!response && info.verb == Verb::kWatch && response.error().code() == Code::kExpired) {
    // Upstream reports an expired revision in the stream, where informers look for it.
    co_return co_await send_watch(exchange, reply, std::move(encode), nullptr, response.error());
  }
  if (!response) co_return co_await send_error(exchange, reply, response.error());
  reply.warnings.insert(reply.warnings.end(), response->warnings.begin(), response->warnings.end());
  co_return co_await send_response(exchange, reply, encode, std::move(*response));
}

Task<Result<void>> HttpAdapter::send_response(io::HttpExchange& exchange, Reply& reply, const EncodeOptions& encode,
                                              ApiResponse response) {
  if (response.watch) {
    co_return co_await send_watch(exchange, reply, encode, std::move(response.watch), std::nullopt);
  }
  if (response.stream) co_return co_await send_stream(exchange, reply, std::move(response.stream));
  io::Slices body;
  if (response.object) {
    body = encode_object(encode, response.object);
  } else if (response.list) {
    body = encode_list(encode, *response.list);
  } else {
    ASSERT(response.document.has_value());
    body = encode_document(encode, *response.document);
  }
  const MediaChoice& choice = has_own_encoding(response) ? encode.choice : reply.choice;
  io::Headers headers = reply.headers(content_type(choice, false));
  co_return co_await exchange.send(response.status, std::move(headers), std::move(body));
}

Task<Result<void>> HttpAdapter::send_watch(io::HttpExchange& exchange, Reply& reply, EncodeOptions encode,
                                           std::unique_ptr<WatchSource> source, std::optional<Error> failure) {
  encode.choice.pretty = false;
  WatchEncoder encoder(encode);
  io::Headers headers = reply.headers(content_type(encode.choice, true));
  if (auto started = co_await exchange.start(200, std::move(headers)); !started) co_return started;
  while (!failure) {
    auto batch = co_await source->next(exchange.gone());
    if (!batch && batch.error().code() == Code::kCancelled) co_return batch.error();
    if (!batch) {
      failure = batch.error();
      break;
    }
    if (batch->empty()) break;
    io::Slices data;
    for (const WatchAnswer& event : *batch) encoder.append(event, context_.clock.wall(), data);
    auto written = co_await exchange.write(std::move(data));
    if (!written) co_return written;
  }
  // A server that stops ends its streams without a word: clients come again.
  if (failure && failure->code() != Code::kUnavailable) {
    io::Slices data;
    encoder.append_error(*failure, data);
    auto written = co_await exchange.write(std::move(data));
    if (!written) co_return written;
  }
  co_return co_await exchange.finish();
}

Task<Result<void>> HttpAdapter::send_stream(io::HttpExchange& exchange, Reply& reply,
                                            std::unique_ptr<io::HttpBody> stream) {
  io::Headers headers = reply.headers("text/plain");
  if (auto started = co_await exchange.start(200, std::move(headers)); !started) co_return started;
  for (;;) {
    auto piece = co_await stream->read(exchange.gone());
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    io::Slices data;
    data.push_back(io::Slice::of(std::move(*piece)));
    auto written = co_await exchange.write(std::move(data));
    if (!written) co_return written;
  }
  co_return co_await exchange.finish();
}

Task<Result<void>> HttpAdapter::send_error(io::HttpExchange& exchange, Reply& reply, const Error& error) {
  DocumentAnswer answer;
  answer.document = status_document(error);
  answer.message = find_message("v1", "Status");
  io::Headers headers = reply.headers(content_type(reply.choice, false));
  if (error.details() != nullptr && error.details()->retry_after_seconds > 0) {
    headers.add("Retry-After", std::to_string(error.details()->retry_after_seconds));
  }
  EncodeOptions encode;
  encode.choice = reply.choice;
  io::Slices body = encode_document(encode, answer);
  const int status = http_status(for_client(error).code());
  co_return co_await exchange.send(status, std::move(headers), std::move(body));
}

}  // namespace kayak::api
