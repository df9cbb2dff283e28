// messages.cc: see messages.h. Each struct lists its fields once, for both directions (base/protobuf_fields.h).
#include "store/etcd/messages.h"

#include "base/protobuf_fields.h"

namespace kayak::store::etcd {

namespace {

template <typename V, FieldsOf<ResponseHeader> M>
void fields(V& v, M& m) {
  v.number(1, m.cluster_id);
  v.number(2, m.member_id);
  v.number(3, m.revision);
  v.number(4, m.raft_term);
}
template <typename V, FieldsOf<KeyValue> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.number(2, m.create_revision);
  v.number(3, m.mod_revision);
  v.number(4, m.version);
  v.text(5, m.value);
  v.number(6, m.lease);
}
template <typename V, FieldsOf<RangeRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.text(2, m.range_end);
  v.number(3, m.limit);
  v.number(4, m.revision);
  v.number(5, m.sort_order);
  v.number(6, m.sort_target);
  v.number(7, m.serializable);
  v.number(8, m.keys_only);
  v.number(9, m.count_only);
  v.number(10, m.min_mod_revision);
  v.number(11, m.max_mod_revision);
  v.number(12, m.min_create_revision);
  v.number(13, m.max_create_revision);
}
template <typename V, FieldsOf<RangeResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.kvs);
  v.number(3, m.more);
  v.number(4, m.count);
}
template <typename V, FieldsOf<PutRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.text(2, m.value);
  v.number(3, m.lease);
  v.number(4, m.prev_kv);
  v.number(5, m.ignore_value);
  v.number(6, m.ignore_lease);
}
template <typename V, FieldsOf<PutResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.prev_kv);
}
template <typename V, FieldsOf<DeleteRangeRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.text(2, m.range_end);
  v.number(3, m.prev_kv);
}
template <typename V, FieldsOf<DeleteRangeResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.deleted);
  v.messages(3, m.prev_kvs);
}
template <typename V, FieldsOf<RequestOp> M>
void fields(V& v, M& m) {
  v.one_of(1, m.request);
}
template <typename V, FieldsOf<ResponseOp> M>
void fields(V& v, M& m) {
  v.one_of(1, m.response);
}
template <typename V, FieldsOf<Compare> M>
void fields(V& v, M& m) {
  v.number(1, m.result);
  v.number(2, m.target);
  v.text(3, m.key);
  v.number(4, m.version);
  v.number(5, m.create_revision);
  v.number(6, m.mod_revision);
  v.text(7, m.value);
  v.number(8, m.lease);
  v.text(64, m.range_end);
}
template <typename V, FieldsOf<TxnRequest> M>
void fields(V& v, M& m) {
  v.messages(1, m.compare);
  v.messages(2, m.success);
  v.messages(3, m.failure);
}
template <typename V, FieldsOf<TxnResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.succeeded);
  v.messages(3, m.responses);
}
template <typename V, FieldsOf<CompactionRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.revision);
  v.number(2, m.physical);
}
template <typename V, FieldsOf<CompactionResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
}
template <typename V, FieldsOf<WatchCreateRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.text(2, m.range_end);
  v.number(3, m.start_revision);
  v.number(4, m.progress_notify);
  v.numbers(5, m.filters);
  v.number(6, m.prev_kv);
  v.number(7, m.watch_id);
  v.number(8, m.fragment);
}
template <typename V, FieldsOf<WatchCancelRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.watch_id);
}
template <typename V, FieldsOf<WatchProgressRequest> M>
void fields(V&, M&) {}
template <typename V, FieldsOf<WatchRequest> M>
void fields(V& v, M& m) {
  v.one_of(1, m.request);
}
template <typename V, FieldsOf<WatchEvent> M>
void fields(V& v, M& m) {
  v.number(1, m.type);
  v.message(2, m.kv);
  v.optional(3, m.previous);
}
template <typename V, FieldsOf<WatchResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.watch_id);
  v.number(3, m.created);
  v.number(4, m.canceled);
  v.number(5, m.compact_revision);
  v.text(6, m.cancel_reason);
  v.number(7, m.fragment);
  v.messages(11, m.events);
}
template <typename V, FieldsOf<LeaseGrantRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.ttl);
  v.number(2, m.id);
}
template <typename V, FieldsOf<LeaseGrantResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.id);
  v.number(3, m.ttl);
  v.text(4, m.error);
}
template <typename V, FieldsOf<LeaseRevokeRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, FieldsOf<LeaseRevokeResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
}
template <typename V, FieldsOf<LeaseKeepAliveRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, FieldsOf<LeaseKeepAliveResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.id);
  v.number(3, m.ttl);
}
template <typename V, FieldsOf<LeaseTimeToLiveRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.number(2, m.keys);
}
template <typename V, FieldsOf<LeaseTimeToLiveResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.id);
  v.number(3, m.ttl);
  v.number(4, m.granted_ttl);
  v.texts(5, m.keys);
}
template <typename V, FieldsOf<LeaseStatus> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, FieldsOf<LeaseLeasesResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.leases);
}
template <typename V, FieldsOf<Empty> M>
void fields(V&, M&) {}
template <typename V, FieldsOf<HeaderResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
}
template <typename V, FieldsOf<Member> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.text(2, m.name);
  v.texts(3, m.peer_urls);
  v.texts(4, m.client_urls);
  v.number(5, m.is_learner);
  v.number(1000, m.witness);
}
template <typename V, FieldsOf<MemberListResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.members);
  v.number(1000, m.external);
}
template <typename V, FieldsOf<MemberAddRequest> M>
void fields(V& v, M& m) {
  v.texts(1, m.peer_urls);
  v.number(2, m.is_learner);
}
template <typename V, FieldsOf<MemberAddResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.message(2, m.member);
  v.messages(3, m.members);
}
template <typename V, FieldsOf<MemberIdRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, FieldsOf<MemberUpdateRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.texts(2, m.peer_urls);
}
template <typename V, FieldsOf<AlarmRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.action);
  v.number(2, m.member_id);
  v.number(3, m.alarm);
}
template <typename V, FieldsOf<StatusResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.text(2, m.version);
  v.number(3, m.db_size);
  v.number(4, m.leader);
  v.number(5, m.raft_index);
  v.number(6, m.raft_term);
  v.number(7, m.raft_applied_index);
  v.number(9, m.db_size_in_use);
  v.number(10, m.is_learner);
}
template <typename V, FieldsOf<HashKvRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.revision);
}
template <typename V, FieldsOf<HashKvResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.hash);
  v.number(3, m.compact_revision);
  v.number(4, m.hash_revision);
}

template <typename V, FieldsOf<SnapshotResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.remaining_bytes);
  v.text(3, m.blob);
}

struct Codec {
  FieldLimits limits;
};
Codec codec_of(const MessageLimits& limits) {
  return Codec{FieldLimits{"an etcd message", limits.elements, limits.elements, limits.depth}};
}

}  // namespace

template <typename M>
std::string encode(const M& message) {
  std::string out;
  const Codec codec = codec_of(MessageLimits());
  FieldWriter<Codec> writer(codec, &out);
  fields(writer, message);
  return out;
}

template <typename M>
Result<M> decode(std::string_view bytes, const MessageLimits& limits) {
  const Codec codec = codec_of(limits);
  FieldReading<Codec> reading{codec};
  M message{};
  if (!FieldReader<Codec>(reading, bytes).read(&message)) return *reading.error;
  return message;
}

#define KAYAK_ETCD_MESSAGE(M)            \
  template std::string encode(const M&); \
  template Result<M> decode(std::string_view, const MessageLimits&);
KAYAK_ETCD_MESSAGE(RangeRequest)
KAYAK_ETCD_MESSAGE(RangeResponse)
KAYAK_ETCD_MESSAGE(PutRequest)
KAYAK_ETCD_MESSAGE(PutResponse)
KAYAK_ETCD_MESSAGE(DeleteRangeRequest)
KAYAK_ETCD_MESSAGE(DeleteRangeResponse)
KAYAK_ETCD_MESSAGE(TxnRequest)
KAYAK_ETCD_MESSAGE(TxnResponse)
KAYAK_ETCD_MESSAGE(CompactionRequest)
KAYAK_ETCD_MESSAGE(CompactionResponse)
KAYAK_ETCD_MESSAGE(WatchRequest)
KAYAK_ETCD_MESSAGE(WatchResponse)
KAYAK_ETCD_MESSAGE(LeaseGrantRequest)
KAYAK_ETCD_MESSAGE(LeaseGrantResponse)
KAYAK_ETCD_MESSAGE(LeaseRevokeRequest)
KAYAK_ETCD_MESSAGE(LeaseRevokeResponse)
KAYAK_ETCD_MESSAGE(LeaseKeepAliveRequest)
KAYAK_ETCD_MESSAGE(LeaseKeepAliveResponse)
KAYAK_ETCD_MESSAGE(LeaseTimeToLiveRequest)
KAYAK_ETCD_MESSAGE(LeaseTimeToLiveResponse)
KAYAK_ETCD_MESSAGE(LeaseLeasesResponse)
KAYAK_ETCD_MESSAGE(Empty)
KAYAK_ETCD_MESSAGE(HeaderResponse)
KAYAK_ETCD_MESSAGE(MemberListResponse)
KAYAK_ETCD_MESSAGE(MemberAddRequest)
KAYAK_ETCD_MESSAGE(MemberAddResponse)
KAYAK_ETCD_MESSAGE(MemberIdRequest)
KAYAK_ETCD_MESSAGE(MemberUpdateRequest)
KAYAK_ETCD_MESSAGE(AlarmRequest)
KAYAK_ETCD_MESSAGE(StatusResponse)
KAYAK_ETCD_MESSAGE(HashKvRequest)
KAYAK_ETCD_MESSAGE(HashKvResponse)
KAYAK_ETCD_MESSAGE(SnapshotResponse)
#undef KAYAK_ETCD_MESSAGE

}  // namespace kayak::store::etcd
