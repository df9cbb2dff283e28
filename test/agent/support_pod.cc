// support_pod.cc: pods for the agent's tests.
#include "support_pod.h"

#include <algorithm>
#include <catch2/catch.hpp>

namespace kayak::agent::test {

json::Value js(std::string text) {
  std::replace(text.begin(), text.end(), '\'', '"');
  Result<json::Value> value = json::read(text);
  INFO(text);
  REQUIRE(value.ok());
  return std::move(*value);
}

json::Value pod_with(const std::string& spec) {
  return js(
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'web','namespace':'default','uid':'u-1',"
      "'labels':{'app':'web'},'annotations':{'a.b/c':'note'}},'spec':" +
      spec + "}");
}

json::Value pod_with_container(const std::string& container) {
  return pod_with("{'containers':[{'name':'c'" + (container.empty() ? "" : "," + container) + "}]}");
}

json::Document shared(json::Value value) { return std::make_shared<const json::Value>(std::move(value)); }

}  // namespace kayak::agent::test
