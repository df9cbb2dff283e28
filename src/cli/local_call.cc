// local_call.cc: see local_call.h.
#include "cli/local_call.h"

#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"
#include "io/grpc.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;

constexpr Duration kTimeout = 30s;
constexpr std::string_view kEtcdPrefix = "etcdserver: ";

Error without_prefix(const Error& error) {
  const std::string& message = error.message();
  const std::size_t at = message.find(kEtcdPrefix);
  return at == std::string::npos ? error : Error(error.code(), message.substr(at + kEtcdPrefix.size()));
}

}  // namespace

Task<Result<std::string>> call_local(Context context, std::string data_dir, std::string method, std::string message) {
  const std::string path = data_dir + "/server/etcd.sock";
  Result<io::StreamPtr> stream = co_await io::connect_unix(context, path);
  if (!stream) {
    if (!file_exists(path) && ::geteuid() != 0) {
      co_return Error(Code::kForbidden, cat(path, " cannot be reached: run as root, or name the server's --data-dir"));
    }
    co_return Error(Code::kUnavailable, cat("no server runs on ", data_dir, " (", stream.error().message(), ")"));
  }
  io::TaskScope scope;
  const std::unique_ptr<io::Http2Client> client =
      io::Http2Client::create(context, std::move(*stream), io::Http2ClientOptions());
  scope.spawn(client->run(scope.token()));
  io::GrpcRequest request;
  request.scheme = "http";
  request.authority = "localhost";
  request.method = std::move(method);
  request.timeout = kTimeout;
  Result<std::string> answer = co_await io::grpc_unary(*client, std::move(request), std::move(message));
  scope.stop();
  Result<void> joined = co_await scope.join();
  if (!answer) co_return without_prefix(answer.error());
  (void)joined;  // how the connection ended does not matter once the answer is here
  co_return answer;
}

}  // namespace kayak::cli
