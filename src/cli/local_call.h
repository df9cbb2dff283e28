// local_call.h: gRPC calls to the server of this machine, over <data-dir>/server/etcd.sock.
#pragma once

#include <functional>
#include <string>

#include "io/grpc.h"
#include "io/loop.h"

namespace kayak::cli {

using LocalWork = std::function<Task<Result<void>>(io::Http2Client& client)>;
// Connects, and disconnects when `work` has ended. Errors: Unavailable (no server runs on `data_dir`), Forbidden (the
// socket is its owner's), those of `work`.
Task<Result<void>> with_local_server(Context context, std::string data_dir, LocalWork work);
// What every call needs. `method`: "/etcdserverpb.Cluster/MemberList".
io::GrpcRequest local_request(std::string method);
// One call, of at most 30 s. Errors: those of with_local_server, and what the server says, without "etcdserver: ".
Task<Result<std::string>> call_local(Context context, std::string data_dir, std::string method, std::string message);

}  // namespace kayak::cli
