// heartbeat_test.cc: which writes are heartbeats, what readers, watches and the store see of them, and when they become
// durable.
#include "api/heartbeat.h"

#include <catch2/catch.hpp>

#include "api/convert.h"
#include "api/document.h"
#include "api/encode.h"
#include "api/heartbeat_fold.h"
#include "api/support_validation.h"
#include "api/watch_cache.h"
#include "base/strings.h"
#include "support/api_fixture.h"

using namespace kayak;
using namespace kayak::api;
using namespace std::chrono_literals;
using kayak::test::ApiFixture;
using kayak::test::changed;
using kayak::test::stored_object;

namespace {

const char* kLease = R"({"metadata":{"name":"n1","namespace":"kube-node-lease","uid":"u","managedFields":[
    {"manager":"kubelet","operation":"Update","time":"2026-01-01T00:00:00Z","fieldsV1":{"f:spec":{}}},
    {"manager":"other","operation":"Update","time":"2026-01-01T00:00:05Z","fieldsV1":{"f:metadata":{}}}]},
    "spec":{"holderIdentity":"n1","leaseDurationSeconds":40,"renewTime":"2026-01-01T00:00:00.000000Z"}})";
const char* kNode = R"({"metadata":{"name":"n1","uid":"u","labels":{"a":"b"}},"spec":{},"status":{"conditions":[
    {"type":"Ready","status":"True","reason":"R","message":"m","lastHeartbeatTime":"2026-01-01T00:00:00Z",
     "lastTransitionTime":"2026-01-01T00:00:00Z"},
    {"type":"DiskPressure","status":"False","reason":"R","message":"m","lastHeartbeatTime":"2026-01-01T00:00:00Z",
     "lastTransitionTime":"2026-01-01T00:00:00Z"}]}})";
const char* kEvent =
    R"({"metadata":{"name":"e","namespace":"default","uid":"u"},"involvedObject":{"kind":"Pod","name":"p"},
    "reason":"BackOff","message":"again","source":{"component":"kubelet","host":"n1"},"type":"Warning","count":3,
    "firstTimestamp":"2026-01-01T00:00:00Z","lastTimestamp":"2026-01-01T00:00:00Z"})";

json::Value document(const std::string& text) {
  auto read = json::read(text);
  REQUIRE(read.ok());
  return *read;
}

const char* kNewEvent =
    R"({"metadata":{"name":"new","namespace":"default"},"regarding":{"kind":"Pod","namespace":"default",
    "name":"p"},"reason":"BackOff","note":"again","type":"Warning","eventTime":"2026-01-01T00:00:00.000000Z",
    "reportingController":"example.com/c","reportingInstance":"c-1","action":"Start"})";

struct DifferenceRow {
  const char* change;
  Difference difference;
};

void check_differences(const Kind& kind, const char* base, const std::vector<DifferenceRow>& rows) {
  const json::Value before = stored_object(kind, base);
  for (const DifferenceRow& row : rows) {
    CAPTURE(kind.plural, row.change);
    json::Value after = changed(before, row.change);
    CHECK(difference_between(kind, before, after) == row.difference);
    // The document in hand has no resourceVersion, the cached one has.
    metadata_of(after)["resourceVersion"] = "17";
    CHECK(difference_between(kind, after, after) == Difference::kNone);
    CHECK(difference_between(kind, before, after) == row.difference);
  }
}

constexpr auto kNone = Difference::kNone;
constexpr auto kHeartbeat = Difference::kHeartbeat;
constexpr auto kDurable = Difference::kDurable;

}  // namespace

TEST_CASE("heartbeats of node leases are renewals by the same holder") {
  check_differences(kinds::leases(), kLease,
                    {{"", kNone},
                     {R"(spec.renewTime = "2026-01-01T00:00:10.000000Z")", kHeartbeat},
                     {R"(spec.renewTime = "2025-01-01T00:00:00.000000Z")", kHeartbeat},  // a clock that was put right
                     {R"(metadata.managedFields[0].time = "2026-01-01T00:00:10Z")", kNone},
                     {R"(spec.renewTime = "2026-01-01T00:00:10.000000Z"
           metadata.managedFields[0].time = "2026-01-01T00:00:10Z")",
                      kHeartbeat},
                     // The newer entry moves to the end.
                     {R"(spec.renewTime = "2026-01-01T00:00:10.000000Z"
           metadata.managedFields[0] = {"manager":"other","operation":"Update","time":"2026-01-01T00:00:05Z","fieldsV1":{"f:metadata":{}}}
           metadata.managedFields[1] = {"manager":"kubelet","operation":"Update","time":"2026-01-01T00:00:10Z","fieldsV1":{"f:spec":{}}})",
                      kHeartbeat},
                     {R"(metadata.managedFields[0].fieldsV1 = {"f:status":{}})", kDurable},
                     {R"(metadata.managedFields[1].manager = "kubelet")", kDurable},
                     {"metadata.managedFields = -", kDurable},
                     {"spec.renewTime = -", kDurable},
                     {"spec.renewTime = null", kDurable},
                     {R"(spec.holderIdentity = "n2"
           spec.renewTime = "2026-01-01T00:00:10.000000Z")",
                      kDurable},
                     {R"(spec.renewTime = "2026-01-01T00:00:10.000000Z"
           spec.leaseTransitions = 1)",
                      kDurable},
                     {R"(spec.leaseDurationSeconds = 41)", kDurable},
                     {R"(spec.acquireTime = "2026-01-01T00:00:10.000000Z")", kDurable},
                     {R"(metadata.labels = {"a":"b"})", kDurable},
                     {R"(metadata.uid = "v")", kDurable},
                     {R"(metadata.finalizers = ["x"])", kDurable}});
}

TEST_CASE("leases elsewhere, as operators elect leaders by, have no heartbeats") {
  const json::Value before = changed(stored_object(kinds::leases(), kLease), R"(metadata.namespace = "kube-system")");
  const json::Value after = changed(before, R"(spec.renewTime = "2026-01-01T00:00:10.000000Z")");
  CHECK(difference_between(kinds::leases(), before, after) == kDurable);
  CHECK(difference_between(kinds::leases(), before, before) == kNone);
  struct KeyRow {
    const char* key;
    bool may;
  };
  for (const KeyRow& row :
       {KeyRow{"/registry/leases/kube-node-lease/n1", true},
        KeyRow{"/registry/leases/kube-system/kube-scheduler", false}, KeyRow{"/registry/minions/n1", true},
        KeyRow{"/registry/events/default/e", true}, KeyRow{"/registry/pods/default/p", false},
        KeyRow{"/registry/leases/kube-node-lease-2/n1", false}}) {
    CAPTURE(row.key);
    CHECK(may_have_heartbeats(row.key) == row.may);
  }
}

TEST_CASE("heartbeats of nodes are times of conditions that stay as they are") {
  check_differences(kinds::nodes(), kNode,
                    {{R"(status.conditions[0].lastHeartbeatTime = "2026-01-01T00:05:00Z")", kHeartbeat},
                     {R"(status.conditions[0].lastHeartbeatTime = "2026-01-01T00:05:00Z"
                         status.conditions[1].lastHeartbeatTime = "2026-01-01T00:05:00Z")",
                      kHeartbeat},
                     {R"(status.conditions[0].lastTransitionTime = "2026-01-01T00:05:00Z")", kDurable},
                     {R"(status.conditions[0].lastHeartbeatTime = "2026-01-01T00:05:00Z"
                         status.conditions[0].status = "False")",
                      kDurable},
                     {R"(status.conditions[1].message = "x")", kDurable},
                     {R"(status.conditions[0].lastHeartbeatTime = null)", kDurable},
                     {R"(status.conditions[2] = {"type":"X","status":"True"})", kDurable},
                     {R"(status.conditions = -)", kDurable},
                     {R"(status.phase = "Running")", kDurable},
                     {R"(spec.unschedulable = true)", kDurable},
                     {R"(metadata.labels.a = "c")", kDurable},
                     {R"(metadata.annotations = {"a":"b"})", kDurable}});
}

TEST_CASE("heartbeats of events are repeats by the same reporter") {
  check_differences(
      kinds::events(), kEvent,
      {{R"(count = 4)", kHeartbeat},
       {R"(lastTimestamp = "2026-01-01T00:00:10Z")", kHeartbeat},
       {R"(count = 4
                         lastTimestamp = "2026-01-01T00:00:10Z")",
        kHeartbeat},
       {R"(count = 2)", kDurable},
       {R"(count = -)", kDurable},
       {R"(lastTimestamp = null)", kDurable},
       {R"(series = {"count":2,"lastObservedTime":"2026-01-01T00:00:10.000000Z"})", kDurable},
       {R"(series = {"count":2,"lastObservedTime":"2026-01-01T00:00:10.000000Z","state":"Ongoing"})", kDurable},
       {R"(count = 4
                         message = "other")",
        kDurable},
       {R"(count = 4
                         source.host = "n2")",
        kDurable},
       {R"(count = 4
                         reportingInstance = "x")",
        kDurable},
       {R"(firstTimestamp = "2026-01-01T00:00:10Z")", kDurable},
       {R"(type = "Normal")", kDurable}});
  const json::Value once = changed(stored_object(kinds::events(), kEvent),
                                   R"(series = {"count":2,"lastObservedTime":"2026-01-01T00:00:10.000000Z"})");
  const json::Value twice = changed(once, R"(series.count = 3)");
  CHECK(difference_between(kinds::events(), once, twice) == kHeartbeat);
  CHECK(difference_between(kinds::events(), twice, once) == kDurable);
  CHECK(difference_between(kinds::events(), once, changed(once, "series = -")) == kDurable);
}

TEST_CASE("other kinds have no heartbeats, but times of managedFields are no change of any") {
  const char* base = R"({"metadata":{"name":"c","namespace":"default","managedFields":[
      {"manager":"m","operation":"Update","time":"2026-01-01T00:00:00Z","fieldsV1":{}}]},"data":{"a":"b"}})";
  check_differences(kinds::config_maps(), base,
                    {{R"(metadata.managedFields[0].time = "2026-01-01T00:00:10Z")", kNone},
                     {R"(metadata.managedFields[0].manager = "n")", kDurable},
                     {R"(data.a = "c")", kDurable},
                     {R"(data = -)", kDurable},
                     {R"(binaryData = {"x":""})", kDurable}});
}

TEST_CASE("a PUT of an object without its heartbeats does not take them back") {
  struct KeepRow {
    const Kind* kind;
    const char* base;
    const char* shown;  // what the heartbeats changed
    const char* sent;   // what the client changed of the durable object
    const char* kept;   // what the outcome differs by from the durable object
  };
  const char* renewed = R"(spec.renewTime = "2026-01-01T00:00:10.000000Z")";
  const char* beaten = R"(status.conditions[1].lastHeartbeatTime = "2026-01-01T00:05:00Z")";
  const std::string repeated = json::write(
      changed(document(kEvent), R"(series = {"count":2,"lastObservedTime":"2026-01-01T00:00:10.000000Z"})"));
  for (const KeepRow& row : {
           KeepRow{&kinds::leases(), kLease, renewed, "", renewed},
           KeepRow{&kinds::leases(), kLease, renewed, R"(spec.renewTime = "2026-01-01T00:00:07.000000Z")",
                   R"(spec.renewTime = "2026-01-01T00:00:07.000000Z")"},
           KeepRow{&kinds::leases(), kLease, renewed, "spec.renewTime = null", "spec.renewTime = null"},
           KeepRow{&kinds::nodes(), kNode, beaten, "", beaten},
           KeepRow{&kinds::nodes(), kNode, beaten, "status.conditions = []", "status.conditions = []"},
           KeepRow{&kinds::events(), kEvent, "count = 9", "", "count = 9"},
           KeepRow{&kinds::events(), kEvent, "count = 9", "count = 5", "count = 5"},
           KeepRow{&kinds::events(), repeated.c_str(), "series.count = 3", "", "series.count = 3"},
           KeepRow{&kinds::events(), repeated.c_str(), "series.count = 3", "series = -", "series = -"},
           KeepRow{&kinds::config_maps(), R"({"metadata":{"name":"c"},"data":{"count":"1"}})", R"(data.count = "2")",
                   "", ""},
       }) {
    CAPTURE(row.kind->plural, row.shown, row.sent);
    const json::Value durable = stored_object(*row.kind, row.base);
    json::Value sent = changed(durable, row.sent);
    keep_heartbeats(*row.kind, durable, changed(durable, row.shown), sent);
    CHECK(json::write(sent) == json::write(changed(durable, row.kept)));
  }
}

// ---- through the server

namespace {

void run(ApiFixture::Body body, ApiServerOptions options = ApiServerOptions()) {
  ApiFixture fixture(std::move(options));
  const Result<void> done = fixture.run(body);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

std::string text_of(const ObjectRef& object, std::initializer_list<std::string_view> path) {
  const json::Document kept = object->document();
  const json::Value* value = kept->at(path);
  return value == nullptr ? "(absent)" : value->is_string() ? value->as_string() : json::write(*value);
}

// A failed REQUIRE throws, and an exception must not leave a coroutine: this ends the test's body instead.
#define REQUIRE_OK(result)                \
  if (!result) {                          \
    FAIL_CHECK(result.error().message()); \
    co_return Result<void>();             \
  }

const std::string kNodeLeases = "kube-node-lease";
constexpr const char* kFirst = "2026-01-01T00:00:00.000000Z";
constexpr const char* kSecond = "2026-01-01T00:00:10.000000Z";
constexpr const char* kThird = "2026-01-01T00:00:20.000000Z";

std::string renewal(const std::string& time) {
  return cat(R"({"spec":{"holderIdentity":"n1","leaseDurationSeconds":40,"renewTime":")", time, R"("}})");
}

Task<Result<ApiResponse>> make_lease(ApiFixture& f, std::string space, std::string name) {
  ApiRequest request = f.request(Verb::kCreate, kinds::leases(), space);
  request.body = document(renewal(kFirst));
  metadata_of(request.body)["name"] = name;
  return f.call(std::move(request));
}

Task<Result<ApiResponse>> patch(ApiFixture& f, const Kind& kind, std::string space, std::string name, std::string text,
                                std::string subresource = "") {
  ApiRequest request = f.request(Verb::kPatch, kind, space, name);
  request.subresource = subresource;
  request.body = document(text);
  return f.call(std::move(request));
}

Task<Result<ApiResponse>> get(ApiFixture& f, const Kind& kind, std::string space, std::string name) {
  return f.call(f.request(Verb::kGet, kind, space, name));
}

Task<Result<void>> renewals(ApiFixture& f) {
  const Kind& kind = kinds::leases();
  auto made = co_await make_lease(f, kNodeLeases, "n1");
  REQUIRE_OK(made);
  const store::Revision revision = made->object->revision();
  CacheWatchOptions options;
  options.after = revision;
  auto watch = f.server->cache().watch(kind, std::move(options));
  std::vector<std::string> told;
  auto observe = [&told](const ObjectRef& before, const ObjectRef& now) {
    told.push_back(cat(text_of(before, {"spec", "renewTime"}), " ", text_of(now, {"spec", "renewTime"})));
  };
  auto subscription = f.server->cache().on_heartbeat(observe);
  const std::size_t txns = f.store.txns();

  auto renewed = co_await patch(f, kind, kNodeLeases, "n1", renewal(kSecond));
  REQUIRE_OK(renewed);
  CHECK(renewed->status == 200);
  CHECK(renewed->revision == 0);
  CHECK(renewed->object->revision() == revision);
  CHECK(text_of(renewed->object, {"spec", "renewTime"}) == kSecond);
  CHECK(text_of(renewed->object, {"metadata", "resourceVersion"}) == std::to_string(revision));
  // As kubelet does it: a PUT of what it got, with the revision that this has.
  json::Value body = *renewed->object->document();
  body["spec"]["renewTime"] = kThird;
  ApiRequest put = f.request(Verb::kUpdate, kind, kNodeLeases, "n1");
  put.body = body;
  auto again = co_await f.call(put);
  REQUIRE_OK(again);
  CHECK(again->object->revision() == revision);

  CHECK(f.store.txns() == txns);
  CHECK(f.store.revision() == revision);
  CHECK(told == std::vector<std::string>{cat(kFirst, " ", kSecond), cat(kSecond, " ", kThird)});
  auto got = co_await get(f, kind, kNodeLeases, "n1");
  REQUIRE_OK(got);
  CHECK(text_of(got->object, {"spec", "renewTime"}) == kThird);
  ApiRequest list = f.request(Verb::kList, kind, kNodeLeases);
  auto listed = co_await f.call(list);
  REQUIRE_OK(listed);
  CHECK(listed->list->items.size() == 1);
  CHECK(text_of(listed->list->items[0], {"spec", "renewTime"}) == kThird);
  CHECK(listed->list->items[0]->revision() == revision);
  // Every form of it is as new.
  for (Encoding encoding : {Encoding::kJson, Encoding::kYaml, Encoding::kProtobuf}) {
    EncodeOptions form;
    form.kind = &kind;
    form.choice.encoding = encoding;
    std::string bytes;
    for (const io::Slice& slice : encode_object(form, got->object)) bytes += slice.bytes;
    EncodeOptions old_form = form;
    std::string old_bytes;
    for (const io::Slice& slice : encode_object(old_form, made->object)) old_bytes += slice.bytes;
    CHECK(bytes != old_bytes);
  }

  // The watch's next event is the next durable write, which carries the heartbeat.
  subscription.reset();
  auto labelled = co_await patch(f, kind, kNodeLeases, "n1", R"({"metadata":{"labels":{"a":"b"}}})");
  REQUIRE_OK(labelled);
  CHECK(labelled->object->revision() > revision);
  CHECK(text_of(labelled->object, {"spec", "renewTime"}) == kThird);
  auto events = co_await (*watch)->next(StopToken());
  REQUIRE_OK(events);
  CHECK(events->size() == 1);
  CHECK(events->front().revision == labelled->object->revision());
  CHECK(text_of(events->front().object, {"spec", "renewTime"}) == kThird);
  CHECK(f.server->cache().heartbeats().entries().empty());
  CHECK(told.size() == 2);
  // The client that still has the revision before has lost it by that.
  auto stale = co_await f.call(put);
  CHECK_FALSE(stale.ok());
  if (!stale) CHECK(stale.error().code() == Code::kConflict);
  co_return Result<void>();
}

Task<Result<void>> what_stays_durable(ApiFixture& f) {
  const Kind& kind = kinds::leases();
  for (const char* space : {"kube-system", "kube-node-lease"}) {
    auto made = co_await make_lease(f, space, "n1");
    REQUIRE_OK(made);
  }
  auto elected = co_await patch(f, kind, "kube-system", "n1", renewal(kSecond));
  REQUIRE_OK(elected);
  CHECK(elected->revision > 0);
  auto taken = co_await patch(f, kind, kNodeLeases, "n1",
                              R"({"spec":{"holderIdentity":"n2","renewTime":"2026-01-01T00:00:10.000000Z"}})");
  REQUIRE_OK(taken);
  CHECK(taken->revision > 0);
  // A dry run shows nobody anything.
  ApiRequest dry = f.request(Verb::kPatch, kind, kNodeLeases, "n1");
  dry.body = document(R"({"spec":{"renewTime":"2026-01-01T00:00:30.000000Z"}})");
  dry.write.dry_run = true;
  auto tried = co_await f.call(std::move(dry));
  REQUIRE_OK(tried);
  CHECK(text_of(tried->object, {"spec", "renewTime"}) == "2026-01-01T00:00:30.000000Z");
  auto got = co_await get(f, kind, kNodeLeases, "n1");
  REQUIRE_OK(got);
  CHECK(text_of(got->object, {"spec", "renewTime"}) == kSecond);
  CHECK(f.server->cache().heartbeats().entries().empty());
  co_return Result<void>();
}

Task<Result<void>> informers_writes(ApiFixture& f) {
  const Kind& kind = kinds::leases();
  auto made = co_await make_lease(f, kNodeLeases, "n1");
  REQUIRE_OK(made);
  auto renewed = co_await patch(f, kind, kNodeLeases, "n1", renewal(kSecond));
  REQUIRE_OK(renewed);
  // Its copy is from before the heartbeat, and current by its revision: accepted, and takes nothing back.
  ApiRequest put = f.request(Verb::kUpdate, kind, kNodeLeases, "n1");
  put.body = *made->object->document();
  auto same = co_await f.call(put);
  REQUIRE_OK(same);
  CHECK(same->revision == 0);
  CHECK(text_of(same->object, {"spec", "renewTime"}) == kSecond);
  metadata_of(put.body)["labels"] = document(R"({"a":"b"})");
  auto labelled = co_await f.call(put);
  REQUIRE_OK(labelled);
  CHECK(labelled->revision > 0);
  CHECK(text_of(labelled->object, {"spec", "renewTime"}) == kSecond);
  co_return Result<void>();
}

Task<Result<void>> deletion_drops(ApiFixture& f) {
  const Kind& kind = kinds::leases();
  auto made = co_await make_lease(f, kNodeLeases, "n1");
  REQUIRE_OK(made);
  auto renewed = co_await patch(f, kind, kNodeLeases, "n1", renewal(kSecond));
  REQUIRE_OK(renewed);
  CHECK(f.server->cache().heartbeats().entries().size() == 1);
  auto removed = co_await f.call(f.request(Verb::kDelete, kind, kNodeLeases, "n1"));
  REQUIRE_OK(removed);
  auto gone = co_await get(f, kind, kNodeLeases, "n1");
  CHECK_FALSE(gone.ok());
  CHECK(f.server->cache().heartbeats().entries().empty());
  auto anew = co_await make_lease(f, kNodeLeases, "n1");
  REQUIRE_OK(anew);
  auto got = co_await get(f, kind, kNodeLeases, "n1");
  REQUIRE_OK(got);
  CHECK(text_of(got->object, {"spec", "renewTime"}) == kFirst);
  co_return Result<void>();
}

Task<Result<void>> nodes_and_events(ApiFixture& f) {
  ApiRequest create = f.request(Verb::kCreate, kinds::nodes());
  create.body = document(R"({"metadata":{"name":"n1"}})");
  auto node = co_await f.call(std::move(create));
  REQUIRE_OK(node);
  const auto status = [](const std::string& time, const std::string& ready) {
    return cat(R"({"status":{"conditions":[{"type":"Ready","status":")", ready, R"(","lastHeartbeatTime":")", time,
               R"(","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})");
  };
  auto first = co_await patch(f, kinds::nodes(), "", "n1", status("2026-01-01T00:00:00Z", "True"), "status");
  REQUIRE_OK(first);
  CHECK(first->revision > 0);
  auto beat = co_await patch(f, kinds::nodes(), "", "n1", status("2026-01-01T00:05:00Z", "True"), "status");
  REQUIRE_OK(beat);
  CHECK(beat->revision == 0);
  CHECK(beat->object->revision() == first->object->revision());
  auto cordoned = co_await patch(f, kinds::nodes(), "", "n1", R"({"spec":{"unschedulable":true}})");
  REQUIRE_OK(cordoned);
  CHECK(cordoned->revision > 0);
  CHECK(cordoned->object->text()->find("2026-01-01T00:05:00Z") != std::string::npos);
  auto failed = co_await patch(f, kinds::nodes(), "", "n1", status("2026-01-01T00:10:00Z", "False"), "status");
  REQUIRE_OK(failed);
  CHECK(failed->revision > 0);

  ApiRequest event = f.request(Verb::kCreate, kinds::events(), "default");
  event.body = document(kEvent);
  auto seen = co_await f.call(std::move(event));
  REQUIRE_OK(seen);
  auto repeated =
      co_await patch(f, kinds::events(), "default", "e", R"({"count":4,"lastTimestamp":"2026-01-01T00:00:10Z"})");
  REQUIRE_OK(repeated);
  CHECK(repeated->revision == 0);
  // The other version of the kind shows and takes the same.
  const Kind& events = *find_kind("events.k8s.io", "v1", "events");
  auto other = co_await get(f, events, "default", "e");
  REQUIRE_OK(other);
  CHECK(document_as(*other->object, events)->at({"deprecatedCount"})->int_or(0) == 4);
  ApiRequest made = f.request(Verb::kCreate, events, "default");
  made.body = document(kNewEvent);
  auto single = co_await f.call(std::move(made));
  REQUIRE_OK(single);
  for (int count : {2, 3}) {
    auto series =
        co_await patch(f, events, "default", "new",
                       cat(R"({"series":{"count":)", count, R"(,"lastObservedTime":"2026-01-01T00:00:20.000000Z"}})"));
    REQUIRE_OK(series);
    // The first repeat makes its reporter the manager of the series, which is more than a time.
    CHECK((series->revision == 0) == (count == 3));
    CHECK(text_of(series->object, {"series", "count"}) == std::to_string(count));
  }
  auto reworded = co_await patch(f, kinds::events(), "default", "e", R"({"message":"else"})");
  REQUIRE_OK(reworded);
  CHECK(reworded->revision > 0);
  CHECK(text_of(reworded->object, {"count"}) == "4");
  co_return Result<void>();
}

Task<Result<void>> past_lists(ApiFixture& f) {
  const Kind& kind = kinds::leases();
  for (const char* name : {"n1", "n2", "n3"}) {
    auto made = co_await make_lease(f, kNodeLeases, name);
    REQUIRE_OK(made);
  }
  auto renewed = co_await patch(f, kind, kNodeLeases, "n2", renewal(kSecond));
  REQUIRE_OK(renewed);
  ApiRequest list = f.request(Verb::kList, kind, kNodeLeases);
  list.read.limit = 1;
  auto first = co_await f.call(list);
  REQUIRE_OK(first);
  // A change of the kind sends the next pages to the store's past, which knows no heartbeats.
  auto labelled = co_await patch(f, kind, kNodeLeases, "n3", R"({"metadata":{"labels":{"a":"b"}}})");
  REQUIRE_OK(labelled);
  list.read.limit = 0;
  list.read.continue_token = first->list->continue_token;
  auto rest = co_await f.call(list);
  REQUIRE_OK(rest);
  CHECK(rest->list->items.size() == 2);
  CHECK(text_of(rest->list->items[0], {"spec", "renewTime"}) == kSecond);
  CHECK(text_of(rest->list->items[1], {"metadata", "labels", "a"}) == "(absent)");
  co_return Result<void>();
}

// Heartbeats beside a durable write that is on its way to the disk: whichever comes first, nothing is lost.
Task<Result<void>> beside_writes(ApiFixture& f) {
  const Kind& kind = kinds::leases();
  auto made = co_await make_lease(f, kNodeLeases, "n1");
  REQUIRE_OK(made);
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    const std::string time = cat("2026-01-01T00:01:", 10 + i, ".000000Z");
    std::optional<Result<ApiResponse>> label;
    auto write = [](ApiFixture& fixture, int n, std::optional<Result<ApiResponse>>& out) -> Task<void> {
      out = co_await patch(fixture, kinds::leases(), kNodeLeases, "n1",
                           cat(R"({"metadata":{"labels":{"a":"b)", n, R"("}}})"));
    };
    io::TaskScope scope;
    scope.spawn(write(f, i, label));
    auto renewed = co_await patch(f, kind, kNodeLeases, "n1", renewal(time));
    auto joined = co_await scope.join();
    REQUIRE_OK(joined);
    REQUIRE_OK(renewed);
    auto got = co_await get(f, kind, kNodeLeases, "n1");
    REQUIRE_OK(got);
    CHECK(text_of(got->object, {"spec", "renewTime"}) == time);
    CHECK(text_of(got->object, {"metadata", "labels", "a"}) == cat("b", i));
  }
  co_return Result<void>();
}

Task<Result<void>> folds_by_itself(ApiFixture& f) {
  const Kind& kind = kinds::leases();
  auto made = co_await make_lease(f, kNodeLeases, "n1");
  REQUIRE_OK(made);
  CacheWatchOptions options;
  options.after = made->object->revision();
  auto watch = f.server->cache().watch(kind, std::move(options));
  auto renewed = co_await patch(f, kind, kNodeLeases, "n1", renewal(kSecond));
  REQUIRE_OK(renewed);
  auto events = co_await (*watch)->next(StopToken());
  REQUIRE_OK(events);
  CHECK(events->size() == 1);
  CHECK(events->front().revision > made->object->revision());
  CHECK(text_of(events->front().object, {"spec", "renewTime"}) == kSecond);
  co_return Result<void>();
}

Task<Result<void>> one_heartbeat(ApiFixture& f) {
  auto made = co_await make_lease(f, kNodeLeases, "n1");
  REQUIRE_OK(made);
  auto renewed = co_await patch(f, kinds::leases(), kNodeLeases, "n1", renewal(kSecond));
  REQUIRE_OK(renewed);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("renewals are shown, not written, and the next write carries them") { run(renewals); }
TEST_CASE("other writes stay durable") { run(what_stays_durable); }
TEST_CASE("a write from before the heartbeat takes nothing back") { run(informers_writes); }
TEST_CASE("a deletion drops the heartbeat") { run(deletion_drops); }
TEST_CASE("heartbeats of nodes and events") { run(nodes_and_events); }
TEST_CASE("a list of the past shows heartbeats of what is still current") { run(past_lists); }
TEST_CASE("heartbeats and writes at once lose nothing") { run(beside_writes); }
TEST_CASE("heartbeats become durable when they are old enough") {
  ApiServerOptions options;
  options.heartbeat_age = 20ms;
  run(folds_by_itself, options);
}
TEST_CASE("where heartbeats are not absorbed they are durable at once") {
  ApiServerOptions options;
  options.absorb_heartbeats = false;
  run(folds_by_itself, options);
}

namespace {
std::string stored_renewal(test::MemoryStore& store, io::Loop& loop) {
  std::string text;
  auto read = [](test::MemoryStore& from, std::string& out) -> Task<Result<void>> {
    store::RangeRequest range;
    range.key = "/registry/leases/kube-node-lease/n1";
    auto got = co_await from.range(range, StopToken());
    if (got && got->kvs.size() == 1) out = *got->kvs[0].value;
    co_return Result<void>();
  };
  CHECK(loop.run(read(store, text)).ok());
  return text;
}
}  // namespace

TEST_CASE("a clean stop makes heartbeats durable") {
  ApiFixture fixture;
  CHECK(fixture.run(one_heartbeat).ok());
  CHECK(stored_renewal(fixture.store, fixture.loop).find(kSecond) != std::string::npos);
}

// ---- the cache alone, on a clock that a test moves

namespace {

struct Rig {
  Rig() : context{loop, clock, random, Log::discard(), metrics}, store(context, 0ms), cache(context, store, {}) {}
  using Body = Task<Result<void>> (*)(Rig& rig);
  void run(Body body) {
    const Result<void> done = loop.run(drive(*this, body));
    INFO((done ? "" : done.error().message()));
    CHECK(done.ok());
  }
  static Task<Result<void>> drive(Rig& rig, Body body) {
    if (auto loaded = co_await rig.cache.load(StopToken()); !loaded) co_return loaded;
    io::TaskScope scope;
    scope.spawn(rig.cache.follow(scope.token()));
    Result<void> done = co_await body(rig);
    scope.stop();
    auto joined = co_await scope.join();
    if (!done) co_return done;
    co_return joined;
  }
  static store::Bytes lease(const std::string& name, const std::string& time) {
    return std::make_shared<const std::string>(
        cat(R"({"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":")", name,
            R"(","namespace":"kube-node-lease"},"spec":{"renewTime":")", time, R"("}})"));
  }
  static store::Bytes node(const std::string& name, const std::string& time) {
    return std::make_shared<const std::string>(cat(R"({"kind":"Node","apiVersion":"v1","metadata":{"name":")", name,
                                                   R"("},"status":{"conditions":[{"type":"Ready",)",
                                                   R"("lastHeartbeatTime":")", time, R"("}]}})"));
  }
  static std::string key(const Kind& kind, const std::string& name) {
    return storage_key(kind, kind.namespaced ? kNodeLeases : std::string(), name);
  }
  Task<store::Revision> put(const Kind& kind, std::string name, store::Bytes text) {
    store::TxnRequest txn;
    store::Op op;
    op.key = key(kind, name);
    op.value = std::move(text);
    txn.success.push_back(std::move(op));
    auto done = co_await store.txn(std::move(txn), StopToken());
    auto seen = co_await cache.wait_until(done->revision, StopToken());
    co_return seen ? done->revision : 0;
  }
  ObjectRef object(const Kind& kind, const std::string& name) const {
    return cache.get(kind, kind.namespaced ? kNodeLeases : std::string(), name);
  }
  bool beat(const Kind& kind, const std::string& name, store::Bytes text, store::Revision revision = 0) {
    Heartbeat heartbeat;
    heartbeat.kind = &kind;
    if (kind.namespaced) heartbeat.namespace_ = kNodeLeases;
    heartbeat.name = name;
    heartbeat.revision = revision != 0 ? revision : object(kind, name)->revision();
    heartbeat.text = std::move(text);
    return cache.take_heartbeat(heartbeat) != nullptr;
  }
  Task<Result<bool>> fold() { return fold_heartbeats_older_than(context, store, cache, 5min, StopToken()); }

  io::Loop loop;
  ManualClock clock;
  SeededRandom random{3};
  Metrics metrics;
  Context context;
  test::MemoryStore store;
  WatchCache cache;
};

Task<Result<void>> folds_when_due(Rig& rig) {
  const Kind& leases = kinds::leases();
  const Kind& nodes = kinds::nodes();
  co_await rig.put(leases, "n1", Rig::lease("n1", kFirst));
  co_await rig.put(leases, "n2", Rig::lease("n2", kFirst));
  const store::Revision before = co_await rig.put(nodes, "n1", Rig::node("n1", kFirst));
  auto nothing = co_await rig.fold();
  CHECK((nothing.ok() && !*nothing));
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kSecond)));
  rig.clock.advance(4min);
  // Younger ones go along, so that the disk is woken once.
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kThird)));
  CHECK(rig.beat(leases, "n2", Rig::lease("n2", kSecond)));
  CHECK(rig.beat(nodes, "n1", Rig::node("n1", kSecond)));
  auto early = co_await rig.fold();
  CHECK((early.ok() && !*early));
  CHECK(rig.store.revision() == before);
  rig.clock.advance(1min);
  auto due = co_await rig.fold();
  CHECK((due.ok() && *due));
  CHECK(rig.cache.heartbeats().entries().empty());
  CHECK_FALSE(rig.cache.heartbeats().pending().is_set());
  // A key of each kind at one revision: no watch sees two events of one revision, and one node takes one transaction.
  CHECK(rig.store.revision() == before + 2);
  CHECK(rig.object(leases, "n1")->revision() == rig.object(nodes, "n1")->revision());
  CHECK(rig.object(leases, "n2")->revision() != rig.object(leases, "n1")->revision());
  CHECK(*rig.object(leases, "n1")->text() == *Rig::lease("n1", kThird));
  CHECK(*rig.object(leases, "n2")->text() == *Rig::lease("n2", kSecond));
  CHECK(*rig.object(nodes, "n1")->text() == *Rig::node("n1", kSecond));
  // The five minutes begin anew with the next heartbeat.
  rig.clock.advance(1h);
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kFirst)));
  auto fresh = co_await rig.fold();
  CHECK((fresh.ok() && !*fresh));
  co_return Result<void>();
}

Task<Result<void>> fold_loses_to_writes(Rig& rig) {
  const Kind& leases = kinds::leases();
  const Kind& nodes = kinds::nodes();
  co_await rig.put(leases, "n1", Rig::lease("n1", kFirst));
  co_await rig.put(nodes, "n1", Rig::node("n1", kFirst));
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kSecond)));
  CHECK(rig.beat(nodes, "n1", Rig::node("n1", kSecond)));
  rig.clock.advance(5min);
  // Another writer's change of the lease is in the store, and the cache does not know it yet.
  rig.store.hold_watches(true);
  store::TxnRequest txn;
  store::Op op;
  op.key = Rig::key(leases, "n1");
  op.value = Rig::lease("n1", kThird);
  txn.success.push_back(std::move(op));
  auto changed = co_await rig.store.txn(std::move(txn), StopToken());
  auto folded = co_await fold_heartbeats(rig.store, rig.cache, StopToken());
  REQUIRE_OK(folded);
  CHECK(*folded == changed->revision + 1);  // the node's went alone
  rig.store.hold_watches(false);
  auto seen = co_await rig.cache.wait_current(StopToken());
  CHECK(seen.ok());
  CHECK(*rig.object(leases, "n1")->text() == *Rig::lease("n1", kThird));
  CHECK(rig.object(leases, "n1")->revision() == changed->revision);
  CHECK(*rig.object(nodes, "n1")->text() == *Rig::node("n1", kSecond));
  CHECK(rig.cache.heartbeats().entries().empty());
  co_return Result<void>();
}

Task<Result<void>> fold_now(Rig& rig) {
  auto folded = co_await fold_heartbeats(rig.store, rig.cache, StopToken());
  if (!folded) co_return folded.error();
  co_return co_await rig.cache.wait_until(*folded, StopToken());
}

Task<Result<void>> fold_writes_the_newest(Rig& rig) {
  // More than a fold writes at once.
  constexpr int kLeases = 70;
  const Kind& leases = kinds::leases();
  std::vector<std::string> names;
  for (int i = 0; i < kLeases; ++i) names.push_back(cat("n", 100 + i));
  for (const std::string& name : names) {
    co_await rig.put(leases, name, Rig::lease(name, kFirst));
    CHECK(rig.beat(leases, name, Rig::lease(name, kSecond)));
  }
  bool held = true;
  rig.store.hold_txns([&held](const store::TxnRequest&) { return held; });
  io::TaskScope scope;
  scope.spawn(fold_now(rig));
  // The first are on their way; the last have yet to be written, and their node says again that it lives.
  CHECK_FALSE(rig.beat(leases, names.front(), Rig::lease(names.front(), kThird)));
  CHECK(rig.beat(leases, names.back(), Rig::lease(names.back(), kThird)));
  held = false;
  auto folded = co_await scope.join();
  REQUIRE_OK(folded);
  CHECK(rig.cache.heartbeats().entries().empty());
  CHECK(*rig.object(leases, names.front())->text() == *Rig::lease(names.front(), kSecond));
  CHECK(*rig.object(leases, names.back())->text() == *Rig::lease(names.back(), kThird));
  co_return Result<void>();
}

Task<Result<void>> full_disk(Rig& rig) {
  const Kind& leases = kinds::leases();
  co_await rig.put(leases, "n1", Rig::lease("n1", kFirst));
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kSecond)));
  rig.clock.advance(5min);
  rig.store.fail_next_write(Error(Code::kNoSpace, "full"));
  auto folded = co_await rig.fold();
  CHECK_FALSE(folded.ok());
  CHECK(*rig.object(leases, "n1")->text() == *Rig::lease("n1", kSecond));
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kThird)));
  auto again = co_await rig.fold();
  CHECK((again.ok() && *again));
  CHECK(*rig.object(leases, "n1")->text() == *Rig::lease("n1", kThird));
  co_return Result<void>();
}

Task<Result<void>> refused_heartbeats(Rig& rig) {
  const Kind& leases = kinds::leases();
  const store::Revision first = co_await rig.put(leases, "n1", Rig::lease("n1", kFirst));
  CHECK_FALSE(rig.beat(leases, "n2", Rig::lease("n2", kSecond), first));      // no such object
  CHECK_FALSE(rig.beat(leases, "n1", Rig::lease("n1", kSecond), first - 1));  // an older or newer revision
  CHECK_FALSE(rig.beat(leases, "n1", Rig::lease("n1", kSecond), first + 1));
  CHECK_FALSE(rig.beat(leases, "n1", std::make_shared<const std::string>("{"), first));
  {
    HeartbeatOverlay::Writing writing(rig.cache.heartbeats(), Rig::key(leases, "n1"));
    CHECK_FALSE(rig.beat(leases, "n1", Rig::lease("n1", kSecond), first));
    writing.done(first + 1, first);
  }
  // Answered, but not seen by the cache.
  CHECK_FALSE(rig.beat(leases, "n1", Rig::lease("n1", kSecond), first));
  const store::Revision second = co_await rig.put(leases, "n1", Rig::lease("n1", kFirst));
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kSecond), second));
  { HeartbeatOverlay::Writing failed(rig.cache.heartbeats(), Rig::key(leases, "n1")); }
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kThird), second));
  rig.cache.heartbeats().close();
  CHECK_FALSE(rig.beat(leases, "n1", Rig::lease("n1", kSecond), second));
  CHECK(*rig.object(leases, "n1")->text() == *Rig::lease("n1", kThird));
  co_return Result<void>();
}

Task<Result<void>> read_anew(Rig& rig) {
  const Kind& leases = kinds::leases();
  co_await rig.put(leases, "n1", Rig::lease("n1", kFirst));
  co_await rig.put(leases, "n2", Rig::lease("n2", kFirst));
  CHECK(rig.beat(leases, "n1", Rig::lease("n1", kSecond)));
  CHECK(rig.beat(leases, "n2", Rig::lease("n2", kSecond)));
  // The cache falls behind the store's history and reads everything again: a heartbeat stays if its object did.
  rig.store.hold_watches(true);
  store::TxnRequest txn;
  store::Op op;
  op.key = Rig::key(leases, "n2");
  op.value = Rig::lease("n2", kThird);
  txn.success.push_back(std::move(op));
  auto changed = co_await rig.store.txn(std::move(txn), StopToken());
  auto compacted = co_await rig.store.compact(changed->revision, StopToken());
  CHECK(compacted.ok());
  rig.store.hold_watches(false);
  auto seen = co_await rig.cache.wait_current(StopToken());
  CHECK(seen.ok());
  CHECK(*rig.object(leases, "n1")->text() == *Rig::lease("n1", kSecond));
  CHECK(*rig.object(leases, "n2")->text() == *Rig::lease("n2", kThird));
  CHECK(rig.cache.heartbeats().entries().size() == 1);
  // What a killed server had in memory is gone, and nothing else: the next one shows the store.
  WatchCache next(rig.context, rig.store, {});
  auto loaded = co_await next.load(StopToken());
  CHECK(loaded.ok());
  const ObjectRef after = next.get(leases, kNodeLeases, "n1");
  CHECK(*after->text() == *Rig::lease("n1", kFirst));
  CHECK(after->revision() == rig.object(leases, "n1")->revision());
  CHECK(next.revision() == rig.cache.revision());
  co_return Result<void>();
}

}  // namespace

TEST_CASE("all heartbeats are folded together when the oldest is five minutes old") { Rig().run(folds_when_due); }
TEST_CASE("a fold loses against a write and takes the others along") { Rig().run(fold_loses_to_writes); }
TEST_CASE("a fold that takes long writes what is shown by then") { Rig().run(fold_writes_the_newest); }
TEST_CASE("a full disk loses no heartbeat") { Rig().run(full_disk); }
TEST_CASE("heartbeats that do not fit are refused") { Rig().run(refused_heartbeats); }
TEST_CASE("heartbeats survive a new filling of the cache, but not a crash") { Rig().run(read_anew); }
