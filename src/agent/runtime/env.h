// env.h: the environment of a container and $(VAR) expansion. Pure: what it refers to is handed in.
// Source: core/v1 EnvVar, EnvFromSource, ObjectFieldSelector, ResourceFieldSelector; Kubernetes docs "Define Dependent
// Environment Variables", "Downward API".
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/runtime.h"
#include "base/json.h"
#include "base/result.h"

namespace kayak::agent {

struct EnvReference {
  enum class Kind : std::uint8_t { kConfigMap, kSecret };
  Kind kind = Kind::kConfigMap;
  std::string name;  // in the pod's namespace
  bool optional = false;
};
// What must be fetched before `container_env` can answer, each once.
std::vector<EnvReference> env_references(const json::Value& container);

using EnvList = std::vector<std::pair<std::string, std::string>>;  // last one wins is already applied

struct NodeCapacity {
  std::int64_t milli_cpu = 0;
  std::int64_t memory_bytes = 0;
};
// The variables that the pod asks for, then service links that it does not override.
// Errors: Invalid with upstream's message (configmap "x" not found; couldn't find key k in ConfigMap ns/x; ...).
Result<EnvList> container_env(const json::Value& pod, const json::Value& container, const EnvInputs& inputs,
                              const NodeCapacity& node);

// $(NAME) by `lookup` (nullptr: stays as written), $$ is a $.
std::string expand(std::string_view text, const std::function<const std::string*(std::string_view)>& lookup);
std::string expand(std::string_view text, const EnvList& env);

// The value of a downward API field path. Errors: Invalid (unsupported path).
Result<std::string> field_value(const json::Value& pod, std::string_view path, const EnvInputs& inputs);

}  // namespace kayak::agent
