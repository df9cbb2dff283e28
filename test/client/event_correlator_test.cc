// event_correlator_test.cc: what becomes of repeated, similar and too many events.
#include "client/event_correlator.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

using namespace kayak;
using namespace kayak::client;
using namespace std::chrono_literals;

namespace {

EventInput about(const std::string& name, const std::string& reason, const std::string& message) {
  EventInput input;
  input.reference["kind"] = "Pod";
  input.reference["namespace"] = "default";
  input.reference["name"] = name;
  input.reference["uid"] = cat("uid-of-", name);
  input.reference["apiVersion"] = "v1";
  input.type = "Warning";
  input.reason = reason;
  input.message = message;
  return input;
}

std::string text(const json::Value& value, std::string_view field) {
  const json::Value* found = value.find(field);
  return found == nullptr ? "(absent)" : std::string(found->string_or());
}

const WallTime kStart{1'700'000'000'000'000};

}  // namespace

TEST_CASE("the first event is an object with upstream's fields and name") {
  EventCorrelator correlator("kubelet", "node-1");
  const auto write = correlator.correlate(about("web", "BackOff", "restarting"), kStart);
  REQUIRE(write);
  CHECK_FALSE(write->patch);
  CHECK(write->namespace_ == "default");
  CHECK(write->name == "web.17979cfe362a0000");
  CHECK(write->object.at({"metadata", "name"})->as_string() == write->name);
  CHECK(write->object.at({"involvedObject", "uid"})->as_string() == "uid-of-web");
  CHECK(write->object.at({"source", "component"})->as_string() == "kubelet");
  CHECK(write->object.at({"source", "host"})->as_string() == "node-1");
  CHECK(text(write->object, "reportingComponent") == "kubelet");
  CHECK(text(write->object, "reportingInstance") == "node-1");
  CHECK(text(write->object, "firstTimestamp") == "2023-11-14T22:13:20Z");
  CHECK(text(write->object, "lastTimestamp") == "2023-11-14T22:13:20Z");
  CHECK(write->object.find("count")->as_int() == 1);
}

TEST_CASE("two events of one moment have two names") {
  EventCorrelator correlator("c", "");
  const auto a = correlator.correlate(about("web", "A", "one"), kStart);
  const auto b = correlator.correlate(about("web", "B", "two"), kStart);
  CHECK(a->name != b->name);
}

TEST_CASE("an event of no namespace goes to default") {
  EventCorrelator correlator("c", "");
  EventInput input = about("node-1", "NodeReady", "ready");
  input.reference.as_object().erase("namespace");
  CHECK(correlator.correlate(std::move(input), kStart)->namespace_ == "default");
}

TEST_CASE("the same event again raises the count of the first") {
  EventCorrelator correlator("c", "");
  const auto first = correlator.correlate(about("web", "BackOff", "restarting"), kStart);
  const auto other = correlator.correlate(about("db", "BackOff", "restarting"), kStart);
  const auto second = correlator.correlate(about("web", "BackOff", "restarting"), kStart + 5s);
  CHECK_FALSE(other->patch);
  REQUIRE(second);
  REQUIRE(second->patch);
  CHECK(second->name == first->name);
  CHECK(json::write(*second->patch) == R"({"count":2,"lastTimestamp":"2023-11-14T22:13:25Z"})");
  // What is created when the first has expired meanwhile.
  CHECK(text(second->object, "firstTimestamp") == "2023-11-14T22:13:20Z");
  CHECK(second->object.find("count")->as_int() == 2);
}

TEST_CASE("from the tenth different message on similar events are combined") {
  EventCorrelator correlator("c", "");
  std::string combined_name;
  for (int i = 1; i <= 12; ++i) {
    const auto write = correlator.correlate(about("web", "Failed", cat("message ", i)), kStart + i * 1s);
    REQUIRE(write);
    CAPTURE(i);
    if (i < 10) {
      CHECK_FALSE(write->patch);
      CHECK(text(write->object, "message") == cat("message ", i));
    } else {
      CHECK(text(write->object, "message") == cat("(combined from similar events): message ", i));
      CHECK(write->patch.has_value() == (i > 10));
      if (i == 10) combined_name = write->name;
      CHECK(write->name == combined_name);
    }
  }
  // A quiet spell ends the combining.
  const auto later = correlator.correlate(about("web", "Failed", "message 99"), kStart + 700s);
  CHECK(text(later->object, "message") == "message 99");
}

TEST_CASE("25 events about an object at once, then one per five minutes") {
  EventCorrelator correlator("c", "");
  int written = 0;
  for (int i = 0; i < 100; ++i) written += correlator.correlate(about("web", "BackOff", "again"), kStart) ? 1 : 0;
  CHECK(written == 25);
  CHECK(correlator.correlate(about("db", "BackOff", "again"), kStart));  // another object has its own share
  CHECK_FALSE(correlator.correlate(about("web", "BackOff", "again"), kStart + 299s));
  const auto next = correlator.correlate(about("web", "BackOff", "again"), kStart + 301s);
  REQUIRE(next);
  CHECK(next->patch->find("count")->as_int() == 102);  // what was not written was still counted
}
