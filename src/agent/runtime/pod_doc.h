// pod_doc.h: forgiving readers for a pod document, shared by the pure parts of the runtime.
// Owns nothing. Source: core/v1 Pod.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace kayak::agent {

// The elements of an array, none when `value` is null or something else.
const json::Array& items(const json::Value* value);
// The members of an object, none when `value` is null or something else.
const std::vector<json::Member>& members(const json::Value* value);
// The strings of an array of strings.
std::vector<std::string> strings(const json::Value* value);
std::string_view text_at(const json::Value& document, std::initializer_list<std::string_view> path);
bool bool_at(const json::Value& document, std::initializer_list<std::string_view> path);

// The container or init container `name` of the pod; null when there is none. `init` tells which it is.
const json::Value* find_container(const json::Value& pod, std::string_view name, bool* init = nullptr);

inline std::string_view pod_uid(const json::Value& pod) { return text_at(pod, {"metadata", "uid"}); }
inline std::string_view pod_name(const json::Value& pod) { return text_at(pod, {"metadata", "name"}); }
inline std::string_view pod_namespace(const json::Value& pod) { return text_at(pod, {"metadata", "namespace"}); }
inline bool host_network(const json::Value& pod) { return bool_at(pod, {"spec", "hostNetwork"}); }

// May stand in a path below our directories: letters, digits, '-', '.' and '_', at most 253, no leading dot.
bool is_path_segment(std::string_view text);

}  // namespace kayak::agent
