// local_call.cc: see local_call.h.
#include "cli/local_call.h"

#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;

constexpr Duration kTimeout = 30s;
constexpr std::string_view kEtcdPrefix = "etcdserver: ";

}  // namespace

Error plain_error(const Error& error) {
  std::string_view message = error.message();
  constexpr std::string_view kGrpc = "gRPC ";  // "gRPC UNAVAILABLE: "
  const std::size_t colon = message.find(": ");
  if (message.starts_with(kGrpc) && colon != std::string_view::npos) message.remove_prefix(colon + 2);
  if (message.starts_with(kEtcdPrefix)) message.remove_prefix(kEtcdPrefix.size());
  return Error(error.code(), std::string(message));
}

Task<Result<void>> with_local_server(Context context, std::string data_dir, LocalWork work, StopToken stop) {
  const std::string path = data_dir + "/server/etcd.sock";
  Result<io::StreamPtr> stream = co_await io::connect_unix(context, path, stop);
  if (!stream) {
    if (!file_exists(path) && ::geteuid() != 0) {
      co_return Error(Code::kForbidden, cat(path, " cannot be reached: run as root, or name the server's --data-dir"));
    }
    if (file_exists(data_dir + "/server/witness/state")) {
      co_return Error(Code::kUnavailable, cat(data_dir,
                                              " is the data directory of a witness, which votes and answers "
                                              "nothing: ask on a server of the cluster"));
    }
    co_return Error(Code::kUnavailable, cat("no server runs on ", data_dir, " (", stream.error().message(),
                                            "): start it, or name the --data-dir of the one that runs"));
  }
  io::TaskScope scope(stop);
  const std::unique_ptr<io::Http2Client> client =
      io::Http2Client::create(context, std::move(*stream), io::Http2ClientOptions());
  scope.spawn(client->run(scope.token()));
  Result<void> done = co_await work(*client);
  scope.stop();
  const Result<void> joined = co_await scope.join();
  (void)joined;  // how the connection ended does not matter once the answer is here
  co_return done;
}

io::GrpcRequest local_request(std::string method) {
  io::GrpcRequest request;
  request.scheme = "http";
  request.authority = "localhost";
  request.method = std::move(method);
  return request;
}

Task<Result<std::string>> call_local(Context context, std::string data_dir, std::string method, std::string message) {
  io::GrpcRequest request = local_request(std::move(method));
  request.timeout = kTimeout;
  std::string reply;
  auto call = [&](io::Http2Client& client) -> Task<Result<void>> {
    Result<std::string> answer = co_await io::grpc_unary(client, std::move(request), std::move(message));
    if (!answer) co_return plain_error(answer.error());
    reply = std::move(*answer);
    co_return Result<void>();
  };
  const Result<void> called = co_await with_local_server(context, std::move(data_dir), call);
  if (!called) co_return called.error();
  co_return reply;
}

}  // namespace kayak::cli
