// kv_workload.cc: see kv_workload.h.
#include "sim/kv_workload.h"

#include <algorithm>

#include "base/strings.h"
#include "sim/violation.h"
#include "store/lease_clock.h"

namespace kayak::sim {

namespace {

using namespace std::chrono_literals;
using store::Compare;
using store::Op;
using store::WatchEvent;

// Ids tell the client or watcher in their last byte.
constexpr std::uint64_t kClients = 256;
constexpr RequestId kThinks = 0;
const std::string kEverything(1, '\0');
constexpr Duration kStay = 2s;     // of a watcher at one server, on average
constexpr Duration kRenewal = 1s;  // of a node's lease

bool same(const store::KeyValue& a, const store::KeyValue& b) {
  const bool same_value = (!a.value && !b.value) || (a.value && b.value && *a.value == *b.value);
  return a.key == b.key && same_value && a.create_revision == b.create_revision && a.mod_revision == b.mod_revision &&
         a.version == b.version;
}
bool same(const WatchEvent& a, const WatchEvent& b) {
  const bool same_previous =
      a.previous.has_value() == b.previous.has_value() && (!a.previous || same(*a.previous, *b.previous));
  return a.type == b.type && same(a.kv, b.kv) && same_previous;
}

// The key "\0" would end a message.
std::string range_text(const std::string& key, const std::string& end) {
  return key == kEverything ? std::string("everything") : cat("[", key, ", ", end, ")");
}

}  // namespace

KvWorkload::KvWorkload(Service& service, WorkloadOptions options, KvLedger& ledger)
    : service_(service),
      options_(options),
      ledger_(ledger),
      clients_(options.clients),
      watchers_(1 + options.clients / 2) {
  for (Watcher& watcher : watchers_) {
    const std::uint64_t what = service.dice().below(4);
    watcher.key = what == 0 ? draw_key() : what == 1 ? "a/" : what == 2 ? "b/" : kEverything;
    watcher.range_end = what == 0 ? "" : what == 1 ? "a0" : what == 2 ? "b0" : kEverything;
    watcher.previous = service.dice().chance(0.7);
    watcher.next = service.dice().chance(0.5) ? 0 : 1;
  }
}

void KvWorkload::begin() {
  for (std::size_t client = 0; client < clients_.size() + watchers_.size() + nodes_.size() + holders_.size();
       ++client) {
    service_.call_later(client, kThinks, service_.dice().around(options_.think_time));
  }
}

// Watchers move once more, as they may be at a server that has left the group.
void KvWorkload::stop() {
  stopped_ = true;
  for (std::size_t watcher = 0; watcher < watchers_.size(); ++watcher) {
    leave(watchers_[watcher]);
    service_.call_later(clients_.size() + watcher, kThinks, Duration(0));
  }
}

std::string KvWorkload::draw_key() {
  const std::uint64_t key = service_.dice().below(options_.keys);
  return cat(key % 3 == 0 ? "b/" : "a/", key);
}

void KvWorkload::called(std::size_t at, RequestId request) {
  if (at >= clients_.size() + watchers_.size() + nodes_.size()) return hold(at, request);
  if (at >= clients_.size() + watchers_.size()) return renew(at, request);
  if (at >= clients_.size()) {
    Watcher& watcher = watchers_[at - clients_.size()];
    if (request != watcher.stream) return;
    const bool settled = stopped_ && watcher.stream != 0 && !missed(watcher, watcher.next, ledger_.revision());
    if (!settled) {
      leave(watcher);
      return open(at - clients_.size());
    }
    return service_.call_later(at, request, 500ms);
  }
  if (clients_[at].request != request) return;
  if (request != kThinks) return finish(at, {Reply::Kind::kUnknown, {}});
  if (!stopped_) ask(at);
}

// Once in kRenewal, whatever became of the last one.
void KvWorkload::renew(std::size_t at, RequestId request) {
  RequestId& asked = nodes_[at - clients_.size() - watchers_.size()];
  if (request != asked) return;
  auto renewal = std::make_shared<KvRequest>();
  renewal->type = KvRequest::Type::kRenew;
  renewal->node = cat("node-", at);
  renewal->time = service_.now().nanoseconds;
  renewal->changes = service_.dice().chance(0.1);
  asked = ++next_id_ * kClients + at;
  service_.call_later(at, asked, kRenewal);
  service_.submit(asked, {.kv = std::move(renewal)}, false);
}

// Leases.

void KvWorkload::hold(std::size_t at, RequestId timer) {
  Holder& holder = this->holder(at);
  if (timer != holder.request || stopped_) return;
  if (timer != kThinks) return held(at, {Reply::Kind::kUnknown, {}});
  Dice& dice = service_.dice();
  if (dice.chance(0.12)) holder.lease = 0;  // and lets it end
  auto request = std::make_shared<KvRequest>();
  const std::uint64_t what = dice.below(10);
  if (holder.lease == 0) {
    request->type = KvRequest::Type::kGrant;
    request->lease = ++next_lease_;
    request->ttl = dice.between(store::kMinLeaseTtl, 4);
  } else if (what < 3) {
    store::Op& put = request->txn.success.emplace_back();
    put.key = draw_key();
    put.value = std::make_shared<const std::string>(cat("v", ++next_value_));
    put.lease = holder.lease;
  } else {
    request->type = what < 4 ? KvRequest::Type::kRevoke : KvRequest::Type::kKeepAlive;
    request->lease = holder.lease;
  }
  holder.asked = request;
  holder.at = service_.now();
  holder.before = ledger_.heard();
  holder.request = ++next_id_ * kClients + at;
  service_.call_later(at, holder.request, 500ms);
  service_.submit(holder.request, {.kv = std::move(request)}, false);
}

void KvWorkload::held(std::size_t at, const Reply& reply) {
  Holder& holder = this->holder(at);
  const KvRequest& asked = *holder.asked;
  if (reply.kind == Reply::Kind::kRefused) ledger_.refused(holder.request);
  if (reply.kind == Reply::Kind::kDone) {
    const bool fails = reply.answer.kv->error.has_value();
    ledger_.answered(holder.request, asked, *reply.answer.kv, holder.before);
    if (asked.type == KvRequest::Type::kGrant && !fails) holder.lease = asked.lease;
    if (fails || asked.type == KvRequest::Type::kRevoke) holder.lease = 0;
    const bool promised = asked.type == KvRequest::Type::kGrant || asked.type == KvRequest::Type::kKeepAlive;
    if (promised && !fails) ledger_.kept_alive(asked.lease, holder.at);
  }
  holder.request = kThinks;
  service_.call_later(at, kThinks, service_.dice().around(600ms));
}

// Transactions, reads and compactions.

store::Compare KvWorkload::draw_compare(const Client& client, const std::string& key) {
  Dice& dice = service_.dice();
  Compare compare;
  compare.key = key;
  const auto seen = client.seen.find(key);
  const Revision known = seen == client.seen.end() ? 0 : seen->second;
  switch (dice.below(5)) {
    case 0:
      compare.target = Compare::Target::kCreateRevision;
      compare.number = dice.chance(0.5) ? 0 : known;
      compare.result = dice.chance(0.5) ? Compare::Result::kEqual : Compare::Result::kNotEqual;
      break;
    case 1:
      compare.target = Compare::Target::kVersion;
      compare.number = dice.between(0, 4);
      compare.result = dice.chance(0.5) ? Compare::Result::kGreater : Compare::Result::kLess;
      break;
    case 2:
      compare.target = Compare::Target::kValue;
      compare.value = cat("v", dice.below(next_value_ + 1));
      compare.result = dice.chance(0.5) ? Compare::Result::kGreater : Compare::Result::kLess;
      break;
    default:
      compare.number = known;
  }
  return compare;
}

store::Op KvWorkload::draw_op(const Client& client, const std::string& key) {
  Dice& dice = service_.dice();
  Op op;
  op.key = key;
  op.previous = dice.chance(0.4);
  const std::uint64_t what = dice.below(10);
  if (what < 6) {
    op.value = std::make_shared<const std::string>(cat("v", ++next_value_));
    if (dice.chance(0.1)) op.lease = holders_[dice.below(holders_.size())].lease;
  } else if (what < 8) {
    op.type = Op::Type::kDelete;
  } else {
    op.type = Op::Type::kRange;
    draw_range(client, &op.range, dice.chance(0.3));
  }
  return op;
}

void KvWorkload::draw_txn(const Client& client, store::TxnRequest* txn) {
  Dice& dice = service_.dice();
  const std::string first = draw_key();
  if (dice.chance(0.4)) {
    // What an API server does: a put if nobody was faster, else the object there is.
    Compare compare;
    compare.key = first;
    const auto seen = client.seen.find(first);
    compare.number = seen == client.seen.end() ? 0 : seen->second;
    txn->compares.push_back(std::move(compare));
    Op put;
    put.key = first;
    put.value = std::make_shared<const std::string>(cat("v", ++next_value_));
    txn->success.push_back(std::move(put));
    Op get;
    get.type = Op::Type::kRange;
    get.range.key = first;
    txn->failure.push_back(std::move(get));
    return;
  }
  std::vector<std::string> keys{first};
  while (keys.size() < 4 && dice.chance(0.5)) keys.push_back(draw_key());
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  if (dice.chance(0.5)) txn->compares.push_back(draw_compare(client, first));
  if (dice.chance(0.2)) txn->compares.push_back(draw_compare(client, draw_key()));
  for (const std::string& key : keys) {
    txn->success.push_back(draw_op(client, key));
    if (dice.chance(0.3)) txn->failure.push_back(draw_op(client, key));
  }
  if (!dice.chance(0.08)) return;
  // A whole prefix goes.
  txn->success.clear();
  Op& remove = txn->success.emplace_back();
  remove.type = Op::Type::kDelete;
  remove.key = "b/";
  remove.range_end = "b0";
  remove.previous = true;
}

void KvWorkload::draw_range(const Client& client, store::RangeRequest* range, bool past) {
  Dice& dice = service_.dice();
  const std::uint64_t what = dice.below(4);
  range->key = what == 0 ? draw_key() : what == 1 ? "a/" : what == 2 ? "b/" : kEverything;
  range->range_end = what == 0 ? "" : what == 1 ? "a0" : what == 2 ? "b0" : kEverything;
  range->limit = dice.chance(0.3) ? dice.between(1, 4) : 0;
  range->count_only = dice.chance(0.1);
  range->keys_only = dice.chance(0.1);
  if (past) range->revision = std::max<Revision>(client.newest - dice.between(0, 30), 1);
}

std::shared_ptr<KvRequest> KvWorkload::draw(const Client& client) {
  Dice& dice = service_.dice();
  auto request = std::make_shared<KvRequest>();
  const std::uint64_t what = dice.below(100);
  if (what < 60) {
    draw_txn(client, &request->txn);
  } else if (what < 97) {
    request->type = KvRequest::Type::kRange;
    draw_range(client, &request->range, dice.chance(0.3));
    request->range.serializable = dice.chance(0.3);
  } else {
    request->type = KvRequest::Type::kCompact;
    request->compact = std::max<Revision>(client.newest - dice.between(0, 20), 1);
  }
  return request;
}

void KvWorkload::ask(std::size_t at) {
  Client& client = clients_[at];
  client.asked = draw(client);
  client.before = ledger_.heard();
  client.request = ++next_id_ * kClients + at;
  const bool any_node = client.asked->type == KvRequest::Type::kRange && service_.dice().chance(0.7);
  service_.call_later(at, client.request, options_.patience);
  service_.submit(client.request, {.kv = client.asked}, any_node);
}

void KvWorkload::answered(RequestId request, const Reply& reply) {
  const std::size_t client = request % kClients;
  if (client >= clients_.size() + watchers_.size() + nodes_.size() && holder(client).request == request) {
    return held(client, reply);
  }
  if (client >= clients_.size()) {
    if (reply.kind == Reply::Kind::kRefused) ledger_.refused(request);
    return;
  }
  if (clients_[client].request == request) finish(client, reply);
}

void KvWorkload::learn(Client& client, const KvAnswer& answer) {
  client.newest = std::max({client.newest, answer.txn.revision, answer.range.revision});
  const auto learn_all = [&](const std::vector<store::KeyValue>& kvs) {
    for (const store::KeyValue& kv : kvs) client.seen[kv.key] = kv.mod_revision;
  };
  learn_all(answer.range.kvs);
  for (const store::OpResponse& response : answer.txn.responses) learn_all(response.range.kvs);
  if (!answer.txn.succeeded) return;
  for (const Op& op : client.asked->txn.success) {
    if (op.type == Op::Type::kPut) client.seen[op.key] = answer.txn.revision;
    if (op.type == Op::Type::kDelete) client.seen.erase(op.key);
  }
}

void KvWorkload::finish(std::size_t at, const Reply& reply) {
  Client& client = clients_[at];
  if (reply.kind == Reply::Kind::kDone) {
    ++done_;
    ledger_.answered(client.request, *client.asked, *reply.answer.kv, client.before);
    learn(client, *reply.answer.kv);
  } else if (reply.kind == Reply::Kind::kRefused) {
    ledger_.refused(client.request);
  }
  client.request = kThinks;
  service_.call_later(at, kThinks, service_.dice().around(options_.think_time));
}

// Watches.

void KvWorkload::leave(Watcher& watcher) {
  if (watcher.stream != 0) service_.close_stream(watcher.stream);
  watcher.stream = 0;
}

void KvWorkload::open(std::size_t at) {
  Watcher& watcher = watchers_[at];
  Dice& dice = service_.dice();
  if (!stopped_ && dice.chance(0.15)) {
    // Another beginning: now, again from the past, or ahead.
    const std::uint64_t what = dice.below(3);
    const Revision known = std::max<Revision>(watcher.next, 1);
    watcher.next = what == 0 ? 0 : what == 1 ? std::max<Revision>(known - dice.between(0, 40), 1) : known + 5;
  }
  watcher.start = watcher.next;
  const std::size_t client = clients_.size() + at;
  watcher.stream = ++next_id_ * kClients + client;
  store::WatchRequest request;
  request.key = watcher.key;
  request.range_end = watcher.range_end;
  request.start_revision = watcher.start;
  request.previous = watcher.previous;
  service_.open_stream(watcher.stream, request);
  service_.call_later(client, watcher.stream, stopped_ ? Duration(500ms) : dice.around(kStay));
}

std::vector<WatchEvent> KvWorkload::wanted(const Watcher& watcher, Revision revision) const {
  std::vector<WatchEvent> events;
  const store::KeyRange range{watcher.key, watcher.range_end};
  for (const WatchEvent& event : ledger_.events(revision)) {
    if (!range.contains(event.kv.key)) continue;
    events.push_back(event);
    if (!watcher.previous) events.back().previous.reset();
  }
  return events;
}

bool KvWorkload::missed(const Watcher& watcher, Revision from, Revision to) const {
  for (Revision revision = std::max<Revision>(from, 1); revision <= to; ++revision) {
    if (!wanted(watcher, revision).empty()) return true;
  }
  return false;
}

void KvWorkload::take(Watcher& watcher, const store::WatchBatch& batch, const StreamNews& news) {
  const Revision revision = batch.revision;
  if (revision > news.readable || revision > ledger_.revision()) {
    throw Violation(cat("a watch tells of revision ", revision, ", its server is at ", news.readable));
  }
  const bool note = batch.events.empty();
  if (note && revision < watcher.next) return;
  if (revision < watcher.next) throw Violation(cat("a watch tells of revision ", revision, " again, or out of order"));
  if (missed(watcher, watcher.next, note ? revision : revision - 1)) {
    throw Violation(cat("a watch of ", range_text(watcher.key, watcher.range_end), " from revision ", watcher.start,
                        " has a gap between ", watcher.next, " and ", revision));
  }
  const std::vector<WatchEvent> right = wanted(watcher, revision);
  const bool all = note || std::equal(batch.events.begin(), batch.events.end(), right.begin(), right.end(),
                                      [](const WatchEvent& a, const WatchEvent& b) { return same(a, b); });
  if (!all) throw Violation(cat("a watch tells of revision ", revision, " otherwise than it was"));
  watcher.next = revision + 1;
}

void KvWorkload::told(StreamId stream, const StreamNews& news) {
  const std::size_t at = stream % kClients - clients_.size();
  Watcher& watcher = watchers_[at];
  if (watcher.stream != stream) return;
  // How a state came about that a server got as a whole, it cannot tell.
  const Revision floor = std::max(ledger_.floor_after(news.applied), news.base > 0 ? news.base + 1 : 0);
  switch (news.type) {
    case StreamNews::Type::kOpened:
      if (watcher.start != 0 && watcher.start < floor) throw Violation("a watch begins at a compacted revision");
      if (watcher.start == 0) watcher.next = news.readable + 1;
      return;
    case StreamNews::Type::kBatches:
      ++watched_;
      for (const store::WatchBatch& batch : news.batches) take(watcher, batch, news);
      return;
    case StreamNews::Type::kFailed:
      if (news.code == Code::kExpired) {
        if (watcher.next >= floor) throw Violation(cat("a watch from ", watcher.next, " expires above floor ", floor));
        watcher.next = news.readable + 1;  // it lists again, and watches what comes after
      }
      leave(watcher);
      return service_.call_later(clients_.size() + at, kThinks, service_.dice().around(options_.think_time));
  }
}

std::string KvWorkload::verdict() const {
  for (const Watcher& watcher : watchers_) {
    if (!missed(watcher, watcher.next, expected_)) continue;
    return cat("a watch of ", range_text(watcher.key, watcher.range_end), " from ", watcher.start,
               " has seen all up to ", watcher.next - 1, " only; the store was at ", expected_);
  }
  return "";
}

}  // namespace kayak::sim
