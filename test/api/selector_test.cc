// selector_test.cc: label and field selectors: the query grammar, LabelSelector objects, what they match, refused
// input.
#include "api/selector.h"

#include <catch2/catch.hpp>

using namespace kayak;
using namespace kayak::api;

TEST_CASE("label selectors parse, print and match") {
  const LabelPairs labels = {{"app", "web"}, {"n", "5"}, {"tier", "front"}};
  struct Row {
    const char* text;
    const char* printed;
    bool matches;
  };
  for (const Row& row :
       {Row{"", "", true}, Row{"app=web", "app=web", true}, Row{"app==web", "app=web", true},
        Row{"app!=web", "app!=web", false}, Row{"app in (web, db)", "app in (db,web)", true},
        Row{"app notin (web)", "app!=web", false}, Row{"x notin (web)", "x!=web", true}, Row{"app", "app", true},
        Row{"!app", "!app", false}, Row{"!x", "!x", true}, Row{"n>4", "n>4", true}, Row{"n<5", "n<5", false},
        Row{"tier=front,app=web", "app=web,tier=front", true}, Row{"app=,x", "app=,x", false},
        Row{"in in (in)", "in=in", false}, Row{" app = web , tier ", "app=web,tier", true}}) {
    CAPTURE(row.text);
    const Result<LabelSelector> parsed = LabelSelector::parse(row.text);
    REQUIRE(parsed);
    CHECK(parsed->to_string() == row.printed);
    CHECK(parsed->matches(labels) == row.matches);
  }
}

TEST_CASE("bad label selectors are refused") {
  for (const char* text : {"app=web,", "=web", "app in", "app in (a", "app in a)", "a b", "a=b=c", "!", "n>x", "(",
                           "a=-", "/x", "A.b/", "a=b,,c", "_/x=1"}) {
    CAPTURE(text);
    const Result<LabelSelector> parsed = LabelSelector::parse(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == Code::kBadRequest);
    CHECK(parsed.error().message().rfind("unable to parse requirement: ", 0) == 0);
  }
}

TEST_CASE("selector objects: null matches nothing, {} everything") {
  const LabelPairs labels = {{"a", "1"}};
  struct Row {
    const char* object;
    bool good, matches;
  };
  for (const Row& row :
       {Row{"null", true, false}, Row{"{}", true, true}, Row{R"({"matchLabels":{"a":"1"}})", true, true},
        Row{R"({"matchLabels":{"a":"2"}})", true, false},
        Row{R"({"matchExpressions":[{"key":"a","operator":"In","values":["1"]}]})", true, true},
        Row{R"({"matchExpressions":[{"key":"a","operator":"DoesNotExist"}]})", true, false},
        Row{R"({"matchExpressions":[{"key":"a","operator":"In"}]})", false, false},
        Row{R"({"matchExpressions":[{"key":"a","operator":"Exists","values":["x"]}]})", false, false},
        Row{R"({"matchExpressions":[{"key":"a","operator":"Near"}]})", false, false},
        Row{R"({"matchLabels":{"a b":"1"}})", false, false}}) {
    CAPTURE(row.object);
    const json::Value object = *json::read(row.object);
    const Result<LabelSelector> parsed = LabelSelector::from_object(&object);
    REQUIRE(parsed.ok() == row.good);
    if (parsed) CHECK(parsed->matches(labels) == row.matches);
  }
  CHECK_FALSE(LabelSelector::from_object(nullptr)->matches({}));
}

TEST_CASE("field selectors") {
  const std::vector<std::pair<std::string, std::string>> values = {{"metadata.name", "a,b"}, {"spec.nodeName", ""}};
  struct Row {
    const char* text;
    bool good, matches;
  };
  for (const Row& row :
       {Row{"", true, true}, Row{"metadata.name=a\\,b", true, true}, Row{"metadata.name==x", true, false},
        Row{"metadata.name!=x", true, true}, Row{"spec.nodeName=", true, true}, Row{"spec.nodeName!=", true, false},
        Row{"spec.nodeName=,metadata.name!=z", true, true}, Row{"metadata.name", false, false},
        Row{"a=b=c", false, false}, Row{"a=\\x", false, false}}) {
    CAPTURE(row.text);
    const Result<FieldSelector> parsed = FieldSelector::parse(row.text);
    REQUIRE(parsed.ok() == row.good);
    if (parsed) CHECK(parsed->matches(values) == row.matches);
  }
}
