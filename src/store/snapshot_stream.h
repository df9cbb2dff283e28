// snapshot_stream.h: the state of a store after one entry of its log, as a stream of bytes: what goes to a follower
// that is too far behind, into a snapshot file and out of a restored one. A stream is slices: a head, slices of rows in
// the order of the log, an end. Only rows that are alive are in it (the newest version of each living key, the newest
// compaction and membership, living leases), under the ids that they have in the log, as later rows name them. Each
// slice has a checksum over its bytes and its place, the end one over all. Pure: values in, values out. The reader
// believes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "store/entry.h"

namespace kayak::store {

constexpr std::uint64_t kSnapshotFormat = 1;
// Slices are about so long: cheap to pass on, short to wait for.
constexpr std::size_t kSnapshotSliceBytes = 256 * 1024;
// With the longest row that a slice may end with. A reader refuses longer ones.
constexpr std::size_t kMaxSnapshotSliceBytes = 4 * 1024 * 1024;

struct SnapshotHead {
  LogIndex index = 0;  // of the last entry whose effects are in it
  Term term = 0;       // of that entry
  Revision revision = 0;
  Revision floor = 0;             // the oldest revision that the store could still read; its past is not in the stream
  raft::Membership membership;    // as of `index`; empty: the group began without an entry
  LogIndex membership_index = 0;  // of the entry that brought it
  std::uint64_t keys = 0;         // that live; one row each
  std::string store_id;           // 16 bytes
  bool operator==(const SnapshotHead&) const = default;
};

// The last row id that an entry at or below `index` can have.
constexpr RowId last_row_up_to(LogIndex index) { return row_id(index + 1, 0) - 1; }

class SnapshotWriter {
 public:
  // The first slice.
  std::string head(const SnapshotHead& head);
  // `row` is encoded with RowContext{}; rows ascend.
  void add(RowId row, std::string_view bytes);
  std::size_t waiting_bytes() const { return rows_.size(); }
  // A slice of what was added; at least one row.
  std::string take_rows();
  // The last slice; nothing may wait.
  std::string end();
  std::uint64_t rows() const { return count_; }

 private:
  std::string slice(std::uint8_t type, std::string_view payload);
  std::string rows_;
  RowId last_row_ = 0;
  std::uint64_t count_ = 0, slices_ = 0;
  std::uint32_t crc_ = 0;  // of all slices so far
};

// Takes the bytes of a stream in pieces of any size.
class SnapshotReader {
 public:
  struct Sink {
    // Failures end the reading and are returned as they are.
    std::function<Result<void>(const SnapshotHead& head)> head;
    // `bytes` are the row's, which end with the call.
    std::function<Result<void>(RowId row, const RowView& view, std::string_view bytes)> row;
  };
  explicit SnapshotReader(Sink sink) : sink_(std::move(sink)) {}

  // How many of `bytes` belong to the stream: all until its end is reached. Errors: Corrupt (says what is wrong and
  // where), Invalid (a newer format), the sink's. After an error every call fails.
  Result<std::size_t> feed(std::string_view bytes);
  bool complete() const { return complete_; }
  // Corrupt when the end has not come.
  Result<void> finish() const;
  const std::optional<SnapshotHead>& head() const { return head_; }
  std::uint64_t rows() const { return count_; }

 private:
  Result<void> take_slice(std::string_view slice);
  Result<void> take_head(std::string_view payload);
  Result<void> take_rows(std::string_view payload);
  Result<void> take_row(RowId row, std::string_view bytes);
  Result<void> take_end(std::string_view payload);
  Error corrupt(std::string_view what) const;

  Sink sink_;
  std::string buffer_;  // of a slice that is not whole yet
  std::optional<SnapshotHead> head_;
  std::optional<Error> failed_;
  std::uint64_t offset_ = 0;  // of the slice
  std::uint64_t count_ = 0, keys_ = 0, slices_ = 0;
  std::uint32_t crc_ = 0;
  RowId last_row_ = 0;
  Revision last_revision_ = 0;
  Term last_term_ = 0;
  bool compaction_seen_ = false, membership_seen_ = false, complete_ = false;
};

}  // namespace kayak::store
