// local_call.h: one gRPC call to the server of this machine, over <data-dir>/server/etcd.sock.
#pragma once

#include <string>

#include "io/loop.h"

namespace kayak::cli {

// `method`: "/etcdserverpb.Cluster/MemberList". Errors: Unavailable (no server runs on `data_dir`), Forbidden (the
// socket is its owner's), those of the call: what the server says of it, without "etcdserver: ".
Task<Result<std::string>> call_local(Context context, std::string data_dir, std::string method, std::string message);

}  // namespace kayak::cli
