// pod_doc.cc: readers for pod documents.
#include "agent/runtime/pod_doc.h"

namespace kayak::agent {

const json::Array& items(const json::Value* value) {
  static const json::Array kNone;
  return value != nullptr && value->is_array() ? value->as_array() : kNone;
}

const std::vector<json::Member>& members(const json::Value* value) {
  static const std::vector<json::Member> kNone;
  return value != nullptr && value->is_object() ? value->as_object().members() : kNone;
}

std::vector<std::string> strings(const json::Value* value) {
  std::vector<std::string> out;
  for (const json::Value& item : items(value)) out.emplace_back(item.string_or());
  return out;
}

std::string_view text_at(const json::Value& document, std::initializer_list<std::string_view> path) {
  const json::Value* value = document.at(path);
  return value != nullptr ? value->string_or() : std::string_view();
}

bool bool_at(const json::Value& document, std::initializer_list<std::string_view> path) {
  const json::Value* value = document.at(path);
  return value != nullptr && value->bool_or(false);
}

const json::Value* find_container(const json::Value& pod, std::string_view name, bool* init) {
  for (const bool is_init : {false, true}) {
    for (const json::Value& container : items(pod.at({"spec", is_init ? "initContainers" : "containers"}))) {
      if (text_at(container, {"name"}) != name) continue;
      if (init != nullptr) *init = is_init;
      return &container;
    }
  }
  return nullptr;
}

bool is_path_segment(std::string_view text) {
  if (text.empty() || text.size() > 253 || text.front() == '.') return false;
  for (const char c : text) {
    const bool fine =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    if (!fine) return false;
  }
  return true;
}

}  // namespace kayak::agent
