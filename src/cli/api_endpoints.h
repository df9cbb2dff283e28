// api_endpoints.h: the endpoints of Service default/kubernetes: the addresses of all API servers that answer.
// Whoever leads writes them, as Endpoints and EndpointSlice. Where the servers are the members of a group, the leader
// knows who answers; on an external etcd each server keeps a key with a lease there, as kube-apiserver does.
// Source: kube-apiserver pkg/controlplane/reconcilers (lease: /registry/masterleases, 15 s).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/api.h"
#include "api/kubernetes_endpoints.h"
#include "store/members.h"
#include "store/store.h"

namespace kayak::cli {

// Whether a server is to be among the endpoints: kIn, in any case; kLevel, it can serve, which has to be seen twice of
// one that was not; kUnclear, as it was; kOut, it cannot: it does not answer, or does not keep up with the others.
enum class Standing : std::uint8_t { kIn, kLevel, kUnclear, kOut };
Standing standing_of(const store::Member& member);
struct SeenServer {
  api::ApiAddress at;
  Standing standing = Standing::kIn;
};

// Which servers are told, from one look to the next: one that falls behind now and then must not come and go, and
// neither must all when another server begins to lead, which knows little yet. Pure.
class ToldServers {
 public:
  // `told`: by the endpoints, as they are; nullopt: there are none yet.
  explicit ToldServers(const std::optional<std::vector<api::ApiAddress>>& told);
  std::vector<api::ApiAddress> look(const std::vector<SeenServer>& seen);
  bool somebody_returns() const { return !returning_.empty(); }  // who is told after the next look if it is level then

 private:
  bool all_ = false;  // nothing is told yet
  std::set<api::ApiAddress> told_, returning_;
};

struct ApiAddresses {
  // Errors: those of the store. An empty list changes nothing; no function: somebody else keeps the endpoints.
  std::function<Task<Result<std::vector<SeenServer>>>(StopToken stop)> list;
  // Set when there may be others; null: nobody tells. Then there is also whether there are any, answering or not.
  io::Event* changed = nullptr;
  std::function<bool()> any_others;
  Duration period = std::chrono::seconds(10);
};

// Writes what is not as it is to be, until `stop`. Looks every `period`, as servers fall silent or behind and anyone
// may have changed or deleted the objects, and after 5 s when a server comes back; where there are no others it sleeps
// until it is told of some, or sees that the objects change.
Task<Result<void>> keep_api_endpoints(Context context, api::ApiServer& api, std::uint64_t term, ApiAddresses addresses,
                                      StopToken stop);

// Members' addresses as Endpoints can hold them, which is IPs: a name (--peer-address) is looked up. What was found
// stands for five minutes, and for as long as nothing else can be found; the log tells once of a name without an
// address.
class MemberAddresses {
 public:
  using Resolve = std::function<Task<Result<std::vector<std::string>>>(std::string host, StopToken stop)>;
  MemberAddresses(Context context, Resolve resolve) : context_(std::move(context)), resolve_(std::move(resolve)) {}
  // Where the member that has `addresses` ("host:port") is; nothing when none of them can be told.
  Task<std::optional<api::ApiAddress>> find(std::vector<std::string> addresses, StopToken stop);

 private:
  struct Found {
    std::string ip;  // empty: not yet
    Instant at;
  };
  Task<std::string> look_up(std::string host, StopToken stop);

  Context context_;
  const Resolve resolve_;
  std::map<std::string, Found> found_;  // by name
  std::set<std::string> told_;
};

// On an external etcd: keeps this server's key, until `stop`.
Task<Result<void>> keep_master_lease(Context context, store::Store& store, api::ApiAddress self, StopToken stop);
Task<Result<std::vector<api::ApiAddress>>> read_master_leases(store::Store& store, StopToken stop);

}  // namespace kayak::cli
