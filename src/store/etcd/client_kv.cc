// client_kv.cc: requests of a store as etcd's messages, answers back, and what a failed call may have done.
#include "store/etcd/client_kv.h"

#include <utility>

#include "base/strings.h"
#include "store/etcd/status.h"

namespace kayak::store::etcd {

namespace {

// Of a range's answer, which the caller bounds by its limit; etcd itself has no bound.
constexpr std::size_t kMaxMessageBytes = std::size_t{1} << 30;
constexpr std::size_t kMaxElements = 16'000'000;

MessageLimits answer_limits() {
  MessageLimits limits;
  limits.elements = kMaxElements;
  return limits;
}

// ---- what a store asks, in etcd's words

RangeRequest to_etcd(const store::RangeRequest& request) {
  RangeRequest out;
  out.key = request.key;
  out.range_end = request.range_end;
  out.revision = request.revision;
  out.limit = request.limit;
  out.serializable = request.serializable;
  out.keys_only = request.keys_only;
  out.count_only = request.count_only;
  return out;
}

Compare to_etcd(const store::Compare& compare) {
  Compare out;
  out.key = compare.key;
  out.range_end = compare.range_end;
  // The enumerations of both sides have the same order.
  out.result = static_cast<Compare::Result>(compare.result);
  out.target = static_cast<Compare::Target>(compare.target);
  switch (compare.target) {
    case store::Compare::Target::kVersion:
      out.version = compare.number;
      break;
    case store::Compare::Target::kCreateRevision:
      out.create_revision = compare.number;
      break;
    case store::Compare::Target::kModRevision:
      out.mod_revision = compare.number;
      break;
    case store::Compare::Target::kValue:
      out.value = compare.value;
      break;
    case store::Compare::Target::kLease:
      out.lease = compare.number;
      break;
  }
  return out;
}
static_assert(static_cast<int>(store::Compare::Target::kLease) == static_cast<int>(Compare::Target::kLease));
static_assert(static_cast<int>(store::Compare::Result::kNotEqual) == static_cast<int>(Compare::Result::kNotEqual));

TxnRequest to_etcd(const store::TxnRequest& request);

RequestOp to_etcd(const Op& op) {
  RequestOp out;
  switch (op.type) {
    case Op::Type::kPut: {
      PutRequest& put = out.request.emplace<PutRequest>();
      put.key = op.key;
      put.value = op.value;
      put.lease = op.lease;
      put.ignore_value = op.keep_value;
      put.ignore_lease = op.keep_lease;
      put.prev_kv = op.previous;
      break;
    }
    case Op::Type::kDelete: {
      DeleteRangeRequest& remove = out.request.emplace<DeleteRangeRequest>();
      remove.key = op.key;
      remove.range_end = op.range_end;
      remove.prev_kv = op.previous;
      break;
    }
    case Op::Type::kRange:
      out.request = to_etcd(op.range);
      break;
    case Op::Type::kTxn:
      out.request = to_etcd(*op.transaction);
      break;
  }
  return out;
}

std::vector<RequestOp> to_etcd(const std::vector<Op>& ops) {
  std::vector<RequestOp> out;
  out.reserve(ops.size());
  for (const Op& op : ops) out.push_back(to_etcd(op));
  return out;
}

TxnRequest to_etcd(const store::TxnRequest& request) {
  TxnRequest out;
  for (const store::Compare& compare : request.compares) out.compare.push_back(to_etcd(compare));
  out.success = to_etcd(request.success);
  out.failure = to_etcd(request.failure);
  return out;
}

// ---- what etcd answers, in a store's words

// An empty value is not in the message.
void fill_values(std::vector<KeyValue>* kvs) {
  static const Bytes empty = std::make_shared<const std::string>();
  for (KeyValue& kv : *kvs) {
    if (!kv.value) kv.value = empty;
  }
}

store::RangeResponse from_etcd(RangeResponse answer, bool keys_only, Revision revision) {
  store::RangeResponse out;
  out.kvs = std::move(answer.kvs);
  if (!keys_only) fill_values(&out.kvs);
  out.more = answer.more;
  out.count = answer.count;
  out.revision = revision;
  return out;
}

Result<store::TxnResponse> from_etcd(TxnResponse answer, const store::TxnRequest& request, Revision revision);

Result<OpResponse> from_etcd(ResponseOp answer, const Op& op, Revision revision) {
  OpResponse out;
  if (auto* range = std::get_if<RangeResponse>(&answer.response)) {
    out.range = from_etcd(std::move(*range), op.range.keys_only, revision);
  } else if (auto* put = std::get_if<PutResponse>(&answer.response)) {
    out.previous = std::move(put->prev_kv);
  } else if (auto* remove = std::get_if<DeleteRangeResponse>(&answer.response)) {
    out.previous = std::move(remove->prev_kvs);
    out.deleted = remove->deleted;
  } else if (auto* inside = std::get_if<TxnResponse>(&answer.response); inside != nullptr && op.transaction) {
    Result<store::TxnResponse> done = from_etcd(std::move(*inside), *op.transaction, revision);
    if (!done) return done.error();
    out.transaction = std::make_shared<store::TxnResponse>(std::move(*done));
  }
  if (op.transaction && !out.transaction) return Error(Code::kIo, "the answer to a txn lacks the one to a txn in it");
  fill_values(&out.previous);
  return out;
}

// Of an answer inside another one etcd leaves the header empty.
Result<store::TxnResponse> from_etcd(TxnResponse answer, const store::TxnRequest& request, Revision revision) {
  store::TxnResponse out;
  out.succeeded = answer.succeeded;
  out.revision = revision;
  const std::vector<Op>& ran = answer.succeeded ? request.success : request.failure;
  if (ran.size() != answer.responses.size()) return Error(Code::kIo, "the answer to a txn does not fit the request");
  for (std::size_t i = 0; i < ran.size(); ++i) {
    Result<OpResponse> one = from_etcd(std::move(answer.responses[i]), ran[i], revision);
    if (!one) return one.error();
    out.responses.push_back(std::move(*one));
  }
  return out;
}

// ---- fates

template <typename T>
Outcome<T> answered(T value) {
  return Outcome<T>{std::move(value), Fate::kAnswered, false};
}

template <typename T, typename F>
Outcome<T> failed_as(const Outcome<F>& failure) {
  return Outcome<T>{failure.result.error(), failure.fate, failure.late};
}

// The server has ended the call with `status`.
Outcome<std::string> refused(const io::GrpcClientStatus& status) {
  io::GrpcStatus said;
  said.code = static_cast<io::GrpcStatus::Code>(status.code);
  said.message = status.message;
  Fate fate = Fate::kAnswered;
  switch (said.code) {
    // "request timed out", "server stopped", "leader changed": what was proposed may still be applied.
    case io::GrpcStatus::Code::kCancelled:
    case io::GrpcStatus::Code::kUnknown:
    case io::GrpcStatus::Code::kDeadlineExceeded:
    case io::GrpcStatus::Code::kAborted:
    case io::GrpcStatus::Code::kInternal:
    case io::GrpcStatus::Code::kUnavailable:
      fate = Fate::kUnknown;
      break;
    default:
      break;
  }
  if (refused_before_begun(said)) fate = Fate::kNotBegun;
  return Outcome<std::string>{error_of(said), fate, said.code == io::GrpcStatus::Code::kDeadlineExceeded};
}

// The call did not come to its end.
Outcome<std::string> broken(const Error& error, const StopToken& stop) {
  if (error.code() == Code::kUnavailable) return Outcome<std::string>{error, Fate::kNotBegun, false};
  const bool ours = error.code() == Code::kCancelled && stop.stopped();
  if (ours) return Outcome<std::string>{error, Fate::kUnknown, false};
  const Error lost(Code::kUnavailable, error.message());
  return Outcome<std::string>{lost, Fate::kUnknown, error.code() == Code::kTimeout};
}

}  // namespace

Result<WatchResponse> decode_watch_response(std::string_view message) {
  return decode<WatchResponse>(message, answer_limits());
}

WatchEvent to_store_event(WatchEvent event) {
  static const Bytes empty = std::make_shared<const std::string>();
  if (event.type == WatchEvent::Type::kPut && !event.kv.value) event.kv.value = empty;
  if (event.previous && !event.previous->value) event.previous->value = empty;
  return event;
}

io::GrpcRequest EtcdKv::request_for(std::string_view method) const {
  io::GrpcRequest request;
  request.scheme = options_.scheme;
  request.authority = options_.authority;
  request.method = method;
  request.max_message_bytes = kMaxMessageBytes;
  request.metadata = options_.metadata;
  // A member that has lost its leader says so at once and ends its watches, instead of letting us wait.
  request.metadata.add("hasleader", "true");
  return request;
}

Task<Outcome<std::string>> EtcdKv::unary(std::string_view method, std::string message, StopToken stop) const {
  io::GrpcRequest request = request_for(method);
  request.timeout = options_.timeout;
  auto opened = co_await io::GrpcClientCall::open(client_, std::move(request), stop);
  if (!opened) co_return broken(opened.error(), stop);
  io::GrpcClientCall& call = **opened;
  io::Slices data(1, io::Slice::of(std::move(message)));
  Result<void> sent = co_await call.send(std::move(data));
  if (sent) sent = co_await call.finish_sending();
  // Also when sending failed: a server may refuse before it has read everything, and its status says why.
  Result<std::optional<std::string>> reply = co_await call.receive();
  if (reply && *reply) {
    Result<std::optional<std::string>> end = co_await call.receive();
    if (end && !*end) co_return answered(std::move(**reply));
    const Error why = end ? Error(Code::kIo, "more than one message in the answer") : end.error();
    if (call.status() && call.status()->code != 0) co_return refused(*call.status());
    co_return broken(why, stop);
  }
  if (call.status() && call.status()->code != 0) co_return refused(*call.status());
  const Error why = reply ? Error(Code::kIo, "an answer without a message") : reply.error();
  co_return broken(why, stop);
}

template <typename A, typename Q>
Task<Outcome<A>> EtcdKv::call(std::string_view method, Q request, StopToken stop) const {
  std::string message = encode(request);
  Outcome<std::string> reply = co_await unary(method, std::move(message), std::move(stop));
  if (!reply.result) co_return failed_as<A>(reply);
  Result<A> answer = decode<A>(*reply.result, answer_limits());
  // It was done, whatever it was.
  if (!answer) co_return Outcome<A>{Error(Code::kUnavailable, answer.error().message()), Fate::kUnknown, false};
  co_return answered(std::move(*answer));
}

Task<Outcome<Standing>> EtcdKv::standing(StopToken stop) const {
  RangeRequest request;
  request.key = std::string(1, '\0');
  request.count_only = true;
  auto done = co_await call<RangeResponse>("/etcdserverpb.KV/Range", std::move(request), std::move(stop));
  if (!done.result) co_return failed_as<Standing>(done);
  Standing standing;
  standing.cluster = done.result->header.cluster_id;
  standing.revision = done.result->header.revision;
  co_return answered(standing);
}

Task<Outcome<store::RangeResponse>> EtcdKv::range(store::RangeRequest request, StopToken stop) const {
  RangeRequest wanted = to_etcd(request);
  auto done = co_await call<RangeResponse>("/etcdserverpb.KV/Range", std::move(wanted), std::move(stop));
  if (!done.result) co_return failed_as<store::RangeResponse>(done);
  const Revision revision = done.result->header.revision;
  co_return answered(from_etcd(std::move(*done.result), request.keys_only, revision));
}

Task<Outcome<store::TxnResponse>> EtcdKv::txn(store::TxnRequest request, StopToken stop) const {
  TxnRequest wanted = to_etcd(request);
  auto done = co_await call<TxnResponse>("/etcdserverpb.KV/Txn", std::move(wanted), std::move(stop));
  if (!done.result) co_return failed_as<store::TxnResponse>(done);
  const Revision revision = done.result->header.revision;
  Result<store::TxnResponse> answer = from_etcd(std::move(*done.result), request, revision);
  if (!answer) co_return Outcome<store::TxnResponse>{answer.error(), Fate::kUnknown, false};
  co_return answered(std::move(*answer));
}

Task<Outcome<Revision>> EtcdKv::compact(Revision revision, StopToken stop) const {
  CompactionRequest request;
  request.revision = revision;
  auto done = co_await call<CompactionResponse>("/etcdserverpb.KV/Compact", request, std::move(stop));
  if (!done.result) co_return failed_as<Revision>(done);
  co_return answered(done.result->header.revision);
}

Task<Outcome<Lease>> EtcdKv::lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop) const {
  LeaseGrantRequest request;
  request.id = id;
  request.ttl = ttl;
  auto done = co_await call<LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", request, std::move(stop));
  if (!done.result) co_return failed_as<Lease>(done);
  Lease lease;
  lease.id = done.result->id;
  lease.ttl = lease.remaining = done.result->ttl;
  co_return answered(std::move(lease));
}

Task<Outcome<Revision>> EtcdKv::lease_revoke(std::int64_t id, StopToken stop) const {
  LeaseRevokeRequest request;
  request.id = id;
  auto done = co_await call<LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request, std::move(stop));
  if (!done.result) co_return failed_as<Revision>(done);
  co_return answered(done.result->header.revision);
}

// A stream of which one message each way is used.
Task<Outcome<Lease>> EtcdKv::lease_keep_alive(std::int64_t id, StopToken stop) const {
  LeaseKeepAliveRequest request;
  request.id = id;
  auto done = co_await call<LeaseKeepAliveResponse>("/etcdserverpb.Lease/LeaseKeepAlive", request, std::move(stop));
  if (!done.result) co_return failed_as<Lease>(done);
  Lease lease;
  lease.id = id;
  const bool lives = done.result->ttl > 0;
  lease.ttl = lives ? done.result->ttl : 0;
  lease.remaining = lives ? done.result->ttl : -1;
  co_return answered(std::move(lease));
}

Task<Outcome<Lease>> EtcdKv::lease_time_to_live(std::int64_t id, bool keys, StopToken stop) const {
  LeaseTimeToLiveRequest request;
  request.id = id;
  request.keys = keys;
  auto done = co_await call<LeaseTimeToLiveResponse>("/etcdserverpb.Lease/LeaseTimeToLive", request, std::move(stop));
  if (!done.result) co_return failed_as<Lease>(done);
  Lease lease;
  lease.id = id;
  lease.ttl = done.result->granted_ttl;
  lease.remaining = done.result->ttl;
  lease.keys = std::move(done.result->keys);
  co_return answered(std::move(lease));
}

Task<Outcome<std::vector<std::int64_t>>> EtcdKv::leases(StopToken stop) const {
  Empty request;
  auto done = co_await call<LeaseLeasesResponse>("/etcdserverpb.Lease/LeaseLeases", request, std::move(stop));
  if (!done.result) co_return failed_as<std::vector<std::int64_t>>(done);
  std::vector<std::int64_t> ids;
  for (const LeaseStatus& lease : done.result->leases) ids.push_back(lease.id);
  co_return answered(std::move(ids));
}

Task<Outcome<StatusResponse>> EtcdKv::status(StopToken stop) const {
  Empty request;
  co_return co_await call<StatusResponse>("/etcdserverpb.Maintenance/Status", request, std::move(stop));
}

Task<Result<std::unique_ptr<io::GrpcClientCall>>> EtcdKv::open_watch(StopToken stop) const {
  io::GrpcRequest request = request_for("/etcdserverpb.Watch/Watch");
  co_return co_await io::GrpcClientCall::open(client_, std::move(request), std::move(stop));
}

}  // namespace kayak::store::etcd
