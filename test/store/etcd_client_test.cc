// etcd_client_test.cc: the store on an etcd cluster: endpoints that fail, answers that stay away, watches over breaks.
// Members are our own server of etcd's API where one must misbehave on command, and Debian's etcd where it counts.
// What a store must do at all is tested for both engines in store_test.cc, watch_test.cc and model_test.cc.
#include <fcntl.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "base/fd.h"
#include "base/strings.h"
#include "io/grpc_server.h"
#include "store/etcd/client.h"
#include "store/etcd/client_kv.h"
#include "store/etcd/client_links.h"
#include "store/etcd/server.h"
#include "store/etcd/status.h"
#include "store/support_etcd.h"
#include "store/support_store.h"

namespace kayak::store::etcd {
namespace {

using namespace std::chrono_literals;
using store::test::Driver;
using store::test::Engine;
using store::test::EtcdServer;
using store::test::Harness;
using store::test::options_in;
using store::test::put_op;
using store::test::TempFolder;
using store::test::text;
using Grpc = io::GrpcStatus::Code;

const std::string kAll(1, '\0');

// etcd's API over a store, on a unix socket that can go away and come back, with methods that do what a test wants.
class FakeMember {
 public:
  FakeMember(Harness& harness, Store& store, std::string path, std::uint64_t cluster = 1)
      : harness_(harness), path_(std::move(path)), server_(Server::create(store, of(cluster))), faults_(1 << 20) {
    start();
  }
  ~FakeMember() { stop(); }
  std::string url() const { return "unix://" + path_; }
  void start() {
    auto listener = io::listen_unix(harness_.context(), path_);
    REQUIRE(listener);
    auto handler = [this](io::HttpExchange& exchange) { return handle(exchange); };
    http_ = io::HttpServer::create(harness_.context(), std::move(*listener), nullptr, io::grpc_limits(), handler);
    stop_ = io::StopSource();
    scope_ = std::make_unique<io::TaskScope>();
    scope_->spawn(http_->run(stop_.token(), Duration(0)));
  }
  void stop() {
    if (!http_) return;
    stop_.stop();
    REQUIRE(harness_.wait(scope_->join()));
    http_.reset();
    std::filesystem::remove(path_);
  }
  // "KV/Txn" is answered so from now on, until `method` is empty.
  void fault(const std::string& method, io::GrpcMethod answer) {
    const std::size_t slash = method.find('/');
    faulty_.insert("/etcdserverpb." + method);
    faults_.add("etcdserverpb." + method.substr(0, slash), method.substr(slash + 1), std::move(answer));
  }
  void hang(const std::string& method) {
    fault(method, [](io::GrpcCall& call) { return never(call); });
  }
  void refuse(const std::string& method, const std::string& message) {
    fault(method, [message](io::GrpcCall&) { return answer(message); });
  }
  void heal() { faulty_.clear(); }
  // Ends all connections, now.
  void cut() { stop_.stop(); }
  int calls = 0;  // of faulty methods

 private:
  static ServerOptions of(std::uint64_t cluster) {
    ServerOptions options;
    options.cluster_id = cluster;
    return options;
  }
  static Task<io::GrpcStatus> never(io::GrpcCall& call) {
    io::Event answer;
    co_await answer.wait(call.gone());
    co_return io::GrpcStatus{Grpc::kCancelled, ""};
  }
  Task<void> handle(io::HttpExchange& exchange) {
    if (!faulty_.contains(exchange.request().path)) return server_->http_handler()(exchange);
    ++calls;
    return faults_.serve(exchange);
  }
  static Task<io::GrpcStatus> answer(std::string message) {
    co_return io::GrpcStatus{Grpc::kUnavailable, std::move(message)};
  }

  Harness& harness_;
  std::string path_;
  std::unique_ptr<Server> server_;
  io::GrpcRouter faults_;
  std::set<std::string> faulty_;
  io::StopSource stop_;
  std::unique_ptr<io::TaskScope> scope_;
  std::unique_ptr<io::HttpServer> http_;
};

// A store on members over one embedded store.
struct Fixture {
  TempFolder folder;
  Driver d{options_in(folder)};
  std::vector<std::unique_ptr<FakeMember>> members;
  EtcdStoreOptions options;
  std::vector<Error> fatal;
  std::unique_ptr<Store> client;

  explicit Fixture(int count = 1) {
    REQUIRE(d.open());
    for (int i = 0; i < count; ++i) {
      members.push_back(std::make_unique<FakeMember>(d.harness, d.store(), folder.file(cat("member-", i))));
      options.endpoints.push_back(members.back()->url());
    }
    options.compact_interval = Duration(0);
    options.patience = 2s;
    options.on_fatal = [this](const Error& error) { fatal.push_back(error); };
  }
  ~Fixture() {
    close();
    members.clear();
  }
  void open() {
    auto opened = d.harness.wait(open_etcd_store(d.harness.context(), options));
    REQUIRE(opened);
    client = std::move(*opened);
  }
  static Task<Result<void>> close_it(Store* store) {
    co_await store->close();
    co_return Result<void>();
  }
  void close() {
    if (client) REQUIRE(d.harness.wait(close_it(client.get())));
    client.reset();
  }
  Result<store::TxnResponse> put(const std::string& key, const std::string& value) {
    store::TxnRequest request;
    request.success.push_back(put_op(key, value));
    return d.harness.wait(client->txn(std::move(request)));
  }
  Result<store::RangeResponse> get(const std::string& key) {
    store::RangeRequest request;
    request.key = key;
    return d.harness.wait(client->range(std::move(request)));
  }
  std::unique_ptr<Watch> watch(Revision start = 0) {
    auto made = client->watch(store::WatchRequest{kAll, kAll, start});
    REQUIRE(made);
    return std::move(*made);
  }
  // What it tells until it has seen `revision`.
  std::string read(Watch& watch, Revision revision) {
    std::string out;
    for (Revision seen = 0; seen < revision;) {
      auto batches = d.harness.wait(watch.next());
      if (!batches) return cat(out, " error ", static_cast<int>(batches.error().code()));
      seen = batches->back().revision;
      std::erase_if(*batches, [](const WatchBatch& batch) { return batch.events.empty(); });
      if (!batches->empty()) out += cat(out.empty() ? "" : " ", text(*batches));
    }
    return out;
  }
};

}  // namespace

TEST_CASE("endpoints") {
  struct Row {
    const char* url;
    const char* target;  // empty: refused
  };
  for (const Row& row :
       {Row{"https://a.example:2379", "tls a.example:2379"}, Row{"http://10.0.0.1:2379", "10.0.0.1:2379"},
        Row{"https://[::1]:2379/", "tls [::1]:2379"}, Row{"https://a", "tls a:443"},
        Row{"unix:///run/etcd.sock", "localhost /run/etcd.sock"}, Row{"unix://etcd.sock", ""}, Row{"a:2379", ""},
        Row{"https://a:2379/path", ""}, Row{"ftp://a", ""}, Row{"", ""}}) {
    CAPTURE(row.url);
    const Result<Target> target = parse_target(row.url);
    const std::string got = !target ? ""
                                    : cat(target->tls ? "tls " : "", target->authority(),
                                          target->unix_path.empty() ? "" : " ", target->unix_path);
    CHECK(got == row.target);
    CHECK(check_endpoint(row.url).ok() == target.ok());
  }
}

TEST_CASE("an error keeps its code on the way to a client") {
  for (const Error& error :
       {Error(Code::kExpired, "required revision 5 has been compacted"),
        Error(Code::kInvalid, "required revision is a future revision"), Error(Code::kInvalid, "key is not provided"),
        Error(Code::kTooLarge, "more than 128 operations in a txn"), Error(Code::kTooLarge, "a value is too big"),
        Error(Code::kNoSpace, "the disk is full"), Error(Code::kNotFound, "requested lease not found"),
        Error(Code::kMethodNotAllowed, "this store has no leases"), Error(Code::kUnavailable, "the store is closed"),
        Error(Code::kCorrupt, "a page is damaged"), Error(Code::kAlreadyExists, "lease already exists")}) {
    CAPTURE(error.message());
    const io::GrpcStatus status = status_of(error);
    CHECK(error_of(status).code() == error.code());
    CHECK_FALSE(refused_before_begun(status));
  }
  CHECK(error_of(io::GrpcStatus{Grpc::kUnavailable, "etcdserver: request timed out"}).message() == "request timed out");
  CHECK(error_of(io::GrpcStatus{Grpc::kResourceExhausted, "etcdserver: too many requests"}).code() ==
        Code::kTooManyRequests);
  CHECK(error_of(io::GrpcStatus{Grpc::kResourceExhausted, "grpc: received message larger than max (9 vs. 8)"}).code() ==
        Code::kTooLarge);
  CHECK(error_of(io::GrpcStatus{Grpc::kUnknown, "who knows"}).code() == Code::kInternal);
  CHECK(refused_before_begun(io::GrpcStatus{Grpc::kUnavailable, "etcdserver: no leader"}));
  CHECK_FALSE(refused_before_begun(io::GrpcStatus{Grpc::kUnavailable, "etcdserver: request timed out"}));
}

TEST_CASE("a start without an answer says which endpoint and why, and ends") {
  TempFolder folder;
  Harness harness;
  EtcdStoreOptions options;
  options.endpoints = {"unix://" + folder.file("nobody"), "http://127.0.0.1:1"};
  options.start_timeout = 400ms;
  const Instant begin = harness.clock.now();
  auto opened = harness.wait(open_etcd_store(harness.context(), options));
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == Code::kUnavailable);
  for (const char* part : {"/nobody", "http://127.0.0.1:1", "refused", "check that etcd runs"}) {
    CAPTURE(part, opened.error().message());
    CHECK(opened.error().message().find(part) != std::string::npos);
  }
  CHECK(harness.clock.now() - begin >= 400ms);
  options.endpoints = {"nonsense"};
  CHECK(harness.wait(open_etcd_store(harness.context(), options)).error().code() == Code::kInvalid);
  options.endpoints.clear();
  CHECK(harness.wait(open_etcd_store(harness.context(), options)).error().code() == Code::kInvalid);
}

// Two hundred seconds in one.
class FastClock final : public Clock {
 public:
  Instant now() const override { return begin_ + (real_.now() - begin_) * 200; }
  WallTime wall() const override { return real_.wall(); }

 private:
  const SystemClock real_{};
  const Instant begin_ = real_.now();
};

TEST_CASE("that no endpoint is usable is said again as long as it lasts") {
  TempFolder folder;
  Harness harness;
  FastClock clock;
  const Fd log(::open(folder.file("log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(log);
  const Context context{harness.loop, clock, harness.random, Log::to_fd(log.get(), LogLevel::kWarn), harness.metrics};
  EtcdStoreOptions options;
  options.endpoints = {"unix://" + folder.file("nobody"), "unix://" + folder.file("none")};
  options.start_timeout = 300s;
  REQUIRE_FALSE(harness.wait(open_etcd_store(context, options)));
  std::size_t said = 0, at = 0;
  const std::string lines = store::test::read_file(folder.file("log"));
  for (; (at = lines.find("no etcd endpoint is usable", at)) != std::string::npos; ++at) ++said;
  INFO(lines);
  CHECK(said >= 1);
  CHECK(said <= 5);  // not oftener than once in a minute
  const std::string last = lines.substr(lines.rfind("no etcd endpoint is usable"));
  CHECK(last.find(folder.file("nobody")) != std::string::npos);
  CHECK(last.find(folder.file("none")) != std::string::npos);
}

TEST_CASE("a member without a leader is left for the next one") {
  Fixture f(2);
  f.members[0]->refuse("KV/Range", "etcdserver: no leader");
  f.members[0]->refuse("KV/Txn", "etcdserver: no leader");
  f.open();
  CHECK(f.members[0]->calls >= 1);
  CHECK(f.put("a", "1"));
  // The one that is used loses its leader, the other has one again.
  f.members[0]->heal();
  f.members[1]->refuse("KV/Txn", "etcdserver: no leader");
  CHECK(f.put("a", "2"));
  CHECK(f.d.get("a") == "2");
  // Nobody has one: the call waits so long as it has patience.
  f.members[0]->refuse("KV/Txn", "etcdserver: no leader");
  f.members[0]->refuse("KV/Range", "etcdserver: no leader");
  f.members[1]->refuse("KV/Range", "etcdserver: no leader");
  auto put = f.put("a", "3");
  REQUIRE_FALSE(put);
  CHECK(put.error().code() == Code::kUnavailable);
  CHECK(put.error().message().find("no leader") != std::string::npos);
  CHECK(put.error().message().find("outcome is unknown") == std::string::npos);
  CHECK(f.d.get("a") == "2");
}

TEST_CASE("a write whose outcome is unknown is not made again, a read is") {
  Fixture f;
  f.open();
  f.members[0]->refuse("KV/Txn", "etcdserver: request timed out");
  auto put = f.put("a", "1");
  REQUIRE_FALSE(put);
  CHECK(put.error().code() == Code::kUnavailable);
  CHECK(put.error().message() == "the outcome is unknown: request timed out");
  CHECK(f.members[0]->calls == 1);
  // A transaction that only reads is a read.
  struct Body {
    static Task<Result<void>> run(Fixture* f) {
      io::TaskScope scope;
      scope.spawn(heal(f, scope.token()));
      store::TxnRequest request;
      request.success.push_back(store::test::range_op("a"));
      auto done = co_await f->client->txn(std::move(request));
      CHECK(done);
      co_return co_await scope.join();
    }
    static Task<Result<void>> heal(Fixture* f, StopToken stop) {
      while (f->members[0]->calls < 3) {
        auto slept = co_await f->d.harness.loop.sleep(1ms, stop);
        if (!slept) co_return slept;
      }
      f->members[0]->heal();
      co_return Result<void>();
    }
  };
  REQUIRE(f.d.harness.wait(Body::run(&f)));
  CHECK(f.members[0]->calls >= 3);
  CHECK(f.d.get("a") == std::nullopt);
}

TEST_CASE("a connection that breaks under a write leaves its outcome open") {
  struct Body {
    static Task<io::GrpcStatus> cut_off(FakeMember* member, io::GrpcCall& call) {
      auto request = co_await call.read();
      CHECK(request);
      auto opened = co_await call.open();
      CHECK(opened);
      member->cut();
      io::Event never;
      co_await never.wait(call.gone());
      co_return io::GrpcStatus{Grpc::kCancelled, ""};
    }
  };
  Fixture f(2);
  f.open();
  FakeMember* first = f.members[0].get();
  first->fault("KV/Txn", [first](io::GrpcCall& call) { return Body::cut_off(first, call); });
  auto put = f.put("a", "1");
  REQUIRE_FALSE(put);
  CHECK(put.error().code() == Code::kUnavailable);
  CHECK(put.error().message().find("the outcome is unknown") == 0);
  CHECK(first->calls == 1);
  // The next call finds the other endpoint.
  CHECK(f.put("a", "2"));
  CHECK(f.d.get("a") == "2");
}

TEST_CASE("a watch goes on over a break without a gap and without telling anything twice") {
  Fixture f;
  f.open();
  auto watch = f.watch();
  REQUIRE(f.put("a", "1"));
  CHECK(f.read(*watch, 2) == "2:put a=1");
  f.members[0]->stop();
  REQUIRE(f.d.put("a", "2").ok());
  REQUIRE(f.d.remove("a").ok());
  f.members[0]->start();
  CHECK(f.read(*watch, 4) == "3:put a=2(was 1) 4:del a(was 2)");
  REQUIRE(f.put("b", "1"));
  CHECK(f.read(*watch, 5) == "5:put b=1");
}

TEST_CASE("what was compacted during a break is told to watches, and the store goes on") {
  Fixture f;
  f.open();
  auto watch = f.watch(), ahead = f.watch(9);
  f.members[0]->stop();
  for (int i = 0; i < 5; ++i) REQUIRE(f.d.put("a", cat(i)).ok());  // revisions 2 to 6
  REQUIRE(f.d.compact(5).ok());
  f.members[0]->start();
  CHECK(f.read(*watch, 6) == " error 9");
  CHECK(static_cast<int>(Code::kExpired) == 9);
  CHECK(f.client->compacted() == 4);
  CHECK(f.client->revision() == 6);
  CHECK(f.client->watch(store::WatchRequest{"a", "", 4}).error().code() == Code::kExpired);
  auto again = f.watch(6);
  CHECK(f.read(*again, 6) == "6:put a=4(was 3)");
  for (int i = 0; i < 3; ++i) REQUIRE(f.put("b", cat(i)));  // 7 to 9
  CHECK(f.read(*again, 9) == "7:put b=0 8:put b=1(was 0) 9:put b=2(was 1)");
  CHECK(f.read(*ahead, 9) == "9:put b=2(was 1)");
}

TEST_CASE("what was compacted beyond all that answers have shown is not asked for again") {
  struct Body {
    // Of a cluster whose first revision that can be watched is 40.
    static Task<io::GrpcStatus> serve(io::GrpcCall& call, std::vector<Revision>* starts) {
      auto bytes = co_await call.read();
      REQUIRE((bytes && *bytes));
      auto request = decode<WatchRequest>(**bytes);
      REQUIRE(request);
      starts->push_back(std::get<WatchCreateRequest>(request->request).start_revision);
      WatchResponse created, ended;
      created.created = true;
      ended.canceled = true;
      ended.compact_revision = 40;
      std::string message = encode(created);
      auto sent = co_await call.write(std::move(message));
      if (sent && starts->back() < ended.compact_revision) {
        message = encode(ended);
        sent = co_await call.write(std::move(message));
      }
      io::Event never;
      co_await never.wait(call.gone());
      co_return io::GrpcStatus{Grpc::kCancelled, ""};
    }
  };
  std::vector<Revision> starts;
  Fixture f;
  f.members[0]->fault("Watch/Watch", [&starts](io::GrpcCall& call) { return Body::serve(call, &starts); });
  f.open();
  auto watch = f.watch(2);
  CHECK(f.read(*watch, 3) == " error 9");
  for (int i = 0; i < 1000 && starts.size() < 2; ++i) f.d.harness.run_for(10ms);
  f.d.harness.run_for(100ms);  // and no third time
  CHECK(starts == std::vector<Revision>{2, 40});
  CHECK(f.client->compacted() == 39);
  f.close();
}

TEST_CASE("a cluster that has lost revisions is not believed") {
  Fixture f;
  f.open();
  for (int i = 0; i < 5; ++i) REQUIRE(f.put("a", cat(i)));
  auto watch = f.watch();
  f.members[0]->stop();
  TempFolder older;
  Driver restored(options_in(older));
  REQUIRE(restored.open());
  {
    FakeMember other(f.d.harness, restored.store(), f.folder.file("member-0"));
    for (int i = 0; i < 200 && f.fatal.empty(); ++i) f.d.harness.run_for(10ms);
    REQUIRE(f.fatal.size() == 1);
    CHECK(f.fatal[0].code() == Code::kCorrupt);
    CHECK(f.fatal[0].message().find("is at revision 1, but revision 6") != std::string::npos);
    CHECK(f.get("a").error().code() == Code::kUnavailable);
    CHECK(f.d.harness.wait(watch->next()).error().code() == Code::kUnavailable);
    f.close();
  }
}

TEST_CASE("an endpoint of another cluster is not used, and when there are no others nothing goes on") {
  Fixture f;
  TempFolder elsewhere;
  Driver other(options_in(elsewhere));
  REQUIRE(other.open());
  for (int i = 0; i < 9; ++i) REQUIRE(other.put("a", "theirs").ok());  // it is ahead: no revision gives it away
  {
    FakeMember stranger(f.d.harness, other.store(), f.folder.file("stranger"), 2);
    f.options.endpoints.push_back(stranger.url());
    f.open();
    REQUIRE(f.put("a", "1"));
    auto watch = f.watch();
    f.members[0]->stop();
    f.d.harness.run_for(500ms);
    auto put = f.put("a", "2");
    REQUIRE_FALSE(put);
    CHECK(put.error().code() == Code::kUnavailable);
    CHECK(put.error().message().find("it belongs to etcd cluster 0000000000000002, and this server's data are in "
                                     "0000000000000001") != std::string::npos);
    CHECK_FALSE(f.get("a"));
    CHECK_FALSE(f.client->healthy());
    CHECK(f.fatal.empty());
    f.members[0]->start();
    for (int i = 0; i < 1000 && !f.client->healthy(); ++i) f.d.harness.run_for(10ms);
    CHECK(f.put("a", "3"));
    CHECK(f.read(*watch, 3) == "3:put a=3(was 1)");
    f.close();
  }
  CHECK(other.get("a") == "theirs");
  f.options.endpoints.pop_back();
  f.open();
  f.members[0]->stop();
  {
    FakeMember stranger(f.d.harness, other.store(), f.folder.file("member-0"), 2);
    for (int i = 0; i < 200 && f.fatal.empty(); ++i) f.d.harness.run_for(10ms);
    REQUIRE(f.fatal.size() == 1);
    CHECK(f.fatal[0].code() == Code::kCorrupt);
    CHECK(f.fatal[0].message().find("every etcd endpoint leads to another cluster") != std::string::npos);
    CHECK(f.get("a").error().code() == Code::kUnavailable);
    f.close();
  }
}

TEST_CASE("a call that is late ends alone") {
  struct Body {
    static Task<Result<void>> put(Fixture* f) {
      store::TxnRequest request;
      request.success.push_back(put_op("a", "1"));
      auto done = co_await f->client->txn(std::move(request));
      CHECK_FALSE(done);
      if (!done) CHECK(done.error().message().find("the outcome is unknown") == 0);
      co_return Result<void>();
    }
    static Task<Result<void>> grant(Fixture* f) {
      auto slept = co_await f->d.harness.loop.sleep(200ms);
      CHECK(slept);
      auto granted = co_await f->client->lease_grant(5, 100);
      CHECK(granted);
      co_return Result<void>();
    }
    static Task<Result<void>> read(Fixture* f) {
      for (int i = 0; i < 10; ++i) {
        auto slept = co_await f->d.harness.loop.sleep(20ms);
        CHECK(slept);
        store::RangeRequest request;
        request.key = "a";
        auto done = co_await f->client->range(std::move(request));
        CHECK(done);
      }
      co_return Result<void>();
    }
    static Task<Result<void>> run(Fixture* f) {
      io::TaskScope scope;
      scope.spawn(put(f));
      scope.spawn(grant(f));
      scope.spawn(read(f));
      co_return co_await scope.join();
    }
    static Task<io::GrpcStatus> slow(Fixture* f, io::GrpcCall& call) {
      auto request = co_await call.read();
      CHECK(request);
      auto slept = co_await f->d.harness.loop.sleep(300ms, call.gone());
      if (!slept) co_return io::GrpcStatus{Grpc::kCancelled, ""};
      LeaseGrantResponse response;
      response.id = 5;
      response.ttl = 100;
      std::string bytes = encode(response);
      auto sent = co_await call.write(std::move(bytes));
      CHECK(sent);
      co_return io::GrpcStatus();
    }
  };
  Fixture f;
  f.options.call_timeout = 400ms;
  f.open();
  Fixture* fixture = &f;
  f.members[0]->hang("KV/Txn");
  f.members[0]->fault("Lease/LeaseGrant", [fixture](io::GrpcCall& call) { return Body::slow(fixture, call); });
  REQUIRE(f.d.harness.wait(Body::run(&f)));
  CHECK(f.members[0]->calls == 2);  // the grant was not broken off and made again
}

TEST_CASE("a member that answers nothing in time is left for the next one") {
  Fixture f(2);
  f.options.call_timeout = 200ms;
  f.open();
  REQUIRE(f.put("a", "1"));
  auto watch = f.watch();
  for (const char* method : {"KV/Txn", "KV/Range"}) f.members[0]->hang(method);
  auto put = f.put("a", "2");
  REQUIRE_FALSE(put);
  CHECK(put.error().message().find("the outcome is unknown") == 0);
  CHECK(f.put("a", "3"));
  CHECK(f.members[0]->calls == 1);
  CHECK(f.read(*watch, 3) == "3:put a=3(was 1)");
  // One that says so itself is left, too.
  f.members[0]->heal();
  for (const char* method : {"KV/Txn", "KV/Range"}) f.members[1]->refuse(method, "etcdserver: request timed out");
  CHECK_FALSE(f.put("a", "4"));
  CHECK(f.put("a", "5"));
}

WatchEvent first_put(const std::string& key, Revision revision) {
  WatchEvent event;
  event.kv = KeyValue{key, nullptr, revision, revision, 1, 0};
  return event;
}

TEST_CASE("events of one revision that come in pieces are told together") {
  struct Body {
    static Task<io::GrpcStatus> serve(io::GrpcCall& call) {
      auto request = co_await call.read();
      CHECK(request);
      WatchResponse created;
      created.created = true;
      WatchResponse first, second, third;
      first.fragment = second.fragment = true;
      first.events = {first_put("a", 2), first_put("b", 2)};
      second.events = {first_put("c", 2), first_put("d", 3)};
      third.events = {first_put("e", 3)};
      for (const WatchResponse& response : {created, first, second, third}) {
        std::string bytes = encode(response);
        auto sent = co_await call.write(std::move(bytes));
        CHECK(sent);
      }
      io::Event never;
      co_await never.wait(call.gone());
      co_return io::GrpcStatus{Grpc::kCancelled, ""};
    }
  };
  Fixture f;
  f.members[0]->fault("Watch/Watch", [](io::GrpcCall& call) { return Body::serve(call); });
  f.open();
  auto watch = f.watch(2);
  CHECK(f.read(*watch, 3) == "2:put a=,put b=,put c= 3:put d=,put e=");
}

TEST_CASE("who asks for progress again and again delays neither events nor the note") {
  struct Body {
    // Tells of one put more whenever it is asked to.
    static Task<io::GrpcStatus> serve(io::GrpcCall& call, io::Queue<Revision>* tell) {
      auto request = co_await call.read();
      CHECK(request);
      WatchResponse created;
      created.created = true;
      std::string bytes = encode(created);
      auto sent = co_await call.write(std::move(bytes));
      while (sent) {
        const std::optional<Revision> revision = co_await tell->pop(call.gone());
        if (!revision) break;
        WatchResponse response;
        response.events = {first_put("a", *revision)};
        bytes = encode(response);
        sent = co_await call.write(std::move(bytes));
      }
      co_return io::GrpcStatus{Grpc::kCancelled, ""};
    }
  };
  io::Queue<Revision> tell;
  Fixture f;
  f.members[0]->fault("Watch/Watch", [&tell](io::GrpcCall& call) { return Body::serve(call, &tell); });
  f.open();
  auto made = f.client->watch(store::WatchRequest{kAll, kAll, 0, false});
  REQUIRE(made);
  const std::unique_ptr<Watch> watch = std::move(*made);
  REQUIRE(f.put("a", "1"));
  // Answers say of revisions that the watch has not been told of yet.
  for (const Revision revision : {2, 3, 4, 5}) {
    CAPTURE(revision);
    watch->request_progress();
    REQUIRE(f.put("a", "1"));
    watch->request_progress();
    tell.push(revision);
    const io::Deadline patience(f.d.harness.loop, 5s);
    const auto batches = f.d.harness.wait(watch->next(patience.token()));
    REQUIRE(batches);
    CHECK(text(*batches) == cat(revision, ":put a="));
  }
  // The last one who asked gets a note, too, and that is all.
  tell.push(6);
  CHECK(f.read(*watch, 6) == "6:put a=");
  const io::Deadline patience(f.d.harness.loop, 300ms);
  const auto more = f.d.harness.wait(watch->next(patience.token()));
  REQUIRE_FALSE(more);
  CHECK(more.error().code() == Code::kCancelled);
}

TEST_CASE("a consistent revision is the cluster's, also when others wrote") {
  Fixture f;
  f.open();
  REQUIRE(f.d.put("a", "1").ok());
  CHECK(f.d.harness.wait(f.client->current_revision()).value() == 2);
  CHECK(f.client->revision() == 2);
  struct Body {
    static Task<Result<void>> ask(Store* store, Revision* out) {
      auto revision = co_await store->current_revision();
      if (!revision) co_return revision.error();
      *out = *revision;
      co_return Result<void>();
    }
    static Task<Result<void>> many(Store* store, std::vector<Revision>* out) {
      io::TaskScope scope;
      for (Revision& revision : *out) scope.spawn(ask(store, &revision));
      co_return co_await scope.join();
    }
  };
  std::vector<Revision> asked(100);
  REQUIRE(f.d.harness.wait(Body::many(f.client.get(), &asked)));
  CHECK(asked == std::vector<Revision>(100, 2));
}

TEST_CASE("nobody follows a cluster by asking: an idle store makes no calls") {
  Fixture f;
  f.options.compact_interval = 20ms;
  f.open();
  REQUIRE(f.put("a", "1"));
  f.d.harness.run_for(50ms);
  for (const char* method : {"KV/Range", "KV/Txn", "KV/Compact", "Maintenance/Status"}) {
    f.members[0]->refuse(method, "etcdserver: no leader");
  }
  f.d.harness.run_for(500ms);
  CHECK(f.members[0]->calls == 0);
}

// ---- Debian's etcd

TEST_CASE("leases of an etcd") {
  Driver d(store::SqliteStoreOptions(), Engine::kEtcd);
  REQUIRE(d.open());
  auto wait = [&d](auto task) { return d.harness.wait(std::move(task)); };
  CHECK(wait(d.store().lease_grant(3, 0)).value().ttl >= 1);
  CHECK(wait(d.store().lease_grant(1, 10'000'000'000)).error().code() == Code::kInvalid);
  auto chosen = wait(d.store().lease_grant(0, 60));
  REQUIRE(chosen);
  CHECK(chosen->id != 0);
  CHECK(chosen->ttl == 60);
  REQUIRE(wait(d.store().lease_grant(7, 60)));
  CHECK(wait(d.store().lease_grant(7, 60)).error().code() == Code::kAlreadyExists);
  CHECK(d.put("a", "1", 99).error().code() == Code::kNotFound);
  REQUIRE(d.put("a", "1", 7).ok());
  auto asked = wait(d.store().lease_time_to_live(7, true));
  REQUIRE(asked);
  CHECK(asked->ttl == 60);
  CHECK((asked->remaining > 50 && asked->remaining <= 60));
  CHECK(asked->keys == std::vector<std::string>{"a"});
  CHECK(wait(d.store().leases()).value().size() >= 2);
  CHECK(wait(d.store().lease_keep_alive(7)).value().ttl == 60);
  CHECK(wait(d.store().lease_keep_alive(8)).value().remaining == -1);
  CHECK(wait(d.store().lease_time_to_live(8, false)).value().remaining == -1);
  CHECK(wait(d.store().lease_revoke(7)).value() == 3);
  CHECK(d.get("a") == std::nullopt);
  CHECK(d.store().revision() == 3);
  CHECK(wait(d.store().lease_revoke(7)).error().code() == Code::kNotFound);
}

TEST_CASE("of several servers on one etcd one compacts at a time") {
  EtcdServer etcd;
  etcd.start();
  Harness harness;
  EtcdStoreOptions options;
  options.endpoints = {etcd.url()};
  options.compact_interval = 200ms;
  options.compact_revisions = 10;
  std::vector<std::unique_ptr<Store>> stores;
  for (int i = 0; i < 3; ++i) {
    auto opened = harness.wait(open_etcd_store(harness.context(), options));
    REQUIRE(opened);
    stores.push_back(std::move(*opened));
  }
  struct Body {
    static Task<Result<void>> close_all(std::vector<std::unique_ptr<Store>>* stores) {
      for (auto& store : *stores) co_await store->close();
      co_return Result<void>();
    }
  };
  auto version = [&] {
    store::RangeRequest request;
    request.key = "compact_rev_key";
    auto found = harness.wait(stores[0]->range(std::move(request)));
    REQUIRE(found);
    return found->kvs.empty() ? 0 : found->kvs[0].version;
  };
  const Instant begin = harness.clock.now();
  while (version() < 3) {
    REQUIRE(harness.clock.now() - begin < 20s);
    store::TxnRequest request;
    request.success.push_back(put_op("a", "1"));
    REQUIRE(harness.wait(stores[1]->txn(std::move(request))));
    harness.run_for(5ms);
  }
  // One turn per interval, not one of each server; in between they may meet once.
  const auto intervals = (harness.clock.now() - begin) / options.compact_interval;
  CAPTURE(intervals, version());
  CHECK(version() <= intervals + 1);
  store::RangeRequest past;
  past.key = "a";
  past.revision = 2;
  CHECK(harness.wait(stores[0]->range(std::move(past))).error().code() == Code::kExpired);
  for (const auto& store : stores) {
    CAPTURE(store->compacted());
    CHECK(store->compacted() > 0);
  }
  REQUIRE(harness.wait(Body::close_all(&stores)));
}

namespace {

// Writes numbers until told to stop; those that were acknowledged.
Task<Result<void>> write_numbers(Store* store, Loop* loop, const bool* stop, std::set<int>* acknowledged) {
  for (int number = 0; !*stop; ++number) {
    store::TxnRequest request;
    request.success.push_back(put_op(cat("n", number), cat(number)));
    auto done = co_await store->txn(std::move(request));
    if (done) {
      acknowledged->insert(number);
    } else if (done.error().code() != Code::kUnavailable) {
      co_return done.error();
    }
    if (!done) (void)co_await loop->sleep(1ms);
  }
  co_return Result<void>();
}

Task<Result<void>> torment(EtcdServer* etcd, Loop* loop, bool* stop) {
  for (int round = 0; round < 4; ++round) {
    auto slept = co_await loop->sleep(300ms);
    if (!slept) co_return slept;
    etcd->kill();
    slept = co_await loop->sleep(100ms);
    if (!slept) co_return slept;
    etcd->start();
  }
  auto slept = co_await loop->sleep(1s);
  *stop = true;
  co_return slept;
}

Task<Result<void>> write_through_crashes(Store* store, EtcdServer* etcd, Loop* loop, std::set<int>* acknowledged) {
  bool stop = false;
  io::TaskScope scope;
  scope.spawn(write_numbers(store, loop, &stop, acknowledged));
  scope.spawn(torment(etcd, loop, &stop));
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("an etcd that is killed again and again loses nothing that was acknowledged, and its watch misses nothing") {
  store::SqliteStoreOptions options;
  options.compact_interval = Duration(0);
  Driver d(options, Engine::kEtcd);
  REQUIRE(d.open());
  auto made = d.store().watch(store::WatchRequest{kAll, kAll, 0});
  REQUIRE(made);
  std::set<int> acknowledged;
  REQUIRE(d.harness.wait(write_through_crashes(&d.store(), &d.etcd(), &d.harness.loop, &acknowledged)));
  CHECK(acknowledged.size() > 100);
  std::set<std::string> there, told;
  auto found = d.range(kAll, kAll);
  CAPTURE(found ? "" : text(found.error()), acknowledged.size());
  REQUIRE(found);
  for (const KeyValue& kv : found->kvs) there.insert(kv.key);
  for (const int number : acknowledged) CHECK(there.contains(cat("n", number)));
  Revision seen = 1;
  while (seen < found->revision) {
    auto batches = d.harness.wait((*made)->next());
    REQUIRE(batches);
    for (const WatchBatch& batch : *batches) {
      if (batch.events.empty()) continue;
      REQUIRE(batch.revision == seen + 1);
      seen = batch.revision;
      for (const WatchEvent& event : batch.events) CHECK(told.insert(event.kv.key).second);
    }
  }
  CHECK(told == there);
}

TEST_CASE("the size of an etcd is asked for when somebody wants to know") {
  Driver d(store::SqliteStoreOptions(), Engine::kEtcd);
  REQUIRE(d.open());
  REQUIRE(d.put("a", "1").ok());
  for (int i = 0; i < 200 && d.store().stats().keys == 0; ++i) d.harness.run_for(10ms);
  CHECK(d.store().stats().keys == 1);
  CHECK(d.store().stats().database_bytes > 0);
  CHECK(d.store().stats().revision == 2);
}

}  // namespace kayak::store::etcd
