// boot.cc: the time from exec to the first "ok" of /readyz, on an empty folder and on one with state.
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/strings.h"
#include "bench/bench.h"
#include "bench/kubeconfig.h"
#include "bench/processes.h"

extern char** environ;

namespace kayak::bench {

using namespace std::chrono_literals;

namespace {

constexpr Duration kPatience = 60s;

struct Server {
  std::string program, dir;
  std::int64_t port;
  std::string kubeconfig() const { return dir + "/kubeconfig.yaml"; }
};

// A child of ours, ended and reaped at the latest by its destructor.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  bool alive() const { return ::waitpid(pid_, nullptr, WNOHANG) == 0; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

Result<pid_t> start(const Server& server) {
  std::vector<std::string> args = {server.program,
                                   "server",
                                   "--disable-agent",
                                   "--data-dir",
                                   server.dir + "/data",
                                   "--bind-address",
                                   "127.0.0.1",
                                   "--https-listen-port",
                                   cat(server.port),
                                   "--write-kubeconfig",
                                   server.kubeconfig(),
                                   "--log-level",
                                   "warn"};
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, server.program.c_str(), nullptr, nullptr, argv.data(), environ);
  if (failed != 0) return error_from_errno(failed, server.program);
  return pid;
}

// Whether the server's socket listens; asked without TLS, so that asking costs the starting server nothing.
Task<bool> listening(Context context, std::int64_t port) {
  io::Endpoint endpoint;
  endpoint.ip = "127.0.0.1";
  endpoint.port = static_cast<std::uint16_t>(port);
  Result<io::StreamPtr> stream = co_await io::connect_tcp(context, endpoint);
  co_return stream.ok();
}

Task<Result<bool>> says_ready(io::HttpClient* client) {
  io::HttpClientRequest request;
  request.path = "/readyz";
  Result<io::HttpClientResponse> response = co_await client->request(std::move(request));
  if (!response) co_return response.error();
  Result<std::string> body = co_await response->body->read_all(64 * 1024);
  if (!body) co_return body.error();
  co_return response->status == 200;
}

// Milliseconds from exec to ready.
Task<Result<double>> boot_once(Context context, Server server) {
  const Instant begin = context.clock.now();
  Result<pid_t> pid = start(server);
  if (!pid) co_return pid.error();
  Child child(*pid);
  const Instant end = begin + kPatience;
  const auto over = [&] { return !child.alive() || context.clock.now() > end; };
  // Short against what is measured, long enough not to take the CPU from it.
  constexpr Duration kBetween = 500us;
  for (bool up = false; !up;) {
    up = co_await listening(context, server.port);
    if (over()) co_return Error(Code::kUnavailable, "the server did not start");
    if (!up) (void)co_await context.loop.sleep(kBetween);
  }
  Result<io::HttpTarget> target = target_of_kubeconfig(server.kubeconfig(), false);
  if (!target) co_return target.error();
  const std::unique_ptr<io::HttpClient> client = io::HttpClient::create(context, std::move(*target));
  for (;;) {
    Result<bool> ready = co_await says_ready(client.get());
    if (!ready) co_return ready.error();
    if (*ready) break;
    if (over()) co_return Error(Code::kUnavailable, "the server did not get ready");
    (void)co_await context.loop.sleep(kBetween);
  }
  co_return static_cast<double>((context.clock.now() - begin).count()) / 1e6;
}

}  // namespace

Task<Result<void>> measure_boot(Context context, Options options) {
  const Server server{options.text("kayak"), options.text("dir"), options.number("port", 0)};
  const std::int64_t runs = options.number("runs", 5);
  std::vector<double> first, again;
  for (std::int64_t run = 0; run < runs; ++run) {
    std::filesystem::remove_all(server.dir + "/data");
    Result<double> fresh = co_await boot_once(context, server);
    if (!fresh) co_return fresh.error();
    Result<double> restart = co_await boot_once(context, server);
    if (!restart) co_return restart.error();
    first.push_back(*fresh);
    again.push_back(*restart);
  }
  const std::string of = cat(", median of ", runs);
  report("ready_ms", median(first), "exec to /readyz ok, first start on an empty folder" + of);
  report("restart_ready_ms", median(again), "exec to /readyz ok, restart" + of);
  co_return Result<void>();
}

}  // namespace kayak::bench
