// kv_streams.cc: see kv_streams.h.
#include "sim/kv_streams.h"

#include "sim/violation.h"

namespace kayak::sim {

using Kind = store::WatchStep::Kind;

StreamNews KvStreams::news(StreamNews::Type type) const {
  StreamNews news{.type = type};
  news.readable = machine_.revision();
  news.applied = machine_.applied();
  news.base = machine_.state().base_revision();
  return news;
}

void KvStreams::fail(StreamId id, Code code) {
  StreamNews failed = news(StreamNews::Type::kFailed);
  failed.code = code;
  outside_.say(id, std::move(failed));
}

void KvStreams::give(StreamId id, std::vector<store::WatchBatch> batches) {
  for (store::WatchBatch& batch : batches) {
    if (mutant_ == ShellMutant::kProgressTooHigh && batch.events.empty()) ++batch.revision;
    for (store::WatchEvent& event : batch.events) {
      const bool gone = event.type == store::WatchEvent::Type::kDelete;
      if (mutant_ == ShellMutant::kDeleteLacksPrevious && gone) event.previous.reset();
    }
  }
  StreamNews given = news(StreamNews::Type::kBatches);
  given.batches = std::move(batches);
  outside_.say(id, std::move(given));
}

void KvStreams::open(StreamId id, store::WatchRequest request) {
  const bool compacted = machine_.compacted() > 0 && request.start_revision > machine_.compacted();
  if (mutant_ == ShellMutant::kWatchResumesLate && compacted) ++request.start_revision;
  Stream& stream = streams_[id];
  auto cursor = machine_.watches().add(std::move(request), [this, id] { streams_[id].woken = true; });
  if (!cursor) {
    streams_.erase(id);
    return fail(id, cursor.error().code());
  }
  stream.cursor = std::move(*cursor);
  outside_.say(id, news(StreamNews::Type::kOpened));
}

void KvStreams::request_progress(StreamId id) {
  const auto found = streams_.find(id);
  if (found != streams_.end()) found->second.cursor->request_progress();
}

void KvStreams::pump() {
  for (auto at = streams_.begin(); at != streams_.end();) {
    at = drive(at->first, at->second) ? std::next(at) : streams_.erase(at);
  }
  if (!machine_.progress_due() || progress_under_way_) return;
  progress_under_way_ = true;
  outside_.progress_later();
}

bool KvStreams::drive(StreamId id, Stream& stream) {
  while (stream.woken && stream.reading.kind == Kind::kWait) {
    stream.woken = false;
    store::WatchStep step = stream.cursor->step();
    switch (step.kind) {
      case Kind::kWait:
        return true;
      case Kind::kGive:
        give(id, std::move(step.batches));
        stream.woken = true;
        break;
      case Kind::kFail:
        fail(id, step.error->code());
        return false;
      case Kind::kReadEvents:
      case Kind::kReadValues:
        stream.pin = machine_.pin();
        stream.generation = machine_.generation();
        stream.reading = std::move(step);
        outside_.read_later(id);
        return true;
    }
  }
  return true;
}

void KvStreams::read(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.reading.kind == Kind::kWait) return;
  Stream& stream = found->second;
  if (stream.generation != machine_.generation()) {
    // The state was replaced meanwhile, by one that may lack what was to be read: the storage thread refuses it, too.
    fail(id, Code::kUnavailable);
    streams_.erase(found);
    return;
  }
  const store::WatchStep step = std::exchange(stream.reading, {});
  std::vector<store::WatchBatch> batches;
  Result<void> done;
  if (step.kind == Kind::kReadEvents) {
    auto slice = machine_.read_events(stream.cursor->group(), step, stream.cursor->previous());
    done = slice ? Result<void>() : slice.error();
    if (slice) batches = stream.cursor->took_events(std::move(*slice));
  } else {
    auto values = machine_.read_values(step.rows);
    done = values ? Result<void>() : values.error();
    if (values) batches = stream.cursor->took_values(*values);
  }
  stream.pin = nullptr;
  stream.woken = true;
  if (!done) throw Violation("a watch cannot read: " + done.error().message());
  if (!batches.empty()) give(id, std::move(batches));
}

void KvStreams::send_progress() {
  progress_under_way_ = false;
  machine_.watches().send_progress();
}

}  // namespace kayak::sim
