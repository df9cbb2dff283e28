// http_server_test.cc: what goes over HTTP: status lines, headers, encodings, streams, refusals at the door.
#include "api/http_server.h"

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "support/api_fixture.h"
#include "support/fake_exchange.h"

using namespace kayak;
using namespace kayak::api;
using namespace std::chrono_literals;
using kayak::test::ApiFixture;
using kayak::test::FakeExchange;

namespace {

void run(ApiFixture::Body body, ApiServerOptions options = ApiServerOptions()) {
  ApiFixture fixture(std::move(options));
  const Result<void> done = fixture.run(body);
  INFO((done ? "" : done.error().message()));
  CHECK(done.ok());
}

FakeExchange& as_admin(FakeExchange& exchange) { return exchange.as("admin", {"system:masters"}); }

Task<void> serve(ApiFixture& f, FakeExchange& exchange) {
  const io::HttpHandler handler = f.server->http_handler();
  co_await handler(exchange);
}

json::Value parsed(const std::string& text) {
  auto read = json::read(text);
  CHECK(read.ok());
  return read ? std::move(*read) : json::Value();
}

std::string field(const json::Value& value, std::initializer_list<std::string_view> path) {
  const json::Value* found = value.at(path);
  return found == nullptr ? "(absent)" : found->is_string() ? found->as_string() : json::write(*found);
}

Task<void> post(ApiFixture& f, std::string target, std::string text) {
  FakeExchange exchange("POST", std::move(target));
  as_admin(exchange).with_body("application/json", std::move(text));
  co_await serve(f, exchange);
  INFO(exchange.sent_body);
  CHECK(exchange.sent_status == 201);
}

Task<Result<void>> the_door(ApiFixture& f) {
  struct Row {
    std::string method, target, user;
    std::vector<std::string> groups;
    int status;
    std::string reason;
  };
  const std::vector<Row> rows = {
      {"GET", "/api/v1/pods", "", {}, 401, "Unauthorized"},
      {"GET", "/apis", "", {}, 401, "Unauthorized"},
      {"GET", "/metrics", "", {}, 401, "Unauthorized"},
      {"GET", "/nothing", "", {}, 401, "Unauthorized"},
      {"GET", "/livezzz", "", {}, 401, "Unauthorized"},
      {"POST", "/api/v1/namespaces/default/pods", "", {}, 401, "Unauthorized"},
      {"GET", "/api/v1/pods", "jane", {"developers"}, 403, "Forbidden"},
      {"GET", "/metrics", "jane", {"developers"}, 403, "Forbidden"},
      {"GET", "/api/v1/pods", "admin", {"kayak:cluster-admins"}, 200, ""},
      {"GET", "/nothing", "admin", {"system:masters"}, 404, "NotFound"},
      {"GET", "/api/v1/nothing", "admin", {"system:masters"}, 404, "NotFound"},
      {"POST", "/version", "admin", {"system:masters"}, 405, "MethodNotAllowed"},
      {"POST", "/api/v1/pods", "admin", {"system:masters"}, 405, "MethodNotAllowed"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.method, row.target, row.user);
    FakeExchange exchange(row.method, row.target);
    if (!row.user.empty()) exchange.as(row.user, row.groups);
    co_await serve(f, exchange);
    CHECK(exchange.sent_status == row.status);
    CHECK(exchange.sent_headers.get("Audit-Id").size() == 36);
    CHECK(exchange.sent_headers.get("Cache-Control") == "no-cache, private");
    if (!row.reason.empty()) {
      const json::Value status = parsed(exchange.sent_body);
      CHECK(field(status, {"kind"}) == "Status");
      CHECK(field(status, {"reason"}) == row.reason);
      CHECK(field(status, {"code"}) == std::to_string(row.status));
    }
  }
  FakeExchange exact("GET", "/api/v1/pods");
  co_await serve(f, exact);
  CHECK(
      exact.sent_body ==
      R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401})"
      "\n");
  FakeExchange impersonating("GET", "/api/v1/pods");
  as_admin(impersonating).header("Impersonate-User", "jane");
  co_await serve(f, impersonating);
  CHECK(impersonating.sent_status == 400);
  co_return Result<void>();
}

Task<Result<void>> public_paths(ApiFixture& f) {
  struct Row {
    std::string target;
    int status;
    std::string text;
  };
  const std::vector<Row> rows = {
      {"/livez", 200, "ok"},
      {"/readyz", 200, "ok"},
      {"/healthz", 200, "ok"},
      {"/readyz/etcd", 200, "ok"},
      {"/readyz/nothing", 404, "404 page not found\n"},
      {"/livez/informer-sync", 404, "404 page not found\n"},
      {"/livez?verbose", 200, "[+]ping ok\n[+]etcd ok\nlivez check passed\n"},
      {"/livez?timeout=0s", 200, "ok"},
      {"/livez?timeout=3m", 200, "ok"},
      {"/readyz?verbose&exclude=etcd", 200,
       "[+]ping ok\n[+]etcd excluded: ok\n[+]informer-sync ok\n[+]poststarthook/bootstrap ok\nreadyz check passed\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.target);
    FakeExchange exchange("GET", row.target);
    co_await serve(f, exchange);
    CHECK(exchange.sent_status == row.status);
    CHECK(exchange.sent_body == row.text);
  }
  // Without a leader it is not ready, and alive all the same.
  f.store.set_health(Error(Code::kUnavailable, "no server leads"));
  const std::vector<Row> leaderless = {{"/readyz/etcd", 500, "internal server error: no server leads\n"},
                                       {"/livez/etcd", 200, "ok"},
                                       {"/livez", 200, "ok"},
                                       {"/readyz?exclude=etcd", 200, "ok"}};
  for (const Row& row : leaderless) {
    CAPTURE(row.target);
    FakeExchange exchange("GET", row.target);
    co_await serve(f, exchange);
    CHECK(exchange.sent_status == row.status);
    CHECK(exchange.sent_body == row.text);
  }
  FakeExchange not_ready("GET", "/readyz");
  co_await serve(f, not_ready);
  CHECK(not_ready.sent_status == 500);
  f.store.set_health(Result<void>());
  f.server->add_readiness_check("broken", [] { return Result<void>(Error(Code::kUnavailable, "why it is broken")); });
  FakeExchange failing("GET", "/readyz?verbose");
  co_await serve(f, failing);
  CHECK(failing.sent_status == 500);
  CHECK(failing.sent_body.find("[-]broken failed: reason withheld") != std::string::npos);
  FakeExchange alone("GET", "/readyz/broken");
  co_await serve(f, alone);
  CHECK(alone.sent_body == "internal server error: why it is broken\n");
  FakeExchange alive("GET", "/livez");
  co_await serve(f, alive);
  CHECK(alive.sent_status == 200);
  FakeExchange soon("GET", "/version?timeout=soon");
  co_await serve(f, soon);
  CHECK(soon.sent_status == 400);
  CHECK(field(parsed(soon.sent_body), {"message"}) ==
        "invalid timeout specified in the request URL - time: invalid duration \"soon\"");
  FakeExchange version("GET", "/version");
  co_await serve(f, version);
  CHECK(field(parsed(version.sent_body), {"gitVersion"}) == "v1.36.0+kayak1");
  co_return Result<void>();
}

Task<Result<void>> objects_over_http(ApiFixture& f) {
  const std::string base = "/api/v1/namespaces/default/configmaps";
  FakeExchange create("POST", base + "?fieldManager=tester");
  as_admin(create).with_body(
      "application/json",
      R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"k":"v"},"extra":1})");
  co_await serve(f, create);
  INFO(create.sent_body);
  CHECK(create.sent_status == 201);
  CHECK(create.sent_headers.get("Content-Type") == "application/json");
  CHECK(create.sent_headers.get("Warning") == "299 - \"unknown field \\\"extra\\\"\"");
  CHECK(create.sent_body.ends_with("}\n"));
  const json::Value made = parsed(create.sent_body);
  CHECK(field(made, {"kind"}) == "ConfigMap");
  const json::Value* managed = made.at({"metadata", "managedFields"});
  CHECK(managed->as_array()[0].find("manager")->as_string() == "tester");

  for (const char* name : {"kubernetes", "nothing"}) {
    FakeExchange endpoints("GET", cat("/api/v1/namespaces/default/endpoints/", name));
    as_admin(endpoints);
    co_await serve(f, endpoints);
    CHECK(endpoints.sent_headers.get("Warning") ==
          "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"");
  }

  FakeExchange yaml("POST", base);
  as_admin(yaml)
      .with_body("application/yaml", "metadata:\n  name: yml\ndata:\n  mode: \"0644\"\n")
      .header("Accept", "application/yaml");
  co_await serve(f, yaml);
  INFO(yaml.sent_body);
  CHECK(yaml.sent_status == 201);
  CHECK(yaml.sent_headers.get("Content-Type") == "application/yaml");
  CHECK(yaml.sent_body.find("mode: \"0644\"") != std::string::npos);

  FakeExchange list("GET", base);
  as_admin(list);
  co_await serve(f, list);
  const json::Value listed = parsed(list.sent_body);
  CHECK(field(listed, {"kind"}) == "ConfigMapList");
  CHECK(field(listed, {"metadata", "resourceVersion"}) == std::to_string(f.store.revision()));
  CHECK(listed.find("items")->as_array().size() == 2);
  CHECK(listed.find("items")->as_array()[0].find("kind") == nullptr);
  CHECK(field(listed.find("items")->as_array()[0], {"metadata", "resourceVersion"}) ==
        field(made, {"metadata", "resourceVersion"}));

  FakeExchange pretty("GET", base + "/a?pretty=true");
  as_admin(pretty);
  co_await serve(f, pretty);
  CHECK(pretty.sent_body.starts_with("{\n  \"kind\": \"ConfigMap\","));
  FakeExchange curl("GET", base + "/a");
  as_admin(curl).header("User-Agent", "curl/8.0");
  co_await serve(f, curl);
  CHECK(curl.sent_body.starts_with("{\n  \"kind\": \"ConfigMap\","));

  FakeExchange partial("GET", base);
  as_admin(partial).header("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
  co_await serve(f, partial);
  const json::Value metadata = parsed(partial.sent_body);
  CHECK(field(metadata, {"kind"}) == "PartialObjectMetadataList");
  CHECK(metadata.find("items")->as_array()[0].find("data") == nullptr);
  CHECK(field(metadata.find("items")->as_array()[0], {"kind"}) == "PartialObjectMetadata");

  FakeExchange table("GET", base);
  as_admin(table).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
  co_await serve(f, table);
  const json::Value rows = parsed(table.sent_body);
  CHECK(field(rows, {"kind"}) == "Table");
  CHECK(rows.find("columnDefinitions")->as_array().size() == 3);
  CHECK(field(rows.find("rows")->as_array()[0], {"object", "kind"}) == "PartialObjectMetadata");
  CHECK(rows.find("rows")->as_array()[0].find("cells")->as_array()[0].as_string() == "a");

  FakeExchange nothing("GET", base + "/a");
  as_admin(nothing).header("Accept", "text/html");
  co_await serve(f, nothing);
  CHECK(nothing.sent_status == 406);
  co_return Result<void>();
}

// What is computed on the fly has columns too.
Task<Result<void>> tables_of_documents(ApiFixture& f) {
  co_await post(f, "/apis/apps/v1/namespaces/default/deployments",
                R"({"metadata":{"name":"d"},"spec":{"replicas":3,"selector":{"matchLabels":{"a":"b"}},"template":{)"
                R"("metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})");
  struct Row {
    std::string target;
    std::string columns, cells;  // without the last, which is an age
    std::size_t rows;
    std::string object;
  };
  const std::vector<Row> rows = {
      {"/api/v1/componentstatuses", R"(["Name","Status","Message"])", R"(["scheduler","Healthy","ok"])", 3,
       "PartialObjectMetadata"},
      {"/api/v1/componentstatuses/etcd-0?includeObject=Object", R"(["Name","Status","Message"])",
       R"(["etcd-0","Healthy","ok"])", 1, "ComponentStatus"},
      {"/apis/apps/v1/namespaces/default/deployments/d/scale", R"(["Name","Desired","Available"])", R"(["d",3,0])", 1,
       "PartialObjectMetadata"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.target);
    FakeExchange exchange("GET", row.target);
    as_admin(exchange).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    co_await serve(f, exchange);
    INFO(exchange.sent_body);
    const json::Value table = parsed(exchange.sent_body);
    CHECK(field(table, {"kind"}) == "Table");
    json::Array names;
    for (const json::Value& column : table.find("columnDefinitions")->as_array()) names.push_back(*column.find("name"));
    names.pop_back();
    CHECK(json::write(json::Value(names)) == row.columns);
    CHECK(table.find("rows")->as_array().size() == row.rows);
    const json::Value& first = table.find("rows")->as_array()[0];
    json::Array cells = first.find("cells")->as_array();
    cells.pop_back();
    CHECK(json::write(json::Value(cells)) == row.cells);
    CHECK(field(first, {"object", "kind"}) == row.object);
  }
  co_return Result<void>();
}

Task<Result<void>> refused_bodies(ApiFixture& f) {
  const std::string base = "/api/v1/namespaces/default/configmaps";
  co_await post(f, base, R"({"metadata":{"name":"a"},"data":{"k":"v"}})");
  struct Row {
    std::string method, target, type, body;
    int status;
    std::string message;  // beginning
  };
  const std::string deep(3000, '[');
  std::string bracket_hex;
  for (int i = 0; i < 30; ++i) bracket_hex += "5b";
  const std::vector<Row> rows = {
      {"POST", base, "application/json", "{", 400,
       "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
       "unexpected end of JSON input ({)"},
      {"POST", base, "application/yaml", "a: [", 400,
       "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; yaml parse "
       "error: "},
      {"POST", base, "application/json", "", 400,
       "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
       "unexpected end of JSON input (<empty>)"},
      {"POST", base, "application/json", deep, 400,
       "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
       "JSON document is nested deeper than 256 levels, at byte 256 (" +
           bracket_hex + " ...)"},
      {"POST", base, "application/json", "[]", 400, "the object provided is unrecognized (must be of type ConfigMap)"},
      {"POST", base, "text/plain", "{}", 415,
       "the body of the request was in an unknown format - accepted media types include: application/json, "
       "application/yaml, application/vnd.kubernetes.protobuf"},
      {"POST", base, "application/vnd.kubernetes.protobuf", "junk", 400, ""},
      {"POST", base, "application/json", R"({"metadata":{"name":7}})", 400,
       "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct "
       "field"},
      {"POST", base, "application/json", std::string(4 * 1024 * 1024, ' '), 413,
       "Request entity too large: limit is 3145728"},
      {"POST", base + "?dryRun=maybe", "application/json", "{}", 422,
       "CreateOptions.meta.k8s.io \"\" is invalid: dryRun:"},
      {"PATCH", base + "/a", "application/apply-patch+yaml", "{}", 415,
       "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
       "application/merge-patch+json, application/strategic-merge-patch+json"},
      {"PATCH", base + "/a?force=false", "application/apply-patch+yaml", "{}", 415,
       "the body of the request was in an unknown format"},
      {"PATCH", base + "/a?force=false", "application/merge-patch+json", "{}", 422,
       "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"},
      {"PATCH", base + "/a", "application/json-patch+json", "{}", 400, ""},
      {"PATCH", base + "/a", "application/merge-patch+json", "7", 400,
       "error decoding patch: json: cannot unmarshal number into Go value of type map[string]interface {}"},
      {"PATCH", base + "/a", "application/merge-patch+json", "{", 400,
       "error decoding patch: unexpected end of JSON input"},
      {"PATCH", base + "/a", "application/strategic-merge-patch+json", "[]", 400,
       "json: cannot unmarshal array into Go value of type map[string]interface {}"},
      {"PATCH", base + "/a", "application/json-patch+json", R"([{"op":"test","path":"/data/k","value":"w"}])", 422,
       "the server rejected our request due to an error in our request"},
      {"PATCH", base + "/a", "application/merge-patch+json", R"({"data":[]})", 422,
       " \"\" is invalid: patch: Invalid value: \"{\\\"data\\\":[]}\": json: cannot unmarshal array"},
      {"PATCH", base + "/a", "application/merge-patch+json", R"({"metadata":{"name":"b"}})", 400,
       "the name of the object (b) does not match the name on the URL (a)"},
      {"PATCH", base + "/a", "application/merge-patch+json", R"({"metadata":{"namespace":"b"}})", 400,
       "the namespace of the provided object does not match the namespace sent on the request"},
      {"PATCH", base + "/a", "application/merge-patch+json", R"({"metadata":{"name":null}})", 400,
       "the name of the object (a based on URL) was undeterminable: name must be provided"},
      {"PUT", base + "/a", "application/json", R"({"metadata":{"name":"b"}})", 400,
       "the name of the object (b) does not match the name on the URL (a)"},
      {"PUT", base + "/a", "application/json", R"({"metadata":{"name":"a","namespace":"b"}})", 400,
       "the namespace of the object (b) does not match the namespace on the request (default)"},
      {"PATCH", base + "/a?fieldValidation=Strict", "application/merge-patch+json", R"({"dta":{"a":"b"}})", 422,
       " \"\" is invalid: patch: Invalid value: \"{\\\"dta\\\":{\\\"a\\\":\\\"b\\\"}}\": strict decoding error: "
       "unknown field \"dta\""},
      {"DELETE", base + "/a", "application/json", R"({"propagationPolicy":"No"})", 422,
       "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy:"},
      {"DELETE", base + "/a", "application/json", R"({"kind":"Pod"})", 400,
       "decoded object cannot be converted to DeleteOptions"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.method, row.target, row.type, row.body.substr(0, 100));
    FakeExchange exchange(row.method, row.target);
    as_admin(exchange).with_body(row.type, row.body);
    co_await serve(f, exchange);
    CHECK(exchange.sent_status == row.status);
    const std::string message = field(parsed(exchange.sent_body), {"message"});
    CHECK(message.substr(0, row.message.size()) == row.message);
  }
  FakeExchange still("GET", base + "/a");
  as_admin(still);
  co_await serve(f, still);
  CHECK(still.sent_status == 200);
  co_return Result<void>();
}

Task<Result<void>> protobuf_both_ways(ApiFixture& f) {
  const Message& message = *kinds::config_maps().message;
  auto document = decode_json(message, parsed(R"({"metadata":{"name":"pb"},"data":{"k":"v"}})"));
  const std::string base = "/api/v1/namespaces/default/configmaps";
  FakeExchange create("POST", base);
  as_admin(create)
      .with_body("application/vnd.kubernetes.protobuf", encode_envelope("v1", "ConfigMap", message, *document))
      .header("Accept", "application/vnd.kubernetes.protobuf");
  co_await serve(f, create);
  CHECK(create.sent_status == 201);
  CHECK(create.sent_headers.get("Content-Type") == "application/vnd.kubernetes.protobuf");
  auto made = decode_envelope(create.sent_body);
  if (!made) co_return made.error();
  CHECK(made->kind == "ConfigMap");
  CHECK(field(made->document, {"data", "k"}) == "v");
  CHECK(field(made->document, {"metadata", "resourceVersion"}) != "(absent)");
  FakeExchange list("GET", base);
  as_admin(list).header("Accept", "application/vnd.kubernetes.protobuf");
  co_await serve(f, list);
  auto listed = decode_envelope(list.sent_body);
  if (!listed) co_return listed.error();
  CHECK(listed->kind == "ConfigMapList");
  CHECK(listed->document.find("items")->as_array().size() == 1);
  CHECK(field(listed->document.find("items")->as_array()[0], {"metadata", "name"}) == "pb");
  FakeExchange missing("GET", base + "/nope");
  as_admin(missing).header("Accept", "application/vnd.kubernetes.protobuf");
  co_await serve(f, missing);
  CHECK(missing.sent_status == 404);
  auto status = decode_envelope(missing.sent_body);
  if (!status) co_return status.error();
  CHECK(field(status->document, {"reason"}) == "NotFound");
  co_return Result<void>();
}

std::vector<json::Value> lines(const std::string& text) {
  std::vector<json::Value> events;
  for (std::string_view line : split(text, '\n')) {
    if (!line.empty()) events.push_back(parsed(std::string(line)));
  }
  return events;
}

Task<Result<void>> watch_in_background(ApiFixture& f, FakeExchange& exchange) {
  co_await serve(f, exchange);
  co_return Result<void>();
}

Task<Result<void>> watches(ApiFixture& f) {
  const std::string base = "/api/v1/namespaces/default/configmaps";
  co_await post(f, base, R"({"metadata":{"name":"a"}})");
  FakeExchange watch(
      "GET", base + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
  as_admin(watch);
  FakeExchange table("GET", base + "?watch=1&resourceVersion=0");
  as_admin(table).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
  io::TaskScope scope;
  scope.spawn(watch_in_background(f, watch));
  scope.spawn(watch_in_background(f, table));
  co_await post(f, base, R"({"metadata":{"name":"b"}})");
  while (lines(watch.sent_body).size() < 3 || lines(table.sent_body).size() < 2) {
    watch.written.reset();
    co_await f.loop.sleep(1ms);
  }
  co_await f.loop.sleep(1100ms);
  co_await post(f, base, R"({"metadata":{"name":"late"}})");
  FakeExchange change("PATCH", base + "/b");
  as_admin(change).with_body("application/merge-patch+json", R"({"data":{"k":"v"}})");
  co_await serve(f, change);
  while (lines(table.sent_body).size() < 4) co_await f.loop.sleep(1ms);
  watch.leave();
  table.leave();
  auto joined = co_await scope.join();
  CHECK(joined.ok());
  const std::vector<json::Value> events = lines(watch.sent_body);
  CHECK(field(events[0], {"type"}) == "ADDED");
  CHECK(field(events[0], {"object", "metadata", "name"}) == "a");
  CHECK(field(events[1], {"type"}) == "BOOKMARK");
  CHECK(field(events[1], {"object", "kind"}) == "ConfigMap");
  CHECK(field(events[1], {"object", "metadata", "annotations", "k8s.io/initial-events-end"}) == "true");
  CHECK(field(events[2], {"object", "metadata", "name"}) == "b");
  const std::vector<json::Value> tables = lines(table.sent_body);
  CHECK(field(tables[0], {"object", "kind"}) == "Table");
  CHECK(tables[0].at({"object", "columnDefinitions"})->is_array());
  CHECK(tables[1].at({"object", "columnDefinitions"})->is_null());
  // Ages are those of the moment, not of the watch's beginning: then the new one is not there yet, and the changed one
  // is as young as it was. Creation times are cut to seconds, so that what has just been made may be a second old.
  const auto age = [&tables](std::size_t i) {
    return tables[i].at({"object", "rows"})->as_array()[0].find("cells")->as_array()[2].string_or();
  };
  CHECK(age(2).find_first_not_of("0123456789s") == std::string::npos);
  CHECK(age(3).find_first_not_of("0123456789s") == std::string::npos);
  CHECK(age(3) != "0s");
  co_return Result<void>();
}

Task<Result<void>> watch_endings(ApiFixture& f) {
  const std::string base = "/api/v1/namespaces/default/configmaps";
  for (int i = 0; i < 30; ++i) {
    co_await post(f, base, cat(R"({"metadata":{"name":"x)", i, R"("},"data":{"k":")", std::string(200, 'x'), R"("}})"));
  }
  for (int i = 0; i < 30; ++i) {
    FakeExchange remove("DELETE", cat(base, "/x", i));
    as_admin(remove);
    co_await serve(f, remove);
  }
  auto waited = co_await f.server->cache().wait_current(StopToken());
  CHECK(waited.ok());
  FakeExchange old("GET", base + "?watch=1&resourceVersion=2");
  as_admin(old);
  co_await serve(f, old);
  CHECK(old.sent_status == 200);
  CHECK(old.finished);
  const json::Value event = parsed(old.sent_body);
  CHECK(field(event, {"type"}) == "ERROR");
  CHECK(field(event, {"object", "code"}) == "410");
  CHECK(field(event, {"object", "reason"}) == "Expired");
  CHECK(field(event, {"object", "message"}).starts_with("too old resource version: 2 ("));
  FakeExchange brief("GET", base + "?watch=1&timeoutSeconds=1&timeout=soon");  // a stream has no other timeout
  as_admin(brief);
  const Instant before = f.clock.now();
  co_await serve(f, brief);
  CHECK(brief.finished);
  CHECK(brief.sent_body.empty());
  CHECK(f.clock.now() - before >= 990ms);  // timers count from the beginning of the loop's turn
  co_return Result<void>();
}

Task<Result<void>> discovery(ApiFixture& f) {
  auto get = [](std::string target, std::string accept) {
    auto exchange = std::make_unique<FakeExchange>("GET", std::move(target));
    as_admin(*exchange).header("Accept", accept);
    return exchange;
  };
  auto api = get("/api", "application/json");
  co_await serve(f, *api);
  CHECK(field(parsed(api->sent_body), {"versions"}) == R"(["v1"])");
  auto groups = get("/apis", "application/json");
  co_await serve(f, *groups);
  const json::Value group_list = parsed(groups->sent_body);
  CHECK(field(group_list, {"kind"}) == "APIGroupList");
  for (const json::Value& group : group_list.find("groups")->as_array()) {
    CHECK(field(group, {"name"}) != "metrics.k8s.io");
  }
  auto core = get("/api/v1", "application/json");
  co_await serve(f, *core);
  const json::Value resources = parsed(core->sent_body);
  std::vector<std::string> names;
  for (const json::Value& resource : resources.find("resources")->as_array())
    names.push_back(field(resource, {"name"}));
  auto has = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  CHECK(has("pods"));
  CHECK(has("pods/log"));
  CHECK(has("pods/status"));
  CHECK_FALSE(has("pods/exec"));
  CHECK_FALSE(has("nodes/proxy"));
  CHECK_FALSE(has("serviceaccounts/token"));
  const std::string aggregated =
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
  auto v2 = get("/apis", aggregated);
  co_await serve(f, *v2);
  CHECK(v2->sent_headers.get("Content-Type") == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  const json::Value document = parsed(v2->sent_body);
  CHECK(field(document, {"kind"}) == "APIGroupDiscoveryList");
  const std::string etag(v2->sent_headers.get("ETag"));
  CHECK_FALSE(etag.empty());
  auto cached = get("/apis", aggregated);
  cached->header("If-None-Match", etag);
  co_await serve(f, *cached);
  CHECK(cached->sent_status == 304);
  CHECK(cached->sent_body.empty());
  auto one = get("/apis/apps", "application/json");
  co_await serve(f, *one);
  CHECK(field(parsed(one->sent_body), {"preferredVersion", "groupVersion"}) == "apps/v1");
  auto autoscaling = get("/apis/autoscaling", "");
  co_await serve(f, *autoscaling);
  CHECK(field(parsed(autoscaling->sent_body), {"preferredVersion", "version"}) == "v2");
  // Everything in discovery answers a list.
  for (const json::Value& group : group_list.find("groups")->as_array()) {
    const std::string version = field(group, {"preferredVersion", "groupVersion"});
    auto group_version = get("/apis/" + version, "");
    co_await serve(f, *group_version);
    CHECK(group_version->sent_status == 200);
    const json::Value listed = parsed(group_version->sent_body);
    for (const json::Value& resource : listed.find("resources")->as_array()) {
      const std::string verbs = field(resource, {"verbs"});
      if (verbs.find("\"list\"") == std::string::npos) continue;
      const std::string path = cat("/apis/", version, "/", field(resource, {"name"}));
      CAPTURE(path);
      auto list = get(path, "");
      co_await serve(f, *list);
      CHECK(list->sent_status == 200);
    }
  }
  co_return Result<void>();
}

Task<Result<void>> reviews(ApiFixture& f) {
  FakeExchange self("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews");
  as_admin(self).with_body("application/json", "{}");
  co_await serve(f, self);
  CHECK(self.sent_status == 201);
  CHECK(field(parsed(self.sent_body), {"status", "userInfo"}) ==
        R"({"username":"admin","groups":["system:masters","system:authenticated"]})");
  FakeExchange access("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
  as_admin(access).with_body("application/json", R"({"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}})");
  co_await serve(f, access);
  CHECK(field(parsed(access.sent_body), {"status", "allowed"}) == "true");
  FakeExchange other("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews");
  as_admin(other).with_body("application/json",
                            R"({"spec":{"user":"jane","resourceAttributes":{"verb":"get","resource":"pods"}}})");
  co_await serve(f, other);
  CHECK(field(parsed(other.sent_body), {"status", "allowed"}) == "false");
  FakeExchange table("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
  as_admin(table)
      .with_body("application/json", R"({"spec":{"nonResourceAttributes":{"verb":"get","path":"/"}}})")
      .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
  co_await serve(f, table);
  CHECK(table.sent_status == 406);
  co_return Result<void>();
}

class FakeLog final : public io::HttpBody {
 public:
  Task<Result<std::string>> read(StopToken) override {
    co_return sent_++ < 2 ? cat("line ", sent_, "\n") : std::string();
  }

 private:
  int sent_ = 0;
};

LogOptions seen_options;

Task<Result<std::unique_ptr<io::HttpBody>>> open_log(ObjectRef, LogOptions options, StopToken) {
  seen_options = std::move(options);
  std::unique_ptr<io::HttpBody> body = std::make_unique<FakeLog>();
  co_return body;
}

Task<Result<void>> logs(ApiFixture& f) {
  const std::string base = "/api/v1/namespaces/default/pods";
  co_await post(f, base,
                R"({"metadata":{"name":"p"},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"}]}})");
  co_await post(
      f, base,
      R"({"metadata":{"name":"two"},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"},{"name":"d","image":"i"}]}})");
  auto get = [&](std::string query) {
    auto exchange = std::make_unique<FakeExchange>("GET", base + query);
    as_admin(*exchange);
    return exchange;
  };
  auto early = get("/p/log");
  co_await serve(f, *early);
  CHECK(early->sent_status == 503);
  f.server->set_log_hook(open_log);
  auto log = get("/p/log?tailLines=5&follow=true&timestamps=true");
  co_await serve(f, *log);
  CHECK(log->sent_status == 200);
  CHECK(log->sent_headers.get("Content-Type") == "text/plain");
  CHECK(log->sent_body == "line 1\nline 2\n");
  CHECK(seen_options.container == "c");
  CHECK(seen_options.tail_lines == 5);
  CHECK(seen_options.follow);
  struct Row {
    std::string query;
    int status;
    std::string message;
  };
  const std::vector<Row> rows = {
      {"/two/log", 400, "a container name must be specified for pod two, choose one of: [c d]"},
      {"/two/log?container=x", 400, "container x is not valid for pod two"},
      {"/none/log", 404, "pods \"none\" not found"},
      {"/p/log?tailLines=-1", 422,
       "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"},
      {"/p/log?limitBytes=0", 422,
       "PodLogOptions \"p\" is invalid: limitBytes: Invalid value: 0: must be greater than 0"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.query);
    auto refused = get(row.query);
    co_await serve(f, *refused);
    CHECK(refused->sent_status == row.status);
    CHECK(field(parsed(refused->sent_body), {"message"}) == row.message);
  }
  co_return Result<void>();
}

Task<Result<void>> metrics(ApiFixture& f) {
  for (int i = 0; i < 3; ++i) {
    FakeExchange list("GET", "/api/v1/pods");
    as_admin(list);
    co_await serve(f, list);
  }
  // CVE-2020-8552: what a client makes up is no label.
  for (int i = 0; i < 50; ++i) {
    FakeExchange junk("GET", cat("/api/v1/junk", i));
    as_admin(junk);
    co_await serve(f, junk);
  }
  FakeExchange exchange("GET", "/metrics");
  as_admin(exchange);
  co_await serve(f, exchange);
  INFO(exchange.sent_body);
  CHECK(exchange.sent_body.find("apiserver_request_total{code=\"200\",group=\"\",resource=\"pods\",scope=\"cluster\","
                                "subresource=\"\",verb=\"LIST\",version=\"v1\"} 3") != std::string::npos);
  CHECK(exchange.sent_body.find("junk") == std::string::npos);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("who may pass the door") { run(the_door); }
TEST_CASE("health and version need no identity") { run(public_paths); }
TEST_CASE("objects in every form") { run(objects_over_http); }
TEST_CASE("computed objects as tables") { run(tables_of_documents); }
TEST_CASE("bad bodies get a clear status and change nothing") { run(refused_bodies); }
TEST_CASE("protobuf goes in and out") { run(protobuf_both_ways); }
TEST_CASE("watches stream events, bookmarks and tables") { run(watches); }
TEST_CASE("watches end with an error event or in time") {
  ApiServerOptions options;
  options.history_bytes = 4000;
  run(watch_endings, options);
}
TEST_CASE("discovery lists what answers") { run(discovery); }
TEST_CASE("reviews answer by the same rules that requests pass") { run(reviews); }
TEST_CASE("logs come from the hook") { run(logs); }
TEST_CASE("metrics of requests have bounded labels") { run(metrics); }
