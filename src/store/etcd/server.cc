// server.cc: the services together, and errors as etcd words them.
#include "store/etcd/server.h"

#include "base/strings.h"
#include "store/etcd/service.h"

namespace kayak::store::etcd {

namespace {

using Grpc = io::GrpcStatus::Code;

// etcd's default limit of 1.5 MiB for a request and what it allows gRPC on top of it.
constexpr std::size_t kMaxMessageBytes = 2 * 1024 * 1024;

// Errors of the store whose message is not etcd's, or which share their code with others. An empty `holds` is any.
struct Row {
  Code code;
  std::string_view holds;
  Grpc grpc;
  std::string_view message;  // empty: the error's own
};
constexpr Row kRows[] = {
    {Code::kExpired, "", Grpc::kOutOfRange, "mvcc: required revision has been compacted"},
    {Code::kInvalid, "future revision", Grpc::kOutOfRange, "mvcc: required revision is a future revision"},
    {Code::kInvalid, "too large lease TTL", Grpc::kOutOfRange, ""},
    {Code::kInvalid, "", Grpc::kInvalidArgument, ""},
    {Code::kAlreadyExists, "", Grpc::kFailedPrecondition, ""},
    {Code::kTooLarge, "operations in a txn", Grpc::kInvalidArgument, "too many operations in txn request"},
    {Code::kTooLarge, "", Grpc::kInvalidArgument, "request is too large"},
    {Code::kNoSpace, "", Grpc::kResourceExhausted, "mvcc: database space exceeded"},
    {Code::kNotFound, "", Grpc::kNotFound, ""},
    {Code::kMethodNotAllowed, "", Grpc::kUnimplemented, ""},
    {Code::kUnavailable, "", Grpc::kUnavailable, "server stopped"},
    {Code::kCorrupt, "", Grpc::kDataLoss, "corrupt cluster"},
};

class ServerImpl final : public Server {
 public:
  ServerImpl(Store& store, ServerOptions options) : backend_{store, std::move(options)}, router_(kMaxMessageBytes) {
    add_kv(backend_, &router_);
    add_watch(backend_, &router_);
    add_lease(backend_, &router_);
    add_maintenance(backend_, &router_);
  }
  io::HttpHandler http_handler() override {
    return [this](io::HttpExchange& exchange) { return router_.serve(exchange); };
  }

 private:
  Backend backend_;
  io::GrpcRouter router_;
};

}  // namespace

io::GrpcStatus status_of(const Error& error) {
  if (error.code() == Code::kCancelled) return io::GrpcStatus{Grpc::kCancelled, "context canceled"};
  for (const Row& row : kRows) {
    if (row.code != error.code() || error.message().find(row.holds) == std::string::npos) continue;
    const std::string_view message = row.message.empty() ? std::string_view(error.message()) : row.message;
    return io::GrpcStatus{row.grpc, cat("etcdserver: ", message)};
  }
  return io::GrpcStatus{Grpc::kUnknown, error.message()};
}

std::unique_ptr<Server> Server::create(Store& store, ServerOptions options) {
  return std::make_unique<ServerImpl>(store, std::move(options));
}

}  // namespace kayak::store::etcd
