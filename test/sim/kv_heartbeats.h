// kv_heartbeats.h: node heartbeats as an API server absorbs them, with its real classifier and overlay, over the
// simulated store; and what must be true of them.
// What src/store/README.md promises under "Heartbeats" is checked here: src/api/watch_cache.cc does the same with a
// loop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/heartbeat_overlay.h"
#include "sim/kv_machine.h"

namespace kayak::sim {

// Who acknowledged: one server while it leads one term without a crash.
struct Reign {
  std::uint64_t server = 0, life = 0;
  Term term = 0;
  auto operator<=>(const Reign&) const = default;
};

// Every acknowledged heartbeat, and the judge of what is shown.
class HeartbeatLedger {
 public:
  void acknowledged(const Reign& reign, const std::string& key, std::int64_t time, Instant now);
  // A server shows `shown` for what its store has as `durable`. Its times go back only over a change of reign.
  void shown(const Reign& reign, const std::string& key, const api::Object& durable, const api::Object& shown) const;
  // What followers show is at most so old when nothing is in the way.
  void shown_at_follower(const Reign& leader, const std::string& key, const api::Object& shown, Instant now) const;
  // A judge of nodes has seen no sign of life since `seen`.
  void declared_dead(const Reign& reign, const std::string& key, Instant seen, Instant now) const;
  std::size_t absorbed() const { return absorbed_; }

 private:
  struct Beat {
    std::int64_t time;
    Instant at;
  };
  std::map<std::pair<Reign, std::string>, std::vector<Beat>> beats_;
  std::size_t absorbed_ = 0;
};

class KvHeartbeats {
 public:
  static constexpr Duration kTick = std::chrono::seconds(1);     // of the stream to the others
  static constexpr Duration kFoldAge = std::chrono::seconds(5);  // minutes would outlast a run
  static constexpr Duration kGrace = std::chrono::seconds(8);    // of the judge of nodes

  KvHeartbeats(KvMachine& machine, HeartbeatLedger& ledger, ShellMutant mutant)
      : machine_(machine), ledger_(ledger), mutant_(mutant) {}

  // At the leader: null when the heartbeat was absorbed, else the transaction that it has to be.
  std::shared_ptr<KvRequest> renew(const KvRequest& request, const Reign& reign, Instant now);
  // A transaction of renew() or fold() is under way for as long as the answer is held.
  std::shared_ptr<const void> writing(const std::string& key);
  void applied(const store::Entry& entry);
  // The overlay is of one reign and one state: a new leader, or one that took a snapshot, begins with what is durable.
  void begin_anew(Instant now);
  // At the leader once in kTick: what is to be folded, a key each.
  std::vector<std::shared_ptr<KvRequest>> fold(Instant now);
  std::vector<api::Heartbeat> stream() const;
  void judge(const Reign& reign, Instant now);
  // At the others.
  void take(const std::vector<api::Heartbeat>& heartbeats, Instant now);
  void check_follower(const Reign& leader, Instant now);

 private:
  struct Seen {
    std::int64_t time = -1;
    Instant at;
  };
  api::ObjectRef durable(const std::string& key);
  api::ObjectRef shown(const std::string& key);
  std::vector<std::string> keys() const;
  static std::shared_ptr<KvRequest> put(const std::string& key, Revision compare, store::Bytes text);

  KvMachine& machine_;
  HeartbeatLedger& ledger_;
  const ShellMutant mutant_;
  std::shared_ptr<api::HeartbeatOverlay> overlay_ = std::make_shared<api::HeartbeatOverlay>();
  std::map<std::string, Seen> judged_;
  Instant reign_began_;
  int caught_up_ = 0;  // so many ticks
};

}  // namespace kayak::sim
