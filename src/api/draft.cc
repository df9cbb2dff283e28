// draft.cc: the parts of drafts that need no type.
#include "api/draft.h"

#include "api/schema.h"
#include "base/strings.h"

namespace kayak::api {

namespace detail {

json::Value write(const Quantity& value) { return value.to_string(); }
json::Value write(const IntOrString& value) {
  if (value.is_string) return value.text;
  return std::int64_t{value.number};
}
json::Value write_time(WallTime value) { return format_time(value); }
json::Value write_micro_time(WallTime value) { return format_micro_time(value); }
json::Value write_bytes(std::string_view value) { return base64_encode(value); }

}  // namespace detail

Draft::Draft(json::Value* node, std::size_t fields) : node_(node) { make_room(fields); }

Draft::Draft(const View& from, std::size_t fields)
    : own_(std::make_unique<json::Value>(from ? *from.json() : json::Value())), node_(own_.get()) {
  make_room(fields);
}

Draft::Draft(std::string_view api_version, std::string_view kind, std::size_t fields)
    : own_(std::make_unique<json::Value>()), node_(own_.get()) {
  make_room(fields);
  if (kind.empty()) return;
  set("kind", kind);
  set("apiVersion", api_version);
}

void Draft::make_room(std::size_t fields) {
  if (!node_->is_object()) *node_ = json::Object();
  if (node_->as_object().members().capacity() < fields) node_->as_object().members().reserve(fields);
}

json::Value& Draft::slot(std::string_view name) { return node_->as_object()[name]; }

json::Value& Draft::object_slot(std::string_view name) {
  json::Value& value = slot(name);
  if (!value.is_object()) value = json::Object();
  return value;
}

json::Value& Draft::append_to(std::string_view name) {
  json::Value& list = slot(name);
  if (!list.is_array()) list = json::Array();
  return list.as_array().emplace_back();
}

// Nulls the member instead of erasing it, which would move the ones after it under other drafts.
void Draft::clear(std::string_view name) {
  if (json::Value* value = node_->as_object().find(name)) *value = nullptr;
}

json::Value Draft::take_canonical(std::string_view message) {
  const Message* schema = find_message(message);
  ASSERT(schema);
  json::Value out = std::move(*node_);
  *node_ = json::Object();
  canonicalize(*schema, out);
  return out;
}

Frozen Draft::freeze_as(std::string_view message) {
  auto document = std::make_shared<const json::Value>(take_canonical(message));
  std::string text = json::write(*document);
  return {std::move(text), std::move(document)};
}

bool MapDraft::erase(std::string_view key) { return node_->as_object().erase(key); }

std::string_view MapDraft::get(std::string_view key) const {
  const json::Value* value = node_->find(key);
  return value ? value->string_or() : std::string_view();
}

}  // namespace kayak::api
