// kv_heartbeats.cc: see kv_heartbeats.h.
#include "sim/kv_heartbeats.h"

#include "api/heartbeat.h"
#include "base/strings.h"
#include "sim/violation.h"

namespace kayak::sim {

namespace {

using namespace std::chrono_literals;
constexpr std::string_view kPrefix = "/registry/leases/kube-node-lease/";
// A generous delay of a message on a network without trouble; and one message may find the follower at an older
// revision.
constexpr Duration kMessage = 1s;
constexpr int kSettled = 3;  // ticks for which a follower has kept up before its times are judged

const api::Kind& lease_kind() { return *api::find_kind("coordination.k8s.io", "v1", "leases"); }

// `number` grows with every change that is none of a time alone.
store::Bytes lease_text(std::string_view name, std::int64_t number, std::int64_t time) {
  return std::make_shared<const std::string>(
      cat(R"({"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":")", name,
          R"(","namespace":"kube-node-lease","labels":{"number":")", number, R"("}},"spec":{"holderIdentity":")", name,
          R"(","renewTime":")", time, R"("}})"));
}

std::string_view between(std::string_view text, std::string_view before) {
  const std::size_t at = text.find(before);
  if (at == text.npos) throw Violation(cat("a lease lost a field: ", text));
  const std::string_view rest = text.substr(at + before.size());
  return rest.substr(0, rest.find('"'));
}
std::int64_t time_of(const api::Object& object) {
  return std::stoll(std::string(between(*object.text(), R"("renewTime":")")));
}
std::int64_t number_of(const api::Object& object) {
  return std::stoll(std::string(between(*object.text(), R"("number":")")));
}

api::ObjectRef object_of(store::Bytes text, Revision revision) {
  auto object = api::Object::from_stored(lease_kind(), std::move(text), revision);
  if (!object) throw Violation("a lease is none: " + object.error().message());
  return *object;
}

}  // namespace

void HeartbeatLedger::acknowledged(const Reign& reign, const std::string& key, std::int64_t time, Instant now) {
  beats_[{reign, key}].push_back({time, now});
  ++absorbed_;
}

void HeartbeatLedger::shown(const Reign& reign, const std::string& key, const api::Object& durable,
                            const api::Object& shown) const {
  const bool same = shown.revision() == durable.revision() &&
                    *shown.text() == *lease_text(shown.name(), number_of(durable), time_of(shown));
  if (!same)
    throw Violation(cat(key, " is shown as ", *shown.text(), ", which is not ", *durable.text(), " but for its time"));
  const auto found = beats_.find({reign, key});
  if (found == beats_.end() || time_of(shown) >= found->second.back().time) return;
  throw Violation(cat(key, " shows time ", time_of(shown), " after ", found->second.back().time, " was acknowledged"));
}

void HeartbeatLedger::shown_at_follower(const Reign& leader, const std::string& key, const api::Object& shown,
                                        Instant now) const {
  const auto found = beats_.find({leader, key});
  if (found == beats_.end()) return;
  for (const Beat& beat : found->second) {
    const bool due = now - beat.at > 2 * KvHeartbeats::kTick + kMessage;
    if (due && time_of(shown) < beat.time) throw Violation(cat(key, " is shown too old at a follower"));
  }
}

void HeartbeatLedger::declared_dead(const Reign& reign, const std::string& key, Instant seen, Instant now) const {
  const auto found = beats_.find({reign, key});
  if (found == beats_.end()) return;
  for (const Beat& beat : found->second) {
    if (beat.at > seen && now - beat.at > KvHeartbeats::kTick)
      throw Violation(cat(key, " is taken for dead and renews"));
  }
}

api::ObjectRef KvHeartbeats::durable(const std::string& key) {
  auto request = std::make_shared<KvRequest>();
  request->type = KvRequest::Type::kRange;
  request->range.key = key;
  const Answer answer = machine_.read({.kv = request});
  if (answer.kv->range.kvs.empty()) return nullptr;
  const store::KeyValue& kv = answer.kv->range.kvs[0];
  return object_of(kv.value, kv.mod_revision);
}

api::ObjectRef KvHeartbeats::shown(const std::string& key) {
  const api::HeartbeatOverlay::Entry* entry = overlay_->find(key);
  return entry ? entry->shown : durable(key);
}

std::vector<std::string> KvHeartbeats::keys() const {
  std::vector<std::string> keys;
  store::KeyIndex::Cursor cursor = machine_.state().keys().seek(kPrefix);
  for (; cursor.get() && cursor.get()->key().starts_with(kPrefix); cursor.next()) {
    if (!cursor.get()->deleted) keys.emplace_back(cursor.get()->key());
  }
  return keys;
}

std::shared_ptr<KvRequest> KvHeartbeats::put(const std::string& key, Revision compare, store::Bytes text) {
  auto request = std::make_shared<KvRequest>();
  store::Compare& same = request->txn.compares.emplace_back();
  same.key = key;
  same.number = compare;
  store::Op& op = request->txn.success.emplace_back();
  op.key = key;
  op.value = std::move(text);
  return request;
}

std::shared_ptr<KvRequest> KvHeartbeats::renew(const KvRequest& request, const Reign& reign, Instant now) {
  const std::string key = cat(kPrefix, request.node);
  const api::ObjectRef before = shown(key);
  if (!before) return put(key, 0, lease_text(request.node, 1, request.time));
  const std::int64_t number = number_of(*before) + (request.changes ? 1 : 0);
  const std::int64_t time = std::max(request.time, time_of(*before));
  const api::ObjectRef after = object_of(lease_text(request.node, number, time), before->revision());
  const api::Difference difference = api::difference_between(lease_kind(), *before->document(), *after->document());
  const bool heartbeat = difference != api::Difference::kDurable;
  if (heartbeat == request.changes) throw Violation("the classifier takes a change for a heartbeat, or the reverse");
  if (!heartbeat || !overlay_->accepts(key, machine_.revision())) return put(key, before->revision(), after->text());
  overlay_->put(key, durable(key), after, now);
  ledger_.acknowledged(reign, key, time, now);
  return nullptr;
}

std::shared_ptr<const void> KvHeartbeats::writing(const std::string& key) {
  struct Guard {
    std::shared_ptr<api::HeartbeatOverlay> overlay;
    api::HeartbeatOverlay::Writing writing;
  };
  return std::shared_ptr<const void>(new Guard{overlay_, {*overlay_, key}},
                                     [](const void* guard) { delete static_cast<const Guard*>(guard); });
}

void KvHeartbeats::applied(const store::Entry& entry) {
  if (mutant_ == ShellMutant::kOverlayOutlivesRevision) return;
  for (const store::Effect& effect : entry.effects) overlay_->superseded(effect.key, entry.revision);
}

void KvHeartbeats::begin_anew(Instant now) {
  overlay_ = std::make_shared<api::HeartbeatOverlay>();
  judged_.clear();
  reign_began_ = now;
}

std::vector<std::shared_ptr<KvRequest>> KvHeartbeats::fold(Instant now) {
  std::vector<std::shared_ptr<KvRequest>> out;
  const std::optional<Instant> oldest = overlay_->oldest();
  if (!oldest || now - *oldest < kFoldAge) return out;
  for (const auto& [key, entry] : overlay_->entries()) {
    if (!overlay_->at_rest(key, machine_.revision())) continue;
    const bool older = mutant_ == ShellMutant::kFoldWritesOlder;
    out.push_back(put(key, entry.shown->revision(), older ? entry.durable->text() : entry.shown->text()));
  }
  return out;
}

std::vector<api::Heartbeat> KvHeartbeats::stream() const {
  std::vector<api::Heartbeat> out;
  if (mutant_ == ShellMutant::kHeartbeatsStay) return out;
  for (const auto& [key, entry] : overlay_->entries()) {
    out.push_back({&entry.shown->kind(), entry.shown->namespace_(), entry.shown->name(), entry.shown->revision(),
                   entry.shown->text()});
  }
  return out;
}

// As a node lifecycle controller does: a node is dead when nothing of it has changed for the whole grace period.
void KvHeartbeats::judge(const Reign& reign, Instant now) {
  for (const std::string& key : keys()) {
    const api::ObjectRef object = shown(key);
    ledger_.shown(reign, key, *durable(key), *object);
    Seen& seen = judged_[key];
    if (seen.time != time_of(*object)) seen = {time_of(*object), now};
    if (now - std::max(seen.at, reign_began_) > kGrace) ledger_.declared_dead(reign, key, seen.at, now);
  }
}

void KvHeartbeats::take(const std::vector<api::Heartbeat>& heartbeats, Instant now) {
  for (const api::Heartbeat& heartbeat : heartbeats) {
    const std::string key = cat(kPrefix, heartbeat.name);
    const api::ObjectRef own = durable(key);
    if (!own || own->revision() != heartbeat.revision) continue;
    overlay_->put(key, own, object_of(heartbeat.text, heartbeat.revision), now);
  }
}

void KvHeartbeats::check_follower(const Reign& leader, Instant now) {
  caught_up_ = leader.server == 0 ? 0 : caught_up_ + 1;
  for (const std::string& key : keys()) {
    const api::ObjectRef object = shown(key);
    ledger_.shown({}, key, *durable(key), *object);
    if (caught_up_ > kSettled) ledger_.shown_at_follower(leader, key, *object, now);
  }
}

}  // namespace kayak::sim
