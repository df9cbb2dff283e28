// log_payload.cc: see log_payload.h.
#include "store/log_payload.h"

#include "base/protobuf_wire.h"
#include "base/strings.h"

namespace kayak::store {

void LogPayloadCodec::encode(const raft::Payload& payload, std::string* out) const {
  const auto& entry = static_cast<const Entry&>(payload);
  ProtobufWriter writer(out);
  writer.varint(entry.index);
  std::string row;
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    encode_row(entry, i, RowContext(), &row);
    writer.varint(row.size());
    out->append(row);
  }
}

const raft::PayloadCodec& log_payloads() {
  static const LogPayloadCodec codec;
  return codec;
}

Result<raft::PayloadRef> LogPayloadCodec::decode(std::string_view bytes) const {
  if (bytes.size() > kMaxPayloadBytes)
    return Error(Code::kTooLarge, cat("a log entry of over ", kMaxPayloadBytes, " bytes"));
  LogIndex index = 0;
  if (!ProtobufReader::take_varint(&bytes, &index) || index == 0 || index > kMaxLogIndex) {
    return Error(Code::kCorrupt, "a log entry without an index");
  }
  EntryAssembler assembler;
  for (std::size_t i = 0; i < kMaxEffects; ++i) {
    std::uint64_t size = 0;
    if (!ProtobufReader::take_varint(&bytes, &size) || size > bytes.size()) {
      return Error(Code::kCorrupt, "a log entry is cut off");
    }
    Result<RowView> view = decode_row(row_id(index, i), bytes.substr(0, size));
    if (!view) return view.error();
    bytes.remove_prefix(size);
    EntryRef whole = assembler.add(row_id(index, i), *view);
    if (!whole) continue;
    if (!bytes.empty()) break;
    return raft::PayloadRef(std::move(whole));
  }
  return Error(Code::kCorrupt, "a log entry does not end with its last row");
}

EntryRef stored(const raft::Entry& entry) {
  if (entry.payload) return std::static_pointer_cast<const Entry>(entry.payload);
  auto own = std::make_shared<Entry>();
  own->index = entry.index;
  own->term = entry.term;
  Effect& effect = own->effects.emplace_back();
  if (entry.membership) {
    effect.type = EffectType::kMembership;
    effect.membership = entry.membership;
  }
  return own;
}

raft::Entry to_raft(const EntryRef& entry) {
  raft::Entry out{entry->index, entry->term, nullptr, nullptr};
  const Effect& first = entry->effects.front();
  if (first.type == EffectType::kMembership) {
    out.membership = first.membership;
  } else if (first.type != EffectType::kNoop) {
    out.payload = entry;
  }
  return out;
}

Result<void> check_payload(const raft::Entry& entry) {
  if (!entry.payload) return Result<void>();
  const auto& inside = static_cast<const Entry&>(*entry.payload);
  const EffectType first = inside.effects.front().type;
  const bool own = first == EffectType::kNoop || first == EffectType::kMembership;
  if (inside.index == entry.index && inside.term == entry.term && !own) return Result<void>();
  return Error(Code::kCorrupt, cat("log entry ", entry.index, " of term ", entry.term, " carries that of index ",
                                   inside.index, " and term ", inside.term));
}

EntryRef EntryAssembler::add(RowId row, const RowView& view) {
  if (!entry_) {
    entry_ = std::make_shared<Entry>();
    entry_->index = row_index(row);
    entry_->term = view.term;
    entry_->revision = view.revision;
  }
  Effect& effect = entry_->effects.emplace_back();
  effect.type = view.type;
  effect.key = view.key;
  if (view.type == EffectType::kPut) effect.value = std::make_shared<const std::string>(view.value);
  effect.create_revision = view.create_revision;
  effect.version = view.version;
  effect.lease = view.lease;
  effect.previous_row = view.previous_row;
  effect.floor = view.floor;
  effect.ttl = view.ttl;
  effect.membership = view.membership;
  return view.last ? std::exchange(entry_, nullptr) : nullptr;
}

}  // namespace kayak::store
