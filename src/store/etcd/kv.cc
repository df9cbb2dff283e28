// kv.cc: etcd's KV service: Range, Put, DeleteRange, Txn, Compact, as transactions and ranges of the store.
// Sorting and the filters by revision, which the store does not know, are done here on what it answers.
// Source: etcd v3.5, the checks of its v3rpc/key.go and the order of its apply: filter, sort, then limit.
#include <algorithm>

#include "store/etcd/service.h"

namespace kayak::store::etcd {

namespace {

constexpr std::size_t kMaxOps = 128;

// ---- Range

Result<void> check(const RangeRequest& request) {
  if (request.key.empty()) return Error(Code::kInvalid, "key is not provided");
  const bool known_order =
      request.sort_order >= RangeRequest::SortOrder::kNone && request.sort_order <= RangeRequest::SortOrder::kDescend;
  const bool known_target =
      request.sort_target >= RangeRequest::SortTarget::kKey && request.sort_target <= RangeRequest::SortTarget::kValue;
  if (!known_order || !known_target) return Error(Code::kInvalid, "invalid sort option");
  return Result<void>();
}

bool filters(const RangeRequest& request) {
  return request.min_mod_revision != 0 || request.max_mod_revision != 0 || request.min_create_revision != 0 ||
         request.max_create_revision != 0;
}

// By key ascending is how the store answers.
bool sorts(const RangeRequest& request) {
  return request.sort_order == RangeRequest::SortOrder::kDescend ||
         request.sort_target != RangeRequest::SortTarget::kKey;
}

store::RangeRequest to_store(const RangeRequest& request) {
  store::RangeRequest out;
  out.key = request.key;
  out.range_end = request.range_end;
  out.revision = std::max<Revision>(request.revision, 0);
  out.limit = filters(request) || sorts(request) ? 0 : std::max<std::int64_t>(request.limit, 0);
  out.keys_only = request.keys_only && request.sort_target != RangeRequest::SortTarget::kValue;
  out.count_only = request.count_only;
  out.serializable = request.serializable;
  return out;
}

void filter(const RangeRequest& request, std::vector<KeyValue>* kvs) {
  auto outside = [](Revision revision, Revision least, Revision most) {
    return revision < least || (most != 0 && revision > most);
  };
  std::erase_if(*kvs, [&](const KeyValue& kv) {
    return outside(kv.mod_revision, request.min_mod_revision, request.max_mod_revision) ||
           outside(kv.create_revision, request.min_create_revision, request.max_create_revision);
  });
}

bool less(RangeRequest::SortTarget target, const KeyValue& a, const KeyValue& b) {
  switch (target) {
    case RangeRequest::SortTarget::kKey:
      return a.key < b.key;
    case RangeRequest::SortTarget::kVersion:
      return a.version < b.version;
    case RangeRequest::SortTarget::kCreate:
      return a.create_revision < b.create_revision;
    case RangeRequest::SortTarget::kMod:
      return a.mod_revision < b.mod_revision;
    case RangeRequest::SortTarget::kValue:
      return a.value && b.value && *a.value < *b.value;
  }
  return false;
}

RangeResponse answer(const Backend& backend, const RangeRequest& request, store::RangeResponse found) {
  RangeResponse out;
  out.header = backend.header(found.revision);
  out.count = found.count;
  out.more = found.more;
  out.kvs = std::move(found.kvs);
  if (filters(request)) filter(request, &out.kvs);
  if (sorts(request)) {
    const bool down = request.sort_order == RangeRequest::SortOrder::kDescend;
    std::stable_sort(out.kvs.begin(), out.kvs.end(), [&](const KeyValue& a, const KeyValue& b) {
      return down ? less(request.sort_target, b, a) : less(request.sort_target, a, b);
    });
  }
  if (request.limit > 0 && out.kvs.size() > static_cast<std::uint64_t>(request.limit)) {
    out.kvs.resize(static_cast<std::size_t>(request.limit));
    out.more = true;
  }
  if (request.keys_only) {
    for (KeyValue& kv : out.kvs) kv.value = nullptr;
  }
  return out;
}

Task<Result<RangeResponse>> range(const Backend& backend, RangeRequest request, StopToken stop) {
  if (auto good = check(request); !good) co_return good.error();
  auto found = co_await backend.store.range(to_store(request), stop);
  if (!found) co_return found.error();
  co_return answer(backend, request, std::move(*found));
}

// ---- what all writes have in common

// Whether it may write a key below `prefix`, in either branch.
bool may_touch(const store::TxnRequest& request, std::string_view prefix) {
  const auto touches = [prefix](const Op& op) {
    if (op.type == Op::Type::kTxn) return may_touch(*op.transaction, prefix);
    if (op.type == Op::Type::kPut) return op.key.starts_with(prefix);
    if (op.type != Op::Type::kDelete) return false;
    if (op.range_end.empty()) return op.key.starts_with(prefix);
    // The range ends after the prefix begins, and begins before it ends.
    const bool ends_before = op.range_end != std::string_view("\0", 1) && op.range_end <= prefix;
    return !ends_before && (op.key <= prefix || op.key.starts_with(prefix));
  };
  return std::any_of(request.success.begin(), request.success.end(), touches) ||
         std::any_of(request.failure.begin(), request.failure.end(), touches);
}

Task<Result<store::TxnResponse>> write(const Backend& backend, store::TxnRequest txn, StopToken stop) {
  const std::string& kept = backend.options.protected_prefix;
  if (!kept.empty() && may_touch(txn, kept)) {
    co_return Error(Code::kForbidden,
                    cat("permission denied: the servers of this group are kept below ", kept,
                        ", and `kayak member` alone changes them; leave these keys out of the range"));
  }
  co_return co_await backend.store.txn(std::move(txn), std::move(stop));
}

// ---- Put, DeleteRange

Result<void> check(const PutRequest& request) {
  if (request.key.empty()) return Error(Code::kInvalid, "key is not provided");
  if (request.ignore_value && request.value && !request.value->empty()) {
    return Error(Code::kInvalid, "value is provided");
  }
  if (request.ignore_lease && request.lease != 0) return Error(Code::kInvalid, "lease is provided");
  return Result<void>();
}

Result<void> check(const DeleteRangeRequest& request) {
  if (request.key.empty()) return Error(Code::kInvalid, "key is not provided");
  return Result<void>();
}

Op to_store(const PutRequest& request) {
  Op op;
  op.key = request.key;
  op.value = request.value;
  op.lease = request.lease;
  op.keep_value = request.ignore_value;
  op.keep_lease = request.ignore_lease;
  op.previous = request.prev_kv;
  return op;
}

Op to_store(const DeleteRangeRequest& request) {
  Op op;
  op.type = Op::Type::kDelete;
  op.key = request.key;
  op.range_end = request.range_end;
  op.previous = request.prev_kv;
  return op;
}

PutResponse put_answer(const Backend& backend, Revision revision, OpResponse done) {
  return PutResponse{backend.header(revision), std::move(done.previous)};
}

DeleteRangeResponse delete_answer(const Backend& backend, Revision revision, OpResponse done) {
  return DeleteRangeResponse{backend.header(revision), done.deleted, std::move(done.previous)};
}

Task<Result<PutResponse>> put(const Backend& backend, PutRequest request, StopToken stop) {
  if (auto good = check(request); !good) co_return good.error();
  store::TxnRequest txn;
  txn.success.push_back(to_store(request));
  auto done = co_await write(backend, std::move(txn), stop);
  if (!done) co_return done.error();
  co_return put_answer(backend, done->revision, std::move(done->responses.front()));
}

Task<Result<DeleteRangeResponse>> delete_range(const Backend& backend, DeleteRangeRequest request, StopToken stop) {
  if (auto good = check(request); !good) co_return good.error();
  store::TxnRequest txn;
  txn.success.push_back(to_store(request));
  auto done = co_await write(backend, std::move(txn), stop);
  if (!done) co_return done.error();
  co_return delete_answer(backend, done->revision, std::move(done->responses.front()));
}

// ---- Txn

Result<store::Compare> to_store(const Compare& compare) {
  if (compare.key.empty()) return Error(Code::kInvalid, "key is not provided");
  store::Compare out;
  out.key = compare.key;
  out.range_end = compare.range_end;
  switch (compare.result) {
    case Compare::Result::kEqual:
      out.result = store::Compare::Result::kEqual;
      break;
    case Compare::Result::kGreater:
      out.result = store::Compare::Result::kGreater;
      break;
    case Compare::Result::kLess:
      out.result = store::Compare::Result::kLess;
      break;
    case Compare::Result::kNotEqual:
      out.result = store::Compare::Result::kNotEqual;
      break;
    default:
      return Error(Code::kInvalid, "unknown compare result");
  }
  switch (compare.target) {
    case Compare::Target::kVersion:
      out.target = store::Compare::Target::kVersion;
      out.number = compare.version;
      break;
    case Compare::Target::kCreate:
      out.target = store::Compare::Target::kCreateRevision;
      out.number = compare.create_revision;
      break;
    case Compare::Target::kMod:
      out.target = store::Compare::Target::kModRevision;
      out.number = compare.mod_revision;
      break;
    case Compare::Target::kValue:
      out.target = store::Compare::Target::kValue;
      out.value = compare.value;
      break;
    case Compare::Target::kLease:
      out.target = store::Compare::Target::kLease;
      out.number = compare.lease;
      break;
    default:
      return Error(Code::kInvalid, "unknown compare target");
  }
  return out;
}

Result<store::TxnRequest> to_store(const TxnRequest& request, std::size_t max_ops);

struct OpMaker {
  std::size_t max_ops;  // of a transaction inside
  Result<Op> operator()(std::monostate) const { return Error(Code::kInvalid, "key not found"); }
  Result<Op> operator()(const RangeRequest& request) const {
    if (auto good = check(request); !good) return good.error();
    Op op;
    op.type = Op::Type::kRange;
    op.range = to_store(request);
    return op;
  }
  Result<Op> operator()(const PutRequest& request) const {
    if (auto good = check(request); !good) return good.error();
    return to_store(request);
  }
  Result<Op> operator()(const DeleteRangeRequest& request) const {
    if (auto good = check(request); !good) return good.error();
    return to_store(request);
  }
  Result<Op> operator()(const TxnRequest& request) const {
    Result<store::TxnRequest> inside = to_store(request, max_ops);
    if (!inside) return inside.error();
    Op op;
    op.type = Op::Type::kTxn;
    op.transaction = std::make_shared<const store::TxnRequest>(std::move(*inside));
    return op;
  }
};

Result<std::vector<Op>> to_store(const std::vector<RequestOp>& requests, std::size_t max_ops) {
  std::vector<Op> ops;
  for (const RequestOp& request : requests) {
    Result<Op> op = std::visit(OpMaker{max_ops}, request.request);
    if (!op) return op.error();
    ops.push_back(std::move(*op));
  }
  return ops;
}

Result<store::TxnRequest> to_store(const TxnRequest& request, std::size_t max_ops) {
  const std::size_t most = std::max({request.compare.size(), request.success.size(), request.failure.size()});
  if (most > max_ops) return Error(Code::kTooLarge, "too many operations in a txn");
  store::TxnRequest txn;
  for (const Compare& compare : request.compare) {
    Result<store::Compare> one = to_store(compare);
    if (!one) return one.error();
    txn.compares.push_back(std::move(*one));
  }
  Result<std::vector<Op>> success = to_store(request.success, max_ops - most);
  if (!success) return success.error();
  Result<std::vector<Op>> failure = to_store(request.failure, max_ops - most);
  if (!failure) return failure.error();
  txn.success = std::move(*success);
  txn.failure = std::move(*failure);
  return txn;
}

TxnResponse answer(const Backend& backend, const TxnRequest& request, Revision revision, store::TxnResponse done);

struct ResponseMaker {
  const Backend& backend;
  Revision revision;
  OpResponse& done;
  ResponseOp operator()(std::monostate) const { return ResponseOp(); }
  ResponseOp operator()(const RangeRequest& request) const {
    return ResponseOp{answer(backend, request, std::move(done.range))};
  }
  ResponseOp operator()(const PutRequest&) const { return ResponseOp{put_answer(backend, revision, std::move(done))}; }
  ResponseOp operator()(const DeleteRangeRequest&) const {
    return ResponseOp{delete_answer(backend, revision, std::move(done))};
  }
  ResponseOp operator()(const TxnRequest& request) const {
    return ResponseOp{answer(backend, request, revision, std::move(*done.transaction))};
  }
};

TxnResponse answer(const Backend& backend, const TxnRequest& request, Revision revision, store::TxnResponse done) {
  TxnResponse out;
  out.header = backend.header(revision);
  out.succeeded = done.succeeded;
  const std::vector<RequestOp>& ran = done.succeeded ? request.success : request.failure;
  ASSERT(ran.size() == done.responses.size());
  for (std::size_t i = 0; i < ran.size(); ++i) {
    const ResponseMaker make{backend, revision, done.responses[i]};
    out.responses.push_back(std::visit(make, ran[i].request));
  }
  return out;
}

Task<Result<TxnResponse>> txn(const Backend& backend, TxnRequest request, StopToken stop) {
  Result<store::TxnRequest> wanted = to_store(request, kMaxOps);
  if (!wanted) co_return wanted.error();
  auto done = co_await write(backend, std::move(*wanted), stop);
  if (!done) co_return done.error();
  const Revision revision = done->revision;
  co_return answer(backend, request, revision, std::move(*done));
}

// ---- Compact

// `physical` asks to wait until the space is free: the store frees it bit by bit, and what is gone is gone at once.
Task<Result<CompactionResponse>> compact(const Backend& backend, CompactionRequest request, StopToken stop) {
  auto done = co_await backend.store.compact(request.revision, stop);
  if (!done) co_return done.error();
  CompactionResponse out;
  out.header = backend.header();
  co_return out;
}

}  // namespace

void add_kv(const Backend& backend, io::GrpcRouter* router, std::size_t max_message_bytes) {
  constexpr std::string_view kService = "etcdserverpb.KV";
  router->add(kService, "Range", unary(backend, range), max_message_bytes);
  router->add(kService, "Put", unary(backend, put), max_message_bytes);
  router->add(kService, "DeleteRange", unary(backend, delete_range), max_message_bytes);
  router->add(kService, "Txn", unary(backend, txn), max_message_bytes);
  router->add(kService, "Compact", unary(backend, compact), max_message_bytes);
}

}  // namespace kayak::store::etcd
