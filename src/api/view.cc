// view.cc: the parts of views that need no type.
#include "api/view.h"

#include "base/strings.h"

namespace kayak::api {

View::View(const json::Value* node, json::Document owner)
    : node_(node && !node->is_null() ? node : nullptr), owner_(std::move(owner)) {}

bool View::operator==(const View& other) const {
  if (node_ == other.node_) return true;
  return node_ && other.node_ && *node_ == *other.node_;
}

const json::Value* View::member(std::string_view name) const {
  if (!node_) return nullptr;
  const json::Value* value = node_->find(name);
  return value && !value->is_null() ? value : nullptr;
}

namespace detail {

void read(const json::Value* node, bool* out) { *out = node && node->bool_or(false); }
void read(const json::Value* node, std::int32_t* out) { *out = node ? static_cast<std::int32_t>(node->int_or(0)) : 0; }
void read(const json::Value* node, std::int64_t* out) { *out = node ? node->int_or(0) : 0; }
void read(const json::Value* node, double* out) { *out = node && node->is_number() ? node->as_double() : 0; }
void read(const json::Value* node, std::string_view* out) { *out = node ? node->string_or() : std::string_view(); }

void read(const json::Value* node, std::string* out) {
  out->clear();
  if (node && node->is_string() && !base64_decode(node->as_string(), out)) out->clear();
}

void read(const json::Value* node, Quantity* out) {
  *out = Quantity();
  if (!node) return;
  if (node->is_int()) {
    *out = Quantity::of(node->as_int());
  } else if (const auto parsed = Quantity::parse(node->string_or())) {
    *out = *parsed;
  }
}

void read(const json::Value* node, WallTime* out) {
  *out = WallTime();
  if (node && node->is_string() && !parse_time(node->as_string(), out)) *out = WallTime();
}

void read(const json::Value* node, IntOrString* out) {
  *out = IntOrString();
  if (!node) return;
  if (node->is_string()) {
    *out = IntOrString(std::string_view(node->as_string()));
  } else {
    *out = IntOrString(static_cast<std::int32_t>(node->int_or(0)));
  }
}

std::size_t list_size(const json::Value* node) { return node && node->is_array() ? node->as_array().size() : 0; }

const json::Value* list_at(const json::Value* node, std::size_t index) {
  ASSERT(index < list_size(node));
  return &node->as_array()[index];
}

std::size_t map_size(const json::Value* node) { return node && node->is_object() ? node->as_object().size() : 0; }

const json::Member& map_at(const json::Value* node, std::size_t index) {
  ASSERT(index < map_size(node));
  return node->as_object().members()[index];
}

}  // namespace detail

}  // namespace kayak::api
