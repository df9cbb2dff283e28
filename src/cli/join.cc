// join.cc: see join.h.
#include "cli/join.h"

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "cli/datastore.h"
#include "cli/join_client.h"
#include "cli/rejoin.h"
#include "io/tls.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;

constexpr Duration kCheckTimeout = 3s;
constexpr std::size_t kMaxPemBytes = 1 << 20;

std::string members_path(const std::string& server_dir) { return server_dir + "/db/members.json"; }

Error other_cluster(std::string_view what) {
  return Error(Code::kConflict, cat("this data directory belongs to another cluster than --server: ", what,
                                    ". To give up what is in it and join, move server/db and server/tls of the data "
                                    "directory away; to stay, start without --server"));
}

// A server that is a member needs no --server any more, and starts without anybody's leave. If the one that is named
// answers, it should be of the same cluster.
Task<Result<void>> check_same_cluster(Context context, std::string server, std::string own_ca_pem, StopToken stop) {
  io::Deadline deadline(context.loop, kCheckTimeout, stop);
  Result<std::string> ca = co_await fetch_ca(context, server, deadline.token());
  if (ca && *ca != own_ca_pem) {
    co_return other_cluster(
        cat("its CA has the SHA-256 ", ca_hash(own_ca_pem), ", that of ", server, " is ", ca_hash(*ca)));
  }
  context.log.info("this server is a member already: --server is not needed any more", {{"server", server}});
  co_return Result<void>();
}

// The token's CA is the one of the keys that are there, if there are any. Errors: Conflict, those of parse_token.
Result<void> check_token(const LocalState& state, const std::string& token) {
  if (token.empty() || state.server_ca_pem.empty()) return Result<void>();
  Result<Token> parsed = parse_token(token);
  if (!parsed) return parsed.error();
  const std::string own = ca_hash(state.server_ca_pem);
  if (parsed->ca_hash.empty() || parsed->ca_hash == own) return Result<void>();
  return other_cluster(cat("its CA has the SHA-256 ", own, ", the token names ", parsed->ca_hash));
}

// A database with all its data, whose member's key is gone: what it is to do about that only a person knows.
Error lost_key(const LocalState& state, const ServerOptions& options) {
  const std::string server_dir = options.data_dir + "/server";
  const std::string reset = cat("run `kayak server --cluster-reset --data-dir ", options.data_dir,
                                "`, which keeps all data that is here and makes a new key, then start as before");
  const bool only =
      state.peers && state.peers->members.size() == 1 && state.peers->members.front().name == options.node_name;
  std::string text = cat(server_dir, "/tls/peer.key is missing, the key by which ");
  if (only) {
    text += cat("this server is known as the only member of its cluster. Its database is there: ", reset);
  } else {
    text +=
        cat("the other servers of its cluster know this one. If they run, let it come back as another member: remove "
            "the one that it was (`kayak member list` and `kayak member remove` on one of them), move ",
            server_dir, "/db away, and start with --server and --token. If they are lost, or there were none, ", reset);
  }
  return Error(Code::kConflict, std::move(text));
}

Error needs_token() {
  return Error(Code::kInvalid,
               "--server needs --token or --token-file: what stands in <data-dir>/server/token of a "
               "server that is in the cluster");
}

Result<void> check_files(Random& random, const JoinBundle& bundle) {
  for (const auto& [name, content] : bundle.files) {
    if (name.ends_with(".crt")) {
      const Result<io::CertificateInfo> info = io::parse_certificate_pem(content);
      if (!info || (info->is_ca != (name != "peer.crt"))) return Error(Code::kBadRequest, cat("a wrong ", name));
      continue;
    }
    const Result<std::string> key = io::public_key_of(random, content);
    if (!key) return Error(Code::kBadRequest, cat("a wrong ", name));
    const auto certificate = bundle.files.find(name.substr(0, name.size() - 4) + ".crt");
    if (certificate == bundle.files.end()) continue;
    const Result<io::CertificateInfo> info = io::parse_certificate_pem(certificate->second);
    if (!info || info->public_key_sha256 != hex_encode(io::sha256(*key))) {
      return Error(Code::kBadRequest, cat(name, " is not the key of its certificate"));
    }
  }
  return Result<void>();
}

}  // namespace

bool LocalState::joining() const { return peers && (self == store::raft::kNobody || peers->find(self) == nullptr); }

bool LocalState::gave_up(store::raft::NodeId id) const {
  return std::find(replaced.begin(), replaced.end(), id) != replaced.end();
}

Result<LocalState> look_at(Random& random, const std::string& server_dir) {
  LocalState state;
  state.has_store = file_exists(server_dir + "/db/state.db");
  Result<std::string> ca = read_file(server_dir + "/tls/server-ca.crt", kMaxPemBytes);
  if (ca) state.server_ca_pem = std::move(*ca);
  if (!ca && ca.error().code() != Code::kNotFound) return ca.error();
  Result<std::string> key = read_file(server_dir + "/tls/peer.key", kMaxPemBytes);
  if (!key && key.error().code() != Code::kNotFound) return key.error();
  if (key) {
    Result<std::string> public_key = io::public_key_of(random, *key);
    if (!public_key) return Error(Code::kCorrupt, cat(server_dir, "/tls/peer.key: ", public_key.error().message()));
    state.self = store::member_id(hex_encode(io::sha256(*public_key)));
  }
  Result<store::MemberList> peers = store::read_member_list(members_path(server_dir));
  if (peers) state.peers = std::move(*peers);
  // The store has the truth; without a store this list says that a join has begun.
  if (!peers && peers.error().code() != Code::kNotFound && !state.has_store) return peers.error();
  Result<std::vector<store::raft::NodeId>> replaced = read_replaced(server_dir);
  if (!replaced) return replaced.error();
  state.replaced = std::move(*replaced);
  return state;
}

Result<bool> must_join(const LocalState& state, const ServerOptions& options, const std::string& token) {
  const bool comes_back = !state.replaced.empty() || has_lost_store(state, options);
  // With --server, too: the log of what it was is not one to go on with as a newcomer, who is to have none.
  if (state.has_store && state.self == store::raft::kNobody && !comes_back) return lost_key(state, options);
  if (options.server.empty()) {
    if (!state.joining() || comes_back) return false;
    return Error(
        Code::kConflict,
        "this server has begun to join a cluster and is not yet a member of it: start it with --server, or move "
        "server/db and server/tls of the data directory away to begin a cluster of its own");
  }
  if (auto same = check_token(state, token); !same) return same.error();
  if (state.has_store && !state.joining()) return false;
  if (comes_back && has_peers(state)) return false;  // it has all the keys
  if (token.empty()) return needs_token();
  return true;
}

Result<bool> must_share(const LocalState& state, const ServerOptions& options, const std::string& token) {
  const bool begun = state.peers.has_value() && !state.has_store;
  if (options.server.empty()) {
    if (!begun) return false;
    return Error(
        Code::kConflict,
        "this server has begun to take the keys of a cluster and has not got them all: start it with --server, "
        "or move server/db and server/tls of the data directory away to begin a cluster of its own");
  }
  if (auto same = check_token(state, token); !same) return same.error();
  if (!state.server_ca_pem.empty() && !begun) return false;
  if (token.empty()) return needs_token();
  return true;
}

Result<void> store_bundle(Random& random, const std::string& server_dir, const JoinBundle& bundle) {
  if (auto fine = check_files(random, bundle); !fine) return fine;
  const std::string tls = server_dir + "/tls";
  if (auto made = make_directories(tls, 0700); !made) return made;
  for (const auto& [name, content] : bundle.files) {
    const Result<std::string> old = read_file(cat(tls, "/", name), kMaxPemBytes);
    if (!old && old.error().code() != Code::kNotFound) return old.error();
    if (old && *old != content && name != "peer.crt")
      return other_cluster(cat(tls, "/", name, " is not the cluster's"));
  }
  if (auto begun = store::write_member_list(members_path(server_dir), bundle.members); !begun) return begun;
  // Keys first: a certificate without its key is taken for damage.
  for (const bool keys : {true, false}) {
    for (const auto& [name, content] : bundle.files) {
      if (name.ends_with(".key") != keys) continue;
      const std::string path = cat(tls, "/", name);
      if (auto written = write_file_atomic(path, content, keys ? 0600 : 0644); !written) return written;
    }
  }
  return Result<void>();
}

Result<std::string> given_token(const ServerOptions& options) {
  if (options.token_file.empty()) return options.token;
  Result<std::string> text = read_file(options.token_file, kMaxTokenBytes + 64);
  if (!text) return text.error().while_doing("--token-file");
  if (trim(*text).empty()) return Error(Code::kInvalid, cat("--token-file ", options.token_file, " is empty"));
  return std::string(trim(*text));
}

namespace {

// What a lost database asks for, before anything else is done. True: this server comes back as another member.
Result<bool> come_back(Context& context, LocalState* state, const ServerOptions& options) {
  const std::string server_dir = options.data_dir + "/server";
  const bool marked = !state->replaced.empty(), lost = has_lost_store(*state, options);
  // It has another key, and perhaps lost the database of that one, too.
  if (marked && !state->gave_up(state->self) && !lost) {
    if (state->joining() || !state->has_store) return true;
    if (auto forgotten = forget_replaced(server_dir); !forgotten) return forgotten.error();
    state->replaced.clear();
    return false;
  }
  // A database under a mark is not looked at: part of it may have been set aside.
  if (!marked && !lost) return false;
  context.log.error("this server's database is gone: it comes back as another member of its group",
                    {{"member", store::member_id_text(state->self)}});
  if (auto another = become_another(state, server_dir, context.clock.wall()); !another) return another.error();
  return true;
}

// The keys of the cluster that --server is in, proved by the token, in the data directory.
Task<Result<JoinBundle>> fetch_keys(Context context, const ServerOptions& options, std::string token, StopToken stop) {
  Result<Token> parsed = parse_token(token);
  if (!parsed) co_return parsed.error();
  JoinTarget target;
  target.server = options.server;
  target.token = std::move(*parsed);
  target.name = options.node_name;
  Result<JoinBundle> joined = co_await fetch_until_answered(context, target, stop);
  if (!joined) co_return joined.error().while_doing(cat("joining ", options.server));
  Random& random = context.random;
  const std::string server_dir = options.data_dir + "/server";
  const JoinBundle bundle = *joined;
  auto write = [&random, server_dir, bundle] { return store_bundle(random, server_dir, bundle); };
  Result<void> stored = co_await context.loop.offload(std::move(write));
  if (!stored) co_return stored.error().while_doing(cat("joining ", options.server));
  co_return joined;
}

// Servers on one etcd are no group of members: all that they share beside the data are their keys.
Task<Result<JoinOutcome>> share_keys(Context context, const ServerOptions& options, LocalState state, std::string token,
                                     StopToken stop) {
  JoinOutcome outcome;
  outcome.token = token;
  Result<bool> wanted = must_share(state, options, token);
  if (!wanted) co_return wanted.error();
  if (!*wanted) {
    if (options.server.empty()) co_return outcome;
    Result<void> same = co_await check_same_cluster(context, options.server, state.server_ca_pem, stop);
    if (!same) co_return same.error();
    co_return outcome;
  }
  Result<JoinBundle> bundle = co_await fetch_keys(context, options, std::move(token), stop);
  if (!bundle) co_return bundle.error();
  // All is there: the mark of what has begun goes.
  const Result<void> removed = remove_file(members_path(options.data_dir + "/server"));
  if (!removed) co_return removed.error();
  co_return outcome;
}

}  // namespace

Task<Result<JoinOutcome>> join_cluster(Context context, const ServerOptions& options, StopToken stop) {
  const std::string server_dir = options.data_dir + "/server";
  JoinOutcome outcome;
  Result<std::string> token = given_token(options);
  if (!token) co_return token.error();
  outcome.token = std::move(*token);
  Result<LocalState> state = look_at(context.random, server_dir);
  if (!state) co_return state.error();
  if (file_exists(server_dir + "/witness/state")) {
    co_return Error(Code::kConflict, cat(options.data_dir,
                                         " is the data directory of a witness: start it with --witness, "
                                         "or give the server a folder of its own"));
  }
  if (has_datastore(options)) {
    LocalState here = std::move(*state);
    co_return co_await share_keys(context, options, std::move(here), std::move(outcome.token), stop);
  }
  Result<bool> join = must_join(*state, options, outcome.token);
  if (!join) co_return join.error();
  Result<bool> comes_back = come_back(context, &*state, options);
  if (!comes_back) co_return comes_back.error();
  outcome.replaces = state->replaced;
  if (!*join) {
    if (*comes_back && state->peers) co_return rejoin(*state, outcome.token);
    if (state->peers) outcome.peers = *state->peers;
    if (options.server.empty()) co_return outcome;
    Result<void> same = co_await check_same_cluster(context, options.server, state->server_ca_pem, stop);
    if (!same) co_return same.error();
    co_return outcome;
  }
  Result<JoinBundle> bundle = co_await fetch_keys(context, options, outcome.token, stop);
  if (!bundle) co_return bundle.error();
  outcome.joining = true;
  outcome.peers = std::move(bundle->members);
  co_return outcome;
}

}  // namespace kayak::cli
