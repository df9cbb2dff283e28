// draft.h: the small run time under the generated drafts (generated/api/drafts/*.h).
// A draft writes one message of a private copy:
//   PodDraft draft(pod);
//   draft.spec().set_node_name(node);
//   draft.metadata().labels().set("app", "web");
//   Frozen frozen = std::move(draft).freeze();   // canonical text and a shared document
#pragma once

#include "api/view.h"

namespace kayak::api {

// What freeze() gives: canonical text and its document, both without change from here on.
struct Frozen {
  std::string text;
  json::Document document;
};

// Base of the generated drafts. A draft made by a constructor owns its copy; one reached through another draft points
// into that one's copy, and stays valid while the other lives: members may come and go, but an element of a list only
// until the list grows or shrinks.
class Draft {
 public:
  Draft(Draft&&) noexcept = default;
  Draft& operator=(Draft&&) noexcept = default;
  json::Value& json() { return *node_; }
  const json::Value& json() const { return *node_; }

 protected:
  // `fields`: how many members the message can have; room for them is made at once, so that adding one moves none.
  Draft(json::Value* node, std::size_t fields);                                    // inside another draft
  Draft(const View& from, std::size_t fields);                                     // an own copy
  Draft(std::string_view api_version, std::string_view kind, std::size_t fields);  // a new one

  json::Value& slot(std::string_view name);         // the member, made (null) when absent
  json::Value& object_slot(std::string_view name);  // the same, made an object
  json::Value& append_to(std::string_view name);    // a new null element at the end of the list
  void set(std::string_view name, json::Value value) { slot(name) = std::move(value); }
  void clear(std::string_view name);
  json::Value take_canonical(std::string_view message);  // leaves null behind
  Frozen freeze_as(std::string_view message);

 private:
  void make_room(std::size_t fields);
  std::unique_ptr<json::Value> own_;
  json::Value* node_;
};

namespace detail {
inline json::Value write(bool value) { return json::Value(value); }
inline json::Value write(std::int32_t value) { return json::Value(std::int64_t{value}); }
inline json::Value write(std::int64_t value) { return json::Value(value); }
inline json::Value write(double value) { return json::Value::from_double(value); }
inline json::Value write(std::string_view value) { return json::Value(value); }
json::Value write(const Quantity& value);
json::Value write(const IntOrString& value);
json::Value write_time(WallTime value);
json::Value write_micro_time(WallTime value);
json::Value write_bytes(std::string_view value);
inline json::Value write(const View& value) { return value ? *value.json() : json::Value(); }
}  // namespace detail

// A map in a draft.
class MapDraft {
 public:
  explicit MapDraft(json::Value* node) : node_(node) {}
  void set(std::string_view key, json::Value value) { (*node_)[key] = std::move(value); }
  void set(std::string_view key, const Quantity& value) { set(key, detail::write(value)); }
  bool erase(std::string_view key);
  bool contains(std::string_view key) const { return node_->find(key) != nullptr; }
  std::string_view get(std::string_view key) const;  // "" when absent or not a text
  void clear() { *node_ = json::Object(); }
  json::Value& json() { return *node_; }

 private:
  json::Value* node_;
};

// A list of messages in a draft.
template <typename T>
class RepeatedDraft {
 public:
  explicit RepeatedDraft(json::Value* node) : node_(node) {
    if (!node_->is_array()) *node_ = json::Array();
  }
  std::size_t size() const { return node_->as_array().size(); }
  bool empty() const { return size() == 0; }
  T operator[](std::size_t index) { return T(&node_->as_array()[index]); }
  T add() {
    node_->as_array().emplace_back();
    return T(&node_->as_array().back());
  }
  void erase(std::size_t index) {
    node_->as_array().erase(node_->as_array().begin() + static_cast<std::ptrdiff_t>(index));
  }
  void clear() { node_->as_array().clear(); }
  json::Array& json() { return node_->as_array(); }

 private:
  json::Value* node_;
};

}  // namespace kayak::api
