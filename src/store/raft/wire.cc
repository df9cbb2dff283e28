// wire.cc: see wire.h. Each struct lists its fields once, for both directions (base/protobuf_fields.h).
#include "store/raft/wire.h"

#include "base/protobuf_fields.h"

namespace kayak::store::raft {

namespace {

template <typename V, FieldsOf<Membership> M>
void fields(V& v, M& m) {
  v.numbers(1, m.voters);
  v.numbers(2, m.learners);
  v.number(3, m.witness);
}
template <typename V, FieldsOf<Entry> M>
void fields(V& v, M& m) {
  v.number(1, m.index);
  v.number(2, m.term);
  v.coded(3, m.payload);
  v.optional(4, m.membership);
}
template <typename V, FieldsOf<WitnessRecord> M>
void fields(V& v, M& m) {
  v.number(1, m.term);
  v.number(2, m.version);
  v.number(3, m.index);
  v.number(4, m.index_term);
  v.numbers(5, m.in_sync);
}
template <typename V, FieldsOf<SnapshotMeta> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.number(2, m.index);
  v.number(3, m.term);
  v.optional(4, m.membership);
  v.number(5, m.membership_index);
}
template <typename V, FieldsOf<RequestVote> M>
void fields(V& v, M& m) {
  v.number(1, m.last_index);
  v.number(2, m.last_term);
  v.number(3, m.pre_vote);
  v.number(4, m.transfer);
}
template <typename V, FieldsOf<RequestVoteReply> M>
void fields(V& v, M& m) {
  v.number(1, m.pre_vote);
  v.number(2, m.granted);
}
template <typename V, FieldsOf<AppendEntries> M>
void fields(V& v, M& m) {
  v.number(1, m.prev_index);
  v.number(2, m.prev_term);
  v.messages(3, m.entries);
  v.number(4, m.commit);
  v.number(5, m.read_round);
}
template <typename V, FieldsOf<AppendEntriesReply> M>
void fields(V& v, M& m) {
  v.number(1, m.rejected);
  v.number(2, m.index);
  v.number(3, m.hint_index);
  v.number(4, m.hint_term);
  v.number(5, m.read_round);
}
template <typename V, FieldsOf<Heartbeat> M>
void fields(V& v, M& m) {
  v.number(1, m.commit);
  v.number(2, m.read_round);
}
template <typename V, FieldsOf<HeartbeatReply> M>
void fields(V& v, M& m) {
  v.number(1, m.read_round);
}
template <typename V, FieldsOf<InstallSnapshot> M>
void fields(V& v, M& m) {
  v.message(1, m.snapshot);
}
template <typename V, FieldsOf<InstallSnapshotReply> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, FieldsOf<RecordInSync> M>
void fields(V& v, M& m) {
  v.message(1, m.record);
}
template <typename V, FieldsOf<RecordInSyncReply> M>
void fields(V& v, M& m) {
  v.number(1, m.version);
}
template <typename V, FieldsOf<TimeoutNow> M>
void fields(V&, M&) {}
template <typename V, FieldsOf<ReadIndex> M>
void fields(V& v, M& m) {
  v.number(1, m.batch);
}
template <typename V, FieldsOf<ReadIndexReply> M>
void fields(V& v, M& m) {
  v.number(1, m.batch);
  v.number(2, m.index);
}
template <typename V, FieldsOf<Message> M>
void fields(V& v, M& m) {
  v.number(1, m.from);
  v.number(2, m.to);
  v.number(3, m.term);
  v.one_of(4, m.body);
}

struct Codec {
  FieldLimits limits;
  const PayloadCodec& payloads;

  void encode(const PayloadRef& payload, std::string* out) const { payloads.encode(*payload, out); }
  Result<void> decode(std::string_view bytes, PayloadRef* out) const {
    Result<PayloadRef> payload = payloads.decode(bytes);
    if (!payload) return payload.error();
    *out = std::move(*payload);
    return Result<void>();
  }
};
Codec codec_of(const PayloadCodec& payloads, const WireLimits& limits) {
  FieldLimits bounds{"a Raft message"};
  bounds.elements = limits.entries;
  bounds.numbers = limits.members;
  return Codec{bounds, payloads};
}

}  // namespace

std::string encode(const Message& message, const PayloadCodec& payloads) {
  std::string out;
  const Codec codec = codec_of(payloads, WireLimits());
  FieldWriter<Codec> writer(codec, &out);
  fields(writer, message);
  return out;
}

Result<Message> decode(std::string_view bytes, const PayloadCodec& payloads, const WireLimits& limits) {
  if (bytes.size() > limits.message_bytes) return Error(Code::kTooLarge, "an oversized Raft message");
  const Codec codec = codec_of(payloads, limits);
  FieldReading<Codec> reading{codec};
  Message message;
  FieldReader<Codec> reader(reading, bytes);
  if (!reader.read(&message)) return *reading.error;
  if (!reader.has_chosen()) return Error(Code::kBadRequest, "a Raft message without a body that this version knows");
  return message;
}

}  // namespace kayak::store::raft
