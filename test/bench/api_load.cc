// api_load.cc: creates, reads and lists over TLS with one and with sixteen clients, each on a connection of its own.
#include <algorithm>
#include <memory>

#include "base/strings.h"
#include "bench/bench.h"
#include "bench/kubeconfig.h"
#include "bench/processes.h"
#include "bench/request.h"

namespace kayak::bench {

namespace {

constexpr std::size_t kObjectBytes = 1024;  // of a request's body
constexpr std::int64_t kListed = 2000;      // objects in the namespace that is listed

using Clients = std::vector<std::unique_ptr<io::HttpClient>>;

std::string config_map(const std::string& name) {
  std::string body =
      cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", name, R"("},"data":{"text":")");
  constexpr std::string_view kEnd = R"("}})";
  if (body.size() + kEnd.size() < kObjectBytes) body.append(kObjectBytes - body.size() - kEnd.size(), 'x');
  return body.append(kEnd);
}

std::string maps_path(std::string_view ns) { return cat("/api/v1/namespaces/", ns, "/configmaps"); }

class ApiLoad {
 public:
  ApiLoad(Context context, const Options& options, io::HttpTarget target)
      : context_(std::move(context)),
        pid_(static_cast<int>(options.number("pid", 0))),
        only_(options.text("only")),
        length_(std::chrono::milliseconds(options.number("ms", 2000))),
        rounds_(options.number("rounds", 3)) {
    for (std::size_t i = 0; i < 16; ++i) clients_.push_back(io::HttpClient::create(context_, target, 1));
  }

  Task<Result<void>> run() {
    Result<void> prepared = co_await prepare();
    if (!prepared) co_return prepared;
    // Round by round, so that a busy moment of the machine falls on every kind of request alike.
    for (std::int64_t round = 0; round < rounds_; ++round) {
      for (const bool many : {false, true}) {
        Kinds& kinds = many ? many_ : one_;
        Result<void> done = co_await measure_round(round, clients_of(many), kinds);
        if (!done) co_return done;
      }
    }
    report_all();
    co_return Result<void>();
  }

 private:
  struct Kinds {
    Runs creates, gets, lists;
  };
  static std::size_t clients_of(bool many) { return many ? 16 : 1; }

  // The namespaces, the objects to list, and every connection with its handshake done.
  Task<Result<void>> prepare() {
    for (const std::string_view ns : {"bench", "bench-list"}) {
      std::string body = cat(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")", ns, R"("}})");
      Result<std::size_t> made = co_await send(clients_[0].get(), "POST", "/api/v1/namespaces", std::move(body), 201);
      if (!made) co_return made.error();
    }
    for (const auto& client : clients_) {
      Result<std::size_t> said = co_await send(client.get(), "GET", "/version", "", 200);
      if (!said) co_return said.error();
    }
    io::TaskScope scope;
    for (std::size_t i = 0; i < clients_.size(); ++i) scope.spawn(fill(i));
    co_return co_await scope.join();
  }

  Task<Result<void>> fill(std::size_t client) {
    for (std::int64_t i = static_cast<std::int64_t>(client); i < kListed;
         i += static_cast<std::int64_t>(clients_.size())) {
      std::string body = config_map(cat("listed-", i));
      Result<std::size_t> made =
          co_await send(clients_[client].get(), "POST", maps_path("bench-list"), std::move(body), 201);
      if (!made) co_return made.error();
    }
    co_return Result<void>();
  }

  bool wanted(std::string_view what) const { return only_.empty() || only_ == what; }

  Task<Result<void>> measure_round(std::int64_t round, std::size_t clients, Kinds& kinds) {
    const std::string run = cat("r", round, "-", clients, "-");
    Action create = [this, run](std::size_t client, std::uint64_t number) {
      return send(clients_[client].get(), "POST", maps_path("bench"), config_map(cat(run, client, "-", number)), 201);
    };
    Action get = [this](std::size_t client, std::uint64_t number) {
      const std::uint64_t which = (number * 131 + client * 17) % static_cast<std::uint64_t>(kListed);
      return send(clients_[client].get(), "GET", cat(maps_path("bench-list"), "/listed-", which), "", 200);
    };
    Action list = [this](std::size_t client, std::uint64_t) {
      return send(clients_[client].get(), "GET", maps_path("bench-list"), "", 200);
    };
    Result<void> done;
    if (wanted("creates")) done = co_await measure(clients, std::move(create), &kinds.creates);
    if (done && wanted("gets")) done = co_await measure(clients, std::move(get), &kinds.gets);
    if (done && wanted("lists")) done = co_await measure(clients, std::move(list), &kinds.lists);
    co_return done;
  }

  Task<Result<void>> measure(std::size_t clients, Action action, Runs* runs) {
    const std::int64_t cpu = cpu_nanoseconds(pid_);
    Result<Load> load = co_await run_load(context_, clients, length_, std::move(action));
    if (!load) co_return load.error();
    const std::int64_t used = cpu_nanoseconds(pid_) - cpu;
    runs->add(*load, static_cast<double>(used) / 1e3 / static_cast<double>(std::max<std::uint64_t>(1, load->requests)));
    co_return Result<void>();
  }

  static void report_kind(const std::string& what, const std::string& clients, const Runs& runs) {
    if (runs.empty()) return;
    const std::string tail = cat(", ", clients, clients == "1" ? " client" : " clients");
    const std::string single = what.substr(0, what.size() - 1);
    report(cat(what, "_per_s_", clients), runs.per_second(), what + " a second" + tail);
    report(cat(single, "_p50_us_", clients), runs.p50_us(), "median time" + tail);
    report(cat(single, "_p99_us_", clients), runs.p99_us(), "99th percentile" + tail);
    report(cat(single, "_server_cpu_us_", clients), runs.server_cpu_us(), "server's CPU time for each" + tail);
    report(cat(single, "_client_cpu_percent_", clients), runs.own_cpu() * 100, "of a core, taken by the load itself");
  }

  void report_all() const {
    for (const bool many : {false, true}) {
      const Kinds& kinds = many ? many_ : one_;
      const std::string clients = many ? "16" : "1";
      report_kind("creates", clients, kinds.creates);
      report_kind("gets", clients, kinds.gets);
      report_kind("lists", clients, kinds.lists);
      if (kinds.lists.empty()) continue;
      const std::string suffix = many ? "_16" : "";
      report(cat("list_mb_per_s", suffix), kinds.lists.megabytes_per_second(),
             cat("MB (10^6 bytes) a second of lists, ", clients, many ? " clients" : " client"));
      report(cat("list_objects_per_s", suffix), kinds.lists.per_second() * static_cast<double>(kListed),
             cat("objects a second in lists of ", kListed));
    }
  }

  Context context_;
  Clients clients_;
  int pid_;
  std::string only_;  // one kind of request, for a profile of it; empty: all
  Duration length_;
  std::int64_t rounds_;
  Kinds one_, many_;
};

}  // namespace

Task<Result<void>> measure_api(Context context, Options options) {
  Result<io::HttpTarget> target = target_of_kubeconfig(options.text("kubeconfig"));
  if (!target) co_return target.error();
  ApiLoad load(context, options, std::move(*target));
  co_return co_await load.run();
}

}  // namespace kayak::bench
