// informer.cc: keeps a kind's objects in step with the API by list and watch, and tells handlers what changed.
// Source: client-go tools/cache (reflector, shared informer).
#include <algorithm>
#include <deque>

#include "client/backoff.h"
#include "client/object_table.h"

namespace kayak::client {

namespace {
using namespace std::chrono_literals;

// client-go starts at 800 ms; in one process a refusal is cheap and start-up short, so the first tries come sooner.
constexpr Duration kBackoffBase = 100ms;
constexpr Duration kBackoffLimit = 30s;
// A watch that lived this long was healthy: its end (a server's timeout, a restart) is followed up at once.
constexpr Duration kHealthyWatch = 1s;

class TableInformer final : public Informer {
 public:
  TableInformer(Context context, Client& client, const Kind& kind, ListOptions options)
      : loop_(context.loop),
        clock_(context.clock),
        log_(context.log),
        backoff_(context.random, kBackoffBase, kBackoffLimit),
        client_(client),
        kind_(kind),
        options_(std::move(options)) {}

  void add_handler(InformerHandler handler) override {
    handlers_.push_back(std::move(handler));
    if (!handlers_.back().on_add) return;
    // A copy of both: the handler may add another handler, and does see one consistent state.
    const auto on_add = handlers_.back().on_add;
    for (const ObjectRef& object : table_.list("")) on_add(object);
  }
  Task<Result<void>> wait_for_sync(StopToken stop) override {
    const bool synced = co_await synced_.wait(stop);
    if (!synced) co_return Error(Code::kCancelled, cat("stopped while waiting for ", kind_.plural, " to sync"));
    co_return Result<void>();
  }
  bool synced() const override { return synced_.is_set(); }
  ObjectRef get(const std::string& namespace_, const std::string& name) const override {
    return table_.get(namespace_, name);
  }
  std::vector<ObjectRef> list(const std::string& namespace_) const override { return table_.list(namespace_); }
  std::vector<ObjectRef> owned_by(const std::string& owner_uid) const override { return table_.owned_by(owner_uid); }
  std::vector<ObjectRef> orphans(const std::string& namespace_) const override { return table_.orphans(namespace_); }
  std::vector<ObjectRef> by_field(const std::string& field, const std::string& value) const override {
    return table_.by_field(field, value);
  }

  // Until `stop`.
  Task<Result<void>> run(StopToken stop) {
    while (!stop.stopped()) {
      Result<ObjectList> listed = co_await client_.list(kind_, options_, stop);
      if (listed) {
        replace(std::move(*listed));
        synced_.set();
        const Result<void> watched = co_await watch_until_expired(stop);
        if (!watched) break;
        continue;
      }
      if (stop.stopped()) break;
      log_.warn("cannot list, trying again", {{"resource", kind_.plural}, {"error", listed.error().message()}});
      const Result<void> waited = co_await loop_.sleep(backoff_.next(), stop);
      if (!waited) break;
    }
    co_return Result<void>();
  }

 private:
  // Returns when the history is gone and a new list is due. Errors: Cancelled.
  Task<Result<void>> watch_until_expired(StopToken stop) {
    for (;;) {
      Error ended(Code::kUnavailable, "");
      const Instant started = clock_.now();
      auto stream = co_await client_.watch(kind_, options_, revision_, stop);
      if (stream) {
        ended = co_await follow(**stream, stop);
      } else {
        ended = stream.error();
      }
      if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
      log_.debug("watch ended", {{"resource", kind_.plural}, {"error", ended.message()}});
      if (clock_.now() - started < kHealthyWatch) {
        const Result<void> waited = co_await loop_.sleep(backoff_.next(), stop);
        if (!waited) co_return waited;
      }
      if (ended.code() == Code::kExpired || ended.code() == Code::kGone) co_return Result<void>();
    }
  }

  Task<Error> follow(WatchStream& stream, StopToken stop) {
    for (;;) {
      Result<WatchEvent> event = co_await stream.next(stop);
      if (!event) co_return event.error();
      backoff_.reset();
      apply(*event);
    }
  }

  void apply(const WatchEvent& event) {
    revision_ = std::max(revision_, event.revision);
    switch (event.type) {
      case WatchEvent::Type::kAdded:
      case WatchEvent::Type::kModified:
        put(event.object);
        break;
      case WatchEvent::Type::kDeleted:
        if (table_.remove(event.object->namespace_(), event.object->name())) deleted(event.object);
        break;
      case WatchEvent::Type::kBookmark:
        break;
    }
  }

  // What a fresh list says, told as the events that were missed.
  void replace(ObjectList fresh) {
    revision_ = fresh.revision;
    ObjectTable wanted;
    for (const ObjectRef& object : fresh.items) wanted.put(object);
    for (const ObjectRef& object : table_.list("")) {
      const ObjectRef still = wanted.get(object->namespace_(), object->name());
      // Another uid: the old one is gone, and whoever counts by uid has to hear it.
      if (still && still->uid() == object->uid()) continue;
      table_.remove(object->namespace_(), object->name());
      deleted(object);
    }
    for (const ObjectRef& object : fresh.items) put(object);
  }

  void put(const ObjectRef& object) {
    const ObjectRef before = table_.get(object->namespace_(), object->name());
    if (before && before->uid() != object->uid()) {
      table_.remove(object->namespace_(), object->name());
      deleted(before);
      table_.put(object);
      added(object);
      return;
    }
    table_.put(object);
    if (!before) return added(object);
    if (before->revision() == object->revision()) return;
    for (std::size_t i = 0; i < handlers_.size(); ++i) {
      if (handlers_[i].on_update) handlers_[i].on_update(before, object);
    }
  }
  // By index: a handler may add a handler.
  void added(const ObjectRef& object) {
    for (std::size_t i = 0; i < handlers_.size(); ++i) {
      if (handlers_[i].on_add) handlers_[i].on_add(object);
    }
  }
  void deleted(const ObjectRef& object) {
    for (std::size_t i = 0; i < handlers_.size(); ++i) {
      if (handlers_[i].on_delete) handlers_[i].on_delete(object);
    }
  }

  Loop& loop_;
  Clock& clock_;
  Log log_;
  Backoff backoff_;
  Client& client_;
  const Kind& kind_;
  const ListOptions options_;
  ObjectTable table_;
  std::deque<InformerHandler> handlers_;  // a deque: references stay while handlers are added
  store::Revision revision_ = 0;
  io::Event synced_;
};

std::string name_of(const Kind& kind, const ListOptions& options) {
  std::string name =
      cat(kind.api_version(), "/", kind.plural, "|", options.namespace_, "|", options.labels.to_string());
  for (const api::FieldSelector::Term& term : options.fields.terms()) {
    name += cat("|", term.field, term.equal ? "=" : "!=", term.value);
  }
  return name;
}

class SharedInformerFactory final : public InformerFactory {
 public:
  SharedInformerFactory(Context context, Client& client) : context_(std::move(context)), client_(client) {}

  Informer& informer(const Kind& kind, ListOptions options) override {
    std::unique_ptr<TableInformer>& slot = informers_[name_of(kind, options)];
    if (!slot) {
      slot = std::make_unique<TableInformer>(context_, client_, kind, std::move(options));
      if (scope_ != nullptr) scope_->spawn(slot->run(scope_->token()));
    }
    return *slot;
  }

  Task<Result<void>> run(StopToken stop) override {
    ASSERT(scope_ == nullptr);
    io::TaskScope scope(stop);
    scope_ = &scope;
    // Collected first: an informer that runs may call handlers that ask for more informers, which then start
    // themselves.
    std::vector<TableInformer*> present;
    for (auto& [name, informer] : informers_) present.push_back(informer.get());
    for (TableInformer* informer : present) scope.spawn(informer->run(scope.token()));
    io::Event never;
    co_await never.wait(stop);
    scope_ = nullptr;
    co_return co_await scope.join();
  }

 private:
  Context context_;
  Client& client_;
  std::map<std::string, std::unique_ptr<TableInformer>> informers_;
  io::TaskScope* scope_ = nullptr;  // while run() runs
};

}  // namespace

std::unique_ptr<InformerFactory> make_informer_factory(Context context, Client& client) {
  return std::make_unique<SharedInformerFactory>(std::move(context), client);
}

}  // namespace kayak::client
