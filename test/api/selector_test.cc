// selector_test.cc: label and field selectors: the query grammar, LabelSelector objects, what they match, refused
// input.
#include "api/selector.h"

#include <catch2/catch.hpp>

using namespace kayak;
using namespace kayak::api;

namespace {
const std::string kNamePart =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const std::string kValue =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
}  // namespace

TEST_CASE("label selectors parse, print and match") {
  const LabelPairs labels = {{"app", "web"}, {"example.com/x", ""}, {"n", "5"}, {"tier", "front"}};
  struct Row {
    const char* text;
    const char* printed;
    bool matches;
  };
  for (const Row& row : {Row{"", "", true},
                         Row{"  ", "", true},
                         Row{"app=web", "app=web", true},
                         Row{"app==web", "app=web", true},
                         Row{"app!=web", "app!=web", false},
                         Row{"app != db", "app!=db", true},
                         Row{"app in (web, db)", "app in (db,web)", true},
                         Row{"app in (web)", "app in (web)", true},
                         Row{"app notin (web)", "app notin (web)", false},
                         Row{"x notin (web)", "x notin (web)", true},
                         Row{"app in ()", "app in ()", false},
                         Row{"example.com/x in (,a)", "example.com/x in (,a)", true},
                         Row{"example.com/x in (a,,b)", "example.com/x in (,a,b)", true},
                         Row{"app", "app", true},
                         Row{"!app", "!app", false},
                         Row{"! x", "!x", true},
                         Row{"n>4", "n>4", true},
                         Row{"n<5", "n<5", false},
                         Row{"n > -7", "", false},
                         Row{"app>4", "app>4", false},
                         Row{"missing>4", "missing>4", false},
                         Row{"tier=front,app=web", "app=web,tier=front", true},
                         Row{"app=,x", "app=,x", false},
                         Row{"in in (in)", "in in (in)", false},
                         Row{"notin", "notin", false},
                         Row{"app=in", "app=in", false},
                         Row{"app=web,app!=db,app", "app=web,app!=db,app", true},
                         Row{" app = web , tier ", "app=web,tier", true}}) {
    CAPTURE(row.text);
    const Result<LabelSelector> parsed = LabelSelector::parse(row.text);
    if (std::string(row.text) == "n > -7") {  // no label value starts with a dash, so no negative bound either
      REQUIRE_FALSE(parsed);
      continue;
    }
    REQUIRE(parsed);
    CHECK(parsed->to_string() == row.printed);
    CHECK(parsed->matches(labels) == row.matches);
  }
}

TEST_CASE("bad label selectors are refused in upstream's words") {
  struct Row {
    std::string text, message;
  };
  for (const Row& row : {
           Row{"app=web,", "found '', expected: identifier after ','"},
           Row{"=web", "found '=', expected: !, identifier, or 'end of string'"},
           Row{"(", "found '(', expected: !, identifier, or 'end of string'"},
           Row{"a=b,,c", "found ',', expected: identifier after ','"},
           Row{"a=b=c", "found '=', expected: ',' or 'end of string'"},
           Row{"a=b c", "found 'c', expected: ',' or 'end of string'"},
           Row{"app in", "unable to parse requirement: found '' expected: '('"},
           Row{"app in a)", "unable to parse requirement: found 'a' expected: '('"},
           Row{"app in (a", "unable to parse requirement: found '', expected: ',' or ')'"},
           Row{"app in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"},
           Row{"app in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"},
           Row{"app in (a,=)", "unable to parse requirement: found '=', expected: ',', or identifier"},
           Row{"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
           Row{"a ! b", "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt"},
           Row{"!", "unable to parse requirement: found '', expected: identifier"},
           Row{"!!a", "unable to parse requirement: found '!', expected: identifier"},
           Row{"a=(", "unable to parse requirement: found '(', expected: identifier"},
           Row{"n>x",
               "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must "
               "be an integer"},
           Row{"a=-", "unable to parse requirement: values[0][a]: Invalid value: \"-\": " + kValue},
           Row{"a in (-,b,+)", "unable to parse requirement: [values[0][a]: Invalid value: \"+\": " + kValue +
                                   ", values[1][a]: Invalid value: \"-\": " + kValue + "]"},
           Row{"-a", "unable to parse requirement: <nil>: Invalid value: \"-a\": " + kNamePart},
           Row{"/x", "unable to parse requirement: <nil>: Invalid value: \"/x\": prefix part must be non-empty"},
           Row{"a/",
               "unable to parse requirement: <nil>: Invalid value: \"a/\": name part must be non-empty; " + kNamePart},
           Row{"a=" + std::string(64, 'x'), "unable to parse requirement: values[0][a]: Invalid value: \"" +
                                                std::string(64, 'x') + "\": must be no more than 63 bytes"},
           Row{std::string(70'000, 'x'), "the label selector is longer than 64 KiB"},
       }) {
    CAPTURE(row.text.substr(0, 80));
    const Result<LabelSelector> parsed = LabelSelector::parse(row.text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == Code::kBadRequest);
    CHECK(parsed.error().message() == row.message);
  }
}

TEST_CASE("selector objects: null matches nothing, {} everything") {
  const LabelPairs labels = {{"a", "1"}};
  struct Row {
    std::string object;
    bool matches;
    std::string printed;  // or the error
  };
  for (const Row& row :
       {Row{"null", false, ""}, Row{"{}", true, ""}, Row{R"({"matchLabels":{"a":"1"}})", true, "a=1"},
        Row{R"({"matchLabels":{"b":"1","a":"1"}})", false, "a=1,b=1"},
        Row{R"({"matchExpressions":[{"key":"a","operator":"In","values":["2","1"]}]})", true, "a in (1,2)"},
        Row{R"({"matchExpressions":[{"key":"a","operator":"NotIn","values":["1"]}]})", false, "a notin (1)"},
        Row{R"({"matchExpressions":[{"key":"a","operator":"DoesNotExist"}]})", false, "!a"},
        Row{R"({"matchExpressions":[{"key":"a","operator":"Exists"}],"matchLabels":{"a":"1"}})", true, "a=1,a"}}) {
    CAPTURE(row.object);
    const json::Value object = *json::read(row.object);
    const Result<LabelSelector> parsed = LabelSelector::from_object(&object);
    REQUIRE(parsed);
    CHECK(parsed->matches(labels) == row.matches);
    CHECK(parsed->to_string() == row.printed);
  }
  for (const Row& row :
       {Row{R"({"matchExpressions":[{"key":"a","operator":"In"}]})", false,
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"},
        Row{R"({"matchExpressions":[{"key":"a","operator":"Exists","values":["x"]}]})", false,
            "values: Invalid value: [\"x\"]: values set must be empty for exists and does not exist"},
        Row{R"({"matchExpressions":[{"key":"a","operator":"Near"}]})", false,
            "\"Near\" is not a valid label selector operator"},
        Row{R"({"matchLabels":{"a b":"1"}})", false, "key: Invalid value: \"a b\": " + kNamePart},
        Row{R"({"matchLabels":{"a":"b!"}})", false, "values[0][a]: Invalid value: \"b!\": " + kValue}}) {
    CAPTURE(row.object);
    const json::Value object = *json::read(row.object);
    const Result<LabelSelector> parsed = LabelSelector::from_object(&object);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == Code::kInvalid);
    CHECK(parsed.error().message() == row.printed);
  }
  CHECK_FALSE(LabelSelector::from_object(nullptr)->matches({}));
  CHECK_FALSE(LabelSelector::nothing().matches(labels));
  CHECK_FALSE(LabelSelector::nothing().empty());
  CHECK(LabelSelector::equals(labels).to_string() == "a=1");
}

TEST_CASE("field selectors") {
  const std::vector<std::pair<std::string, std::string>> values = {{"metadata.name", "a,b"}, {"spec.nodeName", ""}};
  struct Row {
    std::string text;
    bool matches;
    std::string message;
  };
  for (const Row& row :
       {Row{"", true, ""}, Row{",", true, ""}, Row{"metadata.name=a\\,b", true, ""}, Row{"metadata.name==x", false, ""},
        Row{"metadata.name!=x", true, ""}, Row{"spec.nodeName=", true, ""}, Row{"spec.nodeName!=", false, ""},
        Row{"spec.nodeName=,metadata.name!=z", true, ""}, Row{"missing=", true, ""},
        Row{"metadata.name=a\\\\\\=", false, ""},
        Row{"metadata.name", false, "invalid selector: 'metadata.name'; can't understand 'metadata.name'"},
        Row{"b=1,a", false, "invalid selector: 'b=1,a'; can't understand 'a'"},
        Row{"a=b=c", false, "invalid field selector: unescaped character in value: 61"},
        Row{"a=\\x", false, "invalid field selector: invalid escape sequence: \\x"},
        Row{"a=b\\", false, "invalid field selector: invalid escape sequence: \\"}}) {
    CAPTURE(row.text);
    const Result<FieldSelector> parsed = FieldSelector::parse(row.text);
    if (!row.message.empty()) {
      REQUIRE_FALSE(parsed);
      CHECK(parsed.error().code() == Code::kBadRequest);
      CHECK(parsed.error().message() == row.message);
      continue;
    }
    REQUIRE(parsed);
    CHECK(parsed->matches(values) == row.matches);
  }
  const Result<FieldSelector> parsed = FieldSelector::parse("b!=\\=1,a==2");
  REQUIRE(parsed);
  REQUIRE(parsed->terms().size() == 2);
  CHECK((parsed->terms()[0].field == "a" && parsed->terms()[0].value == "2" && parsed->terms()[0].equal));
  CHECK((parsed->terms()[1].field == "b" && parsed->terms()[1].value == "=1" && !parsed->terms()[1].equal));
}
