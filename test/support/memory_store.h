// memory_store.h: a Store in memory, for tests of what stands above it. Keeps every version until compact().
// Its watches are late on purpose: a batch is delivered `lag` after it was committed, as readers must never count on
// seeing their own write at once.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "store/store.h"

namespace kayak::test {

class MemoryStore final : public store::Store {
 public:
  explicit MemoryStore(Context context, Duration lag = std::chrono::milliseconds(2))
      : context_(std::move(context)), lag_(lag) {}

  // Watches deliver nothing while this is set.
  void hold_watches(bool hold) {
    held_ = hold;
    wake();
  }
  // Transactions wait for as long as this says so of them.
  void hold_txns(std::function<bool(const store::TxnRequest&)> waits) { txn_waits_ = std::move(waits); }
  // What healthy() says.
  void set_health(Result<void> health) { health_ = std::move(health); }
  Result<void> healthy() const override { return health_; }
  // The next write fails so.
  void fail_next_write(Error error) { next_failure_ = std::move(error); }
  std::size_t txns() const { return txns_; }

  // For the test itself; the request must be one that succeeds.
  store::RangeResponse range_at_once(const store::RangeRequest& request) const { return *range_now(request); }

  Task<Result<store::RangeResponse>> range(store::RangeRequest request, StopToken) override {
    co_await context_.loop.yield();
    co_return range_now(request);
  }

  Task<Result<store::TxnResponse>> txn(store::TxnRequest request, StopToken) override {
    do {
      co_await context_.loop.yield();
    } while (txn_waits_ && txn_waits_(request));
    const std::size_t most = std::max({request.compares.size(), request.success.size(), request.failure.size()});
    if (most > 128) co_return Error(Code::kTooLarge, "more than 128 operations in a txn");  // as etcd
    ++txns_;
    bool success = true;
    for (const store::Compare& compare : request.compares) success = success && holds(compare);
    const std::vector<store::Op>& ops = success ? request.success : request.failure;
    store::TxnResponse response;
    response.succeeded = success;
    const bool writes =
        std::any_of(ops.begin(), ops.end(), [](const store::Op& op) { return op.type != store::Op::Type::kRange; });
    if (writes && next_failure_) {
      Error error = *next_failure_;
      next_failure_.reset();
      co_return error;
    }
    store::WatchBatch batch;
    for (const store::Op& op : ops) response.responses.push_back(apply(op, &batch));
    if (!batch.events.empty()) {
      batch.revision = ++revision_;
      history_.push_back(Entry{batch, context_.clock.now()});
      wake();
      wake_later();
    }
    response.revision = revision_;
    co_return response;
  }

  Result<std::unique_ptr<store::Watch>> watch(store::WatchRequest request) override {
    return std::unique_ptr<store::Watch>(std::make_unique<MemoryWatch>(*this, std::move(request)));
  }
  Task<Result<void>> compact(store::Revision revision, StopToken) override {
    co_await context_.loop.yield();
    if (revision <= compacted_) co_return Error(Code::kExpired, "already compacted");
    if (revision > revision_) co_return Error(Code::kInvalid, "a future revision");
    compacted_ = revision;
    std::erase_if(history_, [&](const Entry& entry) { return entry.batch.revision <= revision; });
    co_return Result<void>();
  }
  store::Revision revision() const override { return revision_; }
  store::Revision compacted() const override { return compacted_; }
  store::Stats stats() const override {
    store::Stats stats;
    stats.revision = revision_;
    stats.compacted = compacted_;
    return stats;
  }
  Task<void> close() override { co_return; }

 private:
  struct Entry {
    store::WatchBatch batch;
    Instant at;
  };
  struct MemoryWatch final : store::Watch {
    MemoryWatch(MemoryStore& s, store::WatchRequest r) : store_(s), request_(std::move(r)) {
      next_ = request_.start_revision > 0 ? request_.start_revision : store_.revision_ + 1;
      store_.watches_.insert(this);
    }
    ~MemoryWatch() override { store_.watches_.erase(this); }
    Task<Result<std::vector<store::WatchBatch>>> next(StopToken stop) override {
      for (;;) {
        if (next_ <= store_.compacted_) co_return Error(Code::kExpired, "the start revision is compacted");
        std::vector<store::WatchBatch> ready;
        for (const Entry& entry : store_.history_) {
          if (store_.held_ || entry.batch.revision < next_) continue;
          if (store_.lag_.count() > 0 && store_.context_.clock.now() - entry.at < store_.lag_) break;
          store::WatchBatch batch;
          batch.revision = entry.batch.revision;
          for (const store::WatchEvent& event : entry.batch.events) {
            if (in_range(event.kv.key, request_.key, request_.range_end)) batch.events.push_back(event);
          }
          next_ = batch.revision + 1;
          if (!batch.events.empty()) ready.push_back(std::move(batch));
        }
        if (std::exchange(progress_, false) && ready.empty()) {
          store::WatchBatch note;
          note.revision = next_ - 1;
          ready.push_back(std::move(note));
        }
        if (!ready.empty()) co_return ready;
        wake_.reset();
        const bool woken = co_await wake_.wait(stop);
        if (!woken) co_return Error(Code::kCancelled, "stopped");
      }
    }
    void request_progress() override {
      progress_ = true;
      wake_.set();
    }
    MemoryStore& store_;
    store::WatchRequest request_;
    store::Revision next_ = 0;
    bool progress_ = false;
    io::Event wake_;
  };
  struct Version {
    store::Revision revision = 0;
    store::KeyValue kv;  // a null value: deleted
  };

  static bool in_range(const std::string& key, const std::string& from, const std::string& end) {
    if (end.empty()) return key == from;
    const std::string start = from == std::string(1, '\0') ? std::string() : from;
    return key >= start && (end == std::string(1, '\0') || key < end);
  }
  const store::KeyValue* at(const std::string& key, store::Revision revision) const {
    const auto found = keys_.find(key);
    if (found == keys_.end()) return nullptr;
    const store::KeyValue* last = nullptr;
    for (const Version& version : found->second) {
      if (version.revision <= revision) last = version.kv.value ? &version.kv : nullptr;
    }
    return last;
  }
  Result<store::RangeResponse> range_now(const store::RangeRequest& request) const {
    if (request.revision > revision_) return Error(Code::kInvalid, "required revision is a future revision");
    if (request.revision != 0 && request.revision < compacted_) {
      return Error(Code::kExpired, "required revision has been compacted");
    }
    store::RangeResponse response;
    response.revision = revision_;
    const store::Revision revision = request.revision == 0 ? revision_ : request.revision;
    for (const auto& [key, versions] : keys_) {
      if (!in_range(key, request.key, request.range_end)) continue;
      const store::KeyValue* kv = at(key, revision);
      if (kv == nullptr) continue;
      ++response.count;
      if (request.count_only) continue;
      if (request.limit > 0 && response.kvs.size() >= static_cast<std::size_t>(request.limit)) {
        response.more = true;
        continue;
      }
      response.kvs.push_back(*kv);
      if (request.keys_only) response.kvs.back().value.reset();
    }
    return response;
  }
  bool holds(const store::Compare& compare) const {
    const store::KeyValue* kv = at(compare.key, revision_);
    auto check = [&](const auto& have, const auto& wanted) {
      switch (compare.result) {
        case store::Compare::Result::kEqual:
          return have == wanted;
        case store::Compare::Result::kNotEqual:
          return have != wanted;
        case store::Compare::Result::kGreater:
          return have > wanted;
        case store::Compare::Result::kLess:
          return have < wanted;
      }
      return false;
    };
    switch (compare.target) {
      case store::Compare::Target::kVersion:
        return check(kv ? kv->version : 0, compare.number);
      case store::Compare::Target::kCreateRevision:
        return check(kv ? kv->create_revision : 0, compare.number);
      case store::Compare::Target::kModRevision:
        return check(kv ? kv->mod_revision : 0, compare.number);
      case store::Compare::Target::kLease:
        return check(kv ? kv->lease : 0, compare.number);
      case store::Compare::Target::kValue:
        return check(kv ? *kv->value : std::string(), compare.value);
    }
    return false;
  }
  store::OpResponse apply(const store::Op& op, store::WatchBatch* batch) {
    store::OpResponse response;
    if (op.type == store::Op::Type::kRange) {
      if (auto ranged = range_now(op.range)) response.range = *ranged;
      return response;
    }
    std::vector<std::string> touched;
    if (op.type == store::Op::Type::kPut) {
      touched.push_back(op.key);
    } else {
      for (const auto& [key, versions] : keys_) {
        if (in_range(key, op.key, op.range_end) && at(key, revision_) != nullptr) touched.push_back(key);
      }
    }
    for (const std::string& key : touched) {
      const store::KeyValue* old = at(key, revision_);
      store::WatchEvent event;
      if (old != nullptr) {
        event.previous = *old;
        if (op.previous) response.previous.push_back(*old);
      }
      event.kv.key = key;
      event.kv.mod_revision = revision_ + 1;
      if (op.type == store::Op::Type::kPut) {
        event.kv.value = op.value;
        event.kv.create_revision = old != nullptr ? old->create_revision : revision_ + 1;
        event.kv.version = old != nullptr ? old->version + 1 : 1;
        event.kv.lease = op.lease;
      } else {
        event.type = store::WatchEvent::Type::kDelete;
        ++response.deleted;
      }
      keys_[key].push_back(Version{revision_ + 1, event.kv});
      batch->events.push_back(std::move(event));
    }
    return response;
  }
  void wake() {
    for (MemoryWatch* watch : watches_) watch->wake_.set();
  }
  void wake_later() {
    if (lag_.count() == 0) return;
    timer_ = context_.loop.after(lag_ + std::chrono::milliseconds(1), [this] { wake(); });
  }

  Context context_;
  Duration lag_;
  bool held_ = false;
  Result<void> health_;
  std::optional<Error> next_failure_;
  std::function<bool(const store::TxnRequest&)> txn_waits_;
  std::size_t txns_ = 0;
  store::Revision revision_ = 1, compacted_ = 0;
  std::map<std::string, std::vector<Version>> keys_;
  std::vector<Entry> history_;
  std::set<MemoryWatch*> watches_;
  Loop::Timer timer_;
};

}  // namespace kayak::test
