// grpc_test.cc: gRPC framing and statuses as values, calls to a small server of our own, and to etcd where it is there.
#include "io/grpc.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "io/support.h"
#include "io/support_http2.h"

using namespace kayak;
using namespace kayak::io;
using namespace kayak::test;
using namespace std::chrono_literals;

TEST_CASE("grpc: messages are cut out of bytes however they come") {
  const std::string bytes = grpc_prefix(3) + "abc" + grpc_prefix(0) + grpc_prefix(300) + std::string(300, 'x');
  for (const std::size_t piece : {1, 2, 7, 1000}) {
    GrpcDecoder decoder(300);
    std::vector<std::string> got;
    for (std::size_t i = 0; i < bytes.size(); i += piece) {
      decoder.append(std::string_view(bytes).substr(i, piece));
      while (true) {
        auto message = decoder.next();
        REQUIRE(message);
        if (!*message) break;
        got.push_back(**message);
      }
    }
    CHECK(got == std::vector<std::string>{"abc", "", std::string(300, 'x')});
    CHECK(decoder.empty());
  }
  GrpcDecoder decoder(299);
  decoder.append(grpc_prefix(300));
  CHECK(says(decoder.next()) == "TooLarge: grpc: received message larger than max (300 vs. 299)");
  GrpcDecoder compressed(299);
  compressed.append(std::string("\1\0\0\0\1x", 6));
  CHECK(says(compressed.next()) == "Io: grpc: compressed messages are not supported");
}

TEST_CASE("grpc: statuses") {
  struct Row {
    std::string status, message;
    int code;
    std::string says;
  };
  for (const Row& row : {
           Row{"5", "no%20such%25", 5, "NotFound: gRPC NOT_FOUND: no such%"},
           Row{"14", "a%2", 14, "Unavailable: gRPC UNAVAILABLE: a%2"},
           Row{"3", "%zz%e2%82%ac", 3, "Invalid: gRPC INVALID_ARGUMENT: %zz\xe2\x82\xac"},
           Row{"99", "", 99, "Internal: gRPC UNKNOWN: "},
           Row{"-1", "", 2, "Internal: gRPC UNKNOWN: the server's grpc-status is malformed: \"-1\""},
           Row{"0x", "", 2, "Internal: gRPC UNKNOWN: the server's grpc-status is malformed: \"0x\""},
           Row{"", "", 2, "Internal: gRPC UNKNOWN: the server's grpc-status is malformed: \"\""},
       }) {
    CAPTURE(row.status);
    Headers fields;
    fields.add("grpc-status", row.status);
    fields.add("grpc-message", row.message);
    const auto status = parse_grpc_status(fields);
    REQUIRE(status);
    CHECK(status->code == row.code);
    CHECK(says(grpc_error(*status)) == row.says);
  }
  CHECK(!parse_grpc_status(Headers()));
  CHECK(grpc_code_of_http(404) == 12);
  CHECK(grpc_code_of_http(503) == 14);
  CHECK(grpc_code_of_http(418) == 2);
}

namespace {

Task<void> swallow(Stream& stream) {
  char buffer[4096];
  while (true) {
    auto got = co_await stream.read(buffer);
    if (!got || *got == 0) co_return;
  }
}

// A unary call that is answered with `bytes`.
Task<Result<void>> call_scripted(Context context, std::string bytes, std::string* got) {
  auto pair = stream_pair(context);
  if (!pair) co_return pair.error();
  StreamPtr server = std::move(pair->second);
  auto client = Http2Client::create(context, std::move(pair->first), Http2ClientOptions());
  StopSource stop;
  TaskScope scope;
  scope.spawn(swallow(*server));
  scope.spawn(client->run(stop.token()));
  Slices data(1, Slice::of(std::move(bytes)));
  GrpcRequest request;
  request.authority = "t";
  request.method = "/a.B/C";
  auto call = co_await GrpcClientCall::open(*client, std::move(request));
  if (!call) co_return call.error();
  (void)co_await server->write(std::move(data));
  (void)co_await (*call)->finish_sending();
  while (true) {
    auto message = co_await (*call)->receive();
    if (!message) *got += says(message.error());
    if (!message || !*message) break;
    *got += cat("[", **message, "]");
  }
  call->reset();
  stop.stop();
  (void)co_await scope.join();
  server->close();
  co_return Result<void>();
}

std::string answer_to(const std::string& bytes) {
  TestContext test;
  std::string got;
  auto ran = test.loop.run(call_scripted(test.context(), bytes, &got));
  CHECK(says(ran) == "ok");
  return got;
}

std::string block(std::uint8_t flags, const std::vector<std::pair<std::string, std::string>>& fields) {
  return h2_frame(kHeaders, static_cast<std::uint8_t>(flags | kEndHeaders), 1, hpack(fields));
}

}  // namespace

TEST_CASE("grpc: what a server can answer") {
  const std::string settings = h2_frame(kSettings, 0, 0, "");
  const std::string head = block(0, {{":status", "200"}, {"content-type", "application/grpc+proto"}});
  const auto data = [](std::string_view bytes) { return h2_frame(kData, 0, 1, bytes); };
  const std::string two = grpc_prefix(1) + "a" + grpc_prefix(2) + "bc";
  struct Row {
    std::string bytes, got;
  };
  for (const Row& row : {
           Row{head + data(two) + block(kEndStream, {{"grpc-status", "0"}}), "[a][bc]"},
           Row{head + data(two) + block(kEndStream, {{"grpc-status", "11"}, {"grpc-message", "old%20one"}}),
               "[a][bc]Expired: gRPC OUT_OF_RANGE: old one"},
           Row{block(kEndStream, {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "12"}}),
               "MethodNotAllowed: gRPC UNIMPLEMENTED: "},
           Row{head + data(two.substr(0, 7)) + block(kEndStream, {{"grpc-status", "0"}}),
               "[a]Io: gRPC: the response ended within a message"},
           Row{head + data(two) + h2_frame(kData, kEndStream, 1, ""),
               "[a][bc]Io: gRPC: the response ended without a status"},
           Row{head + data("\x01" + std::string(4, '\0')) + block(kEndStream, {{"grpc-status", "0"}}),
               "Io: grpc: compressed messages are not supported"},
           Row{head + data(std::string(1, '\0') + "\x7f\x7f\x7f\x7f"),
               "TooLarge: grpc: received message larger than max (2139062143 vs. 4194304)"},
           Row{block(0, {{":status", "503"}, {"content-type", "text/html"}}),
               "Unavailable: gRPC UNAVAILABLE: no gRPC response: HTTP status 503, content type \"text/html\""},
           Row{block(0, {{":status", "200"}}),
               "Internal: gRPC UNKNOWN: no gRPC response: HTTP status 200, content type \"\""},
       }) {
    CHECK(answer_to(settings + row.bytes) == row.got);
  }
}

// ---- etcd

namespace {

// An etcd of our own, on sockets in a folder of its own; its output is dropped. It ends with the test's process.
class Etcd {
 public:
  Etcd() {
    const std::string command = cat(
        "cd ", dir_.path(),
        " && exec etcd --data-dir data --listen-client-urls unix://client:1 --advertise-client-urls unix://client:1 "
        "--listen-peer-urls unix://peer:1 --initial-advertise-peer-urls http://localhost:1 "
        "--initial-cluster default=http://localhost:1 --log-level error >/dev/null 2>&1");
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  ~Etcd() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Etcd(const Etcd&) = delete;
  std::string socket() const { return dir_.file("client:1"); }

 private:
  Scratch dir_;
  pid_t pid_ = -1;
};

std::string field(int number, std::string_view bytes) {  // of protobuf, shorter than 128 bytes
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + std::string(bytes);
}

GrpcRequest etcd_request(std::string_view method) {
  GrpcRequest request;
  request.scheme = "http";
  request.authority = "127.0.0.1";
  request.method = std::string(method);
  request.timeout = 20s;
  return request;
}

Task<Result<StreamPtr>> connect_patiently(Context context, std::string socket) {
  for (int i = 0;; ++i) {
    auto stream = co_await connect_unix(context, socket);
    constexpr int kTries = 300;
    if (stream || i == kTries) co_return stream;
    (void)co_await context.loop.sleep(50ms);
  }
}

Task<void> talk_to_etcd(Http2Client& client) {
  auto put = co_await grpc_unary(client, etcd_request("/etcdserverpb.KV/Put"), field(1, "key") + field(2, "value-1"));
  CHECK(says(put) == "ok");
  auto range = co_await grpc_unary(client, etcd_request("/etcdserverpb.KV/Range"), field(1, "key"));
  REQUIRE(range);
  CHECK(range->find(field(5, "value-1")) != std::string::npos);  // KeyValue.value
  auto none = co_await grpc_unary(client, etcd_request("/etcdserverpb.KV/Range"), "");
  REQUIRE(!none);
  CHECK(says(none.error()) == "Invalid: gRPC INVALID_ARGUMENT: etcdserver: key is not provided");
  auto nothing = co_await grpc_unary(client, etcd_request("/no.Such/Method"), "");
  REQUIRE(!nothing);
  CHECK(says(nothing.error()) == "MethodNotAllowed: gRPC UNIMPLEMENTED: unknown service no.Such");

  // A watch: WatchCreateRequest, its answer, then the event of a put made meanwhile.
  auto watch = co_await GrpcClientCall::open(client, etcd_request("/etcdserverpb.Watch/Watch"));
  REQUIRE(watch);
  Slices create(1, Slice::of(field(1, field(1, "key"))));
  auto sent = co_await (*watch)->send(std::move(create));
  CHECK(says(sent) == "ok");
  auto created = co_await (*watch)->receive();
  REQUIRE(created);
  REQUIRE(*created);
  auto again = co_await grpc_unary(client, etcd_request("/etcdserverpb.KV/Put"), field(1, "key") + field(2, "value-2"));
  CHECK(says(again) == "ok");
  auto event = co_await (*watch)->receive();
  REQUIRE(event);
  REQUIRE(*event);
  CHECK((*event)->find(field(5, "value-2")) != std::string::npos);
}

Task<Result<void>> meet_etcd(Context context, std::string socket) {
  auto stream = co_await connect_patiently(context, socket);
  if (!stream) co_return stream.error();
  auto client = Http2Client::create(context, std::move(*stream), Http2ClientOptions());
  StopSource stop;
  TaskScope scope;
  scope.spawn(client->run(stop.token()));
  co_await talk_to_etcd(*client);
  stop.stop();
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("grpc: etcd answers Put, Range and Watch") {
  if (shell("command -v etcd").empty()) {
    WARN("etcd is not installed: skipped");
    return;
  }
  Etcd etcd;
  TestContext test;
  auto met = test.loop.run(meet_etcd(test.context(), etcd.socket()));
  CHECK(says(met) == "ok");
}
