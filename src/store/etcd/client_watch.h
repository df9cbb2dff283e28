// client_watch.h: watches of a store on an etcd cluster: one watch there, of all keys, feeds all watches here.
// So every revision arrives, and how far a watch has seen is known without asking. The newest changes are kept in
// memory, as the embedded engine does; a watch that begins or falls behind them reads from a stream of its own until it
// has caught up. Source: etcd v3.5 API (Watch); its fragments (rpc.proto, WatchCreateRequest.fragment).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/etcd/client_links.h"

namespace kayak::store::etcd {

// One Watch stream with one watch of all keys.
class WatchStream {
 public:
  // `link` is kept. Errors: as of io::GrpcClientCall.
  static Task<Result<std::unique_ptr<WatchStream>>> open(LinkRef link, Revision start, bool previous, StopToken stop);
  // The next revisions that are complete; none after a message that has none. Errors: Expired (compacted() says up to
  // where), Cancelled (`stop` fired: read on or drop it), Unavailable (the stream has ended; says why).
  Task<Result<std::vector<WatchBatch>>> read(StopToken stop);
  bool created() const { return created_; }
  Revision compacted() const { return compacted_; }

 private:
  WatchStream(LinkRef link, std::unique_ptr<io::GrpcClientCall> call)
      : link_(std::move(link)), call_(std::move(call)) {}
  void take(std::vector<WatchEvent> events);

  LinkRef link_;
  std::unique_ptr<io::GrpcClientCall> call_;
  bool created_ = false;
  Revision compacted_ = 0;
  std::vector<WatchBatch> pending_;  // the last may lack events that a further fragment has
};

class Feed {
 public:
  Feed(Context context, std::shared_ptr<Links> links, std::size_t history_bytes);
  ~Feed();
  // Everything up to `revision` was seen by whoever begins now.
  void begin_at(Revision revision);
  Task<void> run(StopToken stop);  // follows the cluster until `stop` fires
  // Errors: as Store::watch.
  Result<std::unique_ptr<Watch>> watch(store::WatchRequest request);
  // Every watch ends with Unavailable.
  void close();

  // The newest revision that an answer of the cluster has shown, or the feed.
  Revision newest() const;
  void saw(Revision revision);
  Revision compacted() const;
  void saw_compacted(Revision compacted);
  std::size_t history_bytes() const;

  struct State;  // shared with the watches, which may outlive the feed

 private:
  Task<void> follow(const LinkRef& link, StopToken stop);
  void restart_after_gap(Revision compacted);

  Context context_;
  std::shared_ptr<Links> links_;
  std::shared_ptr<State> state_;
};

}  // namespace kayak::store::etcd
