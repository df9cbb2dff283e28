#include "api/json_patch.h"

#include <catch2/catch.hpp>
#include <ctime>

#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;

namespace {
std::string patched(std::string_view document, std::string_view patch) {
  const auto result = apply_json_patch(*json::read(document), *json::read(patch));
  return result ? json::write(*result) : result.error().message();
}
json::Value parsed(std::string_view text) { return *json::read(text); }
}  // namespace

TEST_CASE("JSON patch: the examples of RFC 6902, appendix A") {
  struct Row {
    std::string name, document, patch, result;  // or the error
  };
  for (const Row& row : {
           Row{"A.1", R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux"}])",
               R"({"foo":"bar","baz":"qux"})"},
           Row{"A.2", R"({"foo":["bar","baz"]})", R"([{"op":"add","path":"/foo/1","value":"qux"}])",
               R"({"foo":["bar","qux","baz"]})"},
           Row{"A.3", R"({"baz":"qux","foo":"bar"})", R"([{"op":"remove","path":"/baz"}])", R"({"foo":"bar"})"},
           Row{"A.4", R"({"foo":["bar","qux","baz"]})", R"([{"op":"remove","path":"/foo/1"}])",
               R"({"foo":["bar","baz"]})"},
           Row{"A.5", R"({"baz":"qux","foo":"bar"})", R"([{"op":"replace","path":"/baz","value":"boo"}])",
               R"({"baz":"boo","foo":"bar"})"},
           Row{"A.6", R"({"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}})",
               R"([{"op":"move","from":"/foo/waldo","path":"/qux/thud"}])",
               R"({"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}})"},
           Row{"A.7", R"({"foo":["all","grass","cows","eat"]})", R"([{"op":"move","from":"/foo/1","path":"/foo/3"}])",
               R"({"foo":["all","cows","eat","grass"]})"},
           Row{"A.8", R"({"baz":"qux","foo":["a",2,"c"]})",
               R"([{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}])",
               R"({"baz":"qux","foo":["a",2,"c"]})"},
           Row{"A.9", R"({"baz":"qux"})", R"([{"op":"test","path":"/baz","value":"bar"}])",
               "testing value /baz failed: test failed"},
           Row{"A.10", R"({"foo":"bar"})", R"([{"op":"add","path":"/child","value":{"grandchild":{}}}])",
               R"({"foo":"bar","child":{"grandchild":{}}})"},
           Row{"A.11", R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux","xyz":123}])",
               R"({"foo":"bar","baz":"qux"})"},
           Row{"A.12", R"({"foo":"bar"})", R"([{"op":"add","path":"/baz/bat","value":"qux"}])",
               "add operation does not apply: doc is missing path: \"/baz/bat\": missing value"},
           Row{"A.13", R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux","op":"remove"}])",
               "error in remove for path: '/baz': Unable to remove nonexistent key: baz: missing value"},
           Row{"A.14", R"({"/":9,"~1":10})", R"([{"op":"test","path":"/~01","value":10}])", R"({"/":9,"~1":10})"},
           Row{"A.15", R"({"/":9,"~1":10})", R"([{"op":"test","path":"/~01","value":"10"}])",
               "testing value /~01 failed: test failed"},
           Row{"A.16", R"({"foo":["bar"]})", R"([{"op":"add","path":"/foo/-","value":["abc","def"]}])",
               R"({"foo":["bar",["abc","def"]]})"},
       }) {
    INFO(row.name);
    CHECK(patched(row.document, row.patch) == row.result);
  }
}

TEST_CASE("JSON patch: as upstream's library does it") {
  struct Row {
    std::string document, patch, result;
  };
  for (const Row& row : {
           Row{R"({"a":{"b":1}})", "[]", R"({"a":{"b":1}})"},
           Row{R"({"a":1})", R"([{"op":"replace","path":"/b","value":2}])", R"({"a":1,"b":2})"},
           Row{R"({"a":1})", R"([{"op":"replace","path":"","value":{"c":3}}])", R"({"c":3})"},
           Row{R"({"a":1})", R"([{"op":"replace","path":"","value":3}])",
               "replace operation value must be object or array"},
           Row{R"({"a":[1,2]})", R"([{"op":"replace","path":"/a/2","value":3}])",
               "replace operation does not apply: doc is missing key: /a/2: missing value"},
           Row{R"({"a":1})", R"([{"op":"replace","path":"/b/c","value":2}])",
               "replace operation does not apply: doc is missing path: /b/c: missing value"},
           Row{R"({"a":[1,2]})", R"([{"op":"remove","path":"/a/-1"}])", R"({"a":[1]})"},
           Row{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/-1","value":3}])", R"({"a":[1,2,3]})"},
           Row{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/2","value":3}])", R"({"a":[1,2,3]})"},
           Row{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/3","value":3}])",
               "error in add for path: '/a/3': Unable to access invalid index: 3: invalid index referenced"},
           Row{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/x","value":3}])",
               "error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": "
               "invalid syntax"},
           Row{R"({"a":[1,2]})", R"([{"op":"remove","path":"/a/-3"}])",
               "error in remove for path: '/a/-3': Unable to access invalid index: -3: invalid index referenced"},
           Row{R"({"a":1})", R"([{"op":"add","path":"/b"}])", R"({"a":1,"b":null})"},
           Row{R"({"a":1})", R"([{"op":"test","path":"/b","value":null}])", R"({"a":1})"},
           Row{R"({"a":1})", R"([{"op":"test","path":"/b"}])", R"({"a":1})"},
           Row{R"({"a":{"x":1,"y":2}})", R"([{"op":"test","path":"","value":{"a":{"y":2,"x":1}}}])",
               R"({"a":{"x":1,"y":2}})"},
           Row{R"({"a":1})", R"([{"op":"test","path":"/b/c","value":1}])",
               "test operation does not apply: is missing path: /b/c: missing value"},
           Row{R"({"a":[1]})", R"([{"op":"test","path":"/a/4","value":1}])",
               "error in test for path: '/a/4': Unable to access invalid index: 4: invalid index referenced"},
           Row{R"({"a":{"b":1}})", R"([{"op":"copy","from":"/a","path":"/a/c"}])", R"({"a":{"b":1,"c":{"b":1}}})"},
           Row{R"({"a":1})", R"([{"op":"copy","from":"/b/c","path":"/d"}])",
               "copy operation does not apply: doc is missing from path: /b/c: missing value"},
           Row{R"({"a":1})", R"([{"op":"copy","from":"/a","path":"/b/c"}])",
               "copy operation does not apply: doc is missing destination path: /b/c: missing value"},
           Row{R"({"a":{"b":1}})", R"([{"op":"move","from":"/a","path":"/a/b"}])",
               "move operation does not apply: doc is missing destination path: /a/b: missing value"},
           Row{R"({"a":1})", R"([{"op":"move","from":"/b","path":"/c"}])",
               "error in move for path: 'b': Unable to remove nonexistent key: b: missing value"},
           Row{R"({"a":1})", R"([{"op":"move","path":"/c"}])",
               "move operation failed to decode from: operation, missing from field: missing value"},
           Row{R"({"a":1})", R"([{"op":"add","value":1}])", "add operation failed to decode path: missing value"},
           Row{R"({"a":1})", R"([{"op":"replace","path":5}])",
               "replace operation failed to decode path: json: cannot unmarshal number into Go value of type string"},
           Row{R"({"a":1})", R"([{"op":"add","path":"b","value":1}])",
               "add operation does not apply: doc is missing path: \"b\": missing value"},
           Row{R"({"a":1})", R"([{"op":"remove","path":""}])",
               "remove operation does not apply: doc is missing path: \"\": missing value"},
           Row{R"({"a":1})", R"([{"op":"shout","path":"/a"}])", "Unexpected kind: shout"},
           Row{R"({"a":1})", R"([{"path":"/a"}])", "Unexpected kind: unknown"},
           Row{R"({"a":1})", "[null]", "Unexpected kind: unknown"},
           Row{R"({"a":1})", R"({"op":"add"})", "json: cannot unmarshal object into Go value of type jsonpatch.Patch"},
           Row{R"({"a":1})", R"(["add"])", "json: cannot unmarshal string into Go value of type jsonpatch.Operation"},
           Row{R"({"":{"a b":1}})", R"([{"op":"remove","path":"//a b"}])", R"({"":{}})"},
       }) {
    CAPTURE(row.document, row.patch);
    CHECK(patched(row.document, row.patch) == row.result);
  }
}

TEST_CASE("CVE-2019-1002100: JSON patches that grow or take long are refused") {
  const auto with = [](std::string_view operation, std::size_t times) {
    json::Array operations(times, parsed(operation));
    return json::Value(std::move(operations));
  };
  json::Value document = parsed(R"({"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","zeros":[]})");
  json::Value bomb = json::Array();
  for (int i = 0; i < 40; ++i) {
    bomb.as_array().push_back(
        parsed(cat(R"({"op":"copy","from":"/)", i == 0 ? "a" : cat("b", i - 1), R"(","path":"/b)", i, R"(/x"})")));
    bomb.as_array().insert(bomb.as_array().end() - 1, parsed(cat(R"({"op":"add","path":"/b)", i, R"(","value":{}})")));
    bomb.as_array().push_back(parsed(cat(R"({"op":"copy","from":"/b)", i, R"(/x","path":"/b)", i, R"(/y"})")));
  }
  json::Value wide = document;
  wide["zeros"] = json::Array(100'000, json::Value(0));
  json::Value members = json::Object();
  for (int i = 0; i < 50'000; ++i) members.as_object().members().push_back(json::Member{cat("k", i), json::Value(i)});
  struct Row {
    std::string name;
    const json::Value& document;
    json::Value patch;
    std::string message;
  };
  for (const Row& row : {
           Row{"too many", document, with(R"({"op":"test","path":"/none"})", 10'001),
               "The allowed maximum operations in a JSON patch is 10000, got 10001"},
           Row{"copies of copies", document, bomb,
               "Unable to complete the copy, the accumulated size increase of copy is "},
           Row{"shifting a wide array", wide, with(R"({"op":"add","path":"/zeros/0","value":1})", 10'000),
               "too many steps"},
           Row{"searching a wide object", members, with(R"({"op":"test","path":"/none"})", 10'000), "too many steps"},
       }) {
    INFO(row.name);
    const std::clock_t start = std::clock();
    const auto result = apply_json_patch(row.document, row.patch);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == Code::kTooLarge);
    CHECK_THAT(result.error().message(), Catch::Contains(row.message));
    CHECK(seconds < 2);
  }
  CHECK(apply_json_patch(document, with(R"({"op":"test","path":"/none"})", 10'000)));
}

TEST_CASE("merge patch: the examples of RFC 7396, appendix A") {
  struct Row {
    std::string document, patch, result;
  };
  for (const Row& row : {
           Row{R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
           Row{R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
           Row{R"({"a":"b"})", R"({"a":null})", R"({})"},
           Row{R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
           Row{R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
           Row{R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
           Row{R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
           Row{R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
           Row{R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
           Row{R"({"a":"b"})", R"(["c"])", R"(["c"])"},
           Row{R"({"a":"foo"})", "null", "null"},
           Row{R"({"a":"foo"})", R"("bar")", R"("bar")"},
           Row{R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
           Row{"[1,2]", R"({"a":"b","c":null})", R"({"a":"b"})"},
           Row{"{}", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
           // Beyond the RFC, as upstream: nulls inside new arrays go, too.
           Row{"{}", R"({"a":[{"b":null,"c":1},null]})", R"({"a":[{"c":1},null]})"},
           Row{R"({"a":{"b":1}})", R"({"a":[{"b":null}]})", R"({"a":[{"b":null}]})"},
       }) {
    CAPTURE(row.document, row.patch);
    CHECK(json::write(apply_merge_patch(parsed(row.document), parsed(row.patch))) == row.result);
  }
}
