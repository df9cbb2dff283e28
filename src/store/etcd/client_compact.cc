// client_compact.cc: history is compacted at an interval, by one of the servers that share the cluster.
// Servers take turns by a compare on the version of one key, the one that upstream's API servers use, so that ours and
// theirs do not compact twice. A cluster where little was written is left alone and not even asked.
// Source: k8s.io/apiserver, storage/etcd3/compact.go (the key and who may compact).
#include <charconv>

#include "base/strings.h"
#include "store/etcd/client_store.h"

namespace kayak::store::etcd {

namespace {

constexpr std::string_view kCompactKey = "compact_rev_key";

Revision number_of(const KeyValue& kv) {
  Revision revision = 0;
  const std::string& text = *kv.value;
  std::from_chars(text.data(), text.data() + text.size(), revision);
  return revision;
}

}  // namespace

Task<void> ClientStore::compact_forever() {
  while (!closing_.stopped()) {
    const Revision now = feed_.newest();
    const auto slept = co_await context_.loop.sleep(options_.compact_interval, closing_.token());
    if (!slept) co_return;
    if (now - feed_.compacted() >= options_.compact_revisions) co_await compact_once(now);
  }
}

Task<void> ClientStore::compact_once(Revision target) {
  store::TxnRequest turn;
  store::Compare mine;
  mine.key = kCompactKey;
  mine.target = store::Compare::Target::kVersion;
  mine.number = compact_version_;
  turn.compares.push_back(std::move(mine));
  Op put;
  put.key = kCompactKey;
  put.value = std::make_shared<const std::string>(cat(target));
  turn.success.push_back(std::move(put));
  Op look;
  look.type = Op::Type::kRange;
  look.range.key = kCompactKey;
  turn.failure.push_back(std::move(look));
  auto taken = co_await txn(std::move(turn), closing_.token());
  if (!taken) {
    context_.log.warn("compaction is put off", {{"error", taken.error().message()}});
    co_return;
  }
  if (!taken->succeeded) {
    // Another server was faster, or this one has just started: its turn may come at the next interval.
    const std::vector<KeyValue>& found = taken->responses.front().range.kvs;
    compact_version_ = found.empty() ? 0 : found.front().version;
    if (!found.empty()) feed_.saw_compacted(number_of(found.front()) - 1);
    co_return;
  }
  ++compact_version_;
  auto done = co_await compact(target, closing_.token());
  if (!done && done.error().code() != Code::kExpired) {
    context_.log.warn("compaction failed", {{"revision", target}, {"error", done.error().message()}});
  }
  if (!done && done.error().code() == Code::kExpired) feed_.saw_compacted(target - 1);
}

}  // namespace kayak::store::etcd
