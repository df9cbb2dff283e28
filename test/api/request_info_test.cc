// request_info_test.cc: URLs, query parameters and media types.
#include "api/request_info.h"

#include <catch2/catch.hpp>

#include "api/negotiate.h"
#include "api/query.h"

using namespace kayak;
using namespace kayak::api;

TEST_CASE("paths of resources") {
  struct Row {
    std::string method, path, verb, group, version, resource, subresource, namespace_, name;
  };
  for (const Row& row : {
           Row{"GET", "/api/v1/pods", "list", "", "v1", "pods", "", "", ""},
           Row{"GET", "/api/v1/namespaces/d/pods", "list", "", "v1", "pods", "", "d", ""},
           Row{"GET", "/api/v1/namespaces/d/pods/", "list", "", "v1", "pods", "", "d", ""},
           Row{"GET", "/api/v1/namespaces/d/pods/p", "get", "", "v1", "pods", "", "d", "p"},
           Row{"GET", "/api/v1/namespaces/d/pods/p/log", "get", "", "v1", "pods", "log", "d", "p"},
           Row{"PUT", "/api/v1/namespaces/d/pods/p/status", "update", "", "v1", "pods", "status", "d", "p"},
           Row{"POST", "/api/v1/namespaces/d/pods", "create", "", "v1", "pods", "", "d", ""},
           Row{"POST", "/api/v1/namespaces/d/pods/p/binding", "create", "", "v1", "pods", "binding", "d", "p"},
           Row{"POST", "/api/v1/namespaces/d/bindings", "create", "", "v1", "bindings", "", "d", ""},
           Row{"DELETE", "/api/v1/namespaces/d/pods/p", "delete", "", "v1", "pods", "", "d", "p"},
           Row{"DELETE", "/api/v1/namespaces/d/pods", "deletecollection", "", "v1", "pods", "", "d", ""},
           Row{"GET", "/api/v1/namespaces", "list", "", "v1", "namespaces", "", "", ""},
           Row{"GET", "/api/v1/namespaces/d", "get", "", "v1", "namespaces", "", "", "d"},
           Row{"PATCH", "/api/v1/namespaces/d/status", "patch", "", "v1", "namespaces", "status", "", "d"},
           Row{"PUT", "/api/v1/namespaces/d/finalize", "update", "", "v1", "namespaces", "finalize", "", "d"},
           Row{"GET", "/apis/apps/v1/deployments", "list", "apps", "v1", "deployments", "", "", ""},
           Row{"PATCH", "/apis/apps/v1/namespaces/d/deployments/w/scale", "patch", "apps", "v1", "deployments", "scale",
               "d", "w"},
           Row{"GET", "/api/v1/watch/namespaces/d/pods", "watch", "", "v1", "pods", "", "d", ""},
           Row{"GET", "/api/v1/nodes/n%2D1", "get", "", "v1", "nodes", "", "", "n-1"},
       }) {
    CAPTURE(row.method, row.path);
    auto info = parse_request_info(row.method, row.path, false);
    INFO((info ? "" : info.error().message()));
    REQUIRE(info.ok());
    CHECK(info->is_resource);
    CHECK(verb_name(info->verb) == row.verb);
    CHECK(info->group == row.group);
    CHECK(info->version == row.version);
    CHECK(info->resource == row.resource);
    CHECK(info->subresource == row.subresource);
    CHECK(info->namespace_ == row.namespace_);
    CHECK(info->name == row.name);
  }
}

TEST_CASE("paths that nothing answers, or not so") {
  struct Row {
    std::string method, path;
    Code code;
  };
  for (const Row& row : {
           Row{"GET", "/api/v1/nosuch", Code::kNotFound},
           Row{"GET", "/apis/apps/v2/deployments", Code::kNotFound},
           Row{"GET", "/apis/metrics.k8s.io/v1beta1/nodes", Code::kNotFound},
           Row{"GET", "/api/v1/pods/p", Code::kNotFound},
           Row{"GET", "/api/v1/namespaces/d/nodes", Code::kNotFound},
           Row{"GET", "/api/v1/namespaces/d/pods/p/exec", Code::kNotFound},
           Row{"GET", "/api/v1/namespaces/d/pods/p/log/more", Code::kNotFound},
           Row{"POST", "/api/v1/pods", Code::kMethodNotAllowed},
           Row{"POST", "/api/v1/namespaces/d/pods/p", Code::kMethodNotAllowed},
           Row{"PUT", "/api/v1/namespaces/d/pods", Code::kMethodNotAllowed},
           Row{"DELETE", "/api/v1/namespaces", Code::kMethodNotAllowed},
           Row{"DELETE", "/api/v1/namespaces/d/pods/p/status", Code::kMethodNotAllowed},
           Row{"GET", "/api/v1/namespaces/d/pods/p/binding", Code::kMethodNotAllowed},
           Row{"BREW", "/api/v1/namespaces/d/pods/p", Code::kMethodNotAllowed},
       }) {
    CAPTURE(row.method, row.path);
    auto info = parse_request_info(row.method, row.path, false);
    REQUIRE_FALSE(info.ok());
    CHECK(info.error().code() == row.code);
  }
}

TEST_CASE("CVE-2015-5305: names that would be paths never reach the store's keys") {
  for (const char* path :
       {"/api/v1/namespaces/d/pods/..", "/api/v1/namespaces/d/pods/%2e%2e", "/api/v1/namespaces/d/pods/a%2fb",
        "/api/v1/namespaces/%2e%2e/pods/a", "/api/v1/namespaces/d%2f..%2fkube-system/secrets/a", "/api/v1/nodes/.",
        "/api/v1/namespaces/d/configmaps/a%252fb"}) {
    CAPTURE(path);
    auto info = parse_request_info("GET", path, false);
    REQUIRE_FALSE(info.ok());
    CHECK(info.error().code() == Code::kBadRequest);
  }
}

TEST_CASE("paths that are no resources") {
  for (const char* path :
       {"/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/version", "/readyz/etcd"}) {
    CAPTURE(path);
    auto info = parse_request_info("GET", path, false);
    REQUIRE(info.ok());
    CHECK_FALSE(info->is_resource);
  }
}

TEST_CASE("media types by preference") {
  const std::string table = "application/json;as=Table;v=v1;g=meta.k8s.io";
  struct Row {
    std::string accept;
    MediaOffer offer;
    bool ok;
    Encoding encoding;
    View view;
  };
  const MediaOffer all, plain{false, false, false}, stream{true, true, true};
  for (const Row& row : {
           Row{"", all, true, Encoding::kJson, View::kObject},
           Row{"*/*", all, true, Encoding::kJson, View::kObject},
           Row{"application/yaml", all, true, Encoding::kYaml, View::kObject},
           Row{"application/yaml", stream, false, Encoding::kYaml, View::kObject},
           Row{"application/vnd.kubernetes.protobuf,application/json", all, true, Encoding::kProtobuf, View::kObject},
           Row{"application/json;q=0.5,application/yaml", all, true, Encoding::kYaml, View::kObject},
           Row{table + ",application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", all, true,
               Encoding::kJson, View::kTable},
           Row{table + ",application/json", plain, true, Encoding::kJson, View::kObject},
           Row{table, plain, false, Encoding::kJson, View::kTable},
           Row{"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", all, true, Encoding::kJson,
               View::kPartial},
           Row{"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", all, true,
               Encoding::kProtobuf, View::kPartial},
           Row{"application/json;as=Table;v=v9;g=meta.k8s.io", all, false, Encoding::kJson, View::kTable},
           Row{"text/html", all, false, Encoding::kJson, View::kObject},
           Row{"text/html,application/xml;q=0.9,*/*;q=0.8", all, true, Encoding::kJson, View::kObject},
       }) {
    CAPTURE(row.accept);
    auto choice = negotiate(row.accept, row.offer);
    REQUIRE(choice.ok() == row.ok);
    if (!row.ok) {
      CHECK(choice.error().code() == Code::kNotAcceptable);
      continue;
    }
    CHECK(choice->encoding == row.encoding);
    CHECK(choice->view == row.view);
  }
}

TEST_CASE("query parameters") {
  RequestInfo info;
  auto applied = [&](Verb verb, const QueryPairs& query, ApiRequest* request) {
    info.verb = verb;
    return apply_query(query, info, *request);
  };
  ApiRequest list;
  REQUIRE(applied(Verb::kList,
                  {{"limit", "5"},
                   {"continue", "abc"},
                   {"labelSelector", "a=b"},
                   {"fieldSelector", "metadata.name=x"},
                   {"timeoutSeconds", "9"},
                   {"allowWatchBookmarks", "true"},
                   {"sendInitialEvents", "false"},
                   {"whatever", "1"}},
                  &list)
              .ok());
  CHECK(list.read.limit == 5);
  CHECK(list.read.continue_token == "abc");
  CHECK(list.read.labels.to_string() == "a=b");
  CHECK(list.read.timeout_seconds == 9);
  CHECK(list.read.allow_bookmarks);
  CHECK(list.read.send_initial_events == false);
  ApiRequest write;
  REQUIRE(
      applied(Verb::kCreate, {{"dryRun", "All"}, {"fieldManager", "me"}, {"fieldValidation", "Strict"}}, &write).ok());
  CHECK(write.write.dry_run);
  CHECK(write.write.field_manager == "me");
  CHECK(write.write.field_validation == FieldValidation::kStrict);

  struct Row {
    Verb verb;
    QueryPairs query;
    Code code;
    std::string message;
  };
  for (const Row& row : {
           Row{Verb::kCreate,
               {{"dryRun", "some"}},
               Code::kInvalid,
               "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"some\"]: supported "
               "values: \"All\""},
           Row{Verb::kUpdate,
               {{"fieldValidation", "x"}},
               Code::kInvalid,
               "UpdateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"x\": supported "
               "values: \"\", \"Ignore\", \"Strict\", \"Warn\""},
           Row{Verb::kPatch,
               {{"force", "true"}},
               Code::kInvalid,
               "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"},
           Row{Verb::kList,
               {{"limit", "many"}},
               Code::kBadRequest,
               "strconv.ParseInt: parsing \"many\": invalid syntax"},
           Row{Verb::kList,
               {{"shardSelector", "x"}},
               Code::kBadRequest,
               "the shardSelector parameter is not supported by this server"},
           Row{Verb::kDelete,
               {{"ignoreStoreReadErrorWithClusterBreakingPotential", "true"}},
               Code::kBadRequest,
               "the ignoreStoreReadErrorWithClusterBreakingPotential parameter is not supported by this server"},
       }) {
    ApiRequest request;
    auto refused = applied(row.verb, row.query, &request);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == row.code);
    CHECK(refused.error().message() == row.message);
  }
}

TEST_CASE("Go durations") {
  struct Row {
    std::string text;
    bool ok;
    std::int64_t milliseconds;
  };
  for (const Row& row :
       {Row{"32s", true, 32000}, Row{"1m30s", true, 90000}, Row{"1.5h", true, 5400000}, Row{"250ms", true, 250},
        Row{"5000\xc2\xb5s", true, 5}, Row{"2562048h", false, 0}, Row{"0", true, 0}, Row{"-1s", true, -1000},
        Row{"", false, 0}, Row{"10", false, 0}, Row{"1x", false, 0}, Row{"s", false, 0}, Row{"1..5s", false, 0}}) {
    CAPTURE(row.text);
    Duration duration{};
    CHECK(parse_go_duration(row.text, &duration) == row.ok);
    if (row.ok) CHECK(duration.count() / 1'000'000 == row.milliseconds);
  }
}
