// status.h: errors of a store as etcd words them, and back: one table for the server and the client of etcd's API.
// Source: etcd v3.5, api/v3rpc/rpctypes (codes and messages).
#pragma once

#include <string_view>

#include "base/result.h"
#include "io/grpc_server.h"

namespace kayak::store::etcd {

// The code and the message that etcd has for it. The store's errors, and those of this folder: their messages are
// etcd's without its "etcdserver: ".
io::GrpcStatus status_of(const Error& error);

// What a status that is not OK stands for: the error that a store here would give. One that is not in the table keeps
// its message and has the code that fits the gRPC code best; Unavailable does not say whether anything was done.
Error error_of(const io::GrpcStatus& status);

// Whether the server says by `status` that it has not begun with the call, so that it may go to another server.
bool refused_before_begun(const io::GrpcStatus& status);

}  // namespace kayak::store::etcd
