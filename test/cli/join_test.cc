// join_test.cc: a server asks another for the keys over real TLS, and what both make of a wrong token, a wrong CA and a
// data directory that belongs elsewhere.
#include "cli/join.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "cli/cluster.h"
#include "cli/join_client.h"
#include "cli/join_server.h"
#include "cli/pki.h"
#include "cli/rejoin.h"
#include "io/http.h"
#include "io/tls.h"
#include "support/scratch.h"

namespace kayak::cli {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

const std::string kSecret = "cluster-0123456789abcdef";

struct Folder {
  Folder() { fs::create_directories(path + "/server/db"); }
  std::string server() const { return path + "/server"; }
  kayak::test::Scratch scratch;
  std::string path = scratch.path();
};

ServerKeys keys_in(const Folder& folder) {
  SystemRandom random;
  ServerKeyOptions options;
  options.tls_dir = folder.server() + "/tls";
  Result<ServerKeys> keys = load_or_make_server_keys(random, SystemClock().wall(), options);
  REQUIRE(keys);
  return *keys;
}

store::MemberRecord record_of(const ServerKeys& keys) {
  store::MemberRecord member;
  member.name = "first";
  member.addresses = {"127.0.0.1:6443"};
  member.key = io::parse_certificate_pem(keys.peer.certificate_pem)->public_key_sha256;
  member.id = store::member_id(member.key);
  return member;
}

template <typename T>
Task<Result<void>> capture(Task<T> task, std::optional<T>* out) {
  Task<T> owned = std::move(task);
  out->emplace(co_await owned);
  co_return Result<void>();
}

Task<void> not_found(io::HttpExchange& exchange) {
  io::Slices body;
  body.push_back(io::Slice::of("nothing\n"));
  (void)co_await exchange.send(404, io::Headers(), std::move(body));
}

// The first server of a cluster, as far as a joining one sees it.
class First {
 public:
  First() : keys(keys_in(folder)), joins_(context(), keys, kSecret, [this] { return std::vector{record_of(keys)}; }) {
    io::TlsServerOptions options;
    options.certificate_pem = keys.serving.certificate_pem;
    options.key_pem = keys.serving.key_pem;
    options.client_ca_pem = keys.client_ca.certificate_pem;
    options.alpn = {"h2", "http/1.1"};
    tls_ = *io::TlsServer::create(context(), std::move(options));
    io::Endpoint endpoint;
    endpoint.ip = "127.0.0.1";
    auto listener = io::listen_tcp(context(), endpoint);
    REQUIRE(listener);
    http_ = io::HttpServer::create(context(), std::move(*listener), tls_.get(), io::HttpLimits(),
                                   joins_.in_front_of(not_found));
    url = cat("https://", http_->local().to_string());
    scope_.spawn(http_->run(scope_.token(), 0s));
  }
  Context context() { return Context{loop_, clock_, random_, Log::discard(), metrics_}; }
  ~First() {
    scope_.stop();
    CHECK(loop_.run(scope_.join()));
  }
  // Runs `task` beside the server.
  template <typename T>
  T run(Task<T> task) {
    std::optional<T> out;
    REQUIRE(loop_.run(capture(std::move(task), &out)));
    REQUIRE(out);
    return std::move(*out);
  }
  JoinTarget target(const std::string& token) const {
    JoinTarget target;
    target.server = url;
    target.token = *parse_token(token);
    target.name = "second";
    return target;
  }
  Result<JoinBundle> fetch(JoinTarget target) { return run(fetch_bundle(context(), std::move(target), StopToken())); }
  std::string token() const { return format_token(keys.server_ca.certificate_pem, kSecret); }

 private:
  Loop loop_;
  SystemClock clock_;
  SystemRandom random_;
  Metrics metrics_;

 public:
  const Folder folder;
  const ServerKeys keys;
  std::string url;

 private:
  JoinServer joins_;
  std::unique_ptr<io::TlsServer> tls_;
  std::unique_ptr<io::HttpServer> http_;
  io::TaskScope scope_;
};

TEST_CASE("a server that knows the token gets the cluster's keys and members") {
  First first;
  for (const std::string& token : {first.token(), kSecret}) {
    const Result<JoinBundle> joined = first.fetch(first.target(token));
    INFO((joined ? "" : joined.error().message()));
    REQUIRE(joined);
    CHECK(joined->files.at("server-ca.crt") == first.keys.server_ca.certificate_pem);
    CHECK(joined->files.at("peer-ca.key") == first.keys.peer_ca.key_pem);
    CHECK(joined->files.at("service-account.key") == first.keys.service_account_key_pem);
    CHECK(joined->members.members == std::vector{record_of(first.keys)});
    CHECK(joined->members.cluster == *store::cluster_id(first.keys.peer_ca.certificate_pem));
  }
}

TEST_CASE("a witness gets a certificate for its own key, and no other key") {
  First first;
  SystemRandom random;
  const std::string key = *io::generate_key_pem(random);
  JoinTarget target = first.target(first.token());
  target.witness = true;
  target.certificate_request = *io::make_certificate_request(random, "kayak-peer", key);
  const Result<JoinBundle> joined = first.fetch(target);
  INFO((joined ? "" : joined.error().message()));
  REQUIRE(joined);
  for (const auto& [name, content] : joined->files) CHECK(content.find("PRIVATE") == std::string::npos);
  const auto info = io::parse_certificate_pem(joined->files.at("peer.crt"));
  REQUIRE(info);
  CHECK(info->public_key_sha256 == hex_encode(io::sha256(*io::public_key_of(random, key))));
  target.certificate_request = "nonsense";
  CHECK_FALSE(first.fetch(target));
}

TEST_CASE("who does not know the token gets nothing") {
  First first;
  const Result<JoinBundle> wrong = first.fetch(first.target("another-secret-of-some-length"));
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code() == Code::kUnauthorized);
  CHECK(wrong.error().message().find("not this cluster's") != std::string::npos);
  const Result<JoinBundle> other_ca = first.fetch(first.target(cat("K10", std::string(64, 'a'), "::server:", kSecret)));
  REQUIRE_FALSE(other_ca);
  CHECK(other_ca.error().code() == Code::kUnauthorized);
  CHECK(other_ca.error().message().find("another cluster") != std::string::npos);
  // One was counted above; a wrong hash is noticed before anything is asked. What takes long has some forgiven
  // meanwhile.
  int failures = 1;
  Code code = Code::kUnauthorized;
  for (; failures < 10 * FailureLimiter::kBurst; ++failures) {
    code = first.fetch(first.target("another-secret-of-some-length")).error().code();
    if (code != Code::kUnauthorized) break;
  }
  CHECK(code == Code::kTooManyRequests);
  CHECK(failures >= FailureLimiter::kBurst);
  CHECK(first.fetch(first.target(first.token())).error().code() == Code::kTooManyRequests);
}

TEST_CASE("a join, from an empty folder to the keys in it") {
  First first;
  const Folder second;
  ServerOptions options;
  options.data_dir = second.path;
  options.server = first.url;
  options.token = first.token();
  options.node_name = "second";
  Result<JoinOutcome> join = first.run(join_cluster(first.context(), options, StopToken()));
  INFO((join ? "" : join.error().message()));
  REQUIRE(join);
  CHECK(join->joining);
  CHECK(join->peers.members == std::vector{record_of(first.keys)});
  const ServerKeys keys = keys_in(second);
  CHECK(keys.server_ca.key_pem == first.keys.server_ca.key_pem);
  CHECK(keys.service_account_key_pem == first.keys.service_account_key_pem);
  CHECK(keys.peer.key_pem != first.keys.peer.key_pem);

  SECTION("is gone on with when it broke off") {
    fs::remove(second.server() + "/tls/client-ca.crt");
    fs::remove(second.server() + "/tls/client-ca.key");
    join = first.run(join_cluster(first.context(), options, StopToken()));
    REQUIRE(join);
    CHECK(join->joining);
    CHECK(keys_in(second).client_ca.key_pem == first.keys.client_ca.key_pem);
  }
  SECTION("is not taken for a cluster of its own without --server") {
    options.server.clear();
    join = first.run(join_cluster(first.context(), options, StopToken()));
    REQUIRE_FALSE(join);
    CHECK(join.error().code() == Code::kConflict);
    CHECK(join.error().message().find("begun to join") != std::string::npos);
  }
  SECTION("is over when the server is a member") {
    store::MemberList list = join->peers;
    store::MemberRecord self = record_of(keys);
    self.name = "second";
    list.members.push_back(self);
    REQUIRE(store::write_member_list(second.server() + "/db/members.json", list));
    REQUIRE(write_file_atomic(second.server() + "/db/state.db", "", 0600));
    options.token.clear();  // not needed any more
    join = first.run(join_cluster(first.context(), options, StopToken()));
    INFO((join ? "" : join.error().message()));
    REQUIRE(join);
    CHECK_FALSE(join->joining);
    options.server.clear();
    CHECK_FALSE(first.run(join_cluster(first.context(), options, StopToken()))->joining);
  }
  SECTION("does not lead into another cluster") {
    First other;
    options.server = other.url;
    options.token = other.token();
    join = other.run(join_cluster(other.context(), options, StopToken()));
    REQUIRE_FALSE(join);
    CHECK(join.error().code() == Code::kConflict);
    options.token = kSecret;  // names no CA: the keys do not fit
    join = other.run(join_cluster(other.context(), options, StopToken()));
    REQUIRE_FALSE(join);
    CHECK(join.error().code() == Code::kConflict);
    REQUIRE(write_file_atomic(second.server() + "/db/state.db", "", 0600));
    fs::remove(second.server() + "/db/members.json");
    options.token.clear();  // a member of the one that is to be one of the other
    join = other.run(join_cluster(other.context(), options, StopToken()));
    REQUIRE_FALSE(join);
    CHECK(join.error().message().find("belongs to another cluster") != std::string::npos);
  }
}

TEST_CASE("servers on one etcd share the keys, and are no members of anything") {
  First first;
  const Folder second;
  const std::string mark = second.server() + "/db/members.json";
  ServerOptions options;
  options.data_dir = second.path;
  options.datastore_endpoint = {"http://127.0.0.1:1"};
  options.node_name = "second";
  auto start = [&] { return first.run(join_cluster(first.context(), options, StopToken())); };
  REQUIRE(start());  // alone
  options.server = first.url;
  CHECK(start().error().message().find("--server needs --token") != std::string::npos);
  options.token = first.token();
  const Result<JoinOutcome> join = start();
  INFO((join ? "" : join.error().message()));
  REQUIRE(join);
  CHECK_FALSE(join->joining);
  CHECK(join->peers.members.empty());
  CHECK_FALSE(file_exists(mark));
  const ServerKeys keys = keys_in(second);
  CHECK(keys.server_ca.key_pem == first.keys.server_ca.key_pem);
  CHECK(keys.service_account_key_pem == first.keys.service_account_key_pem);

  SECTION("which are there at the next start") {
    options.token.clear();
    CHECK(start());
    options.server = "https://127.0.0.1:1";  // who does not answer does not keep it from starting
    CHECK(start());
  }
  SECTION("and are fetched again when that broke off") {
    fs::remove(second.server() + "/tls/server-ca.crt");
    fs::remove(second.server() + "/tls/server-ca.key");
    REQUIRE(store::write_member_list(mark, store::MemberList()));
    const std::string server = std::exchange(options.server, "");
    CHECK(start().error().message().find("has not got them all") != std::string::npos);
    options.server = server;
    REQUIRE(start());
    CHECK_FALSE(file_exists(mark));
    CHECK(keys_in(second).server_ca.key_pem == first.keys.server_ca.key_pem);
  }
  SECTION("but not with another cluster's") {
    First other;
    options.server = other.url;
    options.token = other.token();
    CHECK(start().error().code() == Code::kConflict);
    options.token.clear();
    const Result<JoinOutcome> refused = other.run(join_cluster(other.context(), options, StopToken()));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message().find("belongs to another cluster") != std::string::npos);
  }
}

// A server that was a member beside the first one, in `folder`.
ServerKeys second_member(const Folder& folder, const First& first) {
  SystemRandom random;
  JoinBundle bundle;
  bundle.members.cluster = *store::cluster_id(first.keys.peer_ca.certificate_pem);
  bundle.members.members = {record_of(first.keys)};
  for (const std::string& name : bundle_files(false)) {
    Result<std::string> content = read_file(cat(first.folder.server(), "/tls/", name));
    if (content) bundle.files[name] = *content;
  }
  REQUIRE(store_bundle(random, folder.server(), bundle));
  const ServerKeys keys = keys_in(folder);
  store::MemberRecord self = record_of(keys);
  self.name = "second";
  bundle.members.members.push_back(self);
  REQUIRE(store::write_member_list(folder.server() + "/db/members.json", bundle.members));
  for (const char* file : {"/db/state.db", "/db/state.db-lock", "/db/state.db-wal"}) {
    REQUIRE(write_file_atomic(folder.server() + file, "what was in it", 0600));
  }
  return keys;
}

TEST_CASE("a member without its database comes back as another one") {
  First first;
  const Folder second;
  const ServerKeys keys = second_member(second, first);
  const store::raft::NodeId old = record_of(keys).id;
  const std::string db = second.server() + "/db";
  SystemRandom random;
  ServerOptions options;
  options.data_dir = second.path;
  options.node_name = "second";
  auto start = [&] { return first.run(join_cluster(first.context(), options, StopToken())); };
  auto comes_back = [&] {
    const Result<JoinOutcome> join = start();
    INFO((join ? "" : join.error().message()));
    REQUIRE(join);
    CHECK(join->joining);
    CHECK(join->replaces == std::vector{old});
    CHECK(join->peers.members == std::vector{record_of(first.keys)});
    CHECK_FALSE(file_exists(db + "/state.db"));
    CHECK_FALSE(file_exists(db + "/state.db-lock"));
    CHECK_FALSE(file_exists(db + "/state.db-wal"));
    const ServerKeys made = keys_in(second);
    CHECK(made.peer_ca.key_pem == first.keys.peer_ca.key_pem);
    CHECK(record_of(made).id != old);
  };
  SECTION("with its database it is what it was") {
    CHECK_FALSE(start()->joining);
    CHECK(record_of(keys_in(second)).id == old);
  }
  SECTION("when the database is gone") {
    fs::remove(db + "/state.db");
    comes_back();
    comes_back();  // no member yet, and started again
  }
  SECTION("when it was given up, also when that broke off at the mark") {
    REQUIRE(write_file_atomic(db + "/replaces", store::member_id_text(old), 0600));
    comes_back();
  }
  SECTION("when it is damaged once more before it is a member, the group knows it by one of its ids") {
    fs::remove(db + "/state.db");
    comes_back();
    const store::raft::NodeId between = record_of(keys_in(second)).id;
    SystemRandom random;
    Result<LocalState> state = look_at(random, second.server());
    REQUIRE(state);
    CHECK(has_peers(*state));
    REQUIRE(write_file_atomic(db + "/state.db", "damaged", 0600));
    REQUIRE(become_another(&*state, second.server(), WallTime{100'000'000}));
    for (int starts = 0; starts < 2; ++starts) {
      const Result<JoinOutcome> join = start();
      REQUIRE(join);
      CHECK(join->joining);
      CHECK(join->replaces == std::vector{old, between});
      CHECK(join->peers.members == std::vector{record_of(first.keys)});
      const store::raft::NodeId now = record_of(keys_in(second)).id;
      CHECK((now != old && now != between));
    }
  }
  SECTION("when it has become a member and its database is gone before the next start, it is another one once more") {
    fs::remove(db + "/state.db");
    comes_back();
    const store::MemberRecord between = record_of(keys_in(second));
    store::MemberList list = *store::read_member_list(db + "/members.json");
    list.members.back() = between;
    REQUIRE(store::write_member_list(db + "/members.json", list));
    const Result<JoinOutcome> join = start();
    REQUIRE(join);
    CHECK(join->joining);
    CHECK(join->replaces == std::vector{old, between.id});
    CHECK(record_of(keys_in(second)).id != between.id);
  }
  SECTION("is a member like any other when its new id is in the list") {
    fs::remove(db + "/state.db");
    comes_back();
    store::MemberList list = *store::read_member_list(db + "/members.json");
    list.members.back() = record_of(keys_in(second));
    REQUIRE(store::write_member_list(db + "/members.json", list));
    REQUIRE(write_file_atomic(db + "/state.db", "", 0600));
    CHECK_FALSE(start()->joining);
    CHECK_FALSE(file_exists(db + "/replaces"));
  }
  SECTION("when all of server/db is gone, it has to be told where to go") {
    fs::remove_all(db);
    fs::create_directories(db);
    options.server = first.url;
    CHECK(start().error().message().find("--token") != std::string::npos);
    options.token = first.token();
    const Result<JoinOutcome> join = start();
    REQUIRE(join);
    CHECK(join->joining);
    CHECK(join->replaces == std::vector{old});
    CHECK(record_of(keys_in(second)).id != old);
  }
}

TEST_CASE("a member whose key is lost is told how to keep its data, by what is known of others") {
  const Folder folder;
  const ServerKeys keys = keys_in(folder);
  SystemRandom random;
  store::MemberList list;
  list.cluster = *store::cluster_id(keys.peer_ca.certificate_pem);
  list.members = {record_of(keys)};
  REQUIRE(write_file_atomic(folder.server() + "/db/state.db", "data", 0600));
  REQUIRE(remove_file(folder.server() + "/tls/peer.key"));
  ServerOptions options;
  options.data_dir = folder.path;
  struct Row {
    const char* what;
    std::size_t members;
    const char* name;
    bool alone;
  };
  for (const Row& row : {Row{"alone", 1, "first", true}, Row{"a list of another server", 1, "second", false},
                         Row{"one of two", 2, "first", false}, Row{"unknown", 0, "first", false}}) {
    CAPTURE(row.what);
    REQUIRE(remove_file(folder.server() + "/db/members.json"));
    list.members.resize(1);
    if (row.members == 2) {
      list.members.push_back(list.members.front());
      list.members.back().name = "second";
      list.members.back().key = std::string(64, '0');
      list.members.back().id = store::member_id(list.members.back().key);
    }
    if (row.members > 0) REQUIRE(store::write_member_list(folder.server() + "/db/members.json", list));
    options.node_name = row.name;
    // Whoever is asked to join with it is as little to go on with the log of another member.
    for (const char* server : {"", "https://127.0.0.1:6443"}) {
      CAPTURE(server);
      options.server = server;
      const Result<bool> join = must_join(look_at(random, folder.server()).value(), options, "a-token-of-some-length");
      REQUIRE_FALSE(join);
      const std::string& text = join.error().message();
      INFO(text);
      CHECK(text.find("--cluster-reset --data-dir " + folder.path) != std::string::npos);
      CHECK((text.find("the only member") != std::string::npos) == row.alone);
      CHECK((text.find("member remove") != std::string::npos) != row.alone);
      CHECK(text.find("server/tls") == text.find("server/tls/peer.key"));
    }
  }
  options.server.clear();
  options.node_name = "first";
  CHECK(run_cluster_reset(options) == 1);  // that is no database
  CHECK_FALSE(file_exists(folder.server() + "/tls/peer.key"));
}

TEST_CASE("a damaged database is set aside, one at a time") {
  First first;
  const Folder second;
  const ServerKeys keys = second_member(second, first);
  const std::string db = second.server() + "/db";
  SystemRandom random;
  Result<LocalState> state = look_at(random, second.server());
  REQUIRE(state);
  CHECK(has_peers(*state));
  for (const std::int64_t seconds : {100, 200}) {
    REQUIRE(write_file_atomic(db + "/state.db", cat("damaged at ", seconds), 0600));
    REQUIRE(become_another(&*state, second.server(), WallTime{seconds * 1'000'000}));
    CHECK(*read_file(cat(db, "/state.db.damaged-", seconds)) == cat("damaged at ", seconds));
    CHECK_FALSE(file_exists(second.server() + "/tls/peer.key"));
  }
  CHECK_FALSE(file_exists(db + "/state.db.damaged-100"));
  // Alone, or beside a witness, there is nobody who has what was in it.
  state->peers->members = {record_of(keys)};
  state->self = record_of(keys).id;
  CHECK_FALSE(has_peers(*state));
  state->peers->members.push_back(record_of(first.keys));
  state->peers->members.back().role = store::MemberRecord::Role::kWitness;
  CHECK_FALSE(has_peers(*state));
}

TEST_CASE("a join needs a token") {
  First first;
  const Folder second;
  ServerOptions options;
  options.data_dir = second.path;
  options.server = first.url;
  const Result<JoinOutcome> join = first.run(join_cluster(first.context(), options, StopToken()));
  REQUIRE_FALSE(join);
  CHECK(join.error().message().find("--token") != std::string::npos);
  CHECK_FALSE(file_exists(second.server() + "/tls"));
}

TEST_CASE("keys that do not belong together are not stored") {
  First first;
  const Folder second;
  Result<JoinBundle> joined = first.fetch(first.target(first.token()));
  REQUIRE(joined);
  SystemRandom random;
  JoinBundle bundle = *joined;
  bundle.files["peer-ca.key"] = first.keys.client_ca.key_pem;
  CHECK(store_bundle(random, second.server(), bundle).error().code() == Code::kBadRequest);
  bundle = *joined;
  bundle.files["peer-ca.crt"] = first.keys.peer.certificate_pem;
  CHECK(store_bundle(random, second.server(), bundle).error().code() == Code::kBadRequest);
  CHECK_FALSE(file_exists(second.server() + "/tls/peer-ca.crt"));
  CHECK_FALSE(file_exists(second.server() + "/db/members.json"));
}

}  // namespace
}  // namespace kayak::cli
