// service_claims_test.cc: service addresses and node ports among several API servers that write one store.
#include <catch2/catch.hpp>

#include "api/document.h"
#include "base/strings.h"
#include "support/api_fixture.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::MemoryStore;

namespace {

// Room for 14 addresses and 14 ports: whoever chooses without looking meets the others.
ApiServerOptions small_ranges() {
  ApiServerOptions options;
  options.service_cidr = "10.43.0.0/28";
  options.node_port_first = 30000;
  options.node_port_last = 30013;
  return options;
}

ApiServerOptions default_ranges() { return ApiServerOptions(); }

struct TwoServers {
  explicit TwoServers(const ApiServerOptions& options)
      : context{loop, clock, random, Log::discard(), metrics},
        other_context{loop, clock, random, Log::discard(), other_metrics},
        store(context),
        one(ApiServer::create(context, store, options)),
        other(ApiServer::create(other_context, store, options)) {}

  using Body = Task<Result<void>> (*)(TwoServers& f);
  static Task<Result<void>> drive(TwoServers& f, Body body) {
    io::TaskScope scope;
    scope.spawn(f.one->run(scope.token()));
    scope.spawn(f.other->run(scope.token()));
    Result<void> done;
    const bool ready = co_await f.one->wait_ready(scope.token()) && co_await f.other->wait_ready(scope.token());
    if (ready) done = co_await body(f);
    scope.stop();
    auto joined = co_await scope.join();
    if (!done) co_return done;
    co_return joined;
  }
  ApiRequest request(Verb verb, const std::string& name, const std::string& body = std::string()) const {
    ApiRequest request;
    request.verb = verb;
    request.kind = &kinds::services();
    request.namespace_ = "default";
    if (verb != Verb::kCreate) request.name = name;
    request.user.name = "admin";
    request.user.groups = {"system:masters", "system:authenticated"};
    request.user_agent = "test/1.0";
    if (!body.empty()) {
      request.body = *json::read(body);
      if (verb == Verb::kCreate) request.body["metadata"]["name"] = name;
    }
    request.patch_type = PatchType::kMerge;
    return request;
  }
  // The keys of the store below `prefix`, without it.
  std::vector<std::string> keys(const std::string& prefix) {
    store::RangeRequest range;
    range.key = prefix;
    range.range_end = prefix;
    ++range.range_end.back();
    std::vector<std::string> names;
    for (const store::KeyValue& kv : store.range_at_once(range).kvs) names.push_back(kv.key.substr(prefix.size()));
    return names;
  }
  std::vector<std::string> addresses() { return keys("/registry/ipaddresses/"); }
  std::vector<std::string> ports() { return keys("/kayak/node-ports/"); }
  std::vector<std::string> marks() { return keys("/kayak/claims-under-way/"); }

  io::Loop loop;
  SystemClock clock;
  SeededRandom random{11};
  Metrics metrics, other_metrics;
  Context context, other_context;
  MemoryStore store;
  std::unique_ptr<ApiServer> one, other;
};

void run(TwoServers::Body body, const ApiServerOptions& options = small_ranges()) {
  TwoServers fixture(options);
  const Result<void> done = fixture.loop.run(TwoServers::drive(fixture, body));
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

Task<Result<void>> call(ApiServer& server, ApiRequest request, std::vector<Result<ObjectRef>>& answers) {
  auto answer = co_await server.handle(std::move(request), StopToken());
  answers.push_back(answer ? Result<ObjectRef>(answer->object) : answer.error());
  co_return Result<void>();
}

std::string address_of(const ObjectRef& service) {
  const json::Document document = service->document();
  return std::string(text_at(*document, {"spec", "clusterIP"}));
}
std::string port_of(const ObjectRef& service) {
  const json::Document document = service->document();
  return cat(document->at({"spec", "ports"})->as_array()[0].find("nodePort")->as_int());
}

constexpr const char* kNodePortService = R"({"metadata":{},"spec":{"type":"NodePort","ports":[{"port":80}]}})";

Task<Result<void>> no_address_twice(TwoServers& f) {
  std::vector<Result<ObjectRef>> answers;
  io::TaskScope scope;
  for (int i = 0; i < 13; ++i) {
    ApiServer& server = i % 2 == 0 ? *f.one : *f.other;
    scope.spawn(call(server, f.request(Verb::kCreate, cat("s", i), kNodePortService), answers));
  }
  (void)co_await scope.join();
  std::vector<std::string> addresses = {"10.43.0.1"}, ports;  // that of default/kubernetes
  for (const Result<ObjectRef>& answer : answers) {
    if (!answer) {
      FAIL_CHECK(answer.error().message());
      continue;
    }
    addresses.push_back(address_of(*answer));
    ports.push_back(port_of(*answer));
  }
  std::sort(addresses.begin(), addresses.end());
  std::sort(ports.begin(), ports.end());
  CHECK(addresses.size() == 14);
  CHECK(std::adjacent_find(addresses.begin(), addresses.end()) == addresses.end());
  CHECK(std::adjacent_find(ports.begin(), ports.end()) == ports.end());
  CHECK(f.addresses() == addresses);
  CHECK(f.ports() == ports);
  // Now that the range is full, whichever server is asked.
  std::vector<Result<ObjectRef>> full;
  (void)co_await call(*f.other, f.request(Verb::kCreate, "late", R"({"spec":{"ports":[{"port":80}]}})"), full);
  CHECK(full[0].error().message().find("range is full") != std::string::npos);
  co_return Result<void>();
}

Task<Result<void>> chosen_ones_conflict(TwoServers& f) {
  struct Row {
    const char* spec;
    const char* message;
  };
  const Row rows[] = {
      {R"({"spec":{"clusterIP":"10.43.0.9","ports":[{"port":80}]}})",
       "spec.clusterIPs: Invalid value: [\"10.43.0.9\"]: failed to allocate IP 10.43.0.9: provided IP is already "
       "allocated"},
      {R"({"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30003}]}})",
       "spec.ports[0].nodePort: Invalid value: 30003: provided port is already allocated"},
  };
  int n = 0;
  for (const Row& row : rows) {
    CAPTURE(row.spec);
    std::vector<Result<ObjectRef>> answers;
    io::TaskScope scope;
    scope.spawn(call(*f.one, f.request(Verb::kCreate, cat("a", n), row.spec), answers));
    scope.spawn(call(*f.other, f.request(Verb::kCreate, cat("b", n++), row.spec), answers));
    (void)co_await scope.join();
    CHECK(answers[0].ok() != answers[1].ok());
    const Result<ObjectRef>& refused = answers[0] ? answers[1] : answers[0];
    if (refused) continue;
    CHECK(refused.error().code() == Code::kInvalid);
    CHECK(refused.error().message().find(row.message) != std::string::npos);
  }
  // One name at both: one service, and nothing left of the other's choice.
  std::vector<Result<ObjectRef>> answers;
  io::TaskScope scope;
  scope.spawn(call(*f.one, f.request(Verb::kCreate, "same", kNodePortService), answers));
  scope.spawn(call(*f.other, f.request(Verb::kCreate, "same", kNodePortService), answers));
  (void)co_await scope.join();
  CHECK(answers[0].ok() != answers[1].ok());
  const Result<ObjectRef>& second = answers[0] ? answers[1] : answers[0];
  CHECK((!second.ok() && second.error().code() == Code::kAlreadyExists));
  CHECK(f.addresses().size() == 4);  // kubernetes, one of each row, same
  CHECK(f.ports().size() == 2);
  co_return Result<void>();
}

Task<Result<void>> claims_follow_the_service(TwoServers& f) {
  std::vector<Result<ObjectRef>> answers;
  ApiRequest dry = f.request(Verb::kCreate, "dry", kNodePortService);
  dry.write.dry_run = true;
  (void)co_await call(*f.one, dry, answers);
  CHECK(answers.back().ok());
  CHECK(f.addresses() == std::vector<std::string>{"10.43.0.1"});
  (void)co_await call(*f.one, f.request(Verb::kCreate, "s", kNodePortService), answers);
  CHECK(f.addresses().size() == 2);
  CHECK(f.ports().size() == 1);
  struct Row {
    Verb verb;
    const char* patch;
    std::size_t addresses, ports;
  };
  const Row rows[] = {
      {Verb::kPatch, R"({"metadata":{"labels":{"a":"b"}}})", 2, 1},
      {Verb::kPatch, R"({"spec":{"ports":[{"port":80,"name":"x"},{"port":81,"name":"y"}]}})", 2, 2},
      {Verb::kPatch, R"({"spec":{"type":"ClusterIP"}})", 2, 0},
      {Verb::kPatch, R"({"spec":{"type":"ExternalName","externalName":"example.com"}})", 1, 0},
      {Verb::kPatch, R"({"spec":{"type":"NodePort","externalName":null}})", 2, 2},
      {Verb::kPatch, R"({"metadata":{"finalizers":["example.com/held"]}})", 2, 2},
      {Verb::kDelete, "", 2, 2},
      {Verb::kPatch, R"({"metadata":{"finalizers":null}})", 1, 0},
  };
  bool at_one = false;
  for (const Row& row : rows) {
    CAPTURE(row.patch);
    ApiServer& server = at_one ? *f.one : *f.other;
    at_one = !at_one;
    (void)co_await call(server, f.request(row.verb, "s", row.patch), answers);
    if (!answers.back()) FAIL_CHECK(answers.back().error().message());
    CHECK(f.addresses().size() == row.addresses);
    CHECK(f.ports().size() == row.ports);
  }
  co_return Result<void>();
}

Task<Result<void>> put(TwoServers& f, std::string key, std::string value) {
  store::TxnRequest txn;
  store::Op op;
  op.key = std::move(key);
  op.value = value.empty() ? nullptr : std::make_shared<const std::string>(std::move(value));
  if (!op.value) op.type = store::Op::Type::kDelete;
  txn.success.push_back(std::move(op));
  auto done = co_await f.store.txn(std::move(txn), StopToken());
  if (!done) co_return done.error();
  co_return Result<void>();
}

Task<Result<void>> repaired(TwoServers& f) {
  std::vector<Result<ObjectRef>> answers;
  const std::string body =
      R"({"spec":{"type":"NodePort","clusterIP":"10.43.0.5","ports":[{"port":80,"nodePort":30005}]}})";
  (void)co_await call(*f.one, f.request(Verb::kCreate, "old", body), answers);
  CHECK(answers.back().ok());
  // As an older version left it, with leftovers, and with an address that a user keeps for himself.
  (void)co_await put(f, "/registry/ipaddresses/10.43.0.5", "");
  (void)co_await put(f, "/kayak/node-ports/30005", "");
  (void)co_await put(f, "/kayak/node-ports/30007", "default/gone");
  (void)co_await put(
      f, "/registry/ipaddresses/10.43.0.7",
      R"({"kind":"IPAddress","apiVersion":"networking.k8s.io/v1","metadata":{"name":"10.43.0.7","labels":)"
      R"({"ipaddress.kubernetes.io/managed-by":"ipallocator.k8s.io"}},"spec":{"parentRef":)"
      R"({"resource":"services","namespace":"default","name":"gone"}}})");
  (void)co_await put(f, "/registry/ipaddresses/10.43.0.8",
                     R"({"kind":"IPAddress","apiVersion":"networking.k8s.io/v1","metadata":{"name":"10.43.0.8"},)"
                     R"("spec":{"parentRef":{"resource":"pools","name":"mine"}}})");
  const Result<void> done = co_await f.other->repair_service_claims(0, StopToken());
  CHECK(done.ok());
  CHECK(f.addresses() == std::vector<std::string>{"10.43.0.1", "10.43.0.5", "10.43.0.8"});
  CHECK(f.ports() == std::vector<std::string>{"30005"});
  // Again: nothing left to do.
  const std::size_t before = f.store.txns();
  const Result<void> again = co_await f.one->repair_service_claims(0, StopToken());
  CHECK(again.ok());
  CHECK(f.store.txns() == before);
  (void)co_await call(
      *f.one, f.request(Verb::kCreate, "n", R"({"spec":{"clusterIP":"10.43.0.8","ports":[{"port":1}]}})"), answers);
  CHECK(!answers.back().ok());
  co_return Result<void>();
}

// A service with `count` ports; with node ports from `first` on, unless that is 0.
std::string many_ports(int count, int first) {
  std::string ports;
  for (int i = 0; i < count; ++i) {
    const std::string chosen = first == 0 ? std::string() : cat(R"(,"nodePort":)", first + i);
    ports += cat(i == 0 ? "" : ",", R"({"name":"p)", i, R"(","port":)", 1000 + i, chosen, "}");
  }
  return cat(R"({"metadata":{},"spec":{"type":"NodePort","ports":[)", ports, "]}}");
}

std::vector<std::string> numbers(int first, int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.push_back(cat(first + i));
  return out;
}

Task<Result<void>> many_at_once(TwoServers& f) {
  std::vector<Result<ObjectRef>> answers;
  const auto last_is_fine = [&answers] {
    INFO((answers.back() ? "" : answers.back().error().message()));
    CHECK(answers.back().ok());
  };
  (void)co_await call(*f.one, f.request(Verb::kCreate, "many", many_ports(300, 0)), answers);
  last_is_fine();
  CHECK(f.ports().size() == 300);
  CHECK(f.addresses().size() == 2);
  (void)co_await call(*f.other, f.request(Verb::kPatch, "many", many_ports(250, 31000)), answers);
  last_is_fine();
  CHECK(f.ports() == numbers(31000, 250));
  (void)co_await call(*f.one, f.request(Verb::kPatch, "many", many_ports(250, 31100)), answers);
  last_is_fine();
  CHECK(f.ports() == numbers(31100, 250));
  CHECK(f.marks().empty());
  (void)co_await call(*f.other, f.request(Verb::kPatch, "many", R"({"spec":{"type":"ClusterIP"}})"), answers);
  last_is_fine();
  CHECK(f.ports().empty());
  (void)co_await call(*f.one, f.request(Verb::kPatch, "many", many_ports(300, 30000)), answers);
  last_is_fine();
  CHECK(f.ports() == numbers(30000, 300));
  (void)co_await call(*f.one, f.request(Verb::kDelete, "many"), answers);
  last_is_fine();
  CHECK(f.ports().empty());
  CHECK(f.addresses().size() == 1);
  co_return Result<void>();
}

Task<Result<void>> many_of_one_conflict(TwoServers& f) {
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    // They share the last ports, all of them, and none.
    const int other_first = 30200 - 100 * round;
    std::vector<Result<ObjectRef>> answers;
    io::TaskScope scope;
    scope.spawn(call(*f.one, f.request(Verb::kCreate, "a", many_ports(200, 30000)), answers));
    scope.spawn(call(*f.other, f.request(Verb::kCreate, "b", many_ports(200, other_first)), answers));
    (void)co_await scope.join();
    const bool both = other_first == 30200;
    CHECK((answers[0].ok() && answers[1].ok()) == both);
    CHECK((answers[0].ok() || answers[1].ok()));
    for (const Result<ObjectRef>& answer : answers) {
      if (!answer) CHECK(answer.error().message().find("provided port is already allocated") != std::string::npos);
    }
    CHECK(f.ports().size() == (both ? 400 : 200));
    CHECK(f.marks().empty());
    for (const char* name : {"a", "b"}) (void)co_await call(*f.one, f.request(Verb::kDelete, name), answers);
    CHECK(f.ports().empty());
  }
  co_return Result<void>();
}

// What a crash leaves of an attempt to make the service `name`.
Task<Result<void>> leave_claims(TwoServers& f, std::string name, int first) {
  auto mark = co_await put(f, cat("/kayak/claims-under-way/registry/services/specs/default/", name), "x");
  if (!mark) co_return mark;
  for (int i = 0; i < 50; ++i) (void)co_await put(f, cat("/kayak/node-ports/", first + i), cat("default/", name));
  co_return Result<void>();
}

Task<Result<void>> many_left_behind(TwoServers& f) {
  std::vector<Result<ObjectRef>> answers;
  // An attempt that ended in a crash, and is made again.
  auto left = co_await leave_claims(f, "again", 30010);
  CHECK(left.ok());
  (void)co_await call(*f.one, f.request(Verb::kCreate, "again", many_ports(200, 30000)), answers);
  INFO((answers.back() ? "" : answers.back().error().message()));
  CHECK(answers.back().ok());
  CHECK(f.ports() == numbers(30000, 200));
  CHECK(f.marks().empty());
  // And one that is not.
  left = co_await leave_claims(f, "gone", 31000);
  CHECK(left.ok());
  Result<void> repaired = co_await f.other->repair_service_claims(0, StopToken());
  CHECK(repaired.ok());
  CHECK(f.ports() == numbers(30000, 200));
  CHECK(f.marks().empty());
  co_return Result<void>();
}

bool puts(const store::TxnRequest& txn, const std::string& key) {
  return std::any_of(txn.success.begin(), txn.success.end(),
                     [&key](const store::Op& op) { return op.type == store::Op::Type::kPut && op.key == key; });
}

// Repairs while the port `last` has yet to be claimed.
Task<Result<void>> many_during_repairs(TwoServers& f) {
  bool repaired = false;
  f.store.hold_txns(
      [&repaired](const store::TxnRequest& txn) { return !repaired && puts(txn, cat("/kayak/node-ports/", 30399)); });
  std::vector<Result<ObjectRef>> answers;
  io::TaskScope scope;
  scope.spawn(call(*f.one, f.request(Verb::kCreate, "many", many_ports(400, 30000)), answers));
  while (f.ports().size() < 300) co_await f.loop.yield();
  const Result<void> done = co_await f.other->repair_service_claims(0, StopToken());
  CHECK(done.ok());
  repaired = true;
  const auto joined = co_await scope.join();
  CHECK(joined.ok());
  INFO((answers.back() ? "" : answers.back().error().message()));
  CHECK(answers.back().ok());
  CHECK(f.ports() == numbers(30000, 400));
  CHECK(f.marks().empty());
  co_return Result<void>();
}

bool only_releases(const store::TxnRequest& txn) {
  return txn.success.size() > 1 && std::all_of(txn.success.begin(), txn.success.end(), [](const store::Op& op) {
           return op.type == store::Op::Type::kDelete && op.key.starts_with("/kayak/node-ports/");
         });
}

// A repair releases what a service gave up before the service's own server comes to it, and another one takes some of
// it at once.
Task<Result<void>> released_twice(TwoServers& f) {
  for (const bool removes : {false, true}) {
    CAPTURE(removes);
    std::vector<Result<ObjectRef>> answers;
    (void)co_await call(*f.one, f.request(Verb::kCreate, "many", many_ports(250, 30000)), answers);
    CHECK(answers.back().ok());
    bool held = true;
    f.store.hold_txns([&held](const store::TxnRequest& txn) { return held && only_releases(txn); });
    io::TaskScope scope;
    const Verb verb = removes ? Verb::kDelete : Verb::kPatch;
    scope.spawn(call(*f.one, f.request(verb, "many", R"({"spec":{"type":"ClusterIP"}})"), answers));
    while (f.ports().size() == 250) co_await f.loop.yield();
    CHECK(f.ports().size() > 100);
    const Result<void> repaired = co_await f.other->repair_service_claims(0, StopToken());
    CHECK(repaired.ok());
    CHECK(f.ports().empty());
    std::vector<Result<ObjectRef>> others;
    (void)co_await call(*f.other, f.request(Verb::kCreate, "next", many_ports(1, 30200)), others);
    INFO((others.back() ? "" : others.back().error().message()));
    CHECK(others.back().ok());
    held = false;
    (void)co_await scope.join();
    CHECK(answers.back().ok());
    CHECK(f.ports() == std::vector<std::string>{"30200"});
    for (const char* name : {"many", "next"}) (void)co_await call(*f.one, f.request(Verb::kDelete, name), answers);
    f.store.hold_txns(nullptr);
  }
  co_return Result<void>();
}

}  // namespace

TEST_CASE("two servers never give one address or node port to two services") { run(no_address_twice); }
TEST_CASE("of two services that ask for one address or port at two servers, one is refused") {
  run(chosen_ones_conflict);
}
TEST_CASE("a service's address and ports are kept for as long as it has them") { run(claims_follow_the_service); }
TEST_CASE("the leader repairs what services hold") { run(repaired); }
TEST_CASE("a service with hundreds of node ports holds them all, and lets all of them go") {
  run(many_at_once, default_ranges());
}
TEST_CASE("of two services that ask for many ports at two servers, one is refused when they share any") {
  run(many_of_one_conflict, default_ranges());
}
TEST_CASE("what a crash has left of many claims is taken over, or repaired") {
  run(many_left_behind, default_ranges());
}
TEST_CASE("a repair does not take from a service what it is just claiming") {
  run(many_during_repairs, default_ranges());
}
TEST_CASE("what a service gave up is not taken from the one that holds it next") {
  run(released_twice, default_ranges());
}
