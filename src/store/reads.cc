// reads.cc: walks over rows.
#include "store/reads.h"

#include "base/strings.h"

namespace kayak::store {

namespace {

// One slice of events: enough to be worth a hop between threads, little enough that no commit waits long.
constexpr std::size_t kSliceRows = 1000;
constexpr std::size_t kSliceBytes = 512 * 1024;

Error missing_row(RowId row) {
  return Error(Code::kCorrupt, cat("the database is damaged: log entry ", row_index(row), " is missing"));
}

KeyMeta meta_of(RowId row, const RowView& view) {
  KeyMeta meta;
  meta.create_revision = view.create_revision;
  meta.mod_revision = view.revision;
  meta.version = view.version;
  meta.lease = view.lease;
  meta.row = row;
  meta.value_bytes = static_cast<std::uint32_t>(view.value.size()) & 0x7fffffffU;
  return meta;
}

Bytes bytes_of(std::string_view value) { return std::make_shared<const std::string>(value); }

// Follows one key back; `*reads` counts down.
Result<void> follow(RowReader& log, Revision at, bool values, std::size_t* reads, PastVersion* version) {
  while (*reads > 0) {
    --*reads;
    RowId next = 0;
    bool may_lack = false;
    auto look = [&](const RowView& view) {
      if (view.revision > at) {
        next = view.previous_row;
        // What a created key follows is at most a tombstone, which compaction may have dropped.
        may_lack = view.type == EffectType::kPut && view.version == 1;
        return;
      }
      version->settled = true;
      version->found = view.type == EffectType::kPut;
      version->meta = meta_of(version->row, view);
      if (version->found && values) version->value = bytes_of(view.value);
    };
    Result<bool> there = log.read(version->row, look);
    if (!there) return there.error();
    if (!*there) {
      if (!version->meta.deleted) return missing_row(version->row);
      version->settled = true;
    }
    if (version->settled) return Result<void>();
    if (next == 0) {
      version->settled = true;
      return Result<void>();
    }
    version->row = next;
    version->meta.deleted = may_lack ? 1 : 0;  // remembered for the next read: what is missing there is no damage
  }
  return Result<void>();
}

Result<void> add_previous(RowReader& log, RowId row, const std::string& key, WatchEvent* event) {
  auto look = [&](const RowView& view) {
    event->previous =
        KeyValue{key, bytes_of(view.value), view.create_revision, view.revision, view.version, view.lease};
  };
  Result<bool> there = log.read(row, look);
  if (!there) return there.error();
  if (!*there) return missing_row(row);
  return Result<void>();
}

}  // namespace

Result<std::vector<Bytes>> read_values(RowReader& log, const std::vector<RowId>& rows) {
  std::vector<Bytes> values;
  values.reserve(rows.size());
  for (RowId row : rows) {
    Result<bool> there = log.read(row, [&](const RowView& view) { values.push_back(bytes_of(view.value)); });
    if (!there) return there.error();
    if (!*there) return missing_row(row);
  }
  return values;
}

Result<void> read_past(RowReader& log, Revision at, bool values, std::size_t budget,
                       std::vector<PastVersion>* versions) {
  for (PastVersion& version : *versions) {
    if (version.settled) continue;
    if (budget == 0) break;
    if (auto done = follow(log, at, values, &budget, &version); !done) return done;
  }
  return Result<void>();
}

Result<WatchSlice> read_events(RowReader& log, KeyRange range, Revision from, Revision to, bool previous) {
  Result<RowId> first = log.first_row_of(from);
  if (!first) return first.error();
  WatchSlice slice;
  slice.next = to + 1;
  std::size_t rows = 0, bytes = 0;
  Revision current = 0;
  Result<void> failed;
  auto look = [&](RowId row, const RowView& view) {
    if (view.revision > to) return false;
    const bool event_row = view.type == EffectType::kPut || view.type == EffectType::kDelete;
    const bool begins = event_row ? view.revision != current : row_ordinal(row) == 0;
    if (begins && (rows >= kSliceRows || bytes >= kSliceBytes)) {
      // An entry without events stands behind that of its revision, and so do all that follow it up to the next one:
      // the next slice begins there. There may be any number of them.
      slice.next = event_row ? view.revision : view.revision + 1;
      return false;
    }
    ++rows;
    if (!event_row) return true;
    current = view.revision;
    if (view.revision < from || !range.contains(view.key)) return true;
    if (slice.batches.empty() || slice.batches.back().revision != view.revision) {
      slice.batches.push_back(WatchBatch{view.revision, {}});
    }
    WatchEvent& event = slice.batches.back().events.emplace_back();
    event.kv.key = std::string(view.key);
    event.kv.mod_revision = view.revision;
    bytes += view.key.size() + view.value.size();
    const bool put = view.type == EffectType::kPut;
    if (put) {
      event.kv.value = bytes_of(view.value);
      event.kv.create_revision = view.create_revision;
      event.kv.version = view.version;
      event.kv.lease = view.lease;
    } else {
      event.type = WatchEvent::Type::kDelete;
    }
    if (previous && view.previous_row != 0 && !(put && view.version == 1)) {
      failed = add_previous(log, view.previous_row, event.kv.key, &event);
    }
    return failed.ok();
  };
  if (auto done = log.scan(*first, look); !done) return done.error();
  if (!failed) return failed.error();
  return slice;
}

Result<std::vector<EntryRef>> read_entries(RowReader& log, RowId swept, LogIndex first, std::size_t max_bytes) {
  std::vector<EntryRef> entries;
  if (row_id(first, 0) <= swept) return entries;
  EntryAssembler assembler;
  std::size_t bytes = 0;
  LogIndex next = first;
  auto take = [&](RowId row, const RowView& view) {
    if (row_index(row) != next) return false;
    EntryRef entry = assembler.add(row, view);
    if (!entry) return true;
    bytes += entry->bytes();
    if (!entries.empty() && bytes > max_bytes) return false;
    entries.push_back(std::move(entry));
    ++next;
    return bytes < max_bytes;
  };
  if (auto done = log.scan(row_id(first, 0), take); !done) return done.error();
  return entries;
}

}  // namespace kayak::store
