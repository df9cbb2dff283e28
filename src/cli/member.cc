// member.cc: `kayak member list|add|remove|promote`: asks the server of this machine, which carries changes to the
// leader.
#include "store/member.h"

#include <algorithm>
#include <cstdio>

#include "base/json.h"
#include "base/strings.h"
#include "cli/local_call.h"
#include "cli/process.h"
#include "cli/server.h"
#include "store/etcd/messages.h"

namespace kayak::cli {

namespace {

namespace etcd = store::etcd;
using namespace std::chrono_literals;

constexpr Duration kElection = 5s, kLook = 250ms;

struct Listing {
  std::vector<etcd::Member> members;
  std::uint64_t leader = 0;
};

template <typename A, typename Q>
Task<Result<A>> call(Context context, std::string data_dir, std::string method, Q request) {
  Result<std::string> bytes =
      co_await call_local(context, std::move(data_dir), cat("/etcdserverpb.", method), etcd::encode(request));
  if (!bytes) co_return bytes.error();
  co_return etcd::decode<A>(*bytes);
}

// On an existing etcd there is nothing to list or to change here.
Error no_group() {
  return Error(Code::kMethodNotAllowed,
               "this server keeps its data in an existing etcd (--datastore-endpoint), which looks after its members "
               "itself: use `etcdctl member` with that etcd's endpoints. Servers on one etcd are no members of "
               "anything: another one is started with the same --datastore-endpoint, and --server and --token-file to "
               "take the keys");
}

Task<Result<Listing>> fetch_listing(Context context, std::string data_dir) {
  auto members = co_await call<etcd::MemberListResponse>(context, data_dir, "Cluster/MemberList", etcd::Empty());
  if (!members) co_return members.error();
  if (members->external) co_return no_group();
  auto status = co_await call<etcd::StatusResponse>(context, data_dir, "Maintenance/Status", etcd::Empty());
  if (!status) co_return status.error();
  Listing listing;
  listing.members = std::move(members->members);
  listing.leader = status->leader;
  co_return listing;
}

const char* role_of(const etcd::Member& member) {
  if (member.witness) return "witness";
  return member.is_learner ? "learner" : "voter";
}

std::vector<std::string> addresses_of(const etcd::Member& member) {
  std::vector<std::string> addresses;
  for (const std::string& url : member.peer_urls) {
    constexpr std::string_view kScheme = "https://";
    addresses.push_back(url.starts_with(kScheme) ? url.substr(kScheme.size()) : url);
  }
  return addresses;
}

void print_table(const Listing& listing) {
  std::vector<std::vector<std::string>> lines = {{"ID", "NAME", "ROLE", "LEADER", "ADDRESSES"}};
  for (const etcd::Member& member : listing.members) {
    lines.push_back({store::member_id_text(member.id), member.name, role_of(member),
                     member.id == listing.leader ? "true" : "false", join(addresses_of(member), ",")});
  }
  std::vector<std::size_t> widths(lines.front().size(), 0);
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text += std::string(widths[i] - line[i].size() + 3, ' ');
    }
    std::printf("%s\n", std::string(text, 0, text.find_last_not_of(' ') + 1).c_str());
  }
}

void print_json(const Listing& listing) {
  json::Array members;
  for (const etcd::Member& member : listing.members) {
    json::Value one;
    one["id"] = store::member_id_text(member.id);
    one["name"] = member.name;
    one["role"] = role_of(member);
    one["leader"] = member.id == listing.leader;
    json::Array addresses;
    for (const std::string& address : addresses_of(member)) addresses.emplace_back(address);
    one["addresses"] = std::move(addresses);
    members.push_back(std::move(one));
  }
  json::Value out;
  out["members"] = std::move(members);
  std::printf("%s\n", json::write_pretty(out).c_str());
}

std::string no_leader(const std::string& data_dir) {
  return cat(
      "this cluster has no leader now: nothing can be written or changed until more than half of its votes are "
      "there. If most of them are lost for good, stop the server that is left and run `kayak server "
      "--cluster-reset --data-dir ",
      data_dir, "`");
}

// What a person would want to know about such a group.
void warn(const Listing& listing, const std::string& data_dir) {
  if (listing.members.empty()) {
    std::fprintf(stderr, "warning: this server is no member of its cluster yet: its log says what it waits for\n");
    return;
  }
  if (listing.leader == 0) std::fprintf(stderr, "warning: %s\n", no_leader(data_dir).c_str());
  const auto votes = std::count_if(listing.members.begin(), listing.members.end(),
                                   [](const etcd::Member& member) { return !member.is_learner; });
  if (votes == 0 || votes % 2 != 0) return;
  std::fprintf(stderr,
               "warning: %d votes survive the loss of %d, no more than %d would; add a server%s, or remove one\n",
               static_cast<int>(votes), static_cast<int>((votes - 1) / 2), static_cast<int>(votes - 1),
               votes == 2 ? " or a witness (kayak server --witness)" : "");
}

// The member that `text` names: by its id, else by its name when only one has it. Errors: NotFound, Invalid.
Result<std::uint64_t> find_member(const Listing& listing, const std::string& text) {
  std::vector<const etcd::Member*> found;
  for (const etcd::Member& member : listing.members) {
    if (member.id == store::parse_member_id(text) && text.size() == 16) return member.id;
    if (member.name == text) found.push_back(&member);
  }
  if (found.empty()) return Error(Code::kNotFound, cat("no member has the id or the name ", quote(text)));
  if (found.size() > 1)
    return Error(Code::kInvalid, cat(found.size(), " members are called ", quote(text), ": name its id"));
  return found.front()->id;
}

// An election takes a second or two; without a majority none ever ends. Errors: Unavailable.
Task<Result<void>> wait_for_leader(Context context, Listing listing, std::string data_dir) {
  const Instant until = context.clock.now() + kElection;
  while (listing.leader == 0) {
    if (context.clock.now() >= until) co_return Error(Code::kUnavailable, no_leader(data_dir));
    (void)co_await context.loop.sleep(kLook, StopToken());
    Result<Listing> now = co_await fetch_listing(context, data_dir);
    if (!now) co_return now.error();
    listing = std::move(*now);
  }
  co_return Result<void>();
}

Task<Result<void>> run(Context context, MemberOptions options) {
  Result<Listing> listing = co_await fetch_listing(context, options.data_dir);
  if (!listing) co_return listing.error();
  if (options.verb == "list") {
    options.json ? print_json(*listing) : print_table(*listing);
    if (!options.json) warn(*listing, options.data_dir);
    co_return Result<void>();
  }
  if (options.verb == "add") {
    std::string first = "<a server of the cluster>:6443";
    for (const etcd::Member& member : listing->members) {
      const std::vector<std::string> addresses = addresses_of(member);
      if (member.witness || addresses.empty()) continue;
      first = addresses.front();
      break;
    }
    std::printf(
        "A server joins by itself. On the new machine, with a copy of %s/server/token:\n\n"
        "  kayak server --server https://%s --token-file <the copy>\n\n"
        "It becomes a voter when it has caught up. A third vote for two servers, without data:\n\n"
        "  kayak server --witness --server https://%s --token-file <the copy>\n",
        options.data_dir.c_str(), first.c_str(), first.c_str());
    co_return Result<void>();
  }
  Result<std::uint64_t> id = find_member(*listing, options.member);
  if (!id) co_return id.error();
  const bool remove = options.verb == "remove";
  if (remove && listing->members.size() == 1) {
    co_return Error(Code::kConflict, cat("member ", options.member,
                                         " is the only one of its cluster: to give that up, stop the server and move ",
                                         options.data_dir, " away"));
  }
  if (auto led = co_await wait_for_leader(context, *listing, options.data_dir); !led) co_return led.error();
  etcd::MemberIdRequest request;
  request.id = *id;
  auto done = co_await call<etcd::MemberListResponse>(
      context, options.data_dir, remove ? "Cluster/MemberRemove" : "Cluster/MemberPromote", request);
  if (!done) co_return done.error();
  std::printf("member %s %s\n", store::member_id_text(*id).c_str(), remove ? "removed" : "promoted");
  co_return Result<void>();
}

}  // namespace

int run_member(const MemberOptions& options) {
  return run_tool([&options](const Context& context) { return context.loop.run(run(context, options)); });
}

}  // namespace kayak::cli
