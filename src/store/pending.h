// pending.h: what is on its way to the log, and so is seen by the next transaction, but not by readers.
// Pure: entries in, the newest versions of keys and leases out.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "store/key_index.h"
#include "store/lease_table.h"

namespace kayak::store {

// A version of a key that is not applied yet.
struct PendingVersion {
  KeyMeta meta;
  Bytes value;  // null for a tombstone
};
using PendingKeys = std::map<std::string, PendingVersion, std::less<>>;

class Pending {
 public:
  // Entries come in their order, and are applied in it.
  void add(const Entry& entry);
  void applied(const Entry& entry);
  void clear();

  const PendingKeys& keys() const { return keys_; }
  // The newest that is on its way; null: nothing about this lease.
  struct LeaseState {
    RowId row = 0;
    bool granted = false;
  };
  const LeaseState* lease(LeaseId id) const;

 private:
  PendingKeys keys_;
  std::map<LeaseId, LeaseState> leases_;
};

}  // namespace kayak::store
