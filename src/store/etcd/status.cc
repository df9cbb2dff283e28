// status.cc: see status.h.
#include "store/etcd/status.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace kayak::store::etcd {

namespace {

using Grpc = io::GrpcStatus::Code;

constexpr std::string_view kPrefix = "etcdserver: ";

// Errors of the store whose message is not etcd's, or which share their code with others. An empty `holds` is any.
struct Row {
  Code code;
  std::string_view holds;
  Grpc grpc;
  std::string_view message;  // empty: the error's own
};
constexpr Row kRows[] = {
    {Code::kExpired, "", Grpc::kOutOfRange, "mvcc: required revision has been compacted"},
    {Code::kInvalid, "future revision", Grpc::kOutOfRange, "mvcc: required revision is a future revision"},
    {Code::kInvalid, "too large lease TTL", Grpc::kOutOfRange, "too large lease TTL"},
    {Code::kInvalid, "", Grpc::kInvalidArgument, ""},
    {Code::kTooLarge, "operations in a txn", Grpc::kInvalidArgument, "too many operations in txn request"},
    {Code::kTooLarge, "", Grpc::kInvalidArgument, "request is too large"},
    {Code::kNoSpace, "to defragment", Grpc::kResourceExhausted, ""},
    {Code::kNoSpace, "", Grpc::kResourceExhausted, "mvcc: database space exceeded"},
    // Of changes of the group: what is in the way is for a person to read.
    {Code::kUnavailable, "caught up", Grpc::kFailedPrecondition,
     "can only promote a learner member which is in sync with leader"},
    {Code::kUnavailable, "too few of the members", Grpc::kUnavailable, ""},
    {Code::kUnavailable, "in sync", Grpc::kUnavailable, ""},
    {Code::kUnavailable, "defragment", Grpc::kUnavailable, ""},
    {Code::kUnavailable, "lead", Grpc::kUnavailable, ""},
    {Code::kUnavailable, "disk is full", Grpc::kUnavailable, ""},
    {Code::kConflict, "", Grpc::kFailedPrecondition, ""},
    {Code::kAlreadyExists, "this member", Grpc::kFailedPrecondition, ""},
    {Code::kAlreadyExists, "the group has", Grpc::kFailedPrecondition, ""},
    {Code::kAlreadyExists, "", Grpc::kFailedPrecondition, "lease already exists"},
    {Code::kNotFound, "", Grpc::kNotFound, ""},
    {Code::kMethodNotAllowed, "", Grpc::kUnimplemented, ""},
    {Code::kUnavailable, "", Grpc::kUnavailable, "server stopped"},
    {Code::kForbidden, "", Grpc::kPermissionDenied, ""},
    {Code::kCorrupt, "", Grpc::kDataLoss, "corrupt cluster"},
};

// For the codes that no row has.
struct CodeRow {
  Grpc grpc;
  Code code;
};
constexpr CodeRow kCodes[] = {
    {Grpc::kInvalidArgument, Code::kInvalid},
    {Grpc::kDeadlineExceeded, Code::kTimeout},
    {Grpc::kNotFound, Code::kNotFound},
    {Grpc::kAlreadyExists, Code::kAlreadyExists},
    {Grpc::kPermissionDenied, Code::kForbidden},
    {Grpc::kResourceExhausted, Code::kTooManyRequests},
    {Grpc::kFailedPrecondition, Code::kConflict},
    {Grpc::kOutOfRange, Code::kInvalid},
    {Grpc::kUnimplemented, Code::kMethodNotAllowed},
    {Grpc::kUnavailable, Code::kUnavailable},
    {Grpc::kDataLoss, Code::kCorrupt},
    {Grpc::kUnauthenticated, Code::kUnauthorized},
};

// Said by a member before it does anything: it knows no leader, has too much to do, or may not answer at all.
constexpr std::array<std::string_view, 4> kRefusals = {"no leader", "too many requests",
                                                       "rpc not supported for learner", "not leader"};

std::string_view without_prefix(std::string_view message) {
  return message.starts_with(kPrefix) ? message.substr(kPrefix.size()) : message;
}

}  // namespace

io::GrpcStatus status_of(const Error& error) {
  if (error.code() == Code::kCancelled) return io::GrpcStatus{Grpc::kCancelled, "context canceled"};
  for (const Row& row : kRows) {
    if (row.code != error.code() || error.message().find(row.holds) == std::string::npos) continue;
    const std::string_view message = row.message.empty() ? std::string_view(error.message()) : row.message;
    return io::GrpcStatus{row.grpc, cat(kPrefix, message)};
  }
  return io::GrpcStatus{Grpc::kUnknown, error.message()};
}

Error error_of(const io::GrpcStatus& status) {
  const std::string message(without_prefix(status.message));
  for (const Row& row : kRows) {
    if (!row.message.empty() && row.grpc == status.code && row.message == message) return Error(row.code, message);
  }
  // gRPC's own limit, which the server of etcd sets half a MiB above that of its requests.
  if (message.find("message larger than max") != std::string::npos) return Error(Code::kTooLarge, message);
  for (const CodeRow& row : kCodes) {
    if (row.grpc == status.code) return Error(row.code, message);
  }
  return Error(Code::kInternal, message);
}

bool refused_before_begun(const io::GrpcStatus& status) {
  return std::find(kRefusals.begin(), kRefusals.end(), without_prefix(status.message)) != kRefusals.end();
}

}  // namespace kayak::store::etcd
