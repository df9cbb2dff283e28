// pending.cc: see pending.h.
#include "store/pending.h"

namespace kayak::store {

namespace {
bool of_lease(const Effect& effect) {
  return effect.type == EffectType::kLeaseGrant || effect.type == EffectType::kLeaseRevoke;
}
}  // namespace

void Pending::add(const Entry& entry) {
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    const Effect& effect = entry.effects[i];
    const RowId row = row_id(entry.index, i);
    if (of_lease(effect)) leases_[effect.lease] = LeaseState{row, effect.type == EffectType::kLeaseGrant};
    if (effect.key.empty()) continue;
    PendingVersion& version = keys_[effect.key];
    version.value = effect.value;
    version.meta.create_revision = effect.create_revision;
    version.meta.mod_revision = entry.revision;
    version.meta.version = effect.version;
    version.meta.lease = effect.lease;
    version.meta.row = row;
    version.meta.value_bytes = effect.value ? static_cast<std::uint32_t>(effect.value->size()) & 0x7fffffffU : 0;
    version.meta.deleted = effect.type == EffectType::kDelete ? 1 : 0;
  }
}

void Pending::applied(const Entry& entry) {
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    const Effect& effect = entry.effects[i];
    const RowId row = row_id(entry.index, i);
    if (of_lease(effect)) {
      const auto lease = leases_.find(effect.lease);
      if (lease != leases_.end() && lease->second.row == row) leases_.erase(lease);
    }
    if (effect.key.empty()) continue;
    const auto key = keys_.find(effect.key);
    if (key != keys_.end() && key->second.meta.row == row) keys_.erase(key);
  }
}

void Pending::clear() {
  keys_.clear();
  leases_.clear();
}

const Pending::LeaseState* Pending::lease(LeaseId id) const {
  const auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

}  // namespace kayak::store
