// cluster.cc: see cluster.h.
#include "cli/cluster.h"

#include <algorithm>
#include <cstdio>

#include "base/files.h"
#include "base/strings.h"
#include "cli/damage.h"
#include "cli/host.h"
#include "cli/join.h"
#include "io/http.h"
#include "io/stream.h"
#include "io/tls.h"
#include "store/members.h"

namespace kayak::cli {

bool is_loopback(const std::string& ip) { return ip.starts_with("127.") || ip == "::1"; }

Addresses choose_addresses(const ServerOptions& options) {
  Addresses addresses;
  const bool any = options.bind_address == "0.0.0.0" || options.bind_address == "::";
  addresses.node = !options.node_ip.empty() ? options.node_ip : default_address();
  // A loopback address means another machine, or pod, to each who reads it: it is listened on, not told.
  addresses.advertise = !options.advertise_address.empty()         ? options.advertise_address
                        : any || is_loopback(options.bind_address) ? addresses.node
                                                                   : options.bind_address;
  addresses.local = any ? "127.0.0.1" : options.bind_address;
  return addresses;
}

Result<store::MemberRecord> member_of(const ServerOptions& options, const std::string& peer_certificate_pem,
                                      const std::string& advertise, store::MemberRecord::Role role) {
  Result<io::CertificateInfo> info = io::parse_certificate_pem(peer_certificate_pem);
  if (!info) return info.error();
  store::MemberRecord member;
  member.name = options.node_name.empty() ? host_name() : options.node_name;
  member.addresses = options.peer_addresses;
  if (member.addresses.empty()) {
    io::Endpoint endpoint;
    endpoint.ip = advertise;
    endpoint.port = options.https_listen_port;
    member.addresses.push_back(endpoint.to_string());
  }
  member.key = info->public_key_sha256;
  member.id = store::member_id(member.key);
  member.role = role;
  if (auto fine = store::check_member(member); !fine) return fine.error();
  return member;
}

Result<ClusterIdentity> identify(Random& random, const ServerOptions& options, const ServerKeys& keys,
                                 const std::string& advertise, const std::string& given_token) {
  ClusterIdentity identity;
  Result<std::string> cluster = store::cluster_id(keys.peer_ca.certificate_pem);
  if (!cluster) return cluster.error();
  identity.cluster = std::move(*cluster);
  Result<store::MemberRecord> self =
      member_of(options, keys.peer.certificate_pem, advertise, store::MemberRecord::Role::kVoter);
  if (!self) return self.error();
  identity.self = std::move(*self);
  Result<Token> token = keep_token(random, options.data_dir + "/server", keys.server_ca.certificate_pem, given_token,
                                   &identity.token_changed);
  if (!token) return token.error();
  identity.token = std::move(*token);
  return identity;
}

store::Announcement announcement_of(const store::MemberRecord& self, const store::MemberList& known,
                                    const std::string& server) {
  store::Announcement announcement;
  announcement.self = self;
  announcement.cluster = known.cluster;
  announcement.returns = known.find(self.id) != nullptr;
  const auto ask_at = [&addresses = announcement.addresses, &own = self.addresses](const std::string& address) {
    const bool is_own = std::find(own.begin(), own.end(), address) != own.end();
    const bool is_asked = std::find(addresses.begin(), addresses.end(), address) != addresses.end();
    if (!is_own && !is_asked) addresses.push_back(address);
  };
  // The one that a person named first: a list may be of a time when others were where it says.
  const Result<io::Url> url = io::parse_url(server);
  if (url && !server.empty()) ask_at(io::Endpoint{url->host, url->port}.to_string());
  for (const store::MemberRecord& member : known.members) {
    if (member.id == self.id || member.role == store::MemberRecord::Role::kWitness) continue;
    for (const std::string& address : member.addresses) ask_at(address);
  }
  return announcement;
}

namespace {

Result<void> reset(const ServerOptions& options) {
  const std::string server_dir = options.data_dir + "/server", database = server_dir + "/db/state.db";
  if (!file_exists(database)) return Error(Code::kNotFound, cat("no server has run on ", options.data_dir));
  SystemRandom random;
  Result<LocalState> state = look_at(random, server_dir);
  if (!state) return state.error();
  // A server that has lost its key goes on under another one. It is on disk last: until then it is missing as before,
  // and the reset can be run again.
  Result<std::string> fresh_key = std::string();
  if (state->self == store::raft::kNobody) {
    fresh_key = io::generate_key_pem(random);
    if (!fresh_key) return fresh_key.error();
    const Result<std::string> public_key = io::public_key_of(random, *fresh_key);
    if (!public_key) return public_key.error();
    state->self = store::member_id(hex_encode(io::sha256(*public_key)));
  }
  if (auto done = store::reset_membership(database, state->self); !done) return done;
  if (!fresh_key->empty()) {
    if (auto made = make_directories(server_dir + "/tls", 0700); !made) return made;
    if (auto written = write_file_atomic(server_dir + "/tls/peer.key", *fresh_key, 0600); !written) return written;
  }
  // Nobody but this server is asked for anything at the next start.
  if (!state->peers) return Result<void>();
  std::erase_if(state->peers->members, [&](const store::MemberRecord& member) { return member.id != state->self; });
  if (state->peers->members.empty()) return remove_file(server_dir + "/db/members.json");
  return store::write_member_list(server_dir + "/db/members.json", *state->peers);
}

}  // namespace

int run_cluster_reset(const ServerOptions& options) {
  if (const Result<void> done = reset(options); !done) {
    const Error error = done.error().code() == Code::kCorrupt
                            ? with_way_out(done.error(), options, SystemClock().wall())
                            : done.error();
    std::fprintf(stderr, "kayak: resetting the cluster: %s\n", error.message().c_str());
    return 1;
  }
  std::printf(
      "This server is now the only member of its cluster, with all the data that it had.\n"
      "Start it without --cluster-reset. The other servers must not come back as they are: on each of them stop "
      "kayak,\n"
      "move <data-dir>/server/db and <data-dir>/server/tls away, and start it with --server and --token to join "
      "again.\n");
  return 0;
}

}  // namespace kayak::cli
