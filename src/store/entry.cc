// entry.cc: the bytes of rows.
// A row is: CRC-32C of its id and of all that follows (4 bytes, little endian), type (the top bit marks the last row
// of its entry), then varints and keys as encode_row writes them; a put's value is the rest.
#include "store/entry.h"

#include "base/endian.h"
#include "store/checksum.h"
#include "store/packed.h"

namespace kayak::store {

namespace {

constexpr std::size_t kChecksumBytes = 4;
constexpr std::uint8_t kLastBit = 0x80;
constexpr std::uint8_t kIdentityType = 0x40;
constexpr std::uint8_t kProgressType = 0x41;
constexpr std::uint8_t kHardStateType = 0x42;

std::uint64_t zigzag(std::int64_t number) {
  return static_cast<std::uint64_t>(number) << 1 ^ static_cast<std::uint64_t>(number >> 63);
}
std::int64_t unzigzag(std::uint64_t number) {
  return static_cast<std::int64_t>(number >> 1) ^ -static_cast<std::int64_t>(number & 1);
}

std::uint32_t row_checksum(RowId row, std::string_view bytes) {
  char id[8];
  write_little(id, static_cast<std::uint64_t>(row), sizeof id);
  return crc32c(crc32c(0, std::string_view(id, sizeof id)), bytes);
}

void seal(RowId row, std::string* out) {
  write_little(out->data(), row_checksum(row, std::string_view(*out).substr(kChecksumBytes)), kChecksumBytes);
}

bool sealed(RowId row, std::string_view bytes) {
  return bytes.size() > kChecksumBytes && little32(bytes) == row_checksum(row, bytes.substr(kChecksumBytes));
}

// The fields that every log row begins with.
void read_head(RowId row, PackedReader& in, RowView* view) {
  const std::uint8_t type = in.byte();
  view->last = (type & kLastBit) != 0;
  view->type = static_cast<EffectType>(type & ~kLastBit);
  if (view->type < EffectType::kPut || view->type > EffectType::kLeaseRevoke) in.good = false;
  view->term = in.varint();
  view->revision = in.number(0, kMaxRevision);
  const LogIndex index = row_index(row);
  view->durable = index - in.number(1, index);
  view->commit = index - in.number(1, index);
}

void read_previous(RowId row, PackedReader& in, RowView* view) {
  const std::int64_t back = in.number(0, row);
  view->previous_row = back == 0 ? 0 : row - back;
  if (back != 0 && view->previous_row < kFirstLogRow) in.good = false;
}

void read_key(RowId row, PackedReader& in, RowView* view) {
  view->key = in.bytes(in.number(1, std::size_t{1} << 30));
  read_previous(row, in, view);
}

void put_previous(RowId row, RowId previous, std::string* out) {
  put_varint(out, previous == 0 ? 0 : static_cast<std::uint64_t>(row - previous));
}

}  // namespace

std::size_t Entry::bytes() const {
  // What has no key counts for its row, or compaction would think that grants cost nothing.
  constexpr std::size_t kBareRow = 32;
  std::size_t sum = 0;
  for (const Effect& effect : effects) {
    sum += effect.key.empty() ? kBareRow : effect.key.size() + (effect.value ? effect.value->size() : 0);
  }
  return sum;
}

RowView view_of(const Entry& entry, std::size_t ordinal) {
  const Effect& effect = entry.effects[ordinal];
  RowView view;
  view.type = effect.type;
  view.last = ordinal + 1 == entry.effects.size();
  view.term = entry.term;
  view.revision = entry.revision;
  view.key = effect.key;
  if (effect.value) view.value = *effect.value;
  view.create_revision = effect.create_revision;
  view.version = effect.version;
  view.lease = effect.lease;
  view.previous_row = effect.previous_row;
  view.floor = effect.floor;
  view.ttl = effect.ttl;
  view.membership = effect.membership;
  return view;
}

void encode_row(const Entry& entry, std::size_t ordinal, const RowContext& context, std::string* out) {
  ASSERT(ordinal < entry.effects.size());
  encode_view(row_id(entry.index, ordinal), view_of(entry, ordinal), context, out);
}

void encode_view(RowId row, const RowView& view, const RowContext& context, std::string* out) {
  const LogIndex index = row_index(row);
  ASSERT(context.durable < index && context.commit < index);
  out->assign(kChecksumBytes, '\0');
  out->push_back(static_cast<char>(static_cast<std::uint8_t>(view.type) | (view.last ? kLastBit : 0)));
  put_varint(out, view.term);
  put_varint(out, static_cast<std::uint64_t>(view.revision));
  put_varint(out, index - context.durable);
  put_varint(out, index - context.commit);
  switch (view.type) {
    case EffectType::kPut:
      put_varint(out, view.key.size());
      out->append(view.key);
      put_previous(row, view.previous_row, out);
      put_varint(out, static_cast<std::uint64_t>(view.revision - view.create_revision));
      put_varint(out, static_cast<std::uint64_t>(view.version));
      put_varint(out, zigzag(view.lease));
      out->append(view.value);
      break;
    case EffectType::kDelete:
      put_varint(out, view.key.size());
      out->append(view.key);
      put_previous(row, view.previous_row, out);
      break;
    case EffectType::kCompact:
      put_varint(out, static_cast<std::uint64_t>(view.floor));
      put_previous(row, view.previous_row, out);
      break;
    case EffectType::kMembership:
      put_membership(out, *view.membership);
      put_previous(row, view.previous_row, out);
      break;
    case EffectType::kLeaseGrant:
    case EffectType::kLeaseRevoke:
      put_varint(out, zigzag(view.lease));
      if (view.type == EffectType::kLeaseGrant) put_varint(out, static_cast<std::uint64_t>(view.ttl));
      put_previous(row, view.previous_row, out);
      break;
    case EffectType::kNoop:
      break;
  }
  seal(row, out);
}

Result<RowView> decode_row(RowId row, std::string_view bytes) {
  if (row < kFirstLogRow) return Error(Code::kCorrupt, "a row id below the log");
  if (!sealed(row, bytes)) return Error(Code::kCorrupt, "a row's checksum does not match its bytes");
  PackedReader in{bytes.substr(kChecksumBytes)};
  RowView view;
  read_head(row, in, &view);
  switch (view.type) {
    case EffectType::kPut:
      read_key(row, in, &view);
      view.create_revision = view.revision - in.number(0, view.revision);
      view.version = in.number(1, INT64_MAX);
      view.lease = unzigzag(in.varint());
      view.value = in.left;
      break;
    case EffectType::kDelete:
      read_key(row, in, &view);
      break;
    case EffectType::kCompact:
      view.floor = in.number(0, kMaxRevision);
      read_previous(row, in, &view);
      break;
    case EffectType::kMembership:
      view.membership = std::make_shared<const raft::Membership>(in.membership());
      read_previous(row, in, &view);
      break;
    case EffectType::kLeaseGrant:
    case EffectType::kLeaseRevoke:
      view.lease = unzigzag(in.varint());
      if (view.type == EffectType::kLeaseGrant) view.ttl = in.number(1, INT64_MAX);
      read_previous(row, in, &view);
      break;
    case EffectType::kNoop:
      break;
  }
  if (view.type != EffectType::kPut && !in.left.empty()) in.good = false;
  if (!in.good) return Error(Code::kCorrupt, "a row whose checksum matches does not decode");
  return view;
}

Result<LogIndex> decode_durable(RowId row, std::string_view beginning) {
  if (row < kFirstLogRow || beginning.size() <= kChecksumBytes) return Error(Code::kCorrupt, "not the head of a row");
  PackedReader in{beginning.substr(kChecksumBytes)};
  RowView view;
  read_head(row, in, &view);
  if (!in.good) return Error(Code::kCorrupt, "not the head of a row");
  return view.durable;
}

std::string encode_identity(const Identity& identity) {
  std::string out(kChecksumBytes, '\0');
  out.push_back(static_cast<char>(kIdentityType));
  put_varint(&out, identity.format);
  put_varint(&out, identity.store_id.size());
  out += identity.store_id;
  seal(static_cast<RowId>(MetaRow::kIdentity), &out);
  return out;
}

Result<Identity> decode_identity(std::string_view bytes) {
  if (!sealed(static_cast<RowId>(MetaRow::kIdentity), bytes)) {
    return Error(Code::kCorrupt, "the identity row's checksum does not match its bytes");
  }
  PackedReader in{bytes.substr(kChecksumBytes)};
  Identity identity;
  if (in.byte() != kIdentityType) in.good = false;
  identity.format = in.varint();
  // What follows belongs to the format, so a newer one is told by its number alone.
  if (in.good && identity.format != kFormat) return identity;
  identity.store_id = std::string(in.bytes(in.number(16, std::size_t{16})));
  if (!in.complete()) return Error(Code::kCorrupt, "the identity row does not decode");
  return identity;
}

std::string encode_progress(const Progress& progress) {
  std::string out(kChecksumBytes, '\0');
  out.push_back(static_cast<char>(kProgressType));
  put_varint(&out, static_cast<std::uint64_t>(progress.swept_row));
  put_varint(&out, progress.kept_rows);
  put_varint(&out, progress.durable);
  put_varint(&out, progress.swept_term);
  put_varint(&out, progress.base_index);
  put_varint(&out, static_cast<std::uint64_t>(progress.base_revision));
  seal(static_cast<RowId>(MetaRow::kProgress), &out);
  return out;
}

Result<Progress> decode_progress(std::string_view bytes) {
  if (!sealed(static_cast<RowId>(MetaRow::kProgress), bytes)) {
    return Error(Code::kCorrupt, "the progress row's checksum does not match its bytes");
  }
  PackedReader in{bytes.substr(kChecksumBytes)};
  Progress progress;
  if (in.byte() != kProgressType) in.good = false;
  progress.swept_row = in.number(0, INT64_MAX);
  progress.kept_rows = in.varint();
  progress.durable = in.varint();
  progress.swept_term = in.varint();
  progress.base_index = in.varint();
  progress.base_revision = in.number(0, kMaxRevision);
  if (!in.complete()) return Error(Code::kCorrupt, "the progress row does not decode");
  return progress;
}

std::string encode_hard_state(const raft::HardState& hard) {
  std::string out(kChecksumBytes, '\0');
  out.push_back(static_cast<char>(kHardStateType));
  put_varint(&out, hard.term);
  put_varint(&out, hard.vote);
  put_varint(&out, hard.commit);
  seal(static_cast<RowId>(MetaRow::kHardState), &out);
  return out;
}

Result<raft::HardState> decode_hard_state(std::string_view bytes) {
  if (!sealed(static_cast<RowId>(MetaRow::kHardState), bytes)) {
    return Error(Code::kCorrupt, "the hard state's checksum does not match its bytes");
  }
  PackedReader in{bytes.substr(kChecksumBytes)};
  raft::HardState hard;
  if (in.byte() != kHardStateType) in.good = false;
  hard.term = in.varint();
  hard.vote = in.varint();
  hard.commit = in.varint();
  if (!in.complete()) return Error(Code::kCorrupt, "the hard state does not decode");
  return hard;
}

}  // namespace kayak::store
