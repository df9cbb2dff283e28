// cluster.cc: etcd's Cluster service and Maintenance.MoveLeader, over Members.
// Servers join by themselves, with a key that MemberAdd has no word for: it says so instead.
// Source: etcd v3.5 API.
#include <algorithm>

#include "base/strings.h"
#include "store/etcd/service.h"

namespace kayak::store::etcd {

namespace {

constexpr std::string_view kScheme = "https://";

Member shown(const store::Member& member) {
  Member out;
  out.id = member.id;
  out.name = member.name;
  for (const std::string& address : member.addresses) out.peer_urls.push_back(cat(kScheme, address));
  out.is_learner = member.role == store::Member::Role::kLearner;
  out.witness = member.role == store::Member::Role::kWitness;
  return out;
}

std::vector<Member> all_members(const Backend& backend) {
  std::vector<Member> out;
  if (backend.options.members) {
    for (const store::Member& member : backend.options.members->members()) out.push_back(shown(member));
  } else {
    out.emplace_back().id = backend.options.member_id;
    out.back().name = backend.options.name;
  }
  for (Member& member : out) {
    if (member.id == backend.options.member_id) member.client_urls = backend.options.client_urls;
  }
  return out;
}

MemberListResponse list_of(const Backend& backend) {
  MemberListResponse out;
  out.header = backend.header();
  out.members = all_members(backend);
  out.external = backend.options.members == nullptr;
  return out;
}

Error external() {
  return Error(Code::kMethodNotAllowed, "the store is an external etcd, which looks after its members itself");
}

Result<void> check_member(const Backend& backend, std::uint64_t id) {
  const std::vector<Member> members = all_members(backend);
  if (std::any_of(members.begin(), members.end(), [id](const Member& one) { return one.id == id; })) return {};
  return Error(Code::kNotFound, "member not found");
}

Task<Result<MemberListResponse>> member_list(const Backend& backend, Empty, StopToken) { co_return list_of(backend); }

Task<Result<MemberAddResponse>> member_add(const Backend& backend, MemberAddRequest, StopToken) {
  if (!backend.options.members) co_return external();
  co_return Error(Code::kConflict,
                  "servers join by themselves: start the new one with `kayak server --server https://<this "
                  "server>:<port> --token-file <copy of <data-dir>/server/token>`");
}

Task<Result<MemberListResponse>> member_remove(const Backend& backend, MemberIdRequest request, StopToken stop) {
  if (!backend.options.members) co_return external();
  Result<void> done = check_member(backend, request.id);
  if (done) done = co_await backend.options.members->remove(request.id, stop);
  if (!done) co_return done.error();
  co_return list_of(backend);
}

Task<Result<MemberListResponse>> member_promote(const Backend& backend, MemberIdRequest request, StopToken stop) {
  if (!backend.options.members) co_return external();
  Result<void> done = check_member(backend, request.id);
  if (done) done = co_await backend.options.members->promote(request.id, stop);
  if (!done) co_return done.error();
  co_return list_of(backend);
}

Task<Result<MemberListResponse>> member_update(const Backend& backend, MemberUpdateRequest request, StopToken stop) {
  if (!backend.options.members) co_return external();
  Result<void> done = check_member(backend, request.id);
  if (!done) co_return done.error();
  std::vector<std::string> addresses;
  for (const std::string& url : request.peer_urls) {
    if (!url.starts_with(kScheme)) co_return Error(Code::kInvalid, "given member URLs are invalid");
    addresses.push_back(url.substr(kScheme.size()));
    if (!parse_host_port(addresses.back())) co_return Error(Code::kInvalid, "given member URLs are invalid");
  }
  if (addresses.empty()) co_return Error(Code::kInvalid, "given member URLs are invalid");
  done = co_await backend.options.members->update_addresses(request.id, std::move(addresses), stop);
  if (!done) co_return done.error();
  co_return list_of(backend);
}

Task<Result<HeaderResponse>> move_leader(const Backend& backend, MemberIdRequest request, StopToken stop) {
  if (!backend.options.members) co_return external();
  Result<void> done = check_member(backend, request.id);
  if (done) done = co_await backend.options.members->transfer_leadership(request.id, stop);
  if (!done) co_return done.error();
  HeaderResponse out;
  out.header = backend.header();
  co_return out;
}

}  // namespace

void add_cluster(const Backend& backend, io::GrpcRouter* router) {
  constexpr std::string_view kService = "etcdserverpb.Cluster";
  router->add(kService, "MemberList", unary(backend, member_list));
  router->add(kService, "MemberAdd", unary(backend, member_add));
  router->add(kService, "MemberRemove", unary(backend, member_remove));
  router->add(kService, "MemberPromote", unary(backend, member_promote));
  router->add(kService, "MemberUpdate", unary(backend, member_update));
  router->add("etcdserverpb.Maintenance", "MoveLeader", unary(backend, move_leader));
}

}  // namespace kayak::store::etcd
