// main.cc: kayak_bench VERB [--name value ...]: one measurement, its figures on standard output. tools/dev/bench.sh
// calls it verb by verb and adds what needs a shell.
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/strings.h"
#include "bench/bench.h"

namespace kayak::bench {

namespace {

struct Verb {
  std::string_view name, help;
  Task<Result<void>> (*measure)(Context, Options);
};
constexpr Verb kVerbs[] = {
    {"boot", "--kayak PROGRAM --dir DIR --port PORT --runs N: exec to /readyz", measure_boot},
    {"api", "--kubeconfig FILE --pid SERVER --ms MS --rounds N [--only creates|gets|lists]: requests over TLS",
     measure_api},
    {"apply", "--kubeconfig FILE --deployment NAME --replicas N -- COMMAND: COMMAND to available", measure_apply},
    {"disk", "--dir DIR --ms MS: what a flush takes", measure_disk},
    {"store", "--dir DIR --ms MS [--clients N,N --bytes N,N]: durable puts on the store's interface", measure_store},
    {"amplification", "--dir DIR --puts N: bytes and syncs for each object", measure_amplification},
    {"stall", "--dir DIR --ms MS --compact-ms MS: the longest wait at 500 puts a second", measure_stall},
    {"writes", "--target URL[,URL] --as NAME --ms MS [--pid SERVER --round N --clients N,N --bytes N,N]: puts by gRPC",
     measure_writes},
    {"gateway", "--target http://HOST:PORT --as NAME --ms MS [--round N --clients N,N --bytes N,N]: puts by JSON",
     measure_gateway},
    {"reads", "--target URL --as NAME --ms MS: gets and ranges by gRPC", measure_reads},
    {"watches", "--target URL --as NAME --ms MS [--watchers N,N]: one writer, many watches by gRPC", measure_watches},
    {"steady", "--target URL --as NAME --ms MS --compact-ms MS: as stall, by gRPC", measure_steady},
    {"memory", "--pid SERVER --label TEXT: PSS and RSS of the server's process tree", measure_memory},
    {"activity", "--pid SERVER --seconds S: what an idle server does in a minute", measure_activity},
};

int usage() {
  std::fputs("usage: kayak_bench VERB [--name value ...]\n", stderr);
  for (const Verb& verb : kVerbs) std::fputs(cat("  ", verb.name, " ", verb.help, "\n").c_str(), stderr);
  return 2;
}

}  // namespace

int run(const std::vector<std::string>& args) {
  if (args.empty()) return usage();
  for (const Verb& verb : kVerbs) {
    if (verb.name != args.front()) continue;
    Result<Options> options = Options::parse(std::vector<std::string>(args.begin() + 1, args.end()));
    if (!options) {
      std::fprintf(stderr, "kayak_bench: %s\n", options.error().message().c_str());
      return 2;
    }
    SystemClock clock;
    SystemRandom random;
    Metrics metrics;
    Loop loop;
    const Context context{loop, clock, random, Log::to_fd(2, LogLevel::kWarn), metrics};
    const Result<void> result = loop.run(verb.measure(context, std::move(*options)));
    if (result) return 0;
    std::fprintf(stderr, "kayak_bench %s: %s\n", args.front().c_str(), result.error().message().c_str());
    return 1;
  }
  return usage();
}

}  // namespace kayak::bench

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  return kayak::bench::run(std::vector<std::string>(argv + 1, argv + argc));
}
