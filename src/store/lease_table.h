// lease_table.h: the leases that are granted and the keys that hang on them, as the log says.
// A part of KvState: pure, changed by rows alone. When a lease ends is not here (lease_clock.h).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "store/entry.h"

namespace kayak::store {

using LeaseId = std::int64_t;  // any number but 0, which is no lease

class LeaseTable {
 public:
  struct Granted {
    std::int64_t ttl = 0;  // seconds
    RowId row = 0;         // of the grant
    std::set<std::string, std::less<>> keys;
  };
  const Granted* find(LeaseId id) const;  // null when there is no such lease
  const std::map<LeaseId, Granted>& all() const { return leases_; }

  // Each returns what contradicts what came before, "" when nothing does.
  std::string_view grant(RowId row, const RowView& view);
  std::string_view revoke(const RowView& view);
  // A key's pair went from lease `before` to lease `after` (0: none, or no pair).
  std::string_view move(std::string_view key, LeaseId before, LeaseId after);

 private:
  std::map<LeaseId, Granted> leases_;
};

}  // namespace kayak::store
