// store_reads.cc: the read path: from the key index and recent history on the loop, the rest through the storage
// thread, in slices, so that neither the loop nor a commit waits long.
#include <algorithm>

#include "base/strings.h"
#include "store/sqlite_store.h"
#include "store/store_guards.h"

namespace kayak::store {

namespace {
constexpr std::size_t kKeysPerSlice = 2000;  // looked at before others get the loop
constexpr std::size_t kRowsPerRead = 500;    // of one job of the storage thread
constexpr std::size_t kBytesPerRead = 1024 * 1024;
constexpr std::size_t kPastReads = 2000;

Error compacted_away(Revision revision) {
  return Error(Code::kExpired, cat("required revision ", revision, " has been compacted"));
}
}  // namespace

struct SqliteStore::RangeRun {
  RangeRequest request;
  Revision at = 0;
  Storage::Epoch epoch = 0;  // of the state that the slice under way looked at
  RangeResponse response{};
  std::string cursor{};  // the first key not looked at
  bool done = false;
};

Error SqliteStore::replaced_too_often() {
  return Error(Code::kUnavailable, "this server falls behind again and again while it is read");
}

Task<Result<RangeResponse>> SqliteStore::range(RangeRequest request, StopToken stop) {
  if (auto good = check_range(request); !good) co_return good.error();
  if (auto good = usable(); !good) co_return good.error();
  Active active(*this);
  if (!request.serializable && !replica_->alone()) {
    auto confirmed = co_await replica_->confirm(stop);
    if (!confirmed) co_return confirmed.error();
  }
  for (int begun = 0; begun <= kFreshStarts; ++begun) {
    const Revision newest = state_.revision();
    const Revision at = request.revision == 0 ? newest : request.revision;
    if (at > newest) co_return Error(Code::kInvalid, "required revision is a future revision");
    if (request.revision != 0 && at < state_.floor()) co_return compacted_away(at);
    auto response = co_await range_at(request, at, stop);
    if (response) response->revision = newest;
    // Who asked for the newest revision may as well have one that is newer still.
    const bool anew = !response && response.error().code() == Code::kExpired && request.revision == 0;
    if (!anew) co_return response;
  }
  co_return replaced_too_often();
}

Task<Result<RangeResponse>> SqliteStore::range_at(RangeRequest request, Revision at, StopToken stop) {
  Pin pin(*this);
  RangeRun run{.request = std::move(request), .at = at};
  run.cursor = run.request.key;
  for (;;) {
    auto slice = co_await range_slice(&run);
    if (!slice && slice.error().code() == Code::kExpired) co_return compacted_away(at);
    if (!slice) co_return slice.error();
    if (run.done) co_return std::move(run.response);
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while reading a range");
    co_await context_.loop.yield();
  }
}

// Looks at the next keys: those unchanged since `at` are in the index, for the others the log is followed back.
Task<Result<void>> SqliteStore::range_slice(RangeRun* run) {
  // Since the slice before, another server's state may have come, in which the deletions of `at` and later are not to
  // be seen, or an entry of one that knew of less of them.
  if (run->at < state_.base_revision()) co_return compacted_away(run->at);
  run->epoch = storage_->epoch();
  const RangeRequest& request = run->request;
  const KeyRange range{request.key, request.range_end};
  struct Candidate {
    std::string key;
    KeyMeta meta;
    Bytes value;
    bool past = false;
  };
  std::vector<Candidate> candidates;
  std::vector<PastVersion> past;
  const bool counting = request.count_only || (request.limit > 0 && run->response.count >= request.limit);
  std::size_t looked_at = 0, bytes = 0;
  KeyIndex::Cursor cursor = state_.keys().seek(run->cursor);
  const KeyRecord* record = cursor.get();
  for (; record != nullptr && range.before_end(record->key()); cursor.next(), record = cursor.get()) {
    if (++looked_at > kKeysPerSlice || candidates.size() >= kRowsPerRead || bytes >= kBytesPerRead) break;
    if (record->mod_revision > run->at) {
      PastVersion version;
      version.row = record->row;
      past.push_back(std::move(version));
      candidates.push_back(Candidate{std::string(record->key()), KeyMeta(), nullptr, true});
    } else if (record->deleted) {
      continue;
    } else if (counting) {
      // With nothing to settle before it, its place in the order does not matter.
      ++run->response.count;
    } else {
      bytes += request.keys_only ? 0 : record->value_bytes;
      candidates.push_back(Candidate{std::string(record->key()), *record, nullptr, false});
    }
  }
  run->done = record == nullptr || !range.before_end(record->key());
  if (!run->done) run->cursor = std::string(record->key());

  const bool values = !request.keys_only && !counting;
  if (!past.empty()) {
    auto settled = co_await settle_past(run, values, &past);
    if (!settled) co_return settled;
  }
  std::vector<RowId> rows;
  std::vector<std::size_t> places;
  auto version = past.begin();
  for (Candidate& candidate : candidates) {
    if (candidate.past) {
      const PastVersion& found = *version++;
      if (!found.found) continue;
      candidate.meta = found.meta;
      candidate.value = found.value;
    }
    ++run->response.count;
    if (request.count_only) continue;
    if (request.limit > 0 && static_cast<std::int64_t>(run->response.kvs.size()) >= request.limit) continue;
    KeyValue& kv = run->response.kvs.emplace_back();
    kv.key = std::move(candidate.key);
    kv.create_revision = candidate.meta.create_revision;
    kv.mod_revision = candidate.meta.mod_revision;
    kv.version = candidate.meta.version;
    kv.lease = candidate.meta.lease;
    if (request.keys_only) continue;
    kv.value = candidate.value ? candidate.value : history_.value(candidate.meta.mod_revision, candidate.meta.row);
    if (kv.value) continue;
    rows.push_back(candidate.meta.row);
    places.push_back(run->response.kvs.size() - 1);
  }
  run->response.more = !request.count_only && run->response.count > static_cast<std::int64_t>(run->response.kvs.size());
  if (rows.empty()) co_return Result<void>();
  auto read = co_await read_values(std::move(rows), run->epoch);
  if (!read) co_return read.error();
  for (std::size_t i = 0; i < places.size(); ++i) run->response.kvs[places[i]].value = (*read)[i];
  co_return Result<void>();
}

Task<Result<void>> SqliteStore::settle_past(const RangeRun* run, bool values, std::vector<PastVersion>* versions) {
  for (;;) {
    auto follow = [at = run->at, values, versions](Database& database) {
      return read_past(database, at, values, kPastReads, versions);
    };
    auto done = co_await storage_->call(run->epoch, follow);
    if (!done) co_return done;
    const bool settled =
        std::all_of(versions->begin(), versions->end(), [](const PastVersion& v) { return v.settled; });
    if (settled) co_return Result<void>();
  }
}

Task<Result<void>> SqliteStore::fill(Evaluation* evaluation, Storage::Epoch epoch, StopToken stop) {
  auto filled = co_await fill_missing(evaluation, epoch);
  if (!filled) co_return filled;
  co_return co_await fill_past_ranges(evaluation, std::move(stop));
}

Task<Result<void>> SqliteStore::fill_missing(Evaluation* evaluation, Storage::Epoch epoch) {
  std::vector<RowId> rows;
  for (const Evaluation::Missing& missing : evaluation->missing) rows.push_back(missing.row);
  if (rows.empty()) co_return Result<void>();
  auto read = co_await read_values(std::move(rows), epoch);
  if (!read) co_return read.error();
  for (std::size_t i = 0; i < read->size(); ++i) {
    const Evaluation::Missing& missing = evaluation->missing[i];
    OpResponse& response = *missing.response;
    (missing.previous ? response.previous : response.range.kvs)[missing.place].value = (*read)[i];
  }
  co_return Result<void>();
}

Task<Result<void>> SqliteStore::fill_past_ranges(Evaluation* evaluation, StopToken stop) {
  for (const Evaluation::PastRange& past : evaluation->past_ranges) {
    RangeRequest request = *past.request;
    const Revision at = request.revision;
    auto answer = co_await range_at(std::move(request), at, stop);
    if (!answer) co_return answer.error();
    answer->revision = evaluation->response.revision;
    past.response->range = std::move(*answer);
  }
  co_return Result<void>();
}

Result<std::unique_ptr<StateStream>> SqliteStore::snapshot() {
  if (auto good = usable(); !good) return good.error();
  return std::unique_ptr<StateStream>(make_source());
}

std::unique_ptr<SnapshotSource> SqliteStore::make_source() {
  auto busy = [this](bool begins) {
    active_ = begins ? active_ + 1 : active_ - 1;
    if (active_ == 0) idle_.set();
  };
  SnapshotSource::Host host{state_, *storage_, pins_, sources_, std::move(busy)};
  return std::make_unique<SnapshotSource>(std::move(host));
}

Result<std::unique_ptr<Watch>> SqliteStore::watch(WatchRequest request) {
  if (auto good = usable(); !good) return good.error();
  return hub_.add(std::move(request));
}

Task<Result<WatchSource::Slice>> SqliteStore::read_events(std::string key, std::string range_end, Revision from,
                                                          Revision to, bool previous) {
  if (auto good = usable(); !good) co_return good.error();
  Active active(*this);
  Pin pin(*this);
  auto read = [key = std::move(key), range_end = std::move(range_end), from, to, previous](Database& database) {
    return store::read_events(database, KeyRange{key, range_end}, from, to, previous);
  };
  auto slice = co_await storage_->call(storage_->epoch(), std::move(read));
  co_return slice;
}

Task<Result<std::vector<Bytes>>> SqliteStore::read_values(std::vector<RowId> rows) {
  return read_values(std::move(rows), storage_->epoch());
}

Task<Result<std::vector<Bytes>>> SqliteStore::read_values(std::vector<RowId> rows, Storage::Epoch epoch) {
  if (failed_) co_return usable().error();
  Active active(*this);
  Pin pin(*this);
  std::vector<Bytes> values;
  values.reserve(rows.size());
  for (std::size_t at = 0; at < rows.size(); at += kRowsPerRead) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(at);
    std::vector<RowId> part(begin, begin + static_cast<std::ptrdiff_t>(std::min(kRowsPerRead, rows.size() - at)));
    auto read = [part = std::move(part)](Database& database) { return store::read_values(database, part); };
    auto got = co_await storage_->call(epoch, std::move(read));
    if (!got) co_return got.error();
    values.insert(values.end(), std::make_move_iterator(got->begin()), std::make_move_iterator(got->end()));
  }
  co_return values;
}

}  // namespace kayak::store
