// join_client.h: the side of a joining that comes from outside: asks a server of the cluster for its CA, and for what a
// member needs. Writes nothing; join.h decides what becomes of it.
#pragma once

#include <string>

#include "cli/join_messages.h"
#include "cli/token.h"
#include "io/loop.h"

namespace kayak::cli {

struct JoinTarget {
  std::string server;  // https://host:port
  Token token;
  std::string name;  // of this server
  bool witness = false;
  std::string certificate_request;  // a witness'
};

// What `server` serves as its CA, from whoever answers there: believe it only when something else vouches for it.
// Errors: Unavailable (nobody there, or no such server), Timeout, Io, Invalid (no certificate).
Task<Result<std::string>> fetch_ca(Context context, std::string server, StopToken stop);

// Errors: Unauthorized (the token is not the cluster's, or its hash is that of another CA), Unavailable, Timeout, Io,
// TooManyRequests (ask again later), BadRequest (what it answered makes no sense).
Task<Result<JoinBundle>> fetch_bundle(Context context, JoinTarget target, StopToken stop);
// The same, asked again for as long as nobody answers. Errors: those that another try would not change, Cancelled.
Task<Result<JoinBundle>> fetch_until_answered(Context context, JoinTarget target, StopToken stop);

}  // namespace kayak::cli
