// kv_ledger.h: what really happened in the key-value layer, as a plain model: one map per revision, made by replaying
// the requests behind the committed entries, and the judge of everything that a server says. As every write has a
// revision, the check is exact and linear: who wrote is in the order of revisions, who read is at the revision of his
// answer, and that order must agree with time. What nobody heard the outcome of is matched by its effects.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "sim/kv_request.h"
#include "sim/state_machine.h"

namespace kayak::sim {

class KvLedger {
 public:
  using State = std::map<std::string, store::KeyValue>;
  KvLedger() : states_(2), events_(2), floors_{0}, revisions_{1} {}

  // A leader gives `request` a place in its log.
  void proposed(LogIndex index, Term term, std::uint64_t id, const std::shared_ptr<const KvRequest>& request);
  // Before each entry that any server applies: `entry` is null for the core's own.
  void applied(LogIndex index, Term term, const store::Entry* entry, Instant now);
  // A server answers from its applied state.
  void served(std::uint64_t server, std::uint64_t life, const KvRequest& request, const KvAnswer& answer);
  // Everything that a server holds after `index`, if anybody has applied that yet.
  void check_state(std::uint64_t server, LogIndex index, const store::RangeResponse& all) const;

  // A client hears an answer to what it asked when `before` was the newest revision that anyone had heard of.
  void answered(std::uint64_t id, const KvRequest& request, const KvAnswer& answer, Revision before);
  void refused(std::uint64_t id);
  // A client heard that a lease is granted or kept alive, as it asked for at `asked`.
  void kept_alive(store::LeaseId lease, Instant asked);
  std::size_t leases() const { return leases_.size(); }
  Revision heard() const { return heard_; }

  Revision revision() const { return static_cast<Revision>(states_.size()) - 1; }
  // Revisions below are gone for whoever has applied `index`.
  Revision floor_after(LogIndex index) const { return floors_[std::min<std::size_t>(index, floors_.size() - 1)]; }
  const State& at(Revision revision) const { return states_[static_cast<std::size_t>(revision)]; }
  const std::vector<store::WatchEvent>& events(Revision revision) const {
    return events_[static_cast<std::size_t>(revision)];
  }

 private:
  struct Proposed {
    std::uint64_t id;
    std::shared_ptr<const KvRequest> request;
  };
  struct Outcome {
    Revision revision = 0;
    store::TxnResponse response;
  };
  struct Run {
    store::TxnResponse response;
    State after;
    std::vector<store::WatchEvent> events;
  };
  struct Lease {
    std::int64_t ttl = 0;  // seconds
    Instant until;         // it must not end before
  };
  struct Ended {
    Instant at;
    std::int64_t ttl = 0;
  };
  void revoke(const KvRequest& request, std::uint64_t id, const store::Entry& entry, Instant now);
  void check_effects(const store::Entry& entry, const std::vector<store::WatchEvent>& events) const;
  Run run(const store::TxnRequest& request, Revision before) const;
  store::RangeResponse range(const State& state, const store::RangeRequest& request, Revision revision) const;
  void write(const store::TxnRequest& request, std::uint64_t id, const store::Entry& entry);

  std::map<std::pair<LogIndex, Term>, Proposed> proposed_;
  std::map<std::uint64_t, Outcome> outcomes_;  // of what was committed, by request
  std::set<std::uint64_t> refused_;
  std::map<store::LeaseId, Lease> leases_;
  std::map<store::LeaseId, Ended> ended_;               // by a leader's clock
  std::vector<State> states_;                           // by revision
  std::vector<std::vector<store::WatchEvent>> events_;  // by revision, in the order of their rows
  std::vector<Revision> floors_, revisions_;            // by index
  Revision heard_ = 1;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Revision> last_served_;  // by server and life
};

std::string text(const std::vector<store::KeyValue>& kvs);

}  // namespace kayak::sim
