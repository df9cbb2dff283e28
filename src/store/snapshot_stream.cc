// snapshot_stream.cc: the bytes. A slice is: length of its payload (4 bytes, little endian), type (1), payload, and
// CRC-32C (4, little endian) over its number in the stream (8, little endian), length, type and payload.
// Payloads: a head begins with the magic word, then varints and bytes; rows are (distance to the row before, length,
// bytes) one after the other; an end is the count of rows and the CRC-32C of all slices before it.
#include "store/snapshot_stream.h"

#include <algorithm>

#include "base/endian.h"
#include "base/strings.h"
#include "store/checksum.h"
#include "store/packed.h"

namespace kayak::store {

namespace {

constexpr std::string_view kMagic = "kayak snapshot\n";
enum SliceType : std::uint8_t { kHead = 1, kRows = 2, kEnd = 3 };
constexpr std::size_t kSliceHeadBytes = 5, kSliceTailBytes = 4;

std::uint32_t slice_checksum(std::uint64_t number, std::string_view slice_without_tail) {
  std::string place;
  put_little(&place, number, 8);
  return crc32c(crc32c(0, place), slice_without_tail);
}

// What a state consists of; deletions and places in the log are not part of it.
bool may_live(EffectType type) {
  return type == EffectType::kPut || type == EffectType::kCompact || type == EffectType::kMembership ||
         type == EffectType::kLeaseGrant;
}

}  // namespace

std::string SnapshotWriter::slice(std::uint8_t type, std::string_view payload) {
  ASSERT(payload.size() <= kMaxSnapshotSliceBytes);
  std::string out;
  out.reserve(payload.size() + kSliceHeadBytes + kSliceTailBytes);
  put_little(&out, payload.size(), 4);
  out.push_back(static_cast<char>(type));
  out.append(payload);
  put_little(&out, slice_checksum(slices_++, out), 4);
  crc_ = crc32c(crc_, out);
  return out;
}

std::string SnapshotWriter::head(const SnapshotHead& head) {
  ASSERT(slices_ == 0 && head.store_id.size() == 16);
  std::string payload(kMagic);
  put_varint(&payload, kSnapshotFormat);
  put_varint(&payload, head.index);
  put_varint(&payload, head.term);
  put_varint(&payload, static_cast<std::uint64_t>(head.revision));
  put_varint(&payload, static_cast<std::uint64_t>(head.floor));
  put_membership(&payload, head.membership);
  put_varint(&payload, head.membership_index);
  put_varint(&payload, head.keys);
  payload += head.store_id;
  return slice(kHead, payload);
}

void SnapshotWriter::add(RowId row, std::string_view bytes) {
  ASSERT(slices_ > 0 && row > last_row_);
  put_varint(&rows_, static_cast<std::uint64_t>(row - last_row_));
  put_varint(&rows_, bytes.size());
  rows_.append(bytes);
  last_row_ = row;
  ++count_;
}

std::string SnapshotWriter::take_rows() {
  ASSERT(!rows_.empty());
  std::string out = slice(kRows, rows_);
  rows_.clear();
  return out;
}

std::string SnapshotWriter::end() {
  ASSERT(rows_.empty() && slices_ > 0);
  std::string payload;
  put_varint(&payload, count_);
  put_little(&payload, crc_, 4);
  return slice(kEnd, payload);
}

Error SnapshotReader::corrupt(std::string_view what) const {
  return Error(Code::kCorrupt, cat("the snapshot is damaged in the slice at byte ", offset_, ": ", what));
}

Result<std::size_t> SnapshotReader::feed(std::string_view bytes) {
  if (failed_) return *failed_;
  std::size_t used = 0;
  while (!complete_) {
    const std::size_t wanted =
        buffer_.size() < kSliceHeadBytes ? kSliceHeadBytes : little32(buffer_) + kSliceHeadBytes + kSliceTailBytes;
    const std::size_t take = std::min(wanted - buffer_.size(), bytes.size() - used);
    buffer_.append(bytes.substr(used, take));
    used += take;
    if (buffer_.size() < wanted) break;
    Result<void> good;
    if (wanted == kSliceHeadBytes) {
      if (little32(buffer_) > kMaxSnapshotSliceBytes) good = corrupt("it is too long");
    } else {
      good = take_slice(buffer_);
      offset_ += buffer_.size();
      buffer_.clear();
    }
    if (!good) {
      failed_ = good.error();
      return good.error();
    }
  }
  return used;
}

Result<void> SnapshotReader::finish() const {
  if (failed_) return *failed_;
  if (!complete_) return Error(Code::kCorrupt, cat("the snapshot is cut short after byte ", offset_ + buffer_.size()));
  return Result<void>();
}

Result<void> SnapshotReader::take_slice(std::string_view slice) {
  const std::string_view sealed = slice.substr(0, slice.size() - kSliceTailBytes);
  if (little32(slice, sealed.size()) != slice_checksum(slices_++, sealed)) {
    return corrupt("its checksum does not match its bytes");
  }
  const std::string_view payload = sealed.substr(kSliceHeadBytes);
  const auto type = static_cast<std::uint8_t>(sealed[kSliceHeadBytes - 1]);
  if ((type == kHead) == head_.has_value()) return corrupt("a snapshot begins with one head");
  Result<void> done = type == kHead   ? take_head(payload)
                      : type == kRows ? take_rows(payload)
                      : type == kEnd  ? take_end(payload)
                                      : Result<void>(corrupt("it is of no known kind"));
  crc_ = crc32c(crc_, slice);
  return done;
}

Result<void> SnapshotReader::take_head(std::string_view payload) {
  PackedReader in{payload};
  if (in.bytes(kMagic.size()) != kMagic) return corrupt("this is not a snapshot");
  const std::uint64_t format = in.varint();
  if (in.good && format != kSnapshotFormat) {
    return Error(Code::kInvalid, cat("the snapshot has format ", format, ", which another version of Kayak made; this ",
                                     "one reads format ", kSnapshotFormat));
  }
  SnapshotHead head;
  head.index = in.number(0, kMaxLogIndex);
  head.term = in.varint();
  head.revision = in.number(1, kMaxRevision);
  head.floor = in.number(0, head.revision);
  head.membership = in.membership();
  head.membership_index = in.number(0, head.index);
  head.keys = in.varint();
  head.store_id = std::string(in.bytes(16));
  if (!in.complete()) return corrupt("the head does not decode");
  head_ = std::move(head);
  return sink_.head ? sink_.head(*head_) : Result<void>();
}

Result<void> SnapshotReader::take_rows(std::string_view payload) {
  PackedReader in{payload};
  if (payload.empty()) return corrupt("it has no rows");
  while (!in.left.empty()) {
    const RowId distance = in.number(1, last_row_up_to(head_->index) - last_row_);
    const std::string_view bytes = in.bytes(in.varint());
    if (!in.good) return corrupt("its rows do not decode");
    if (auto taken = take_row(last_row_ + distance, bytes); !taken) return taken;
  }
  return Result<void>();
}

Result<void> SnapshotReader::take_row(RowId row, std::string_view bytes) {
  const Result<RowView> view = decode_row(row, bytes);
  if (!view) return corrupt(cat("log entry ", row_index(row), ": ", view.error().message()));
  if (view->durable != 0 || view->commit != 0 || !may_live(view->type)) return corrupt("a row that no state has");
  const bool ordered = view->revision >= last_revision_ && view->revision <= head_->revision &&
                       view->term >= last_term_ && view->term <= head_->term;
  if (!ordered) return corrupt(cat("log entry ", row_index(row), " has a revision or a term out of order"));
  if (view->type == EffectType::kCompact) {
    if (compaction_seen_ || view->floor > head_->floor) return corrupt("it disagrees with the head on compaction");
    compaction_seen_ = true;
  }
  if (view->type == EffectType::kMembership) {
    const bool same = row_index(row) == head_->membership_index && *view->membership == head_->membership;
    if (membership_seen_ || !same) return corrupt("it disagrees with the head on who is a member");
    membership_seen_ = true;
  }
  if (view->type == EffectType::kPut) ++keys_;
  last_row_ = row;
  last_revision_ = view->revision;
  last_term_ = view->term;
  ++count_;
  return sink_.row ? sink_.row(row, *view, bytes) : Result<void>();
}

Result<void> SnapshotReader::take_end(std::string_view payload) {
  PackedReader in{payload};
  const std::uint64_t rows = in.varint();
  const std::string_view crc = in.bytes(4);
  if (!in.complete()) return corrupt("the end does not decode");
  if (rows != count_) return corrupt(cat(count_, " rows came instead of ", rows));
  if (keys_ != head_->keys) return corrupt(cat(keys_, " keys came instead of ", head_->keys));
  if (little32(crc) != crc_) return corrupt("the checksum over all does not match");
  complete_ = true;
  return Result<void>();
}

}  // namespace kayak::store
