// server_test.cc: requests through the whole server: what is written, read, watched, refused.
#include <catch2/catch.hpp>
#include <limits>

#include "api/document.h"
#include "api/reads.h"
#include "api/status.h"
#include "base/strings.h"
#include "support/api_fixture.h"

using namespace kayak;
using namespace kayak::api;
using namespace std::chrono_literals;
using kayak::test::ApiFixture;

namespace {

void run(ApiFixture::Body body, ApiServerOptions options = ApiServerOptions()) {
  ApiFixture fixture(std::move(options));
  const Result<void> done = fixture.run(body);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

json::Value document(const std::string& text) {
  auto read = json::read(text);
  REQUIRE(read.ok());
  return *read;
}

ApiRequest create_request(ApiFixture& f, const Kind& kind, const std::string& ns, const std::string& text) {
  ApiRequest request = f.request(Verb::kCreate, kind, ns);
  request.body = document(text);
  return request;
}

ApiRequest update_request(ApiFixture& f, const Kind& kind, const std::string& ns, const std::string& name,
                          json::Value body, const std::string& subresource = "") {
  ApiRequest request = f.request(Verb::kUpdate, kind, ns, name);
  request.subresource = subresource;
  request.body = std::move(body);
  return request;
}

ApiRequest patch_request(ApiFixture& f, const Kind& kind, const std::string& ns, const std::string& name,
                         PatchType type, const std::string& patch) {
  ApiRequest request = f.request(Verb::kPatch, kind, ns, name);
  request.patch_type = type;
  request.body = document(patch);
  return request;
}

std::string text_of(const ObjectRef& object, std::initializer_list<std::string_view> path) {
  const json::Document kept = object->document();
  const json::Value* value = kept->at(path);
  return value == nullptr ? "(absent)" : value->is_string() ? value->as_string() : json::write(*value);
}

// A failed REQUIRE throws, and an exception must not leave a coroutine: these end the test's body instead.
#define REQUIRE_OK(result)                \
  if (!result) {                          \
    FAIL_CHECK(result.error().message()); \
    co_return Result<void>();             \
  }

#define CHECK_REFUSED(result, wanted_code, wanted_message) \
  if (result) {                                            \
    FAIL_CHECK("not refused: " << (wanted_message));       \
    co_return Result<void>();                              \
  }                                                        \
  CHECK(result.error().message() == (wanted_message));     \
  CHECK(result.error().code() == (wanted_code))

const char* kConfigMap = R"({"metadata":{"name":"a","labels":{"app":"x"}},"data":{"k":"v"}})";

Task<Result<void>> life_of_a_config_map(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  auto made = co_await f.call(create_request(f, kind, "default", kConfigMap));
  REQUIRE_OK(made);
  CHECK(made->status == 201);
  CHECK(text_of(made->object, {"metadata", "namespace"}) == "default");
  CHECK(made->object->uid().size() == 36);
  CHECK(text_of(made->object, {"metadata", "creationTimestamp"}).size() == 20);
  CHECK(text_of(made->object, {"metadata", "resourceVersion"}) == std::to_string(made->object->revision()));

  auto got = co_await f.call(f.request(Verb::kGet, kind, "default", "a"));
  REQUIRE_OK(got);
  CHECK(*got->object->text() == *made->object->text());
  CHECK(got->object->revision() == made->object->revision());

  auto again = co_await f.call(create_request(f, kind, "default", kConfigMap));
  CHECK_REFUSED(again, Code::kAlreadyExists, "configmaps \"a\" already exists");

  json::Value changed = *got->object->document();
  changed["data"]["k"] = "w";
  auto updated = co_await f.call(update_request(f, kind, "default", "a", changed));
  REQUIRE_OK(updated);
  CHECK(updated->status == 200);
  CHECK(text_of(updated->object, {"data", "k"}) == "w");
  CHECK(updated->object->revision() > got->object->revision());

  auto stale = co_await f.call(update_request(f, kind, "default", "a", changed));
  CHECK_REFUSED(stale, Code::kConflict,
                "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your "
                "changes to the latest version and try again");

  auto removed = co_await f.call(f.request(Verb::kDelete, kind, "default", "a"));
  REQUIRE_OK(removed);
  if (!(removed->document.has_value())) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  CHECK(
      json::write(removed->document->document) ==
      cat(R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"a","kind":"configmaps","uid":")",
          made->object->uid(), R"("}})"));
  auto gone = co_await f.call(f.request(Verb::kGet, kind, "default", "a"));
  CHECK_REFUSED(gone, Code::kNotFound, "configmaps \"a\" not found");
  auto gone_too = co_await f.call(f.request(Verb::kDelete, kind, "default", "a"));
  CHECK_REFUSED(gone_too, Code::kNotFound, "configmaps \"a\" not found");
  co_return Result<void>();
}

Task<Result<void>> unchanged_writes(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  auto made = co_await f.call(create_request(f, kind, "default", kConfigMap));
  REQUIRE_OK(made);
  const std::size_t txns = f.store.txns();
  json::Value same = *made->object->document();
  auto updated = co_await f.call(update_request(f, kind, "default", "a", same));
  REQUIRE_OK(updated);
  CHECK(updated->object->revision() == made->object->revision());
  // Without a revision, without managedFields, by another manager: still nothing new.
  ApiRequest bare = update_request(f, kind, "default", "a", document(kConfigMap));
  bare.write.field_manager = "someone-else";
  auto by_other = co_await f.call(std::move(bare));
  REQUIRE_OK(by_other);
  CHECK(by_other->object->revision() == made->object->revision());
  CHECK(by_other->revision == 0);
  auto patched = co_await f.call(patch_request(f, kind, "default", "a", PatchType::kMerge, R"({"data":{"k":"v"}})"));
  REQUIRE_OK(patched);
  CHECK(patched->object->revision() == made->object->revision());
  CHECK(f.store.txns() == txns);
  co_return Result<void>();
}

Task<Result<void>> dry_runs(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  ApiRequest create = create_request(f, kind, "default", kConfigMap);
  create.write.dry_run = true;
  auto made = co_await f.call(create);
  REQUIRE_OK(made);
  CHECK(made->status == 201);
  CHECK(text_of(made->object, {"metadata", "resourceVersion"}) == "(absent)");
  CHECK(made->object->uid().size() == 36);
  auto got = co_await f.call(f.request(Verb::kGet, kind, "default", "a"));
  CHECK_REFUSED(got, Code::kNotFound, "configmaps \"a\" not found");
  auto real = co_await f.call(create_request(f, kind, "default", kConfigMap));
  REQUIRE_OK(real);
  ApiRequest patch = patch_request(f, kind, "default", "a", PatchType::kMerge, R"({"data":{"k":"dry"}})");
  patch.write.dry_run = true;
  auto patched = co_await f.call(patch);
  REQUIRE_OK(patched);
  CHECK(text_of(patched->object, {"data", "k"}) == "dry");
  CHECK(patched->object->revision() == real->object->revision());
  ApiRequest remove = f.request(Verb::kDelete, kind, "default", "a");
  remove.remove.dry_run = true;
  auto removed = co_await f.call(remove);
  REQUIRE_OK(removed);
  auto still = co_await f.call(f.request(Verb::kGet, kind, "default", "a"));
  REQUIRE_OK(still);
  CHECK(text_of(still->object, {"data", "k"}) == "v");
  co_return Result<void>();
}

Task<Result<void>> refused_bodies(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  struct Row {
    std::string body;
    FieldValidation validation;
    std::vector<std::string> duplicates;
    Code code;
    std::string message;
  };
  const std::vector<Row> rows = {
      {R"({"metadata":{"name":"a"},"spec":1})",
       FieldValidation::kStrict,
       {},
       Code::kBadRequest,
       "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"spec\""},
      {R"({"metadata":{"name":"a"}})",
       FieldValidation::kStrict,
       {"metadata.name"},
       Code::kBadRequest,
       "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field "
       "\"metadata.name\""},
      {R"({"apiVersion":"v2","metadata":{"name":"a"}})",
       FieldValidation::kWarn,
       {},
       Code::kBadRequest,
       "the API version in the data (v2) does not match the expected API version (v1)"},
      {R"({"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}})",
       FieldValidation::kWarn,
       {},
       Code::kBadRequest,
       "Secret in version \"v1\" cannot be handled as a ConfigMap: the object is a Secret, not a ConfigMap"},
      {R"({"metadata":{"name":"a","namespace":"other"}})",
       FieldValidation::kWarn,
       {},
       Code::kBadRequest,
       "the namespace of the provided object does not match the namespace sent on the request"},
      {R"({"metadata":{"name":"a","resourceVersion":"3"}})",
       FieldValidation::kWarn,
       {},
       Code::kInternal,
       "resourceVersion should not be set on objects to be created"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.body);
    ApiRequest request = create_request(f, kind, "default", row.body);
    request.write.field_validation = row.validation;
    request.duplicate_fields = row.duplicates;
    auto refused = co_await f.call(std::move(request));
    CHECK_REFUSED(refused, row.code, row.message);
  }
  ApiRequest warned = create_request(f, kind, "default", R"({"metadata":{"name":"w"},"spec":1})");
  warned.duplicate_fields = {"data.k"};
  auto accepted = co_await f.call(std::move(warned));
  REQUIRE_OK(accepted);
  CHECK(accepted->warnings == std::vector<std::string>{"unknown field \"spec\"", "duplicate field \"data.k\""});
  ApiRequest ignored = create_request(f, kind, "default", R"({"metadata":{"name":"i"},"spec":1})");
  ignored.write.field_validation = FieldValidation::kIgnore;
  auto silent = co_await f.call(std::move(ignored));
  REQUIRE_OK(silent);
  CHECK(silent->warnings.empty());
  auto nameless = co_await f.call(create_request(f, kind, "default", R"({"data":{}})"));
  CHECK_REFUSED(nameless, Code::kInvalid,
                "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required");
  co_return Result<void>();
}

Task<Result<void>> refused_updates(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  auto made = co_await f.call(create_request(f, kind, "default", kConfigMap));
  REQUIRE_OK(made);
  auto body = [&](const char* text) { return document(text); };
  auto renamed = co_await f.call(update_request(f, kind, "default", "a", body(R"({"metadata":{"name":"b"}})")));
  CHECK_REFUSED(renamed, Code::kBadRequest, "the name of the object (b) does not match the name on the URL (a)");
  auto nameless = co_await f.call(update_request(f, kind, "default", "a", body("{}")));
  CHECK_REFUSED(nameless, Code::kBadRequest,
                "the name of the object (a based on URL) was undeterminable: name must be provided");
  auto moved = co_await f.call(
      update_request(f, kind, "default", "a", body(R"({"metadata":{"name":"a","namespace":"other"}})")));
  CHECK_REFUSED(moved, Code::kBadRequest,
                "the namespace of the object (other) does not match the namespace on the request (default)");
  auto other_uid =
      co_await f.call(update_request(f, kind, "default", "a", body(R"({"metadata":{"name":"a","uid":"x"}})")));
  CHECK_REFUSED(other_uid, Code::kConflict,
                cat("Operation cannot be fulfilled on configmaps \"a\": Precondition failed: UID in precondition: x, "
                    "UID in object meta: ",
                    made->object->uid()));
  auto absent = co_await f.call(update_request(f, kind, "default", "b", body(R"({"metadata":{"name":"b"}})")));
  CHECK_REFUSED(absent, Code::kNotFound, "configmaps \"b\" not found");
  // A kind that demands a revision, and one whose PUT creates.
  const Kind& lease = kinds::leases();
  auto created = co_await f.call(update_request(f, lease, "default", "l", body(R"({"metadata":{"name":"l"}})")));
  REQUIRE_OK(created);
  CHECK(created->status == 201);
  auto unconditional = co_await f.call(update_request(f, lease, "default", "l", body(R"({"metadata":{"name":"l"}})")));
  CHECK_REFUSED(unconditional, Code::kInvalid,
                "Lease.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be "
                "specified for an update");
  co_return Result<void>();
}

Task<Result<void>> generated_names(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  const std::string base(70, 'x');
  auto made =
      co_await f.call(create_request(f, kind, "default", cat(R"({"metadata":{"generateName":")", base, R"("}})")));
  REQUIRE_OK(made);
  CHECK(made->object->name().size() == 63);
  CHECK(made->object->name().substr(0, 58) == base.substr(0, 58));
  auto other = co_await f.call(create_request(f, kind, "default", R"({"metadata":{"generateName":"web-"}})"));
  REQUIRE_OK(other);
  CHECK(other->object->name().size() == 9);
  CHECK(text_of(other->object, {"metadata", "generateName"}) == "web-");
  co_return Result<void>();
}

Task<Result<void>> namespaces(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  auto missing = co_await f.call(create_request(f, kind, "nowhere", kConfigMap));
  CHECK_REFUSED(missing, Code::kNotFound, "namespaces \"nowhere\" not found");
  auto immortal = co_await f.call(f.request(Verb::kDelete, kinds::namespaces(), "", "kube-system"));
  CHECK_REFUSED(immortal, Code::kForbidden,
                "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
  auto made = co_await f.call(create_request(f, kinds::namespaces(), "", R"({"metadata":{"name":"temp"}})"));
  REQUIRE_OK(made);
  CHECK(text_of(made->object, {"status", "phase"}) == "Active");
  CHECK(text_of(made->object, {"spec", "finalizers"}) == R"(["kubernetes"])");
  CHECK(text_of(made->object, {"metadata", "labels", "kubernetes.io/metadata.name"}) == "temp");
  auto content = co_await f.call(create_request(f, kind, "temp", kConfigMap));
  REQUIRE_OK(content);
  auto ending = co_await f.call(f.request(Verb::kDelete, kinds::namespaces(), "", "temp"));
  REQUIRE_OK(ending);
  if (!(ending->object != nullptr)) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  CHECK(text_of(ending->object, {"status", "phase"}) == "Terminating");
  CHECK(ending->object->header().deleting);
  auto late = co_await f.call(create_request(f, kind, "temp", R"({"metadata":{"name":"late"}})"));
  CHECK_REFUSED(late, Code::kForbidden,
                "configmaps \"late\" is forbidden: unable to create new content in namespace temp because it is being "
                "terminated");
  if (!(late.error().details() != nullptr)) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  if (!(late.error().details()->causes.size() == 1)) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  CHECK(late.error().details()->causes[0].reason == "NamespaceTerminating");
  CHECK(late.error().details()->causes[0].field == "metadata.namespace");
  // What is there may still change; the namespace goes when its controller finalizes it.
  auto changed = co_await f.call(patch_request(f, kind, "temp", "a", PatchType::kMerge, R"({"data":{"k":"w"}})"));
  REQUIRE_OK(changed);
  auto still = co_await f.call(f.request(Verb::kDelete, kinds::namespaces(), "", "temp"));
  REQUIRE_OK(still);
  CHECK(still->object != nullptr);
  json::Value finalized = *ending->object->document();
  finalized["spec"] = json::Object();
  erase_meta(finalized, "resourceVersion");
  auto done = co_await f.call(update_request(f, kinds::namespaces(), "", "temp", finalized, "finalize"));
  REQUIRE_OK(done);
  auto gone = co_await f.call(f.request(Verb::kGet, kinds::namespaces(), "", "temp"));
  CHECK_REFUSED(gone, Code::kNotFound, "namespaces \"temp\" not found");
  co_return Result<void>();
}

const char* kDeployment =
    R"({"metadata":{"name":"w"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"w"}},"template":{"metadata":)"
    R"({"labels":{"app":"w"}},"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"replicas":7}})";

Task<Result<void>> generations_and_status(ApiFixture& f) {
  const Kind& kind = kinds::deployments();
  auto made = co_await f.call(create_request(f, kind, "default", kDeployment));
  REQUIRE_OK(made);
  CHECK(text_of(made->object, {"metadata", "generation"}) == "1");
  CHECK(text_of(made->object, {"status"}) == "{}");
  CHECK(text_of(made->object, {"spec", "strategy", "type"}) == "RollingUpdate");
  json::Value status = *made->object->document();
  status["status"]["replicas"] = 2;
  status["spec"]["replicas"] = 9;
  status["metadata"]["labels"]["added"] = "x";
  status["metadata"]["annotations"]["noted"] = "x";
  auto written = co_await f.call(update_request(f, kind, "default", "w", status, "status"));
  REQUIRE_OK(written);
  CHECK(text_of(written->object, {"status", "replicas"}) == "2");
  CHECK(text_of(written->object, {"spec", "replicas"}) == "2");
  CHECK(text_of(written->object, {"metadata", "labels"}) == "(absent)");
  CHECK(text_of(written->object, {"metadata", "annotations", "noted"}) == "x");
  CHECK(text_of(written->object, {"metadata", "generation"}) == "1");
  auto scaled = co_await f.call(patch_request(f, kind, "default", "w", PatchType::kStrategicMerge,
                                              R"({"spec":{"replicas":3},"status":{"replicas":0}})"));
  REQUIRE_OK(scaled);
  CHECK(text_of(scaled->object, {"metadata", "generation"}) == "2");
  CHECK(text_of(scaled->object, {"status", "replicas"}) == "2");
  auto annotated = co_await f.call(
      patch_request(f, kind, "default", "w", PatchType::kMerge, R"({"metadata":{"annotations":{"a":"b"}}})"));
  REQUIRE_OK(annotated);
  CHECK(text_of(annotated->object, {"metadata", "generation"}) == "3");
  auto labelled = co_await f.call(patch_request(f, kind, "default", "w", PatchType::kJson,
                                                R"([{"op":"add","path":"/metadata/labels","value":{"l":"1"}}])"));
  REQUIRE_OK(labelled);
  CHECK(text_of(labelled->object, {"metadata", "generation"}) == "3");
  co_return Result<void>();
}

Task<Result<void>> scales(ApiFixture& f) {
  const Kind& kind = kinds::deployments();
  auto made = co_await f.call(create_request(f, kind, "default", kDeployment));
  REQUIRE_OK(made);
  ApiRequest get = f.request(Verb::kGet, kind, "default", "w");
  get.subresource = "scale";
  auto got = co_await f.call(get);
  REQUIRE_OK(got);
  if (!(got->document.has_value())) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  json::Value scale = got->document->document;
  CHECK(json::write(*scale.find("spec")) == R"({"replicas":2})");
  CHECK(json::write(*scale.find("status")) == R"({"replicas":0,"selector":"app=w"})");
  CHECK(scale.at({"metadata", "uid"})->as_string() == made->object->uid());
  scale["spec"]["replicas"] = 5;
  auto put = co_await f.call(update_request(f, kind, "default", "w", scale, "scale"));
  REQUIRE_OK(put);
  CHECK(put->document->document.at({"spec", "replicas"})->as_int() == 5);
  auto now = co_await f.call(f.request(Verb::kGet, kind, "default", "w"));
  REQUIRE_OK(now);
  CHECK(text_of(now->object, {"spec", "replicas"}) == "5");
  CHECK(text_of(now->object, {"metadata", "generation"}) == "2");
  auto stale = co_await f.call(update_request(f, kind, "default", "w", scale, "scale"));
  if (stale) {
    FAIL_CHECK("not refused");
    co_return Result<void>();
  }
  CHECK(stale.error().code() == Code::kConflict);
  ApiRequest patch = patch_request(f, kind, "default", "w", PatchType::kMerge, R"({"spec":{"replicas":1}})");
  patch.subresource = "scale";
  auto patched = co_await f.call(patch);
  REQUIRE_OK(patched);
  CHECK(patched->document->document.at({"spec", "replicas"})->as_int() == 1);
  ApiRequest negative = patch_request(f, kind, "default", "w", PatchType::kMerge, R"({"spec":{"replicas":-1}})");
  negative.subresource = "scale";
  auto refused = co_await f.call(negative);
  CHECK_REFUSED(
      refused, Code::kInvalid,
      "Scale.autoscaling \"w\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0");
  co_return Result<void>();
}

const char* kPod = R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})";

Task<Result<void>> pods_and_binding(ApiFixture& f) {
  const Kind& kind = kinds::pods();
  auto made = co_await f.call(create_request(f, kind, "default", kPod));
  REQUIRE_OK(made);
  CHECK(text_of(made->object, {"status"}) == R"({"phase":"Pending","qosClass":"BestEffort"})");
  CHECK(text_of(made->object, {"spec", "priority"}) == "0");
  CHECK(text_of(made->object, {"spec", "serviceAccountName"}) == "default");
  CHECK(text_of(made->object, {"spec", "serviceAccount"}) == "default");
  const json::Document pod = made->object->document();
  CHECK(pod->at({"spec", "tolerations"})->as_array().size() == 2);
  ApiRequest bind = f.request(Verb::kCreate, kind, "default", "p");
  bind.subresource = "binding";
  bind.body =
      document(R"({"metadata":{"name":"p","annotations":{"from":"binding"}},"target":{"kind":"Node","name":"n1"}})");
  auto bound = co_await f.call(bind);
  REQUIRE_OK(bound);
  CHECK(bound->status == 201);
  auto got = co_await f.call(f.request(Verb::kGet, kind, "default", "p"));
  REQUIRE_OK(got);
  CHECK(text_of(got->object, {"spec", "nodeName"}) == "n1");
  CHECK(text_of(got->object, {"metadata", "annotations", "from"}) == "binding");
  CHECK(text_of(got->object, {"metadata", "generation"}) == "1");
  CHECK(got->object->document()->at({"status", "conditions"})->as_array()[0].find("type")->as_string() ==
        "PodScheduled");
  auto twice = co_await f.call(bind);
  CHECK_REFUSED(twice, Code::kConflict,
                "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\"");
  ApiRequest nobody = f.request(Verb::kCreate, kind, "default", "q");
  nobody.subresource = "binding";
  nobody.body = document(R"({"target":{"name":"n1"}})");
  auto absent = co_await f.call(nobody);
  CHECK_REFUSED(absent, Code::kNotFound, "pods \"q\" not found");
  nobody.body = document("{}");
  auto targetless = co_await f.call(nobody);
  CHECK_REFUSED(targetless, Code::kInvalid, "Binding \"q\" is invalid: target.name: Required value");
  co_return Result<void>();
}

Task<Result<void>> graceful_deletion(ApiFixture& f) {
  const Kind& kind = kinds::pods();
  // Nobody runs it: gone at once, and the answer is the object.
  auto made = co_await f.call(create_request(f, kind, "default", kPod));
  REQUIRE_OK(made);
  auto removed = co_await f.call(f.request(Verb::kDelete, kind, "default", "p"));
  REQUIRE_OK(removed);
  if (!(removed->object != nullptr)) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  auto gone = co_await f.call(f.request(Verb::kGet, kind, "default", "p"));
  CHECK_REFUSED(gone, Code::kNotFound, "pods \"p\" not found");
  // On a node: marked, shortened, removed by the node agent with grace 0.
  json::Value on_node = document(kPod);
  on_node["spec"]["nodeName"] = "n1";
  auto again = co_await f.call(create_request(f, kind, "default", json::write(on_node)));
  REQUIRE_OK(again);
  auto marked = co_await f.call(f.request(Verb::kDelete, kind, "default", "p"));
  REQUIRE_OK(marked);
  CHECK(marked->object->header().deleting);
  CHECK(text_of(marked->object, {"metadata", "deletionGracePeriodSeconds"}) == "30");
  CHECK(text_of(marked->object, {"metadata", "generation"}) == "2");
  auto repeated = co_await f.call(f.request(Verb::kDelete, kind, "default", "p"));
  REQUIRE_OK(repeated);
  CHECK(repeated->object->revision() == marked->object->revision());
  ApiRequest shorter = f.request(Verb::kDelete, kind, "default", "p");
  shorter.remove.grace_seconds = 5;
  auto shortened = co_await f.call(shorter);
  REQUIRE_OK(shortened);
  CHECK(text_of(shortened->object, {"metadata", "deletionGracePeriodSeconds"}) == "5");
  ApiRequest wrong = f.request(Verb::kDelete, kind, "default", "p");
  wrong.remove.uid = "x";
  auto refused = co_await f.call(wrong);
  CHECK_REFUSED(refused, Code::kConflict,
                cat("Operation cannot be fulfilled on pods \"p\": the UID in the precondition (x) does not match the "
                    "UID in record (",
                    again->object->uid(), "). The object might have been deleted and then recreated"));
  ApiRequest now = f.request(Verb::kDelete, kind, "default", "p");
  now.remove.grace_seconds = 0;
  now.remove.uid = again->object->uid();
  auto ended = co_await f.call(now);
  REQUIRE_OK(ended);
  auto absent = co_await f.call(f.request(Verb::kGet, kind, "default", "p"));
  CHECK_REFUSED(absent, Code::kNotFound, "pods \"p\" not found");
  co_return Result<void>();
}

Task<Result<void>> finalizers(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  auto made = co_await f.call(
      create_request(f, kind, "default", R"({"metadata":{"name":"a","finalizers":["example.com/hold"]}})"));
  REQUIRE_OK(made);
  auto marked = co_await f.call(f.request(Verb::kDelete, kind, "default", "a"));
  REQUIRE_OK(marked);
  if (!(marked->object != nullptr)) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  CHECK(marked->object->header().deleting);
  CHECK(text_of(marked->object, {"metadata", "deletionGracePeriodSeconds"}) == "0");
  auto again = co_await f.call(f.request(Verb::kDelete, kind, "default", "a"));
  REQUIRE_OK(again);
  CHECK(again->object->revision() == marked->object->revision());
  // Nobody takes a deletion back.
  auto kept = co_await f.call(patch_request(f, kind, "default", "a", PatchType::kMerge,
                                            R"({"metadata":{"deletionTimestamp":null},"data":{"x":"y"}})"));
  REQUIRE_OK(kept);
  CHECK(kept->object->header().deleting);
  auto released =
      co_await f.call(patch_request(f, kind, "default", "a", PatchType::kMerge, R"({"metadata":{"finalizers":null}})"));
  REQUIRE_OK(released);
  auto gone = co_await f.call(f.request(Verb::kGet, kind, "default", "a"));
  CHECK_REFUSED(gone, Code::kNotFound, "configmaps \"a\" not found");

  struct Row {
    std::string policy, finalizers;
  };
  const std::vector<Row> rows = {{"Orphan", R"(["orphan"])"}, {"Foreground", R"(["foregroundDeletion"])"}};
  for (const Row& row : rows) {
    CAPTURE(row.policy);
    auto other = co_await f.call(create_request(f, kinds::deployments(), "default", kDeployment));
    REQUIRE_OK(other);
    ApiRequest remove = f.request(Verb::kDelete, kinds::deployments(), "default", "w");
    remove.remove.propagation_policy = row.policy;
    auto pending = co_await f.call(remove);
    REQUIRE_OK(pending);
    CHECK(text_of(pending->object, {"metadata", "finalizers"}) == row.finalizers);
    CHECK(text_of(pending->object, {"metadata", "generation"}) == "2");
    auto freed = co_await f.call(patch_request(f, kinds::deployments(), "default", "w", PatchType::kMerge,
                                               R"({"metadata":{"finalizers":null}})"));
    REQUIRE_OK(freed);
  }
  ApiRequest nonsense = f.request(Verb::kDelete, kind, "default", "a");
  nonsense.remove.propagation_policy = "Sideways";
  auto refused = co_await f.call(nonsense);
  CHECK_REFUSED(refused, Code::kInvalid,
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": "
                "supported values: \"Background\", \"Foreground\", \"Orphan\"");
  co_return Result<void>();
}

Task<Result<void>> collections(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  for (int i = 0; i < 40; ++i) {
    auto made = co_await f.call(create_request(
        f, kind, "default", cat(R"({"metadata":{"name":"c)", i, R"(","labels":{"even":")", i % 2 == 0, R"("}}})")));
    REQUIRE_OK(made);
  }
  ApiRequest remove = f.request(Verb::kDeleteCollection, kind, "default");
  remove.read.labels = *LabelSelector::parse("even=true");
  auto removed = co_await f.call(remove);
  REQUIRE_OK(removed);
  if (!(removed->list.has_value())) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  CHECK(removed->list->items.size() == 20);
  auto left = co_await f.call(f.request(Verb::kList, kind, "default"));
  REQUIRE_OK(left);
  CHECK(left->list->items.size() == 20);
  co_return Result<void>();
}

Task<Result<void>> paging(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  for (int i = 0; i < 25; ++i) {
    auto made = co_await f.call(create_request(f, kind, "default", cat(R"({"metadata":{"name":"c)", 10 + i, R"("}})")));
    REQUIRE_OK(made);
  }
  ApiRequest list = f.request(Verb::kList, kind, "default");
  list.read.limit = 10;
  auto first = co_await f.call(list);
  REQUIRE_OK(first);
  CHECK(first->list->items.size() == 10);
  CHECK(first->list->remaining_item_count == 15);
  const store::Revision snapshot = first->list->revision;
  // What happens now is not in the snapshot.
  auto removed = co_await f.call(f.request(Verb::kDelete, kind, "default", "c34"));
  REQUIRE_OK(removed);
  auto added = co_await f.call(create_request(f, kind, "default", R"({"metadata":{"name":"c199"}})"));
  REQUIRE_OK(added);
  list.read.continue_token = first->list->continue_token;
  auto second = co_await f.call(list);
  REQUIRE_OK(second);
  CHECK(second->list->revision == snapshot);
  CHECK(second->list->items.front()->name() == "c20");
  CHECK(second->list->remaining_item_count == 5);
  list.read.continue_token = second->list->continue_token;
  auto third = co_await f.call(list);
  REQUIRE_OK(third);
  CHECK(third->list->items.size() == 5);
  CHECK(third->list->items.back()->name() == "c34");
  CHECK(third->list->continue_token.empty());

  auto compacted = co_await f.store.compact(f.store.revision(), StopToken());
  CHECK(compacted.ok());
  auto expired = co_await f.call(list);
  if (expired) {
    FAIL_CHECK("not refused");
    co_return Result<void>();
  }
  CHECK(expired.error().code() == Code::kExpired);
  CHECK(expired.error().message().starts_with("The provided continue parameter is too old"));
  list.read.continue_token = expired.error().details()->continue_token;
  auto inconsistent = co_await f.call(list);
  REQUIRE_OK(inconsistent);
  CHECK(inconsistent->list->items.size() == 4);

  list.read.resource_version = "5";
  auto both = co_await f.call(list);
  CHECK_REFUSED(both, Code::kBadRequest, "specifying resource version is not allowed when using continue");
  list.read.resource_version.clear();
  list.read.continue_token = "!!";
  auto broken = co_await f.call(list);
  if (broken) {
    FAIL_CHECK("not refused");
    co_return Result<void>();
  }
  CHECK(broken.error().code() == Code::kBadRequest);
  co_return Result<void>();
}

// A list of ten objects that nobody changes, so that only its age can end it.
Task<Result<void>> age_of_pages(ApiFixture& f) {
  for (int i = 0; i < 10; ++i) {
    auto made = co_await f.call(
        create_request(f, kinds::config_maps(), "default", cat(R"({"metadata":{"name":"c)", 10 + i, R"("}})")));
    REQUIRE_OK(made);
  }
  ApiRequest list = f.request(Verb::kList, kinds::config_maps(), "default");
  list.read.limit = 4;
  auto first = co_await f.call(list);
  REQUIRE_OK(first);
  auto token = decode_continue(first->list->continue_token);
  REQUIRE_OK(token);
  CHECK(std::abs(f.clock.wall().seconds() - token->begun) < 60);
  const std::int64_t now = f.clock.wall().seconds();
  struct Row {
    std::string_view what;
    std::int64_t begun;
    bool served;
  };
  const Row rows[] = {
      {"seven minutes", now - 7 * 60, true},
      {"eight minutes", now - 8 * 60, false},
      {"an age that fits no number", std::numeric_limits<std::int64_t>::min(), false},
      {"from a server whose clock is ahead", now + 3600, true},
      {"from a server that does not say", 0, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    token->begun = row.begun;
    list.read.continue_token = encode_continue(*token);
    auto second = co_await f.call(list);
    CHECK(second.ok() == row.served);
    if (second) {
      CHECK(second->list->items.size() == 4);
      auto next = decode_continue(second->list->continue_token);
      REQUIRE_OK(next);
      CHECK(next->begun == row.begun);  // the later pages get no more time than the first
      continue;
    }
    CHECK(second.error().code() == Code::kExpired);
    REQUIRE(second.error().details() != nullptr);
    list.read.continue_token = second.error().details()->continue_token;
    auto anew = co_await f.call(list);
    REQUIRE_OK(anew);
    CHECK(anew->list->items.front()->name() == "c14");
    auto next = decode_continue(anew->list->continue_token);
    REQUIRE_OK(next);
    CHECK(next->begun >= now);
  }
  co_return Result<void>();
}

Task<Result<void>> revisions_of_reads(ApiFixture& f) {
  const Kind& kind = kinds::config_maps();
  auto empty = co_await f.call(f.request(Verb::kList, kinds::jobs()));
  REQUIRE_OK(empty);
  CHECK(empty->list->revision == f.store.revision());
  CHECK(empty->list->revision > 0);
  auto made = co_await f.call(create_request(f, kind, "default", kConfigMap));
  REQUIRE_OK(made);
  const store::Revision first = made->object->revision();
  auto changed = co_await f.call(patch_request(f, kind, "default", "a", PatchType::kMerge, R"({"data":{"k":"w"}})"));
  REQUIRE_OK(changed);
  auto listed = [&](const std::string& revision, const std::string& match) {
    ApiRequest list = f.request(Verb::kList, kind, "default");
    list.read.resource_version = revision;
    list.read.resource_version_match = match;
    return list;
  };
  auto past = co_await f.call(listed(std::to_string(first), "Exact"));
  REQUIRE_OK(past);
  CHECK(past->list->revision == first);
  CHECK(text_of(past->list->items[0], {"data", "k"}) == "v");
  auto waited = co_await f.server->cache().wait_current(StopToken());
  CHECK(waited.ok());
  auto newer = co_await f.call(listed(std::to_string(first), "NotOlderThan"));
  REQUIRE_OK(newer);
  CHECK(text_of(newer->list->items[0], {"data", "k"}) == "w");
  auto any = co_await f.call(listed("0", ""));
  REQUIRE_OK(any);
  CHECK(any->list->revision > 0);
  struct Row {
    std::string revision, match;
    Code code;
    std::string message;
  };
  const std::vector<Row> rows = {
      {"", "Exact", Code::kInvalid,
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
       "unless resourceVersion is provided"},
      {"0", "Exact", Code::kInvalid,
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is "
       "forbidden for resourceVersion \"0\""},
      {"5", "Sometimes", Code::kInvalid,
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Sometimes\": supported "
       "values: \"Exact\", \"NotOlderThan\", \"\""},
      {"abc", "", Code::kBadRequest,
       "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.revision, row.match);
    auto refused = co_await f.call(listed(row.revision, row.match));
    CHECK_REFUSED(refused, row.code, row.message);
  }
  ApiRequest selector = f.request(Verb::kList, kind, "default");
  selector.read.fields = FieldSelector::equals("data.k", "v");
  auto unknown = co_await f.call(selector);
  CHECK_REFUSED(unknown, Code::kBadRequest,
                "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
  ApiRequest pods = f.request(Verb::kList, kinds::pods(), "default");
  pods.read.fields = FieldSelector::equals("spec.color", "red");
  auto unknown_pod_field = co_await f.call(pods);
  CHECK_REFUSED(unknown_pod_field, Code::kBadRequest, "field label not supported: spec.color");
  co_return Result<void>();
}

Task<Result<void>> revision_from_the_future(ApiFixture& f) {
  ApiRequest get = f.request(Verb::kGet, kinds::namespaces(), "", "default");
  get.read.resource_version = "99999";
  const Instant before = f.clock.now();
  auto refused = co_await f.call(get);
  CHECK_REFUSED(refused, Code::kTimeout,
                cat("Timeout: Too large resource version: 99999, current: ", f.server->cache().revision()));
  CHECK(refused.error().details()->causes[0].reason == "ResourceVersionTooLarge");
  CHECK(f.clock.now() - before >= 3s);
  co_return Result<void>();
}

Task<Result<void>> services(ApiFixture& f) {
  const Kind& kind = kinds::services();
  auto own = co_await f.call(f.request(Verb::kGet, kind, "default", "kubernetes"));
  REQUIRE_OK(own);
  CHECK(text_of(own->object, {"spec", "clusterIP"}) == "10.43.0.1");
  auto made = co_await f.call(create_request(
      f, kind, "default",
      R"({"metadata":{"name":"s"},"spec":{"selector":{"a":"b"},"ports":[{"port":80}],"type":"NodePort"}})"));
  REQUIRE_OK(made);
  const std::string address = text_of(made->object, {"spec", "clusterIP"});
  CHECK(address.starts_with("10.43."));
  CHECK(text_of(made->object, {"spec", "clusterIPs"}) == cat("[\"", address, "\"]"));
  CHECK(text_of(made->object, {"spec", "ipFamilies"}) == R"(["IPv4"])");
  CHECK(text_of(made->object, {"spec", "ipFamilyPolicy"}) == "SingleStack");
  const json::Document document_of_made = made->object->document();
  const std::int64_t port = document_of_made->at({"spec", "ports"})->as_array()[0].find("nodePort")->as_int();
  CHECK(port >= 30000);
  CHECK(port <= 32767);
  auto body = [&](std::string name, std::string spec) {
    return create_request(f, kind, "default", cat(R"({"metadata":{"name":")", name, R"("},"spec":)", spec, "}"));
  };
  auto taken = co_await f.call(body("t", cat(R"({"ports":[{"port":80}],"clusterIP":")", address, R"("})")));
  CHECK_REFUSED(taken, Code::kInvalid,
                cat("Service \"t\" is invalid: spec.clusterIPs: Invalid value: [\"", address,
                    "\"]: failed to allocate IP ", address, ": provided IP is already allocated"));
  auto port_taken =
      co_await f.call(body("t", cat(R"({"type":"NodePort","ports":[{"port":80,"nodePort":)", port, "}]}")));
  CHECK_REFUSED(port_taken, Code::kInvalid,
                cat("Service \"t\" is invalid: spec.ports[0].nodePort: Invalid value: ", port,
                    ": provided port is already allocated"));
  auto outside = co_await f.call(body("t", R"({"type":"NodePort","ports":[{"port":80,"nodePort":80}]})"));
  CHECK_REFUSED(
      outside, Code::kInvalid,
      "Service \"t\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid "
      "range. The range of valid ports is 30000-32767");
  auto headless = co_await f.call(body("h", R"({"clusterIP":"None","selector":{"a":"b"}})"));
  REQUIRE_OK(headless);
  CHECK(text_of(headless->object, {"spec", "clusterIPs"}) == R"(["None"])");
  auto external = co_await f.call(body("e", R"({"type":"ExternalName","externalName":"example.com"})"));
  REQUIRE_OK(external);
  CHECK(text_of(external->object, {"spec", "clusterIP"}) == "(absent)");
  // An update that leaves the given values out keeps them; another type takes them away.
  auto updated = co_await f.call(update_request(
      f, kind, "default", "s",
      document(R"({"metadata":{"name":"s"},"spec":{"selector":{"a":"c"},"ports":[{"port":80}],"type":"NodePort"}})")));
  REQUIRE_OK(updated);
  CHECK(text_of(updated->object, {"spec", "clusterIP"}) == address);
  const json::Document updated_document = updated->object->document();
  CHECK(updated_document->at({"spec", "ports"})->as_array()[0].find("nodePort")->as_int() == port);
  auto moved = co_await f.call(
      patch_request(f, kind, "default", "s", PatchType::kMerge, R"({"spec":{"clusterIP":"192.0.2.1"}})"));
  CHECK_REFUSED(
      moved, Code::kInvalid,
      "Service \"s\" is invalid: spec.clusterIPs[0]: Invalid value: [\"192.0.2.1\"]: may not change once set");
  auto plain =
      co_await f.call(patch_request(f, kind, "default", "s", PatchType::kMerge, R"({"spec":{"type":"ClusterIP"}})"));
  REQUIRE_OK(plain);
  const json::Document plain_document = plain->object->document();
  CHECK(plain_document->at({"spec", "ports"})->as_array()[0].find("nodePort") == nullptr);
  auto removed = co_await f.call(f.request(Verb::kDelete, kind, "default", "s"));
  REQUIRE_OK(removed);
  auto waited = co_await f.server->cache().wait_until(removed->revision, StopToken());
  CHECK(waited.ok());
  auto reused = co_await f.call(body("t", cat(R"({"type":"NodePort","ports":[{"port":80,"nodePort":)", port,
                                              R"(}],"clusterIP":")", address, R"("})")));
  REQUIRE_OK(reused);
  co_return Result<void>();
}

Task<Result<void>> two_versions(ApiFixture& f) {
  const Kind* v1 = find_kind("autoscaling", "v1", "horizontalpodautoscalers");
  const Kind* v2 = find_kind("autoscaling", "v2", "horizontalpodautoscalers");
  auto made = co_await f.call(create_request(
      f, *v1, "default",
      R"({"metadata":{"name":"h"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"w"},"maxReplicas":4,"targetCPUUtilizationPercentage":60}})"));
  REQUIRE_OK(made);
  CHECK(&made->object->kind() == v2);
  auto got = co_await f.call(f.request(Verb::kGet, *v2, "default", "h"));
  REQUIRE_OK(got);
  CHECK(text_of(got->object, {"spec", "metrics"}) ==
        R"([{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":60}}}])");
  auto patched = co_await f.call(
      patch_request(f, *v1, "default", "h", PatchType::kMerge, R"({"spec":{"targetCPUUtilizationPercentage":70}})"));
  REQUIRE_OK(patched);
  CHECK(text_of(patched->object, {"spec", "metrics"}).find("\"averageUtilization\":70") != std::string::npos);

  const Kind* events = find_kind("events.k8s.io", "v1", "events");
  auto event = co_await f.call(create_request(
      f, *events, "default",
      R"({"metadata":{"name":"e"},"eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"c","reportingInstance":"i",)"
      R"("action":"a","reason":"r","type":"Normal","note":"hello","regarding":{"kind":"Pod","namespace":"default","name":"p"}})"));
  REQUIRE_OK(event);
  ApiRequest list = f.request(Verb::kList, kinds::events(), "default");
  list.read.fields = FieldSelector::equals("involvedObject.name", "p");
  auto as_core = co_await f.call(list);
  REQUIRE_OK(as_core);
  if (!(as_core->list->items.size() == 1)) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  CHECK(text_of(as_core->list->items[0], {"message"}) == "hello");
  ApiRequest by_regarding = f.request(Verb::kList, *events, "default");
  by_regarding.read.fields = FieldSelector::equals("regarding.name", "p");
  auto as_events = co_await f.call(by_regarding);
  REQUIRE_OK(as_events);
  CHECK(as_events->list->items.size() == 1);
  co_return Result<void>();
}

Task<Result<void>> permissions(ApiFixture& f) {
  ApiRequest request = f.request(Verb::kList, kinds::pods(), "default");
  request.user.name = "jane";
  request.user.groups = {"developers", "system:authenticated"};
  auto list = co_await f.call(request);
  CHECK_REFUSED(list, Code::kForbidden,
                "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace "
                "\"default\"");
  ApiRequest one = f.request(Verb::kUpdate, kinds::deployments(), "default", "w");
  one.subresource = "scale";
  one.user = request.user;
  auto scale = co_await f.call(one);
  CHECK_REFUSED(
      scale, Code::kForbidden,
      "deployments.apps \"w\" is forbidden: User \"jane\" cannot update resource \"deployments/scale\" in API "
      "group \"apps\" in the namespace \"default\"");
  ApiRequest cluster = f.request(Verb::kList, kinds::nodes());
  cluster.user = request.user;
  auto nodes = co_await f.call(cluster);
  CHECK_REFUSED(
      nodes, Code::kForbidden,
      "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope");
  for (const char* name : {"system:kube-scheduler", "system:kube-controller-manager",
                           "system:serviceaccount:kube-system:deployment-controller"}) {
    cluster.user.name = name;
    cluster.user.groups = {"system:authenticated"};
    auto allowed = co_await f.call(cluster);
    CHECK(allowed.ok());
  }
  cluster.user.name = "system:node:n1";  // a node's name without the nodes' group
  auto imposter = co_await f.call(cluster);
  CHECK_FALSE(imposter.ok());
  co_return Result<void>();
}

Task<Result<void>> racing_writers(ApiFixture& f);

Task<Result<void>> increment(ApiFixture& f, int times, std::string key) {
  for (int i = 0; i < times; ++i) {
    auto patched = co_await f.call(patch_request(f, kinds::config_maps(), "default", "a", PatchType::kMerge,
                                                 cat(R"({"data":{")", key, R"(":")", i, R"("}})")));
    if (!patched) co_return patched.error();
  }
  co_return Result<void>();
}

Task<Result<void>> racing_writers(ApiFixture& f) {
  auto made = co_await f.call(create_request(f, kinds::config_maps(), "default", kConfigMap));
  REQUIRE_OK(made);
  io::TaskScope scope;
  for (int i = 0; i < 6; ++i) scope.spawn(increment(f, 5, cat("w", i)));
  auto joined = co_await scope.join();
  REQUIRE_OK(joined);
  auto got = co_await f.call(f.request(Verb::kGet, kinds::config_maps(), "default", "a"));
  REQUIRE_OK(got);
  // Every patch arrived although they raced: none of them named a revision.
  const json::Document document_now = got->object->document();
  for (int i = 0; i < 6; ++i) CHECK(document_now->at({"data", cat("w", i)})->as_string() == "4");
  co_return Result<void>();
}

Task<Result<void>> bootstrap_objects(ApiFixture& f) {
  struct Row {
    const Kind* kind;
    std::string ns;
    std::size_t count;
  };
  const std::vector<Row> rows = {{&kinds::namespaces(), "", 4},       {&kinds::services(), "default", 1},
                                 {&kinds::endpoints(), "default", 1}, {&kinds::endpoint_slices(), "default", 1},
                                 {&kinds::service_cidrs(), "", 1},    {&kinds::priority_classes(), "", 2},
                                 {&kinds::flow_schemas(), "", 11},    {&kinds::priority_level_configurations(), "", 8},
                                 {&kinds::api_services(), "", 21}};
  for (const Row& row : rows) {
    CAPTURE(row.kind->plural);
    auto list = co_await f.call(f.request(Verb::kList, *row.kind, row.ns));
    REQUIRE_OK(list);
    CHECK(list->list->items.size() == row.count);
  }
  auto system = co_await f.call(f.request(Verb::kDelete, kinds::priority_classes(), "", "system-node-critical"));
  CHECK_REFUSED(system, Code::kForbidden,
                "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority "
                "class and cannot be deleted");
  co_return Result<void>();
}

Task<Result<void>> warnings(ApiFixture& f) {
  const Kind* policies = find_kind("networking.k8s.io", "v1", "networkpolicies");
  auto made = co_await f.call(
      create_request(f, *policies, "default", R"({"metadata":{"name":"n"},"spec":{"podSelector":{}}})"));
  REQUIRE_OK(made);
  if (!(made->warnings.size() == 1)) {
    FAIL_CHECK("the answer lacks a part");
    co_return Result<void>();
  }
  CHECK(made->warnings[0].find("does not enforce network policies") != std::string::npos);
  co_return Result<void>();
}

Task<Result<void>> failing_store(ApiFixture& f) {
  f.store.fail_next_write(Error(Code::kNoSpace, "/var/lib/kayak/state.db: committing: database or disk is full"));
  auto made = co_await f.call(create_request(f, kinds::config_maps(), "default", kConfigMap));
  if (made) {
    FAIL_CHECK("not refused");
    co_return Result<void>();
  }
  const json::Value status = status_document(made.error());
  CHECK(status.find("code")->as_int() == 500);
  CHECK(status.find("message")->as_string() ==
        "Internal error occurred: the server's disk is full, nothing was written: no space left on device");
  // An address taken for a service that could not be written is free again.
  f.store.fail_next_write(Error(Code::kNoSpace, "no space left on device"));
  ApiRequest service =
      create_request(f, kinds::services(), "default",
                     R"({"metadata":{"name":"s"},"spec":{"clusterIP":"10.43.0.77","ports":[{"port":1}]}})");
  auto refused = co_await f.call(service);
  if (refused) {
    FAIL_CHECK("not refused");
    co_return Result<void>();
  }
  auto works = co_await f.call(service);
  REQUIRE_OK(works);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("a config map is created, read, updated and deleted") { run(life_of_a_config_map); }
TEST_CASE("writes that change nothing are not written") { run(unchanged_writes); }
TEST_CASE("dry runs do all but the write") { run(dry_runs); }
TEST_CASE("bodies that do not fit are refused") { run(refused_bodies); }
TEST_CASE("updates that do not fit are refused") { run(refused_updates); }
TEST_CASE("names are generated") { run(generated_names); }
TEST_CASE("namespaces live and end") { run(namespaces); }
TEST_CASE("generation counts spec changes and status is apart") { run(generations_and_status); }
TEST_CASE("scale") { run(scales); }
TEST_CASE("pods are completed and bound") { run(pods_and_binding); }
TEST_CASE("pods end gracefully") { run(graceful_deletion); }
TEST_CASE("finalizers hold objects") { run(finalizers); }
TEST_CASE("collections are deleted by selector") { run(collections); }
TEST_CASE("lists come in pages of one snapshot") { run(paging); }
TEST_CASE("a list in pages ends after eight minutes, also of what nobody changes") { run(age_of_pages); }
TEST_CASE("reads at revisions") { run(revisions_of_reads); }
TEST_CASE("a revision from the future is waited for, then refused") { run(revision_from_the_future); }
TEST_CASE("services get addresses and ports") { run(services); }
TEST_CASE("two versions of one stored kind") { run(two_versions); }
TEST_CASE("access is for administrators and components") { run(permissions); }
TEST_CASE("racing writers without a revision all succeed") { run(racing_writers); }
TEST_CASE("the bootstrap objects stand") {
  ApiServerOptions options;
  options.advertise_address = "192.0.2.1";
  run(bootstrap_objects, options);
}
TEST_CASE("objects that nothing enforces yet come with a warning") { run(warnings); }
TEST_CASE("a store that cannot write") { run(failing_store); }
