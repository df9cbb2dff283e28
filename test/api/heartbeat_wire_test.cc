// heartbeat_wire_test.cc: heartbeats between servers: their bytes, which of them are accepted, and what a server does
// that another one leads.
#include "api/heartbeat_wire.h"

#include <catch2/catch.hpp>

#include "api/document.h"
#include "api/heartbeat_link.h"
#include "base/protobuf_wire.h"
#include "base/strings.h"
#include "support/api_fixture.h"

using namespace kayak;
using namespace kayak::api;
using kayak::test::ApiFixture;

namespace {

const std::string kNodeLeases = "kube-node-lease";
const char* kFirst = "2026-01-01T00:00:00.000000Z";
const char* kSecond = "2026-01-01T00:00:10.000000Z";

store::Bytes bytes(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

Heartbeat beat(const Kind& kind, std::string namespace_, std::string name, store::Revision revision, std::string text) {
  Heartbeat heartbeat;
  heartbeat.kind = &kind;
  heartbeat.namespace_ = std::move(namespace_);
  heartbeat.name = std::move(name);
  heartbeat.revision = revision;
  heartbeat.text = bytes(std::move(text));
  return heartbeat;
}

std::string raw_beat(std::string_view group, std::string_view version, std::string_view resource,
                     std::string_view namespace_ = kNodeLeases) {
  std::string inside, out;
  ProtobufWriter one(&inside);
  one.bytes(1, group);
  one.bytes(2, version);
  one.bytes(3, resource);
  one.bytes(4, namespace_);
  one.bytes(5, "n1");
  one.number(6, 7);
  one.bytes(7, "{}");
  ProtobufWriter batch(&out);
  batch.bytes(1, inside);
  return out;
}

// What the leader would say, and what it was offered.
class FakeLink final : public HeartbeatLink {
 public:
  Task<bool> offer(Heartbeat heartbeat, StopToken) override {
    offered.push_back(std::move(heartbeat));
    co_return takes;
  }
  bool leads() const override { return is_leader; }
  std::vector<Heartbeat> offered;
  bool takes = true, is_leader = false;
};

Task<Result<ApiResponse>> make_lease(ApiFixture& f, const char* name) {
  ApiRequest create = f.request(Verb::kCreate, kinds::leases(), kNodeLeases);
  create.body = *json::read(cat(R"({"metadata":{"name":")", name, R"("},"spec":{"holderIdentity":")", name,
                                R"(","leaseDurationSeconds":40,"renewTime":")", kFirst, R"("}})"));
  return f.call(std::move(create));
}

Task<Result<ApiResponse>> renew(ApiFixture& f, const char* name, const char* time) {
  ApiRequest patch = f.request(Verb::kPatch, kinds::leases(), kNodeLeases, name);
  patch.patch_type = PatchType::kMerge;
  patch.body = *json::read(cat(R"({"spec":{"renewTime":")", time, R"("}})"));
  return f.call(std::move(patch));
}

std::string shown_time(ApiFixture& f, const char* name) {
  const ObjectRef lease = f.server->cache().get(kinds::leases(), kNodeLeases, name);
  if (!lease) return "(no lease)";
  const json::Document document = lease->document();
  return std::string(text_at(*document, {"spec", "renewTime"}));
}

std::string with(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) return "(no such text)";
  return text.substr(0, at) + to + text.substr(at + from.size());
}

Task<Result<void>> accepted_or_not(ApiFixture& f) {
  auto made = co_await make_lease(f, "n1");
  if (!made) co_return made.error();
  if (auto seen = co_await f.server->cache().wait_until(made->revision, StopToken()); !seen) co_return seen;
  const std::string text = *made->object->text(), renewed = with(text, kFirst, kSecond);
  const store::Revision revision = made->object->revision();
  const Kind& leases = kinds::leases();
  struct Row {
    const char* what;
    Heartbeat heartbeat;
    bool accepted;
  };
  const Row rows[] = {
      {"another object", beat(leases, kNodeLeases, "n2", revision, renewed), false},
      {"another namespace", beat(leases, "kube-system", "n1", revision, renewed), false},
      {"an older revision", beat(leases, kNodeLeases, "n1", revision - 1, renewed), false},
      {"a newer revision", beat(leases, kNodeLeases, "n1", revision + 1, renewed), false},
      {"no revision", beat(leases, kNodeLeases, "n1", 0, renewed), false},
      {"a negative revision", beat(leases, kNodeLeases, "n1", -1, renewed), false},
      {"nothing changed", beat(leases, kNodeLeases, "n1", revision, text), false},
      {"another holder",
       beat(leases, kNodeLeases, "n1", revision, with(renewed, R"("holderIdentity":"n1")", R"("holderIdentity":"n2")")),
       false},
      {"another duration", beat(leases, kNodeLeases, "n1", revision, with(renewed, ":40", ":4000")), false},
      {"another uid", beat(leases, kNodeLeases, "n1", revision, with(renewed, made->object->uid(), "u")), false},
      {"another name inside",
       beat(leases, kNodeLeases, "n1", revision, with(renewed, R"("name":"n1")", R"("name":"n2")")), false},
      {"another kind", beat(kinds::nodes(), "", "n1", revision, renewed), false},
      {"no JSON", beat(leases, kNodeLeases, "n1", revision, "{"), false},
      {"nothing", beat(leases, kNodeLeases, "n1", revision, ""), false},
      {"a renewal", beat(leases, kNodeLeases, "n1", revision, renewed), true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(accept_heartbeat(f.server->cache(), row.heartbeat) == row.accepted);
    CHECK(shown_time(f, "n1") == (row.accepted ? kSecond : kFirst));
  }
  // Of a revision that has passed meanwhile.
  ApiRequest label = f.request(Verb::kPatch, leases, kNodeLeases, "n1");
  label.body = *json::read(R"({"metadata":{"labels":{"a":"b"}}})");
  label.patch_type = PatchType::kMerge;
  auto labelled = co_await f.call(std::move(label));
  if (!labelled) co_return labelled.error();
  if (auto seen = co_await f.server->cache().wait_until(labelled->revision, StopToken()); !seen) co_return seen;
  CHECK_FALSE(accept_heartbeat(f.server->cache(), rows[std::size(rows) - 1].heartbeat));
  co_return Result<void>();
}

FakeLink* link_of(ApiFixture& f) { return static_cast<FakeLink*>(f.link); }

Task<Result<void>> offered_to_the_leader(ApiFixture& f) {
  FakeLink& link = *link_of(f);
  auto made = co_await make_lease(f, "n1");
  if (!made) co_return made.error();
  CHECK(link.offered.empty());  // no heartbeat
  const std::size_t writes = f.store.txns();
  auto taken = co_await renew(f, "n1", kSecond);
  if (!taken) co_return taken.error();
  CHECK(taken->revision == 0);
  CHECK(f.store.txns() == writes);
  CHECK(shown_time(f, "n1") == kSecond);
  if (link.offered.size() != 1) co_return Error(Code::kInternal, "it was not offered once");
  CHECK(link.offered[0].name == "n1");
  CHECK(link.offered[0].revision == made->object->revision());
  CHECK(link.offered[0].text->find(kSecond) != std::string::npos);
  // The leader does not want it: it becomes a write.
  link.takes = false;
  auto refused = co_await renew(f, "n1", "2026-01-01T00:00:20.000000Z");
  if (!refused) co_return refused.error();
  CHECK(link.offered.size() == 2);
  CHECK(refused->revision > made->object->revision());
  CHECK(f.store.txns() == writes + 1);
  CHECK(refused->object->text()->find("2026-01-01T00:00:20.000000Z") != std::string::npos);
  co_return Result<void>();
}

// Two heartbeats that are long due by the server's `heartbeat_age`, then some time.
Task<Result<void>> long_due(ApiFixture& f) {
  auto made = co_await make_lease(f, "n1");
  if (!made) co_return made.error();
  const std::size_t writes = f.store.txns();
  auto renewed = co_await renew(f, "n1", kSecond);
  if (!renewed) co_return renewed.error();
  // Only who leads writes them, and once; whoever does not has 120 ms to be caught at it.
  const std::size_t wanted = writes + (link_of(f)->is_leader ? 1 : 0);
  for (int i = 0; i < 1000 && (i < 60 || f.store.txns() < wanted); ++i) {
    auto slept = co_await f.loop.sleep(std::chrono::milliseconds(2), StopToken());
    if (!slept) co_return slept;
  }
  CHECK(f.store.txns() == wanted);
  CHECK(shown_time(f, "n1") == kSecond);
  co_return Result<void>();
}

void run_with(FakeLink& link, ApiFixture::Body body, Duration age = std::chrono::minutes(5)) {
  ApiServerOptions options;
  options.heartbeat_link = &link;
  options.heartbeat_age = age;
  ApiFixture fixture(options);
  const Result<void> done = fixture.run(body);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

}  // namespace

TEST_CASE("heartbeats are the same after a journey") {
  const std::vector<Heartbeat> sent = {
      beat(kinds::leases(), kNodeLeases, "n1", 7, "{\"a\":1}"),
      beat(kinds::nodes(), "", "n2", std::int64_t{1} << 60, std::string("\0\n\xff", 3)),
      beat(kinds::events(), "default", "e.17", 1, std::string(100'000, 'x')),
  };
  const Result<std::vector<Heartbeat>> got = decode_heartbeats(encode_heartbeats(sent));
  REQUIRE(got.ok());
  REQUIRE(got->size() == sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CAPTURE(i);
    CHECK((*got)[i].kind == sent[i].kind);
    CHECK((*got)[i].namespace_ == sent[i].namespace_);
    CHECK((*got)[i].name == sent[i].name);
    CHECK((*got)[i].revision == sent[i].revision);
    CHECK(*(*got)[i].text == *sent[i].text);
  }
  CHECK(encode_heartbeats({}).empty());
  CHECK(decode_heartbeats("")->empty());
}

TEST_CASE("bytes that are no batch of heartbeats") {
  const std::string good = raw_beat("coordination.k8s.io", "v1", "leases");
  struct Row {
    const char* what;
    std::string bytes;
    int beats;  // -1: refused
  };
  const Row rows[] = {
      {"one", good, 1},
      {"two", good + good, 2},
      {"cut", good.substr(0, good.size() - 1), -1},
      {"a length beyond the end", "\x0a\x7f", -1},
      {"a group", "\x0b", -1},
      {"a field 0", std::string("\x02\x00", 2), -1},
      {"a varint without an end", std::string(11, '\xff'), -1},
      {"fields of a newer version", good + "\x10\x07", 1},
      {"a beat without fields", std::string("\x0a\x00", 2), 0},
      {"an unknown kind", raw_beat("example.com", "v1", "widgets"), 0},
      {"a kind without heartbeats", raw_beat("", "v1", "configmaps"), 0},
      {"a kind that is not stored", raw_beat("authorization.k8s.io", "v1", "subjectaccessreviews"), 0},
      {"leases elsewhere", raw_beat("coordination.k8s.io", "v1", "leases", "kube-system"), 0},
      {"an unknown one between others", good + raw_beat("example.com", "v1", "widgets") + good, 2},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Result<std::vector<Heartbeat>> read = decode_heartbeats(row.bytes);
    CHECK((read ? static_cast<int>(read->size()) : -1) == row.beats);
    if (!read) CHECK(read.error().code() == Code::kBadRequest);
  }
  const Result<std::vector<Heartbeat>> large = decode_heartbeats(std::string(kMaxHeartbeatBatchBytes + 1, '\0'));
  REQUIRE_FALSE(large.ok());
  CHECK(large.error().code() == Code::kTooLarge);
}

TEST_CASE("a heartbeat of another server is accepted for what it says alone") {
  ApiFixture fixture;
  const Result<void> done = fixture.run(accepted_or_not);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

TEST_CASE("the leader is offered heartbeats, and what it refuses is written") {
  FakeLink link;
  run_with(link, offered_to_the_leader);
}

TEST_CASE("only who leads makes heartbeats durable") {
  for (const bool leads : {false, true}) {
    CAPTURE(leads);
    FakeLink link;
    link.is_leader = leads;
    run_with(link, long_due, std::chrono::milliseconds(20));
  }
}
