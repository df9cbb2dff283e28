// lease_table.cc: see lease_table.h.
// Why nothing may be missing, below what compaction swept neither: a lease is granted once, before all pairs that name
// it, and revoked after the deletions of its keys; rows are swept in the order of the log. So a grant goes last.
#include "store/lease_table.h"

namespace kayak::store {

const LeaseTable::Granted* LeaseTable::find(LeaseId id) const {
  const auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

std::string_view LeaseTable::grant(RowId row, const RowView& view) {
  if (view.lease == 0) return "grants a lease without a number";
  const auto [place, added] = leases_.try_emplace(view.lease);
  if (!added) return "grants a lease that is there";
  place->second.row = row;
  place->second.ttl = view.ttl;
  return "";
}

std::string_view LeaseTable::revoke(const RowView& view) {
  const auto found = leases_.find(view.lease);
  if (found == leases_.end()) return "revokes a lease that is not granted";
  if (found->second.row != view.previous_row) return "does not follow the grant of its lease";
  if (!found->second.keys.empty()) return "leaves keys of the lease that it revokes";
  leases_.erase(found);
  return "";
}

std::string_view LeaseTable::move(std::string_view key, LeaseId before, LeaseId after) {
  if (before == after) return "";
  if (before != 0) {
    const auto found = leases_.find(before);
    if (found == leases_.end()) return "follows a pair whose lease is not granted";
    const auto place = found->second.keys.find(key);
    if (place != found->second.keys.end()) found->second.keys.erase(place);
  }
  if (after != 0) {
    const auto found = leases_.find(after);
    if (found == leases_.end()) return "names a lease that is not granted";
    found->second.keys.emplace(key);
  }
  return "";
}

}  // namespace kayak::store
