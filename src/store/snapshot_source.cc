// snapshot_source.cc: see snapshot_source.h.
#include "store/snapshot_source.h"

#include <chrono>

namespace kayak::store {

namespace {

constexpr std::size_t kRowsPerBatch = 2048;
// The disk's own time, as in storage.cc: a commit may be waiting.
using DiskClock = std::chrono::steady_clock;
constexpr auto kBatchTime = std::chrono::milliseconds(4);

Error store_closed() {
  return Error(Code::kUnavailable, "the store was closed, or its state replaced, while it was being read");
}

// The storage may know before the loop does that another server's state took this one's place.
Error error_of(const Error& error) { return error.code() == Code::kExpired ? store_closed() : error; }

}  // namespace

SnapshotSource::SnapshotSource(Host host) : host_(std::move(host)), epoch_(host_->storage.epoch()) {
  const KvState& state = host_->state;
  head_.index = state.applied();
  head_.term = state.term();
  head_.revision = state.revision();
  head_.floor = state.floor();
  if (state.membership()) head_.membership = *state.membership();
  compact_row_ = state.compact_row();
  membership_row_ = state.membership_row();
  head_.membership_index = row_index(membership_row_);
  head_.keys = state.keys().live();
  pin_ = host_->pins.insert(state.floor());
  host_->sources.insert(this);
}

SnapshotSource::~SnapshotSource() { drop(); }

void SnapshotSource::detach() {
  closing_ = true;
  if (!using_) drop();
}

void SnapshotSource::use(bool begins) {
  using_ = begins;
  host_->busy(begins);
  if (closing_ && !begins) drop();
}

void SnapshotSource::drop() {
  if (!host_) return;
  host_->pins.erase(pin_);
  host_->sources.erase(this);
  host_.reset();
}

void SnapshotSource::applied(const Entry& entry) {
  if (cursor_ == 0) return;
  const RowId last = last_row_up_to(head_.index);
  for (const Effect& effect : entry.effects) {
    const bool ahead = effect.previous_row >= cursor_ && effect.previous_row <= last;
    if (ahead) superseded_.insert(effect.previous_row);
  }
}

bool SnapshotSource::alive(const Row& row) const {
  const bool pair_or_lease = row.type == EffectType::kPut || row.type == EffectType::kLeaseGrant;
  if (pair_or_lease && superseded_.count(row.row) > 0) return true;
  switch (row.type) {
    case EffectType::kPut: {
      const KeyRecord* record = host_->state.keys().find(row.key);
      return record != nullptr && record->row == row.row;
    }
    case EffectType::kLeaseGrant:
      return host_->state.lease_row(row.lease) == row.row;
    case EffectType::kCompact:
      return row.row == compact_row_;
    case EffectType::kMembership:
      return row.row == membership_row_;
    case EffectType::kDelete:
    case EffectType::kLeaseRevoke:
    case EffectType::kNoop:
      return false;
  }
  return false;
}

Result<SnapshotSource::Batch> SnapshotSource::read_batch(Database& database, RowId first, RowId last) {
  Batch batch;
  std::size_t bytes = 0;
  const auto until = DiskClock::now() + kBatchTime;
  std::string encoded;
  auto look = [&](RowId row, const RowView& view) {
    if (row > last) return false;
    const bool enough = bytes >= kSnapshotSliceBytes || batch.rows.size() >= kRowsPerBatch ||
                        (!batch.rows.empty() && DiskClock::now() >= until);
    if (enough) {
      batch.next = row;
      return false;
    }
    encode_view(row, view, RowContext(), &encoded);
    bytes += encoded.size();
    batch.rows.push_back(Row{row, view.type, view.lease, std::string(view.key), encoded});
    return true;
  };
  if (auto done = database.scan(first, look); !done) return done.error();
  return batch;
}

Task<Result<std::string>> SnapshotSource::begin() {
  auto identify = [](Database& database) { return Result<std::string>(database.store_id()); };
  use(true);
  auto id = co_await host_->storage.call(epoch_, identify);
  use(false);
  if (!host_) co_return store_closed();
  if (!id) co_return error_of(id.error());
  head_.store_id = std::move(*id);
  co_return writer_.head(head_);
}

// Adds the living rows of one batch.
Task<Result<void>> SnapshotSource::gather(StopToken stop) {
  auto read = [first = cursor_, last = last_row_up_to(head_.index)](Database& database) {
    return read_batch(database, first, last);
  };
  use(true);
  auto batch = co_await host_->storage.call(epoch_, std::move(read));
  use(false);
  if (!host_) co_return store_closed();
  if (!batch) co_return error_of(batch.error());
  for (const Row& row : batch->rows) {
    if (alive(row)) writer_.add(row.row, row.bytes);
  }
  cursor_ = batch->next;
  superseded_.erase(superseded_.begin(), cursor_ == 0 ? superseded_.end() : superseded_.lower_bound(cursor_));
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while reading the state of the store");
  co_return Result<void>();
}

Task<Result<std::optional<std::string>>> SnapshotSource::next(StopToken stop) {
  if (ended_) co_return std::optional<std::string>();
  if (!host_) co_return store_closed();
  if (!began_) {
    auto head = co_await begin();
    if (!head) co_return head.error();
    began_ = true;
    co_return std::optional<std::string>(std::move(*head));
  }
  while (cursor_ != 0 && writer_.waiting_bytes() < kSnapshotSliceBytes) {
    auto gathered = co_await gather(stop);
    if (!gathered) co_return gathered.error();
  }
  if (writer_.waiting_bytes() > 0) co_return std::optional<std::string>(writer_.take_rows());
  ended_ = true;
  co_return std::optional<std::string>(writer_.end());
}

}  // namespace kayak::store
