// client_stream.cc: one Watch stream: its fragments put together into whole revisions.
#include <utility>

#include "base/strings.h"
#include "store/etcd/client_watch.h"

namespace kayak::store::etcd {

Task<Result<std::unique_ptr<WatchStream>>> WatchStream::open(LinkRef link, Revision start, bool previous,
                                                             StopToken stop) {
  auto call = co_await link->kv.open_watch(std::move(stop));
  if (!call) co_return call.error();
  WatchCreateRequest create;
  create.key = create.range_end = std::string(1, '\0');
  create.start_revision = start;
  create.prev_kv = previous;
  create.fragment = true;
  WatchRequest request;
  request.request = std::move(create);
  io::Slices message(1, io::Slice::of(encode(request)));
  const Result<void> sent = co_await (*call)->send(std::move(message));
  if (!sent) co_return sent.error();
  co_return std::unique_ptr<WatchStream>(new WatchStream(std::move(link), std::move(*call)));
}

void WatchStream::take(std::vector<WatchEvent> events) {
  for (WatchEvent& event : events) {
    const Revision revision = event.kv.mod_revision;
    if (pending_.empty() || pending_.back().revision != revision) pending_.push_back(WatchBatch{revision, {}});
    pending_.back().events.push_back(to_store_event(std::move(event)));
  }
}

Task<Result<std::vector<WatchBatch>>> WatchStream::read(StopToken stop) {
  Result<std::optional<std::string>> message = co_await call_->receive(stop);
  if (!message) {
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while watching");
    co_return Error(Code::kUnavailable, message.error().message());
  }
  if (!*message) co_return Error(Code::kUnavailable, "the server ended the watch stream");
  Result<WatchResponse> response = decode_watch_response(**message);
  if (!response) co_return Error(Code::kUnavailable, response.error().message());
  if (response->canceled && response->compact_revision > 0) {
    compacted_ = response->compact_revision - 1;
    co_return Error(Code::kExpired, cat("revisions up to ", compacted_, " have been compacted"));
  }
  if (response->canceled)
    co_return Error(Code::kUnavailable, cat("the server ended the watch: ", response->cancel_reason));
  created_ = created_ || response->created;
  take(std::move(response->events));
  std::vector<WatchBatch> whole;
  if (response->fragment) {
    if (pending_.size() < 2) co_return whole;
    WatchBatch last = std::move(pending_.back());
    pending_.pop_back();
    whole = std::exchange(pending_, {});
    pending_.push_back(std::move(last));
    co_return whole;
  }
  whole = std::exchange(pending_, {});
  co_return whole;
}

}  // namespace kayak::store::etcd
