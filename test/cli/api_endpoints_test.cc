// api_endpoints_test.cc: how the addresses of members, some of them names, become endpoints.
#include "cli/api_endpoints.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <map>

#include "api/watch_cache.h"
#include "base/strings.h"
#include "support/memory_store.h"

using namespace kayak;
using namespace kayak::cli;
using namespace std::chrono_literals;

namespace {

using Ips = std::vector<std::string>;

struct Bed {
  Bed() : context{loop, clock, random, Log::to_fd(::fileno(file), LogLevel::kWarn), metrics} {}
  ~Bed() { std::fclose(file); }
  std::string find(std::vector<std::string> members) {
    struct Body {
      static Task<Result<void>> run(MemberAddresses* addresses, std::vector<std::string> members, std::string* out) {
        auto at = co_await addresses->find(std::move(members), StopToken());
        *out = at ? cat(at->ip, " ", at->port) : "(none)";
        co_return Result<void>();
      }
    };
    std::string out;
    REQUIRE(loop.run(Body::run(&addresses, std::move(members), &out)));
    return out;
  }
  Task<Result<Ips>> look_up(std::string host) {
    ++asked;
    const auto found = names.find(host);
    if (found == names.end()) co_return Error(Code::kNotFound, "no such name");
    co_return found->second;
  }

  // What the log was told.
  std::vector<std::string> lines() {
    std::rewind(file);
    std::string text(4096, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::vector<std::string> out;
    for (const std::string_view line : split(trim(text), '\n')) out.emplace_back(line);
    return out;
  }

  FILE* const file = std::tmpfile();
  Loop loop;
  ManualClock clock;
  SeededRandom random{5};
  Metrics metrics;
  Context context;
  std::map<std::string, Ips> names;
  int asked = 0;
  MemberAddresses addresses{context, [this](std::string host, StopToken) { return look_up(std::move(host)); }};
};

}  // namespace

TEST_CASE("a member's endpoint is an IP, of its addresses or of a name among them") {
  Bed bed;
  bed.names = {{"boat", {"2001:db8::9", "192.0.2.9", "192.0.2.3"}}, {"six", {"2001:db8::6"}}, {"self", {"127.0.1.1"}}};
  struct Row {
    std::vector<std::string> members;
    std::string told;
  };
  for (const Row& row : {Row{{"192.0.2.1:6443"}, "192.0.2.1 6443"}, Row{{"[2001:db8::1]:7"}, "2001:db8::1 7"},
                         Row{{"boat:6443"}, "192.0.2.3 6443"}, Row{{"boat:1", "192.0.2.1:2"}, "192.0.2.1 2"},
                         Row{{"nobody:1", "boat:2"}, "192.0.2.3 2"}, Row{{"six:1"}, "2001:db8::6 1"},
                         Row{{"self:1"}, "(none)"}, Row{{"nobody:1"}, "(none)"}, Row{{}, "(none)"}}) {
    CAPTURE(row.told);
    CHECK(bed.find(row.members) == row.told);
  }
}

TEST_CASE("a name is looked up anew now and then, and the log tells once that it has no address") {
  Bed bed;
  bed.names["boat"] = {"192.0.2.3"};
  CHECK(bed.find({"boat:1"}) == "192.0.2.3 1");
  bed.names["boat"] = {"192.0.2.4"};
  bed.clock.advance(4min);
  CHECK(bed.find({"boat:1"}) == "192.0.2.3 1");
  CHECK(bed.asked == 1);
  bed.clock.advance(2min);
  CHECK(bed.find({"boat:1"}) == "192.0.2.4 1");
  bed.names.clear();
  bed.clock.advance(6min);
  for (int i = 0; i < 3; ++i) CHECK(bed.find({"boat:1"}) == "192.0.2.4 1");
  REQUIRE(bed.lines().size() == 1);
  CHECK(bed.lines()[0].find("boat") != std::string::npos);
  for (int i = 0; i < 3; ++i) CHECK(bed.find({"yacht:1"}) == "(none)");
  CHECK(bed.lines().size() == 2);
  bed.names["yacht"] = {"192.0.2.7"};
  CHECK(bed.find({"yacht:1"}) == "192.0.2.7 1");
}

namespace {

// The hosts of `servers` after each look; a letter for how each of a, b and c stands: i(n), l(evel), u(nclear), o(ut).
std::string told_after(std::optional<std::string> told, const std::vector<std::string>& looks) {
  std::optional<std::vector<api::ApiAddress>> addresses;
  if (told) {
    addresses.emplace();
    for (const char host : *told) addresses->push_back(api::ApiAddress{std::string(1, host), 6443});
  }
  ToldServers servers(addresses);
  std::string out;
  for (const std::string& look : looks) {
    std::vector<SeenServer> seen;
    for (std::size_t i = 0; i < look.size(); ++i) {
      const std::map<char, Standing> letters = {
          {'i', Standing::kIn}, {'l', Standing::kLevel}, {'u', Standing::kUnclear}, {'o', Standing::kOut}};
      const std::string host(1, static_cast<char>('a' + static_cast<char>(i)));
      seen.push_back(SeenServer{api::ApiAddress{host, 6443}, letters.at(look[i])});
    }
    if (!out.empty()) out += ' ';
    for (const api::ApiAddress& address : servers.look(seen)) out += address.ip;
  }
  return out;
}

}  // namespace

TEST_CASE("who is told as an endpoint leaves when it cannot keep up, and does not come and go") {
  struct Row {
    const char* what;
    std::optional<std::string> told;
    std::vector<std::string> looks;
    std::string then;
  };
  const Row rows[] = {
      {"the first leader of a cluster tells all", std::nullopt, {"ill", "ill"}, "abc abc"},
      {"a new leader does not know yet", "abc", {"iuu", "iul", "ill"}, "abc abc abc"},
      {"and leaves out who was left out", "ab", {"ilu", "ilu"}, "ab ab"},
      {"one falls behind, and has its place back when it was level twice",
       "abc",
       {"ill", "ilu", "ilo", "ilu", "ill", "ill"},
       "abc abc ab ab ab abc"},
      {"level for a moment is not enough",
       "ab",
       {"ilo", "ill", "ilu", "ill", "ilo", "ill", "ill"},
       "ab ab ab ab ab ab abc"},
      {"one that is gone", "abc", {"il", "ill", "ill"}, "ab ab abc"},
      {"this server itself, and those of an etcd", "", {"iii"}, "abc"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(told_after(row.told, row.looks) == row.then);
  }
}

TEST_CASE("how a member stands") {
  using Pace = store::Member::Pace;
  struct Row {
    bool answers;
    Pace pace;
    Standing standing;
  };
  for (const Row& row : {Row{true, Pace::kLevel, Standing::kLevel}, Row{true, Pace::kUnclear, Standing::kUnclear},
                         Row{true, Pace::kBehind, Standing::kOut}, Row{false, Pace::kLevel, Standing::kOut}}) {
    store::Member member;
    member.answers = row.answers;
    member.pace = row.pace;
    CHECK(standing_of(member) == row.standing);
  }
}

TEST_CASE("what the endpoints tell is read as it was written") {
  const std::vector<api::ApiAddress> addresses = {{"192.0.2.1", 6443}, {"192.0.2.2", 6443}, {"192.0.2.3", 7443}};
  CHECK(api::addresses_of(api::kubernetes_endpoints(addresses).endpoints) == addresses);
  CHECK(api::addresses_of(json::Value(json::Object())).empty());
}

namespace {

struct KeptBed {
  static constexpr Duration kLook = 20ms;
  bool told(const api::Kind& kind) const { return bool(api->cache().get(kind, "default", "kubernetes")); }
  bool all_told() const { return told(api::kinds::endpoints()) && told(api::kinds::endpoint_slices()); }
  Task<bool> until_told() {
    for (int i = 0; i < 500 && !all_told(); ++i) (void)co_await loop.sleep(10ms, StopToken());
    co_return all_told();
  }
  Task<Result<void>> remove(const api::Kind* kind) {
    api::ApiRequest request;
    request.verb = api::Verb::kDelete;
    request.kind = kind;
    request.namespace_ = "default";
    request.name = "kubernetes";
    request.user.name = "admin";
    request.user.groups = {"system:masters", "system:authenticated"};
    auto gone = co_await api->handle(std::move(request), StopToken());
    if (!gone) co_return gone.error();
    co_return Result<void>();
  }
  Task<Result<std::vector<SeenServer>>> seen() {
    std::vector<SeenServer> servers;
    servers.push_back(SeenServer{api::ApiAddress{"192.0.2.1", 6443}});
    co_return servers;
  }
  Task<Result<void>> run();

  static api::ApiServerOptions options() {
    api::ApiServerOptions options;
    options.endpoints_kept = true;
    return options;
  }
  Loop loop;
  SystemClock clock;
  SeededRandom random{9};
  Metrics metrics;
  Context context{loop, clock, random, Log::discard(), metrics};
  test::MemoryStore store{context};
  std::unique_ptr<api::ApiServer> api = api::ApiServer::create(context, store, options());
  io::Event changed;
  bool others = false;
};

Task<Result<void>> KeptBed::run() {
  io::TaskScope scope;
  scope.spawn(api->run(scope.token()));
  (void)co_await api->wait_ready(scope.token());
  ApiAddresses addresses;
  addresses.list = [this](StopToken) { return seen(); };
  addresses.changed = &changed;
  addresses.any_others = [this] { return others; };
  addresses.period = others ? kLook : 1h;  // who is alone needs no look
  scope.spawn(keep_api_endpoints(context, *api, 0, std::move(addresses), scope.token()));
  const bool begun = co_await until_told();
  CHECK(begun);
  for (const api::Kind* kind : {&api::kinds::endpoints(), &api::kinds::endpoint_slices()}) {
    const Result<void> removed = co_await remove(kind);
    CHECK(removed);
    const bool back = co_await until_told();
    CHECK(back);
  }
  const store::Revision before = store.revision();
  (void)co_await loop.sleep(5 * kLook, StopToken());
  CHECK(store.revision() == before);
  scope.stop();
  co_return co_await scope.join();
}

}  // namespace

TEST_CASE("endpoints that somebody deletes come back, and as they are they are not written") {
  for (const bool others : {false, true}) {
    CAPTURE(others);
    KeptBed bed;
    bed.others = others;
    REQUIRE(bed.loop.run(bed.run()));
  }
}
