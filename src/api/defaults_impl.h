// defaults_impl.h: how a default rule is written. Private to src/api/defaults*.cc.
// Rules belong to a message and apply wherever the message occurs, outermost first: a rule for PodSpec serves pods and
// every pod template; a rule for Pod serves pods alone.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "api/schema.h"
#include "base/clock.h"
#include "base/json.h"

namespace kayak::api::defaults {

// One object of the document while defaults are filled in.
class Node {
 public:
  Node(json::Object& object, bool& changed, std::optional<WallTime> now)
      : object_(&object), changed_(&changed), now_(now) {}

  // Null when absent, null, or zero where upstream cannot tell zero from unset ("", 0, [] and {}).
  const json::Value* get(std::string_view name) const;
  bool has(std::string_view name) const { return get(name) != nullptr; }
  std::string_view text(std::string_view name) const;  // "" when absent
  // Present, be it zero: for pointers.
  bool is_set(std::string_view name) const;

  void set(std::string_view name, json::Value value);
  void set_default(std::string_view name, json::Value value);  // unless get()
  void set_pointer(std::string_view name, json::Value value);  // unless is_set()
  void erase(std::string_view name);
  // The object in a member; nullopt when there is none.
  std::optional<Node> child(std::string_view name) const;
  Node make_child(std::string_view name);  // made when absent
  // Every object in a list member.
  template <typename F>
  void for_each(std::string_view name, F&& function) const {
    json::Value* list = object_->find(name);
    if (!list || !list->is_array()) return;
    for (json::Value& item : list->as_array()) {
      if (item.is_object()) function(Node(item.as_object(), *changed_, now_));
    }
  }
  const json::Object& object() const { return *object_; }
  std::optional<WallTime> now() const { return now_; }

 private:
  json::Object* object_;
  bool* changed_;
  std::optional<WallTime> now_;
};

// `json` where `field` is unset: null, or zero when the field is no pointer.
struct FieldDefault {
  const Message* message;
  std::string_view field, json;
};
struct RuleDefault {
  const Message* message;
  void (*apply)(Node& node);
};
struct Table {
  std::span<const FieldDefault> fields;
  std::span<const RuleDefault> rules;
};

extern const Table kPodDefaults;       // pods and everything in a pod template
extern const Table kCoreDefaults;      // the rest of core/v1
extern const Table kWorkloadDefaults;  // apps, batch, autoscaling
extern const Table kOtherDefaults;     // all other groups

}  // namespace kayak::api::defaults
