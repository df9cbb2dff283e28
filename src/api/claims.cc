// claims.cc: the difference of two objects' keys, and their repair.
#include "api/claims.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/claim_steps.h"
#include "api/document.h"
#include "api/store_ops.h"
#include "api/strategy/strategy.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

using Keys = std::set<std::string>;

Keys keys_of(const Strategy& strategy, const json::Value* object) {
  return object == nullptr ? Keys() : strategy.claimed_keys(*object);
}

// Makes or removes `key` while the service at `owner` stands at `revision`.
struct Repair {
  std::string key;
  store::Revision key_revision = 0;  // 0: it is missing
  store::Bytes value;                // null: to be removed
  std::string owner;
  store::Revision owner_revision = 0;
};

// False: it has changed since it was looked at.
Task<Result<bool>> apply(ServerParts& parts, const Repair& repair, std::uint64_t term, StopToken stop) {
  store::TxnRequest txn;
  txn.term = term;
  txn.compares.push_back(stands_at(repair.key, repair.key_revision));
  txn.compares.push_back(stands_at(repair.owner, repair.owner_revision));
  txn.compares.push_back(stands_at(claim_mark(repair.owner), 0));
  if (repair.value) txn.success.push_back(put_of(repair.key, repair.value));
  if (!repair.value) txn.success.push_back(delete_of(repair.key));
  auto done = co_await parts.store.txn(std::move(txn), stop);
  if (!done) co_return done.error();
  co_return done->succeeded;
}

// By key: the service that holds it, the oldest where several do.
std::map<std::string, ObjectRef> holders(ServerParts& parts, const Strategy& strategy) {
  std::map<std::string, ObjectRef> by_key;
  parts.cache.visit(kinds::services(), ObjectFilter(), "", [&](const ObjectRef& service) {
    const json::Document document = service->document();
    for (const std::string& key : keys_of(strategy, document.get())) {
      const auto [place, is_new] = by_key.emplace(key, service);
      if (is_new) continue;
      parts.context.log.warn("two services have one address or node port",
                             {{"key", key},
                              {"one", cat(place->second->namespace_(), "/", place->second->name())},
                              {"other", cat(service->namespace_(), "/", service->name())}});
      const json::Document other = place->second->document();
      if (meta_text(*document, "creationTimestamp") < meta_text(*other, "creationTimestamp")) place->second = service;
    }
    return true;
  });
  return by_key;
}

struct Found {
  std::string owner;  // "namespace/name" of a service
  store::Revision revision = 0;
};

// What stands of the keys that are ours to repair.
Task<Result<std::map<std::string, Found>>> standing(ServerParts& parts, StopToken stop) {
  std::map<std::string, Found> found;
  std::set<std::string> foreign;
  parts.cache.visit(kinds::ip_addresses(), ObjectFilter(), "", [&](const ObjectRef& address) {
    const json::Document document = address->document();
    Found one;
    // One that a user made to keep an address from services belongs to no service, and is left alone.
    if (text_at(*document, {"metadata", "labels", kManagedByLabel}) == kManagedByAllocator) {
      one.owner = cat(text_at(*document, {"spec", "parentRef", "namespace"}), "/",
                      text_at(*document, {"spec", "parentRef", "name"}));
    }
    one.revision = address->revision();
    found.emplace(storage_key(kinds::ip_addresses(), "", address->name()), std::move(one));
    return true;
  });
  store::RangeRequest range;
  range.key = std::string(kNodePortPrefix);
  range.range_end = range.key;
  ++range.range_end.back();
  auto ports = co_await parts.store.range(std::move(range), stop);
  if (!ports) co_return ports.error();
  for (const store::KeyValue& kv : ports->kvs) found.emplace(kv.key, Found{*kv.value, kv.mod_revision});
  co_return found;
}

// Whoever is at it begins anew (claim_steps.h). What a crash has left would keep these repairs from what it marks.
Task<Result<void>> remove_marks(ServerParts& parts, std::uint64_t term, StopToken stop) {
  store::RangeRequest range;
  range.key = std::string(kClaimMarks);
  range.range_end = range.key;
  ++range.range_end.back();
  range.keys_only = true;
  auto marks = co_await parts.store.range(std::move(range), stop);
  if (!marks) co_return marks.error();
  for (const store::KeyValue& mark : marks->kvs) {
    store::TxnRequest txn;
    txn.term = term;
    txn.success.push_back(delete_of(mark.key));
    auto done = co_await parts.store.txn(std::move(txn), stop);
    if (!done) co_return done.error();
  }
  co_return Result<void>();
}

std::string service_key(std::string_view owner) {
  const std::size_t slash = owner.find('/');
  return storage_key(kinds::services(), owner.substr(0, slash), owner.substr(slash + 1));
}

}  // namespace

SideWrites side_writes(ServerParts& parts, const Kind& stored, const json::Value* before, const json::Value* after) {
  SideWrites beside;
  const Strategy& strategy = strategy_of(stored);
  if (strategy.claimed_keys == nullptr) return beside;
  const Keys old_keys = keys_of(strategy, before), new_keys = keys_of(strategy, after);
  for (const std::string& key : new_keys) {
    if (old_keys.count(key) == 0) beside.made.push_back({key, strategy.claim_text(parts, *after, key)});
  }
  for (const std::string& key : old_keys) {
    if (new_keys.count(key) == 0) beside.removed.push_back(key);
  }
  return beside;
}

Task<Result<void>> repair_claims(ServerParts& parts, std::uint64_t term, StopToken stop) {
  if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
  if (auto removed = co_await remove_marks(parts, term, stop); !removed) co_return removed.error();
  auto found = co_await standing(parts, stop);
  if (!found) co_return found.error();
  const Strategy& strategy = strategy_of(kinds::services());
  const std::map<std::string, ObjectRef> held = holders(parts, strategy);
  std::vector<Repair> repairs;
  for (const auto& [key, service] : held) {
    if (found->count(key) != 0) continue;
    const json::Document document = service->document();
    const std::string owner = cat(service->namespace_(), "/", service->name());
    repairs.push_back(
        Repair{key, 0, strategy.claim_text(parts, *document, key), service_key(owner), service->revision()});
  }
  for (const auto& [key, one] : *found) {
    if (one.owner.empty() || held.count(key) != 0) continue;
    const std::size_t slash = one.owner.find('/');
    if (slash == std::string::npos) continue;
    const ObjectRef service =
        parts.cache.get(kinds::services(), one.owner.substr(0, slash), one.owner.substr(slash + 1));
    repairs.push_back(
        Repair{key, one.revision, nullptr, service_key(one.owner), service ? service->revision() : store::Revision{0}});
  }
  std::size_t repaired = 0;
  for (const Repair& repair : repairs) {
    auto applied = co_await apply(parts, repair, term, stop);
    if (!applied) co_return applied.error();
    if (*applied) ++repaired;
  }
  if (repaired > 0) parts.context.log.info("service addresses repaired", {{"keys", cat(repaired)}});
  co_return Result<void>();
}

}  // namespace kayak::api
