// support_pod.h: pods for the agent's tests, from JSON text.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"

namespace kayak::agent::test {

// Reads JSON written with ' for ", so that it stays readable in a test.
json::Value js(std::string text);
// A pod "web" in namespace "default" with uid "u-1" whose spec is `spec`.
json::Value pod_with(const std::string& spec);
// ... and whose only container "c" has the members `container` besides its name.
json::Value pod_with_container(const std::string& container);
json::Document shared(json::Value value);

}  // namespace kayak::agent::test
