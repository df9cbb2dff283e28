// mutants_test.cc: the simulation notices a broken core and a broken shell, each within a bounded number of seeds.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>

#include "sim/simulate.h"

namespace kayak::sim {
namespace {

// Which seeds: every `step`th, as a kind of world has them.
struct Seeds {
  std::uint64_t last;
  std::uint64_t step = 1;
};
constexpr std::uint64_t kKeyValueStep = 4;
constexpr std::uint64_t kDatabaseStep = 16;

// Runs seeds in a child process, as an assertion of the core is a way to be caught, too. The first seed that fails, or
// 0; `how` is what was said about it.
std::uint64_t first_failure(const Broken& broken, Seeds seeds, std::string* how) {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // Catch would report it as its own
    dup2(pipe_ends[1], STDERR_FILENO);
    close(pipe_ends[0]);
    for (std::uint64_t seed = seeds.step; seed <= seeds.last; seed += seeds.step) {
      dprintf(STDERR_FILENO, "%llu ", static_cast<unsigned long long>(seed));
      const Outcome outcome = simulate(seed, broken);
      if (outcome.violation.empty()) continue;
      dprintf(STDERR_FILENO, "%s", outcome.violation.substr(0, outcome.violation.find('\n')).c_str());
      _exit(1);
    }
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string said;
  char bytes[4096];
  for (ssize_t got; (got = read(pipe_ends[0], bytes, sizeof bytes)) > 0;)
    said.append(bytes, static_cast<std::size_t>(got));
  close(pipe_ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  // "1 2 3 what happened"
  std::uint64_t seed = 0;
  std::size_t at = 0;
  while (at < said.size() && said[at] >= '0' && said[at] <= '9') {
    seed = std::stoull(said.substr(at));
    at = said.find(' ', at) + 1;
  }
  *how = said.substr(at);
  return seed;
}

void check_caught(const char* name, const Broken& broken, Seeds seeds) {
  std::string how;
  const std::uint64_t seed = first_failure(broken, seeds, &how);
  CAPTURE(name, seeds.last);
  CHECK(seed != 0);
  if (seed != 0) std::printf("sim: %s: seed %llu: %s\n", name, static_cast<unsigned long long>(seed), how.c_str());
}

TEST_CASE("a broken core is caught") {
  using raft::Mutant;
  struct Row {
    const char* name;
    Mutant mutant;
    std::uint64_t seeds;  // at most
  };
  const Row rows[] = {
      {"acknowledges before it persists", Mutant::kAckBeforePersist, 100},
      {"counts itself before its fsync", Mutant::kCountSelfUnsynced, 100},
      {"commits an old term's entry by counting", Mutant::kCommitOldTerm, 1000},
      {"vote not persisted", Mutant::kVoteNotPersisted, 100},
      {"term not persisted", Mutant::kTermNotPersisted, 100},
      {"vote for a log that is behind", Mutant::kVoteIgnoresLog, 100},
      {"no pre-vote", Mutant::kNoPreVote, 100},
      {"no check of the quorum", Mutant::kNoCheckQuorum, 100},
      {"commits beyond what matches", Mutant::kCommitBeyondMatch, 300},
      {"truncates on every append", Mutant::kTruncateAlways, 300},
      {"several membership changes in flight", Mutant::kChangeWithoutWaiting, 3000},
      {"reads without a round", Mutant::kReadWithoutQuorum, 3000},
      {"reads before an entry of the term is committed", Mutant::kReadBeforeTermCommit, 300},
      {"a snapshot overwrites a newer log", Mutant::kSnapshotOverwrites, 5000},
      {"goes on alone without the witness's record", Mutant::kWitnessRecordSkipped, 1000},
      {"the witness votes outside the set", Mutant::kWitnessVotesOutsideSet, 3000},
      {"recorded as in sync too early", Mutant::kWitnessGrowsEarly, 3000},
      {"the witness forgets its record", Mutant::kWitnessRecordNotPersisted, 1000},
      {"a fetched state takes back acknowledged entries", Mutant::kFetchedTakesBack, 3000},
      {"a member whose disk went back goes on", Mutant::kLostGoesOn, 1000},
      {"a heartbeat for every answer to one", Mutant::kTellsCommitAgain, 100},
  };
  for (const Row& row : rows) check_caught(row.name, {.core = row.mutant}, {row.seeds});
}

TEST_CASE("a broken shell is caught") {
  check_caught("fsync skipped", {.shell = ShellMutant::kSkipFsync}, {1000});
  check_caught("reads what is applied, not what is confirmed", {.shell = ShellMutant::kAppliedBeforeRead}, {1000});
  check_caught("evaluates without what is in flight", {.shell = ShellMutant::kForgetsInFlight}, {1000});
  check_caught("evaluates before older entries are applied", {.shell = ShellMutant::kEvaluatesTooEarly}, {3000});
}

TEST_CASE("a broken key-value layer is caught") {
  struct Row {
    const char* name;
    ShellMutant mutant;
    std::uint64_t seeds;  // at most
  };
  const Row rows[] = {
      {"fsync skipped", ShellMutant::kSkipFsync, 1000},
      {"a transaction compares with what is applied alone", ShellMutant::kForgetsInFlight, 100},
      {"evaluates before older entries are applied", ShellMutant::kEvaluatesTooEarly, 1000},
      {"a follower reads consistently without ReadIndex", ShellMutant::kReadsAlone, 100},
      {"a transaction that writes nothing is answered without a round", ShellMutant::kTxnReadsAlone, 4000},
      {"a revision used again after a change of leaders", ShellMutant::kReusesRevision, 100},
      {"a range of the past reads the newest", ShellMutant::kPastReadsNewest, 100},
      {"compaction drops a live row", ShellMutant::kCompactionDropsLive, 1000},
      {"compaction forgets who still reads", ShellMutant::kSweepIgnoresPins, 4000},
      {"a watch resumes one revision late after a compaction", ShellMutant::kWatchResumesLate, 100},
      {"an event before it is readable", ShellMutant::kWatchBeforeReadable, 100},
      {"a progress note one too high", ShellMutant::kProgressTooHigh, 100},
      {"a deletion's event without what was there", ShellMutant::kDeleteLacksPrevious, 100},
      {"an installed snapshot keeps the old history", ShellMutant::kInstallKeepsHistory, 1000},
      {"an installed snapshot leaves watches in the dark", ShellMutant::kInstallKeepsGroups, 4000},
      {"truncated rows stay in the index", ShellMutant::kTruncatedRowsInIndex, 1000},
      {"a lease ends by the clock of an older term", ShellMutant::kLeaseTimeStays, 4000},
      {"a leader keeps leases alive without a round", ShellMutant::kKeepAliveAlone, 1200},
      {"a fold of heartbeats writes an older copy", ShellMutant::kFoldWritesOlder, 400},
      {"heartbeats stay at the leader", ShellMutant::kHeartbeatsStay, 400},
      {"a heartbeat is shown over a newer object", ShellMutant::kOverlayOutlivesRevision, 400},
  };
  for (const Row& row : rows) check_caught(row.name, {.shell = row.mutant}, {row.seeds, kKeyValueStep});
  const Row in_databases[] = {
      {"a database whose syncs do nothing", ShellMutant::kSyncsLie, 320},
      {"a database's entries acknowledged before it has them", ShellMutant::kSkipFsync, 320},
      {"a database's compaction drops a live row", ShellMutant::kCompactionDropsLive, 3200},
      {"a database is installed beside the old one's log", ShellMutant::kInstallKeepsLog, 3200},
      {"a database is installed without the vote", ShellMutant::kInstallForgetsVote, 3200},
      {"a database's uncommitted rows in the index", ShellMutant::kTruncatedRowsInIndex, 3200},
  };
  for (const Row& row : in_databases) check_caught(row.name, {.shell = row.mutant}, {row.seeds, kDatabaseStep});
}

}  // namespace
}  // namespace kayak::sim
