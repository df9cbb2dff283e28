// support_model.h: what a store must hold: every revision as a plain map.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "store/support_store.h"

namespace kayak::store::test {

struct ModelValue {
  std::string value;
  Revision create_revision = 0, mod_revision = 0;
  std::int64_t version = 0, lease = 0;
  bool operator==(const ModelValue&) const = default;
};
using ModelState = std::map<std::string, ModelValue>;

class Model {
 public:
  Model() : states_(2) {}
  Revision revision() const { return static_cast<Revision>(states_.size()) - 1; }
  const ModelState& at(Revision revision) const { return states_[static_cast<std::size_t>(revision)]; }
  const std::set<std::int64_t>& leases() const { return leases_; }
  void grant(std::int64_t lease) { leases_.insert(lease); }
  void revoke(std::int64_t lease);
  // Puts and deletes alone. The state after it is that of a new revision when something changed.
  void apply(const TxnRequest& request);
  // A transaction of one to three writes on a few keys, some with a lease that is granted.
  TxnRequest random_txn(Random& random, int keys, std::size_t max_value) const;

 private:
  std::vector<ModelState> states_;
  std::set<std::int64_t> leases_;
};

// Grants one of four leases, or revokes it when it is there, in the store and in the model.
void change_lease(Driver& driver, Model& model, Random& random);

// All keys of the store at `revision` (0: the newest).
Result<ModelState> state_of(Driver& driver, Revision revision = 0);
std::string text(const ModelState& state);
// The leases that are granted, each with its keys.
std::string lease_text(const Model& model);
std::string lease_text(Driver& driver);

}  // namespace kayak::store::test
