#include "store/support_model.h"

#include <algorithm>

#include "base/strings.h"
#include "store/key_range.h"

namespace kayak::store::test {

void Model::apply(const TxnRequest& request) {
  ModelState next = states_.back();
  const Revision revision = this->revision() + 1;
  bool changed = false;
  for (const Op& op : request.success) {
    if (op.type == Op::Type::kPut) {
      ModelValue& value = next[op.key];
      value.value = *op.value;
      if (value.version == 0) value.create_revision = revision;
      value.mod_revision = revision;
      value.lease = op.lease;
      ++value.version;
      changed = true;
    } else if (op.type == Op::Type::kDelete) {
      const KeyRange range{op.key, op.range_end};
      changed = std::erase_if(next, [&](const auto& pair) { return range.contains(pair.first); }) > 0 || changed;
    }
  }
  if (changed) states_.push_back(std::move(next));
}

void Model::revoke(std::int64_t lease) {
  leases_.erase(lease);
  ModelState next = states_.back();
  if (std::erase_if(next, [&](const auto& pair) { return pair.second.lease == lease; }) > 0) {
    states_.push_back(std::move(next));
  }
}

TxnRequest Model::random_txn(Random& random, int keys, std::size_t max_value) const {
  TxnRequest request;
  const int first = static_cast<int>(random.below(static_cast<std::uint64_t>(keys)));
  const int count = random.below(4) == 0 ? 3 : 1;
  for (int i = 0; i < count; ++i) {
    const std::string key = cat("key-", 100 + (first + i) % keys);
    if (random.below(5) == 0) {
      const bool range = count == 1 && random.below(4) == 0;
      request.success.push_back(delete_op(key, range ? cat("key-", 103 + first) : std::string()));
    } else {
      const std::size_t size = random.below(8) == 0 ? random.below(max_value) : random.below(200);
      std::string value = cat(random.next(), "-");
      value.resize(std::max(value.size(), size), static_cast<char>('a' + random.below(26)));
      std::int64_t lease = 0;
      if (!leases_.empty() && random.below(3) == 0) {
        lease = *std::next(leases_.begin(), static_cast<std::ptrdiff_t>(random.below(leases_.size())));
      }
      request.success.push_back(put_op(key, value, lease));
    }
  }
  return request;
}

void change_lease(Driver& driver, Model& model, Random& random) {
  const auto lease = static_cast<std::int64_t>(1 + random.below(4));
  if (model.leases().contains(lease)) {
    model.revoke(lease);
    ASSERT(driver.revoke(lease).ok());
  } else {
    model.grant(lease);
    ASSERT(driver.grant(lease).ok());
  }
  ASSERT(driver.store().revision() == model.revision());
}

Result<ModelState> state_of(Driver& driver, Revision revision) {
  auto found = driver.range(std::string(1, '\0'), std::string(1, '\0'), revision);
  if (!found) return found.error();
  ModelState state;
  for (const KeyValue& kv : found->kvs) {
    state[kv.key] = ModelValue{*kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease};
  }
  return state;
}

std::string text(const ModelState& state) {
  std::string out;
  for (const auto& [key, value] : state) {
    out += cat(key, "=", value.value.substr(0, 12), "(", value.value.size(), ") c", value.create_revision, " m",
               value.mod_revision, " v", value.version, " l", value.lease, "\n");
  }
  return out;
}

std::string lease_text(const Model& model) {
  std::string out;
  for (const std::int64_t lease : model.leases()) {
    out += cat(lease, ":");
    for (const auto& [key, value] : model.at(model.revision())) {
      if (value.lease == lease) out += cat(" ", key);
    }
    out += "\n";
  }
  return out;
}

std::string lease_text(Driver& driver) {
  auto leases = driver.harness.wait(driver.store().leases(StopToken()));
  ASSERT(leases.ok());
  std::sort(leases->begin(), leases->end());
  std::string out;
  for (const std::int64_t lease : *leases) {
    out += cat(lease, ":");
    Lease of = driver.lease(lease);
    std::sort(of.keys.begin(), of.keys.end());  // etcd gives them in no order
    for (const std::string& key : of.keys) out += cat(" ", key);
    out += "\n";
  }
  return out;
}

}  // namespace kayak::store::test
