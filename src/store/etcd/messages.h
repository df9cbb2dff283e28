// messages.h: the messages of etcd's v3 API that we speak, as values, and their protobuf encoding, both ways.
// Reading trusts nothing: lengths, wire types and the number of elements are checked before memory is taken; unknown
// fields are skipped.
// Source: etcd v3.5 API, rpc.proto and kv.proto (field numbers), etcdserverpb.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace kayak::store::etcd {

struct ResponseHeader {
  std::uint64_t cluster_id = 0, member_id = 0;
  Revision revision = 0;  // the store's
  std::uint64_t raft_term = 0;
};

// ---- KV

struct RangeRequest {
  enum class SortOrder : std::int64_t { kNone, kAscend, kDescend };
  enum class SortTarget : std::int64_t { kKey, kVersion, kCreate, kMod, kValue };
  std::string key, range_end;
  std::int64_t limit = 0;
  Revision revision = 0;
  SortOrder sort_order = SortOrder::kNone;
  SortTarget sort_target = SortTarget::kKey;
  bool serializable = false, keys_only = false, count_only = false;
  Revision min_mod_revision = 0, max_mod_revision = 0, min_create_revision = 0, max_create_revision = 0;
};
struct RangeResponse {
  ResponseHeader header;
  std::vector<KeyValue> kvs;
  bool more = false;
  std::int64_t count = 0;
};
struct PutRequest {
  std::string key;
  Bytes value;
  std::int64_t lease = 0;
  bool prev_kv = false, ignore_value = false, ignore_lease = false;
};
struct PutResponse {
  ResponseHeader header;
  std::vector<KeyValue> prev_kv;  // at most one
};
struct DeleteRangeRequest {
  std::string key, range_end;
  bool prev_kv = false;
};
struct DeleteRangeResponse {
  ResponseHeader header;
  std::int64_t deleted = 0;
  std::vector<KeyValue> prev_kvs;
};
struct Compare {
  enum class Result : std::int64_t { kEqual, kGreater, kLess, kNotEqual };
  enum class Target : std::int64_t { kVersion, kCreate, kMod, kValue, kLease };
  Result result = Result::kEqual;
  Target target = Target::kVersion;
  std::string key;
  std::int64_t version = 0, create_revision = 0, mod_revision = 0;
  std::string value;
  std::int64_t lease = 0;
  std::string range_end;
};
struct RequestOp;
struct TxnRequest {
  std::vector<Compare> compare;
  std::vector<RequestOp> success, failure;
};
struct RequestOp {
  std::variant<std::monostate, RangeRequest, PutRequest, DeleteRangeRequest, TxnRequest> request;
};
struct ResponseOp;
struct TxnResponse {
  ResponseHeader header;
  bool succeeded = false;
  std::vector<ResponseOp> responses;
};
struct ResponseOp {
  std::variant<std::monostate, RangeResponse, PutResponse, DeleteRangeResponse, TxnResponse> response;
};
struct CompactionRequest {
  Revision revision = 0;
  bool physical = false;
};
struct CompactionResponse {
  ResponseHeader header;
};

// ---- Watch

struct WatchCreateRequest {
  enum Filter : std::uint64_t { kNoPut = 0, kNoDelete = 1 };
  std::string key, range_end;
  Revision start_revision = 0;
  bool progress_notify = false;
  std::vector<std::uint64_t> filters;
  bool prev_kv = false;
  std::int64_t watch_id = 0;
  bool fragment = false;
};
struct WatchCancelRequest {
  std::int64_t watch_id = 0;
};
struct WatchProgressRequest {};
struct WatchRequest {
  std::variant<std::monostate, WatchCreateRequest, WatchCancelRequest, WatchProgressRequest> request;
};
struct WatchResponse {
  ResponseHeader header;
  std::int64_t watch_id = 0;
  bool created = false, canceled = false;
  Revision compact_revision = 0;
  std::string cancel_reason;
  bool fragment = false;
  std::vector<WatchEvent> events;
};

// ---- Lease

struct LeaseGrantRequest {
  std::int64_t ttl = 0;  // seconds
  std::int64_t id = 0;   // 0: the server chooses
};
struct LeaseGrantResponse {
  ResponseHeader header;
  std::int64_t id = 0, ttl = 0;
  std::string error;
};
struct LeaseRevokeRequest {
  std::int64_t id = 0;
};
struct LeaseRevokeResponse {
  ResponseHeader header;
};
struct LeaseKeepAliveRequest {
  std::int64_t id = 0;
};
struct LeaseKeepAliveResponse {
  ResponseHeader header;
  std::int64_t id = 0;
  std::int64_t ttl = 0;  // 0: there is no such lease
};
struct LeaseTimeToLiveRequest {
  std::int64_t id = 0;
  bool keys = false;
};
struct LeaseTimeToLiveResponse {
  ResponseHeader header;
  std::int64_t id = 0;
  std::int64_t ttl = 0;  // that is left; -1: there is no such lease
  std::int64_t granted_ttl = 0;
  std::vector<std::string> keys;
};
struct LeaseStatus {
  std::int64_t id = 0;
};
struct LeaseLeasesResponse {
  ResponseHeader header;
  std::vector<LeaseStatus> leases;
};

// ---- Cluster and Maintenance

struct Empty {};  // a request without fields, or with none that changes our answer
struct HeaderResponse {
  ResponseHeader header;
};
struct Member {
  std::uint64_t id = 0;
  std::string name;
  std::vector<std::string> peer_urls, client_urls;
  bool is_learner = false;
  bool witness = false;  // ours: clients of etcd skip it
};
struct MemberListResponse {
  ResponseHeader header;
  std::vector<Member> members;
  bool external = false;  // ours: the data are in an existing etcd, so the one member is nobody's voter
};
struct MemberAddRequest {
  std::vector<std::string> peer_urls;
  bool is_learner = false;
};
struct MemberAddResponse {
  ResponseHeader header;
  Member member;
  std::vector<Member> members;
};
struct MemberIdRequest {  // of MemberRemove, MemberPromote and MoveLeader
  std::uint64_t id = 0;
};
struct MemberUpdateRequest {
  std::uint64_t id = 0;
  std::vector<std::string> peer_urls;
};
struct AlarmRequest {
  enum class Action : std::int64_t { kGet, kActivate, kDeactivate };
  Action action = Action::kGet;
  std::uint64_t member_id = 0;
  std::uint64_t alarm = 0;
};
struct StatusResponse {
  ResponseHeader header;
  std::string version;
  std::int64_t db_size = 0;  // bytes
  std::uint64_t leader = 0, raft_index = 0, raft_term = 0, raft_applied_index = 0;
  std::int64_t db_size_in_use = 0;  // bytes
  bool is_learner = false;
};
struct HashKvRequest {
  Revision revision = 0;
};
struct HashKvResponse {
  ResponseHeader header;
  std::uint32_t hash = 0;
  Revision compact_revision = 0, hash_revision = 0;
};

struct SnapshotResponse {
  ResponseHeader header;
  std::uint64_t remaining_bytes = 0;  // roughly
  std::string blob;
};

struct MessageLimits {
  std::size_t elements = 4096;  // of all lists in a message
  std::size_t depth = 300;      // of messages in messages: a transaction in another one counts two
};

// For each of the structs above but the parts (ResponseHeader, Compare, Member...), which only come inside others.
template <typename M>
std::string encode(const M& message);
// Errors: BadRequest (not such a message), TooLarge (over a limit).
template <typename M>
Result<M> decode(std::string_view bytes, const MessageLimits& limits = MessageLimits());

}  // namespace kayak::store::etcd
