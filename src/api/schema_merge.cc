// schema_merge.cc: strategic merge patch with all its directives.
// Maps merge by key and null deletes. Lists with patchStrategy merge, of objects by their merge key and of scalars as
// sets; all other lists are replaced. Directives steer it: $patch (replace, delete), $retainKeys,
// $deleteFromPrimitiveList/<list>, $setElementOrder/<list>.
// Look-ups by merge key go through a hash, so that a big patch costs no more than its size.
// Source: apimachinery pkg/util/strategicpatch (behaviour and messages), "Preserve order in strategic merge patch".
#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "api/schema_impl.h"
#include "base/strings.h"

namespace kayak::api {
namespace {

constexpr std::string_view kPatchDirective = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kDeletePrefix = "$deleteFromPrimitiveList";
constexpr std::string_view kOrderPrefix = "$setElementOrder";

constexpr const char* kBadRetainKeys = "invalid patch format of retainKeys";
constexpr const char* kBadPrimitiveList = "invalid patch format of primitive list";
constexpr const char* kBadElementOrder = "invalid patch format of setElementOrder list";
constexpr const char* kNoListOfLists = "lists of lists are not supported";

// As Go's %v prints it, for messages.
std::string go_text(const json::Value& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_null()) return "<nil>";
  if (value.is_array()) {
    std::string out = "[";
    for (const json::Value& item : value.as_array()) out += cat(out.size() > 1 ? " " : "", go_text(item));
    return out + "]";
  }
  if (!value.is_object()) return json::write(value);
  json::Object sorted = value.as_object();
  detail::sort_by_key(sorted);
  std::string out = "map[";
  for (const auto& [key, member] : sorted) out += cat(out.size() > 4 ? " " : "", key, ":", go_text(member));
  return out + "]";
}

// What a value in the document is, as far as the schema tells: an object of a message, a map of a field, or neither.
struct Shape {
  const Message* message = nullptr;
  const Field* map = nullptr;
};

Shape shape_of(const Field& field) {
  if (field.label == FieldLabel::kMap) return {nullptr, &field};
  return {field.type == FieldType::kMessage ? field.message : nullptr, nullptr};
}

// A CRD's schema may stand where a union of schema and something else is declared.
const Message* through_union(const Message* message) {
  const bool is_union = message->form == JsonForm::kJsonSchemaOrBool || message->form == JsonForm::kJsonSchemaOrArray ||
                        message->form == JsonForm::kJsonSchemaOrStringArray;
  if (!is_union) return message;
  for (const Field& field : message->fields) {
    if (field.type == FieldType::kMessage) return field.message;
  }
  return message;
}

bool is_list_directive(std::string_view key) { return key.starts_with(kDeletePrefix) || key.starts_with(kOrderPrefix); }

// Whether `value` is an element that a directive marks for deletion.
bool is_deletion(const json::Value& value) {
  const json::Value* directive = value.find(kPatchDirective);
  return directive && directive->string_or() == "delete";
}

// What is left of a patch that meets nothing to merge with: no nulls, no directives.
void drop_directives(json::Value& value) {
  if (value.is_array()) {
    json::Array& array = value.as_array();
    std::erase_if(array, is_deletion);
    for (json::Value& item : array) drop_directives(item);
  } else if (value.is_object()) {
    auto& members = value.as_object().members();
    std::erase_if(members, [](const json::Member& member) {
      return member.second.is_null() || member.first == kPatchDirective || member.first == kRetainKeys ||
             is_list_directive(member.first);
    });
    for (json::Member& member : members) drop_directives(member.second);
  }
}

class Merger {
 public:
  // Merges `patch` into `original`. False: error() tells why.
  bool map(Shape shape, json::Value& original, json::Value patch) {
    json::Object& changes = patch.as_object();
    if (const json::Value* directive = changes.find(kPatchDirective)) {
      if (directive->string_or() == "replace") {
        changes.erase(kPatchDirective);
        original = std::move(patch);
        return true;
      }
      if (directive->string_or() == "delete") {
        original = json::Object();
        return true;
      }
      return fail(cat("unknown patch type: ", go_text(*directive), " in map: ", go_text(patch)));
    }
    if (!original.is_object()) original = json::Object();
    return retain_keys(original.as_object(), changes) && element_orders(shape, original.as_object(), changes) &&
           members(shape, original.as_object(), changes);
  }

  const Error& error() const { return *error_; }

 private:
  bool fail(std::string message, Code code = Code::kBadRequest) {
    error_ = Error(code, std::move(message));
    return false;
  }

  // ---- maps

  bool retain_keys(json::Object& original, json::Object& changes) {
    const json::Value* found = changes.find(kRetainKeys);
    if (!found) return true;
    const json::Value kept = *found;
    changes.erase(kRetainKeys);
    if (!kept.is_array()) return fail(kBadRetainKeys);
    std::unordered_set<std::string_view> names;
    for (const json::Value& name : kept.as_array()) names.insert(name.string_or());
    for (const auto& [key, value] : changes) {
      if (value.is_null() || is_list_directive(key)) continue;
      if (!names.contains(key)) return fail(kBadRetainKeys);
    }
    std::erase_if(original.members(), [&](const json::Member& member) { return !names.contains(member.first); });
    return true;
  }

  // The members of an object by name; by hash when there are many, as both sides may hold 100,000 keys.
  class Index {
   public:
    Index(std::vector<json::Member>& members, std::size_t look_ups) : members_(members) {
      constexpr std::size_t kWorthHashing = 4096;  // comparisons
      if (members.size() * look_ups <= kWorthHashing) return;
      hashed_ = true;
      for (std::size_t i = 0; i < members.size(); ++i) by_name_.emplace(members[i].first, i);
    }
    json::Value* find(std::string_view key) {
      if (hashed_) {
        const auto at = by_name_.find(std::string(key));
        return at == by_name_.end() ? nullptr : &members_[at->second].second;
      }
      for (json::Member& member : members_) {
        if (member.first == key) return &member.second;
      }
      return nullptr;
    }
    void add(std::string_view key, json::Value value) {
      if (hashed_) by_name_.emplace(key, members_.size());
      members_.push_back({std::string(key), std::move(value)});
    }

   private:
    std::vector<json::Member>& members_;
    std::unordered_map<std::string, std::size_t> by_name_;
    bool hashed_ = false;
  };

  bool members(Shape shape, json::Object& original, json::Object& changes) {
    Index index(original.members(), changes.size());
    bool deletes = false;
    for (json::Member& change : changes) {
      std::string_view key = change.first;
      if (change.second.is_null()) {
        // Null from here on; taken out at the end, all at once.
        if (json::Value* current = index.find(key)) *current = nullptr;
        deletes = true;
        continue;
      }
      const bool deletes_items = key.starts_with(kDeletePrefix);
      if (deletes_items && !list_name(kDeletePrefix, kBadPrimitiveList, &key)) return false;
      if (!member(shape, index, key, deletes_items, change.second)) return false;
    }
    if (deletes) {
      std::unordered_set<std::string_view> gone;
      for (const json::Member& change : changes) {
        if (change.second.is_null()) gone.insert(change.first);
      }
      std::erase_if(original.members(), [&](const json::Member& member) { return gone.contains(member.first); });
    }
    return true;
  }

  bool member(Shape shape, Index& index, std::string_view key, bool deletes_items, json::Value& change) {
    json::Value* current = index.find(key);
    if (!current || !same_kind(*current, change)) {
      if (deletes_items) return true;  // nothing to delete from
      drop_directives(change);
      if (current) {
        *current = std::move(change);
      } else {
        index.add(key, std::move(change));
      }
      return true;
    }
    if (!change.is_object() && !change.is_array()) {
      *current = std::move(change);
      return true;
    }
    const Field* field = nullptr;
    if (!find_field(shape, key, &field)) return false;
    const bool in_map = field && field == shape.map;
    if (change.is_array()) return list(in_map ? nullptr : field, *current, std::move(change), deletes_items);
    if (field && !in_map && field->patch_replace) {
      drop_directives(change);
      *current = std::move(change);
      return true;
    }
    const Shape inner = in_map ? Shape{field->message, nullptr} : field ? shape_of(*field) : Shape();
    return map(inner, *current, std::move(change));
  }

  static bool same_kind(const json::Value& a, const json::Value& b) {
    return a.type() == b.type() || (a.is_number() && b.is_number());
  }

  // The field of a member; null where there is no schema (metadata of its own). For a map: the map's field.
  bool find_field(Shape shape, std::string_view key, const Field** field) {
    *field = shape.map;
    if (!shape.message) return true;
    const Message* message = through_union(shape.message);
    *field = message->form == JsonForm::kObject ? message->find(key) : nullptr;
    if (*field) return true;
    return fail(cat("unable to find api field in struct ", message->short_name(), " for the json field ", quote(key)));
  }

  // "$prefix/name" to "name".
  bool list_name(std::string_view prefix, const char* error, std::string_view* key) {
    const std::size_t slash = key->find('/');
    if (slash != prefix.size()) return fail(error);
    key->remove_prefix(slash + 1);
    return true;
  }

  // ---- lists

  // Merges the lists that come with an order, and takes them out of `changes`.
  bool element_orders(Shape shape, json::Object& original, json::Object& changes) {
    for (std::size_t i = 0; i < changes.members().size();) {
      if (!changes.members()[i].first.starts_with(kOrderPrefix)) {
        ++i;
        continue;
      }
      const std::string directive = changes.members()[i].first;
      const json::Value order = std::move(changes.members()[i].second);
      changes.erase(directive);
      if (!element_order(shape, original, changes, directive, order)) return false;
      i = 0;  // members have moved
    }
    return true;
  }

  bool element_order(Shape shape, json::Object& original, json::Object& changes, std::string_view directive,
                     const json::Value& order) {
    std::string_view name = directive;
    if (!list_name(kOrderPrefix, kBadElementOrder, &name)) return false;
    if (!order.is_array() || !shape.message) return fail(kBadElementOrder);
    const Field* field = nullptr;
    if (!find_field(shape, name, &field)) return false;
    json::Value* current = original.find(name);
    json::Value* change = changes.find(name);
    const bool has_current = current && !current->is_null();
    const bool has_change = change && !change->is_null();
    if (change && !has_change) return true;  // null deletes the list later on
    if (!has_current && !has_change) return true;
    if ((has_current && !current->is_array()) || (has_change && !change->is_array())) return fail(kBadElementOrder);
    const std::string_view key = field ? field->merge_key : std::string_view();
    if (has_change && !order_holds(*change, order, key)) return false;

    const json::Array before = has_current ? current->as_array() : json::Array();
    json::Value merged = has_current ? std::move(*current) : json::Value();
    if (has_change && !has_current) {
      merged = std::move(*change);
      drop_directives(merged);
    } else if (has_change && !list(field, merged, std::move(*change), false)) {
      return false;
    }
    changes.erase(name);
    if (!arrange(merged.as_array(), order.as_array(), before, key)) return false;
    original.set(name, std::move(merged));
    return true;
  }

  // The items of a patch must come in the order that the directive gives, and no others.
  bool order_holds(const json::Value& change, const json::Value& order, std::string_view key) {
    std::size_t at = 0;
    const json::Array& wanted = order.as_array();
    if (wanted.empty()) return true;
    for (const json::Value& item : change.as_array()) {
      if (item.find(kPatchDirective)) continue;
      std::string id;
      if (!identity(item, key, &id)) return false;
      while (at < wanted.size()) {
        std::string other;
        if (!identity(wanted[at], key, &other)) return false;
        ++at;
        if (other == id) {
          id.clear();
          break;
        }
      }
      if (!id.empty()) {
        return fail(cat("The order in patch list:\n", go_text(change), "\n doesn't match ", kOrderPrefix, " list:\n",
                        go_text(order), "\n"));
      }
    }
    return true;
  }

  // Merges a list as its field says. `original` and `patch` are arrays.
  bool list(const Field* field, json::Value& original, json::Value patch, bool deletes_items) {
    json::Array& items = original.as_array();
    json::Array& changes = patch.as_array();
    if (!field || !field->patch_merge) {
      if (deletes_items) return fail(kBadPrimitiveList);
      drop_directives(patch);
      original = std::move(patch);
      return true;
    }
    if (items.empty() && changes.empty()) return true;
    bool of_objects = false;
    if (!one_kind(items, changes, &of_objects)) return false;
    const json::Array before = items;
    if (!of_objects) {
      deletes_items ? delete_scalars(items, changes) : add_scalars(items, changes);
      return deletes_items || arrange(items, changes, before, "");
    }
    if (field->merge_key.empty()) return fail("cannot merge lists without merge key for type struct");
    if (!special_elements(items, changes, field->merge_key)) return false;
    const json::Array rest = items;
    const json::Array order = changes;
    if (!merge_objects(*field, items, changes)) return false;
    return arrange(items, order, rest, field->merge_key);
  }

  bool one_kind(const json::Array& a, const json::Array& b, bool* of_objects) {
    const json::Value* first = nullptr;
    for (const json::Array* list : {&a, &b}) {
      for (const json::Value& item : *list) {
        if (item.is_array()) return fail(kNoListOfLists, Code::kInvalid);
        if (!first) first = &item;
        if (item.is_null() || !same_kind(item, *first)) {
          return fail(cat("list element types are not identical: ", go_text(json::Value(*list))));
        }
      }
    }
    *of_objects = first->is_object();
    return true;
  }

  // Elements that carry $patch: deletions take effect, and one "replace" drops what was there.
  bool special_elements(json::Array& items, json::Array& changes, std::string_view key) {
    json::Array plain;
    std::unordered_set<std::string> deleted;
    bool replace = false;
    for (json::Value& change : changes) {
      const json::Value* directive = change.find(kPatchDirective);
      if (!directive) {
        plain.push_back(std::move(change));
        continue;
      }
      const std::string_view what = directive->string_or();
      if (what == "replace") {
        replace = true;
      } else if (what == "delete") {
        std::string id;
        if (!identity(change, key, &id)) return false;
        deleted.insert(std::move(id));
      } else if (what == "merge") {
        return fail("merging lists cannot yet be specified in the patch");
      } else {
        return fail(cat("unknown patch type: ", go_text(*directive), " in map: ", go_text(change)));
      }
    }
    if (replace) {
      for (json::Value& item : plain) drop_directives(item);
      items = std::move(plain);
      changes.clear();
      return true;
    }
    if (!deleted.empty()) {
      std::erase_if(items, [&](const json::Value& item) {
        const json::Value* value = item.find(key);
        return value && deleted.contains(json::write(*value));
      });
    }
    changes = std::move(plain);
    return true;
  }

  bool merge_objects(const Field& field, json::Array& items, json::Array& changes) {
    std::unordered_map<std::string, std::size_t> by_key;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (const json::Value* value = items[i].find(field.merge_key)) by_key.emplace(json::write(*value), i);
    }
    for (json::Value& change : changes) {
      std::string id;
      if (!identity(change, field.merge_key, &id)) return false;
      const auto [at, added] = by_key.emplace(std::move(id), items.size());
      if (added) {
        json::Value item = change;
        drop_directives(item);
        items.push_back(std::move(item));
      } else if (!map(shape_of(field), items[at->second], change)) {
        return false;
      }
    }
    return true;
  }

  static void delete_scalars(json::Array& items, const json::Array& deleted) {
    std::unordered_set<std::string> gone;
    for (const json::Value& value : deleted) gone.insert(json::write(value));
    std::erase_if(items, [&](const json::Value& item) { return gone.contains(json::write(item)); });
  }

  static void add_scalars(json::Array& items, const json::Array& added) {
    std::unordered_set<std::string> seen;
    items.insert(items.end(), added.begin(), added.end());
    std::erase_if(items, [&](const json::Value& item) { return !seen.insert(json::write(item)).second; });
  }

  // ---- order

  // What tells list items apart: the merge key's value, or the scalar itself.
  bool identity(const json::Value& item, std::string_view key, std::string* id) {
    if (key.empty()) {
      *id = json::write(item);
      return true;
    }
    if (!item.is_object()) return fail(cat("expected a map, but received a ", detail::json_type_name(item)));
    const json::Value* value = item.find(key);
    if (!value) return fail(cat("map: ", go_text(item), " does not contain declared merge key: ", key));
    *id = json::write(*value);
    return true;
  }

  using Positions = std::unordered_map<std::string, std::size_t>;
  bool positions(const json::Array& list, std::string_view key, Positions* out) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      std::string id;
      if (!identity(list[i], key, &id)) return false;
      out->emplace(std::move(id), i);
    }
    return true;
  }

  struct Placed {
    json::Value item;
    std::size_t wanted;  // place in the order asked for
    std::size_t before;  // place in the list as it was; kNowhere: new
  };
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

  // Items named by `order` take its order; the others keep theirs and are put before the first named item that they
  // came before.
  bool arrange(json::Array& items, const json::Array& order, const json::Array& before, std::string_view key) {
    Positions wanted, earlier;
    if (!positions(order, key, &wanted) || !positions(before, key, &earlier)) return false;
    std::vector<Placed> named, others;
    for (json::Value& item : items) {
      std::string id;
      if (!identity(item, key, &id)) return false;
      const auto in_order = wanted.find(id);
      const auto in_before = earlier.find(id);
      const std::size_t was = in_before == earlier.end() ? kNowhere : in_before->second;
      if (in_order == wanted.end()) {
        others.push_back({std::move(item), 0, was});
      } else {
        named.push_back({std::move(item), in_order->second, was});
      }
    }
    std::stable_sort(named.begin(), named.end(), [](const Placed& a, const Placed& b) { return a.wanted < b.wanted; });
    std::stable_sort(others.begin(), others.end(),
                     [](const Placed& a, const Placed& b) { return a.before < b.before; });
    items.clear();
    std::size_t i = 0, j = 0;
    while (i < others.size() || j < named.size()) {
      const bool take_other = j == named.size() || (i < others.size() && others[i].before != kNowhere &&
                                                    named[j].before != kNowhere && others[i].before < named[j].before);
      items.push_back(std::move(take_other ? others[i++].item : named[j++].item));
    }
    return true;
  }

  std::optional<Error> error_;
};

}  // namespace

Result<json::Value> strategic_merge(const Message& message, const json::Value& original, const json::Value& patch) {
  if (!patch.is_object()) return Error(Code::kBadRequest, "invalid JSON document");
  Merger merger;
  json::Value merged = original;
  if (!merger.map({&message, nullptr}, merged, patch)) return merger.error();
  return merged;
}

}  // namespace kayak::api
