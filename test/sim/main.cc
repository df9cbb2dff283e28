// main.cc: kayak_sim: runs seeds one after the other; the first that fails is printed with the way to repeat it.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sim/simulate.h"

namespace {

volatile std::sig_atomic_t g_failed = 0;
char g_repeat[256];

// An assertion of the core failed: say which seed it was.
void on_abort(int) {
  if (g_failed != 0) _exit(1);
  g_failed = 1;
  const ssize_t ignored = write(STDERR_FILENO, g_repeat, std::strlen(g_repeat));
  (void)ignored;
  _exit(1);
}

bool number(const char* text, std::uint64_t* out) {
  // Of a minus sign strtoull makes nearly 2^64.
  if (std::strspn(text, "0123456789") != std::strlen(text)) return false;
  errno = 0;
  *out = std::strtoull(text, nullptr, 10);
  return *text != '\0' && errno == 0;
}

std::string describe(std::uint64_t seed) {
  const kayak::sim::Scenario scenario = kayak::sim::Scenario::from_seed(seed);
  return std::string(text(scenario.kind)) + ", " + std::to_string(scenario.servers) +
         (scenario.witness        ? " servers and a witness"
          : scenario.servers == 1 ? " server"
                                  : " servers");
}

int usage() {
  std::fprintf(stderr,
               "usage: kayak_sim [--seeds N] [--start S] [--step K] [--trace] [--mutant M] [--shell-mutant M]\n"
               "  --step          every K-th seed: from 4 on 4, key-values alone; from 16 on 16, those in databases\n"
               "  --trace         every change of a role, and the trouble behind it\n"
               "  --mutant        break the core by the rule of this number in src/store/raft/mutant.h\n"
               "  --shell-mutant  break what is around it by the rule of this number in test/sim/state_machine.h\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 1000, start = 1, step = 1, mutant = 0, shell = 0;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const bool more = i + 1 < argc;
    if (std::strcmp(argv[i], "--trace") == 0) {
      trace = true;
    } else if (std::strcmp(argv[i], "--seeds") == 0 && more && number(argv[i + 1], &seeds)) {
      ++i;
    } else if (std::strcmp(argv[i], "--start") == 0 && more && number(argv[i + 1], &start)) {
      ++i;
    } else if (std::strcmp(argv[i], "--step") == 0 && more && number(argv[i + 1], &step)) {
      ++i;
    } else if (std::strcmp(argv[i], "--mutant") == 0 && more && number(argv[i + 1], &mutant)) {
      ++i;
    } else if (std::strcmp(argv[i], "--shell-mutant") == 0 && more && number(argv[i + 1], &shell)) {
      ++i;
    } else {
      return usage();
    }
  }
  constexpr auto kLastMutant = static_cast<std::uint64_t>(kayak::store::raft::Mutant::kTellsCommitAgain);
  constexpr auto kLastShellMutant = static_cast<std::uint64_t>(kayak::sim::ShellMutant::kOverlayOutlivesRevision);
  if (mutant > kLastMutant || shell > kLastShellMutant) {
    std::fprintf(stderr, "kayak_sim: mutants are numbered up to %llu, shell mutants up to %llu\n",
                 static_cast<unsigned long long>(kLastMutant), static_cast<unsigned long long>(kLastShellMutant));
    return 2;
  }
  std::signal(SIGABRT, on_abort);
  const kayak::sim::Broken broken{.core = static_cast<kayak::store::raft::Mutant>(mutant),
                                  .shell = static_cast<kayak::sim::ShellMutant>(shell)};
  kayak::sim::RunStats total;
  for (std::uint64_t i = 0; i < seeds; ++i) {
    const std::uint64_t seed = start + i * step;
    std::snprintf(g_repeat, sizeof g_repeat,
                  "sim: seed %llu (%s) fails; repeat with ./dev sim --seeds 1 --start %llu\n",
                  static_cast<unsigned long long>(seed), describe(seed).c_str(), static_cast<unsigned long long>(seed));
    const kayak::sim::Outcome outcome = kayak::sim::simulate(seed, broken, trace);
    if (!outcome.violation.empty()) {
      std::fprintf(stderr, "%s\n%s", outcome.violation.c_str(), g_repeat);
      return 1;
    }
    total.events += outcome.stats.events;
    total.operations += outcome.stats.operations;
    total.entries += outcome.stats.entries;
    total.terms += outcome.stats.terms;
    total.changes += outcome.stats.changes;
    total.snapshots += outcome.stats.snapshots;
    total.watched += outcome.stats.watched;
    total.heartbeats += outcome.stats.heartbeats;
  }
  std::printf(
      "sim: %llu seeds from %llu fine: %zu events, %zu operations, %llu entries, %llu terms, %zu changes of members, "
      "%zu snapshots, %zu returns of watches, %zu heartbeats\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(start), total.events, total.operations,
      static_cast<unsigned long long>(total.entries), static_cast<unsigned long long>(total.terms), total.changes,
      total.snapshots, total.watched, total.heartbeats);
  if (seeds == 1)
    std::printf("sim: seed %llu is a world of %s\n", static_cast<unsigned long long>(start), describe(start).c_str());
  return 0;
}
