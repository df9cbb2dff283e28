// local_call.h: gRPC calls to the server of this machine, over <data-dir>/server/etcd.sock.
#pragma once

#include <functional>
#include <string>

#include "io/grpc.h"
#include "io/loop.h"

namespace kayak::cli {

using LocalWork = std::function<Task<Result<void>>(io::Http2Client& client)>;
// Connects, and disconnects when `work` has ended. Errors: Unavailable (no server runs on `data_dir`, or a witness),
// Forbidden (the socket is its owner's), those of `work`, which fails when `stop` fires.
Task<Result<void>> with_local_server(Context context, std::string data_dir, LocalWork work,
                                     StopToken stop = StopToken());
// What every call needs. `method`: "/etcdserverpb.Cluster/MemberList".
io::GrpcRequest local_request(std::string method);
// What the server says, without "gRPC UNAVAILABLE: etcdserver: ".
Error plain_error(const Error& error);
// One call, of at most 30 s. Errors: those of with_local_server, and plain ones of the server.
Task<Result<std::string>> call_local(Context context, std::string data_dir, std::string method, std::string message);

}  // namespace kayak::cli
