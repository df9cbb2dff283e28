// join_server.h: the side of a joining that is in the cluster already: serves the CA's certificate, and the keys to who
// knows the token. Stands in front of the API's handler, as neither needs the store.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/failure_limiter.h"
#include "cli/join_messages.h"
#include "cli/pki.h"
#include "io/http.h"

namespace kayak::cli {

class JoinServer {
 public:
  // Asked whenever a bundle is made: who can be reached at the moment.
  using MemberSource = std::function<std::vector<store::MemberRecord>()>;
  // `secret`: of the token.
  JoinServer(Context context, const ServerKeys& keys, std::string secret, MemberSource members);

  // Answers its own paths, and leaves all others to `next`. This outlives the exchanges.
  io::HttpHandler in_front_of(io::HttpHandler next);

 private:
  Task<void> serve_ca(io::HttpExchange& exchange);
  Task<void> serve_bundle(io::HttpExchange& exchange);
  Task<Result<std::string>> answer(io::HttpExchange& exchange);
  Result<JoinBundle> bundle_for(const JoinRequest& request);
  Task<void> derive_key();

  Context context_;
  const ServerKeys& keys_;
  const std::string secret_;
  const MemberSource members_;
  FailureLimiter limiter_;
  std::optional<JoinKey> key_;  // made at the first request: most servers never see one
  bool deriving_ = false;
  io::Event derived_;
};

}  // namespace kayak::cli
