// document.cc: the parts of an object document that every kind has.
#include "api/document.h"

namespace kayak::api {

const json::Value* meta_find(const json::Value& document, std::string_view name) {
  const json::Value* value = document.at({"metadata", name});
  return value != nullptr && !value->is_null() ? value : nullptr;
}

std::string_view meta_text(const json::Value& document, std::string_view name) {
  const json::Value* value = meta_find(document, name);
  return value == nullptr ? std::string_view() : value->string_or();
}

json::Value& metadata_of(json::Value& document) {
  json::Value& metadata = document["metadata"];
  if (!metadata.is_object()) metadata = json::Object();
  return metadata;
}

void erase_meta(json::Value& document, std::string_view name) { metadata_of(document).as_object().erase(name); }

std::int64_t generation_of(const json::Value& document) {
  const json::Value* value = meta_find(document, "generation");
  return value == nullptr ? 0 : value->int_or(0);
}

std::vector<std::string> meta_list(const json::Value& document, std::string_view name) {
  std::vector<std::string> items;
  const json::Value* list = meta_find(document, name);
  if (list == nullptr || !list->is_array()) return items;
  for (const json::Value& item : list->as_array()) items.emplace_back(item.string_or());
  return items;
}

void set_finalizers(json::Value& document, const std::vector<std::string>& finalizers) {
  if (finalizers.empty()) {
    erase_meta(document, "finalizers");
    return;
  }
  json::Array list;
  for (const std::string& finalizer : finalizers) list.emplace_back(finalizer);
  metadata_of(document)["finalizers"] = std::move(list);
}

bool is_deleting(const json::Value& document) { return meta_find(document, "deletionTimestamp") != nullptr; }

std::optional<std::int64_t> deletion_grace(const json::Value& document) {
  const json::Value* value = meta_find(document, "deletionGracePeriodSeconds");
  if (value == nullptr || !value->is_int()) return std::nullopt;
  return value->as_int();
}

void erase_member(json::Value& value, std::string_view name) {
  if (value.is_object()) value.as_object().erase(name);
}

void copy_member(json::Value& to, const json::Value& from, std::string_view name) {
  const json::Value* value = from.find(name);
  if (value == nullptr) {
    erase_member(to, name);
  } else {
    to[name] = *value;
  }
}

bool same_member(const json::Value& a, const json::Value& b, std::string_view name) {
  const json::Value* left = a.find(name);
  const json::Value* right = b.find(name);
  if (left == nullptr || right == nullptr) return left == right;
  return *left == *right;
}

std::string_view text_at(const json::Value& value, std::initializer_list<std::string_view> path) {
  const json::Value* found = value.at(path);
  return found == nullptr ? std::string_view() : found->string_or();
}

}  // namespace kayak::api
