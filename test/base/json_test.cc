#include "base/json.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <ctime>

#include "base/strings.h"

using namespace kayak;

namespace {
double cpu_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}
std::string repeated(std::string_view piece, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += piece;
  return out;
}
}  // namespace

TEST_CASE("json reads and writes back what Go's encoder writes") {
  struct Row {
    std::string text, written;
  };
  for (const Row& row : {
           Row{"null", "null"},
           Row{" true ", "true"},
           Row{"\t[ 1 , 2 ]\r\n", "[1,2]"},
           Row{"{}", "{}"},
           Row{"[]", "[]"},
           Row{"{\"b\":1,\"a\":{\"c\":[{},[]]}}", "{\"b\":1,\"a\":{\"c\":[{},[]]}}"},
           Row{"0", "0"},
           Row{"-0", "0"},
           Row{"9223372036854775807", "9223372036854775807"},
           Row{"-9223372036854775808", "-9223372036854775808"},
           Row{"9223372036854775808", "9223372036854775808"},
           Row{"18446744073709551616", "18446744073709551616"},
           Row{"0.1", "0.1"},
           Row{"1.0", "1.0"},
           Row{"1e3", "1e3"},
           Row{"-2.5E-7", "-2.5E-7"},
           Row{"0.30000000000000000000000000000000000000000004", "0.30000000000000000000000000000000000000000004"},
           Row{R"("a<b>&c")", R"("a\u003cb\u003e\u0026c")"},
           Row{R"("\u2028\u2029")", R"("\u2028\u2029")"},
           Row{R"("\b\f\n\r\t\"\\\/")", R"("\b\f\n\r\t\"\\/")"},
           Row{R"("\u0000\u001f\u007f")", "\"\\u0000\\u001f\x7f\""},
           Row{R"("\u00e9\ud83d\ude00")", "\"\u00e9\U0001f600\""},
           Row{"\"\u00e9\U0001f600\"", "\"\u00e9\U0001f600\""},
           Row{R"("\ud800")", "\"\ufffd\""},
           Row{R"("\udc00\ud800x\ud800\u0041")", "\"\ufffd\ufffdx\ufffdA\""},
           Row{R"("\\ud800")", R"("\\ud800")"},
           Row{"\"\xff\xc3(\xed\xa0\x80\"", "\"\ufffd\ufffd(\ufffd\ufffd\ufffd\""},
           Row{"{\"\xff\":1}", "{\"\ufffd\":1}"},
       }) {
    CAPTURE(row.text);
    const auto value = json::read(row.text);
    if (!value) FAIL(value.error().message());
    CHECK(json::write(*value) == row.written);
  }
}

TEST_CASE("json refuses what is not JSON, and says where") {
  struct Row {
    std::string text, message;
  };
  for (const Row& row : {
           Row{"", "unexpected end of JSON input"},
           Row{"   ", "unexpected end of JSON input"},
           Row{"{\"a\":", "unexpected end of JSON input"},
           Row{"\"abc", "unexpected end of JSON input"},
           Row{"[1,2", "unexpected end of JSON input"},
           Row{"{} {}", "invalid character \"{\" after top-level value at byte 3"},
           Row{"[1,]", "invalid character \"]\" in an array at byte 3"},
           Row{"{\"a\":1,}", "invalid character \"}\" in an object at byte 7"},
           Row{"{a:1}", "invalid character \"a\" in an object at byte 1"},
           Row{"01", "invalid character \"1\" after top-level value at byte 1"},
           Row{"[+1]", "invalid character \"+\" in an array at byte 1"},
           Row{"[1.]", "invalid character \"]\" in an array at byte 3"},
           Row{"[NaN]", "invalid character \"N\" in an array at byte 1"},
           Row{"[tru]", "invalid character \"t\" in an array at byte 1"},
           Row{"// c\n1", "invalid character \"/\" in a value at byte 0"},
           Row{"'a'", "invalid character \"'\" in a value at byte 0"},
           Row{R"("\x")", "invalid character \"x\" in a value at byte 2"},
           Row{R"("\u12g4")", "invalid character \"g\" in \\u escape: expected a hex digit at byte 5"},
           Row{"\"a\nb\"", "invalid character \"\\n\" in a value at byte 2"},
           Row{"\xef\xbb\xbf{}", "invalid character \"\\ufeff\" in a value at byte 0"},
       }) {
    CAPTURE(row.text);
    const auto value = json::read(row.text);
    REQUIRE_FALSE(value);
    CHECK(value.error().code() == Code::kBadRequest);
    CHECK(value.error().message() == row.message);
  }
}

TEST_CASE("json reports members that repeat, the last one wins") {
  struct Row {
    std::string text, written;
    std::vector<std::string> paths;
  };
  std::string many = "{";  // enough members for the tree of keys
  for (int i = 0; i < 40; ++i) many += cat("\"k", i, "\":", i, ",");
  for (const Row& row : {
           Row{R"({"a":1,"b":2})", R"({"a":1,"b":2})", {}},
           Row{R"({"a":1,"b":2,"a":3})", R"({"a":3,"b":2})", {"a"}},
           Row{R"({"a":1,"a":2,"a":3})", R"({"a":3})", {"a"}},
           Row{R"({"a":1,"\u0061":2})", R"({"a":2})", {"a"}},
           Row{R"({"spec":{"containers":[{"name":"x"},{"name":"y","image":"i","name":"z"}]}})",
               R"({"spec":{"containers":[{"name":"x"},{"name":"z","image":"i"}]}})",
               {"spec.containers[1].name"}},
           Row{R"({"a":{"x":1,"x":2},"a":{"y":[[{"z":1,"z":2}]]},"b":0,"b":1})",
               R"({"a":{"y":[[{"z":2}]]},"b":1})",
               {"a.x", "a", "a.y[0][0].z", "b"}},
           Row{many + R"("k7":"new","k39":[]})",
               [&] {
                 std::string text = many;
                 text.back() = '}';
                 text.replace(text.find("\"k7\":7"), 6, "\"k7\":\"new\"");
                 text.replace(text.find("\"k39\":39"), 8, "\"k39\":[]");
                 return text;
               }(),
               {"k7", "k39"}},
       }) {
    CAPTURE(row.text);
    std::vector<std::string> paths;
    json::ReadOptions options;
    options.duplicates = &paths;
    const auto value = json::read(row.text, options);
    REQUIRE(value);
    CHECK(json::write(*value) == row.written);
    CHECK(paths == row.paths);
    CHECK(json::write(*json::read(row.text)) == row.written);
  }
  std::string hostile = "{";
  for (int i = 0; i < 1000; ++i) hostile += cat("\"k", i, "\":1,\"k", i, "\":1,");
  hostile.back() = '}';
  std::vector<std::string> paths;
  json::ReadOptions options;
  options.duplicates = &paths;
  REQUIRE(json::read(hostile, options));
  CHECK(paths.size() == 100);
}

TEST_CASE("json keeps its limits, fast") {
  json::ReadOptions few;
  few.max_nodes = 5;
  struct Row {
    std::string name, text;
    json::ReadOptions options;
    std::string message;  // empty: accepted
  };
  for (const Row& row : {
           Row{"256 deep", repeated("[", 256) + repeated("]", 256), {}, ""},
           Row{"257 deep", repeated("[", 257) + repeated("]", 257), {}, "nested deeper than 256 levels, at byte 256"},
           Row{"1,000 objects deep", repeated("{\"a\":", 1000) + "1" + repeated("}", 1000), {}, "nested deeper than"},
           Row{"3 MiB of brackets", repeated("[", 3 << 20), {}, "nested deeper than"},
           Row{"5 values", "[1,2,[3]]", few, ""},
           Row{"6 values", "[1,2,[3,4]]", few, "more than 5 values"},
           Row{"3 MiB of zeros", "[0" + repeated(",0", 3 << 19) + "]", {}, "more than 250000 values"},
           Row{"long exponent", "1e99999999999", {}, "number out of range"},
           Row{"100,000 members with a common prefix",
               [] {
                 std::string text = "{";
                 for (int i = 0; i < 100'000; ++i) text += cat("\"aaaaaaaaaaaaaaaaaaaaaaaa", i, "\":1,");
                 text.back() = '}';
                 return text;
               }(),
               {},
               ""},
       }) {
    INFO(row.name);
    const double start = cpu_milliseconds();
    const auto value = json::read(row.text, row.options);
    const double spent = cpu_milliseconds() - start;
    // 50 ms is the budget of a release build; this one may be unoptimised and sanitized.
    CHECK(spent < 2000);
    if (row.message.empty()) {
      if (!value) FAIL(value.error().message());
    } else {
      REQUIRE_FALSE(value);
      CHECK_THAT(value.error().message(), Catch::Contains(row.message));
    }
  }
}

TEST_CASE("json doubles in Go's notation") {
  struct Row {
    double value;
    std::string written;
  };
  for (const Row& row :
       {Row{0.1, "0.1"}, Row{1, "1"}, Row{-3, "-3"}, Row{1e15, "1000000000000000"}, Row{1e20, "100000000000000000000"},
        Row{18446744073709551616.0, "18446744073709552000"}, Row{-123456.789, "-123456.789"},
        Row{1.5e10, "15000000000"}, Row{0.001234, "0.001234"}, Row{1e21, "1e+21"}, Row{1.5e300, "1.5e+300"},
        Row{0.000001, "0.000001"}, Row{1e-7, "1e-7"}, Row{-2.5e-10, "-2.5e-10"}, Row{5e-324, "5e-324"},
        Row{1.0 / 3, "0.3333333333333333"}, Row{0.5, "0.5"}}) {
    CAPTURE(row.written);
    const json::Value value = json::Value::from_double(row.value);
    CHECK(json::write(value) == row.written);
    CHECK(value.as_double() == row.value);
  }
  CHECK(json::Value::from_double(9007199254740993.0).is_int());
  CHECK(std::isinf(json::read("1e999")->as_double()));
  CHECK(json::read("1e-999")->as_double() == 0);
}

TEST_CASE("json values compare deeply, whatever the order of members") {
  struct Row {
    std::string a, b;
    bool equal;
  };
  std::string forward = "{\"first\":0", backward = "{\"first\":0";
  for (int i = 0; i < 2000; ++i) {
    forward += cat(",\"", i, "\":", i);
    backward += cat(",\"", 1999 - i, "\":", 1999 - i);
  }
  for (const Row& row :
       {Row{"1", "1", true}, Row{"1", "1.0", false}, Row{"1.0", "1.0", true}, Row{"null", "false", false},
        Row{"[1,2]", "[2,1]", false}, Row{R"({"a":1,"b":[{}]})", R"({"b":[{}],"a":1})", true},
        Row{R"({"a":1,"b":2})", R"({"b":1,"a":2})", false}, Row{R"({"a":1})", R"({"a":1,"b":2})", false},
        Row{R"({"a":1,"b":1})", R"({"a":1,"c":1})", false}, Row{forward + "}", backward + "}", true}}) {
    CAPTURE(row.a.substr(0, 80), row.b.substr(0, 80));
    CHECK((*json::read(row.a) == *json::read(row.b)) == row.equal);
  }
}

TEST_CASE("json documents are walked and changed") {
  json::Value pod = *json::read(R"({"metadata":{"name":"x","labels":null},"spec":{"replicas":3,"paused":true}})");
  CHECK(pod.at({"metadata", "name"})->string_or() == "x");
  CHECK(pod.at({"metadata", "missing", "deeper"}) == nullptr);
  CHECK(pod.at({"metadata", "name", "deeper"}) == nullptr);
  CHECK(pod.at({"spec", "replicas"})->int_or(0) == 3);
  CHECK(pod.at({"spec", "replicas"})->string_or("none") == "none");
  CHECK(pod.at({"spec", "paused"})->bool_or(false));
  CHECK(pod.at({"metadata", "labels"})->is_null());
  pod["metadata"]["labels"]["app"] = "web";
  pod["spec"].as_object().erase("paused");
  CHECK_FALSE(pod["spec"].as_object().erase("paused"));
  pod["spec"].as_object().set("replicas", 4);
  CHECK(json::write(pod) == R"({"metadata":{"name":"x","labels":{"app":"web"}},"spec":{"replicas":4}})");
  CHECK(json::write_pretty(*json::read(R"({"a":[],"b":[1,{"c":{}}]})")) ==
        "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {\n      \"c\": {}\n    }\n  ]\n}");
}
