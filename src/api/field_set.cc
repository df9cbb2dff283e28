// field_set.cc: set arithmetic on field paths, and the comparison of two documents by their schema.
#include "api/field_set.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::api {

namespace {

// Elements in upstream's order: by text, but numbers outside of quotes by value, as they are numbers there.
int compare_elements(std::string_view a, std::string_view b) {
  bool quoted = false;
  std::size_t i = 0;
  for (; i < a.size() && i < b.size(); ++i) {
    const bool digits = !quoted && a[i] >= '0' && a[i] <= '9' && b[i] >= '0' && b[i] <= '9' && a[0] != 'f';
    if (digits) {
      std::size_t end_a = i, end_b = i;
      while (end_a < a.size() && a[end_a] >= '0' && a[end_a] <= '9') ++end_a;
      while (end_b < b.size() && b[end_b] >= '0' && b[end_b] <= '9') ++end_b;
      if (end_a != end_b) return end_a < end_b ? -1 : 1;
    }
    if (a[i] != b[i]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[i]) ? -1 : 1;
    if (a[i] == '"') quoted = !quoted;
  }
  return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

bool element_before(const std::pair<std::string, FieldSet>& child, std::string_view element) {
  return compare_elements(child.first, element) < 0;
}

}  // namespace

FieldSet FieldSet::from_json(const json::Value& fields_v1) {
  FieldSet set = read(fields_v1);
  set.member_ = false;  // nobody owns the whole object: "." there says nothing
  return set;
}

FieldSet FieldSet::read(const json::Value& fields_v1) {
  FieldSet set;
  if (!fields_v1.is_object()) return set;
  for (const auto& [key, value] : fields_v1.as_object()) {
    if (key == ".") {
      set.member_ = true;
      continue;
    }
    FieldSet below = read(value);
    if (below.children_.empty()) below.member_ = true;  // {} is the path itself
    set.children_.emplace_back(key, std::move(below));
  }
  std::sort(set.children_.begin(), set.children_.end(),
            [](const auto& a, const auto& b) { return compare_elements(a.first, b.first) < 0; });
  return set;
}

json::Value FieldSet::to_json() const {
  json::Object out;
  if (member_ && !children_.empty()) out.set(".", json::Object());
  for (const auto& [element, below] : children_) {
    json::Member member;
    member.first = element;
    member.second = below.to_json();
    out.members().push_back(std::move(member));
  }
  return out;
}

const FieldSet* FieldSet::find(std::string_view element) const {
  const auto place = std::lower_bound(children_.begin(), children_.end(), element, element_before);
  return place != children_.end() && place->first == element ? &place->second : nullptr;
}

bool FieldSet::has(const std::vector<std::string>& path) const {
  const FieldSet* node = this;
  for (const std::string& element : path) {
    node = node->find(element);
    if (node == nullptr) return false;
  }
  return node->member_;
}

FieldSet& FieldSet::child(std::string_view element) {
  auto place = std::lower_bound(children_.begin(), children_.end(), element, element_before);
  if (place == children_.end() || place->first != element) {
    place = children_.emplace(place, std::string(element), FieldSet());
  }
  return place->second;
}

void FieldSet::drop_empty() {
  for (auto& [element, below] : children_) below.drop_empty();
  std::erase_if(children_, [](const auto& entry) { return entry.second.empty(); });
}

void FieldSet::unite(const FieldSet& other) {
  member_ = member_ || other.member_;
  for (const auto& [element, below] : other.children_) child(element).unite(below);
}

void FieldSet::subtract(const FieldSet& other) {
  if (other.member_) member_ = false;
  for (auto& [element, below] : children_) {
    if (const FieldSet* gone = other.find(element)) below.subtract(*gone);
  }
  std::erase_if(children_, [](const auto& entry) { return entry.second.empty(); });
}

void FieldSet::erase_below(std::string_view dotted) {
  const std::size_t dot = dotted.find('.');
  const std::string element = cat("f:", dotted.substr(0, dot));
  const auto place = std::lower_bound(children_.begin(), children_.end(), element, element_before);
  if (place == children_.end() || place->first != element) return;
  if (dot == std::string_view::npos) {
    children_.erase(place);
    return;
  }
  place->second.erase_below(dotted.substr(dot + 1));
  if (place->second.empty()) children_.erase(place);
}

void FieldSet::erase_member(std::string_view dotted) {
  const std::size_t dot = dotted.find('.');
  const std::string element = cat("f:", dotted.substr(0, dot));
  const auto place = std::lower_bound(children_.begin(), children_.end(), element, element_before);
  if (place == children_.end() || place->first != element) return;
  if (dot == std::string_view::npos) {
    place->second.member_ = false;
  } else {
    place->second.erase_member(dotted.substr(dot + 1));
  }
  if (place->second.empty()) children_.erase(place);
}

bool FieldSet::intersects(const FieldSet& other) const {
  if (member_ && other.member_) return true;
  return std::any_of(children_.begin(), children_.end(), [&](const auto& entry) {
    const FieldSet* same = other.find(entry.first);
    return same != nullptr && entry.second.intersects(*same);
  });
}

bool FieldSet::operator==(const FieldSet& other) const {
  return member_ == other.member_ && children_ == other.children_;
}

namespace {

// How one value merges. What a schema says about a field, in the merge algorithm's terms.
enum class Relation : std::uint8_t { kLeaf, kStruct, kMap, kListMap, kListSet };

Relation relation_of(const Field& field, bool inside_container) {
  const bool repeated = field.label == FieldLabel::kRepeated && !inside_container;
  const bool map = field.label == FieldLabel::kMap && !inside_container;
  if (!inside_container && field.atomic) return Relation::kLeaf;
  if (repeated) {
    if (field.list_type == ListType::kMap) return Relation::kListMap;
    return field.list_type == ListType::kSet ? Relation::kListSet : Relation::kLeaf;
  }
  if (map) return Relation::kMap;
  if (field.type != FieldType::kMessage || field.message == nullptr) return Relation::kLeaf;
  if (field.message->form != JsonForm::kObject || field.message->atomic) return Relation::kLeaf;
  return Relation::kStruct;
}

bool is_empty(const json::Value* value) {
  if (value == nullptr || value->is_null()) return true;
  if (value->is_object()) return value->as_object().empty();
  if (value->is_array()) return value->as_array().empty();
  return false;
}

class Comparer {
 public:
  explicit Comparer(Comparison& out) : out_(out) {}

  void compare_struct(const Message& message, const json::Value* before, const json::Value* after) {
    auto visit = [&](const std::string& key, const json::Value* b, const json::Value* a) {
      const Field* field = message.find(key);
      if (field == nullptr) return;  // kind, apiVersion
      descend(cat("f:", key), *field, false, b, a);
    };
    each_member(before, after, visit);
  }

 private:
  template <typename Visit>
  void each_member(const json::Value* before, const json::Value* after, Visit visit) {
    if (after != nullptr && after->is_object()) {
      for (const auto& [key, value] : after->as_object()) {
        visit(key, before != nullptr ? before->find(key) : nullptr, &value);
      }
    }
    if (before != nullptr && before->is_object()) {
      for (const auto& [key, value] : before->as_object()) {
        if (after == nullptr || after->find(key) == nullptr)
          visit(key, &value, static_cast<const json::Value*>(nullptr));
      }
    }
  }

  void descend(std::string element, const Field& field, bool inside, const json::Value* before,
               const json::Value* after) {
    // Most of an update is unchanged: no path is built for it.
    if (before != nullptr && after != nullptr && *before == *after) return;
    path_.push_back(std::move(element));
    const Relation relation = relation_of(field, inside);
    if (relation == Relation::kLeaf || (is_empty(before) && is_empty(after))) {
      leaf(before, after);
    } else {
      switch (relation) {
        case Relation::kStruct:
          compare_struct(*field.message, before, after);
          break;
        case Relation::kMap:
          compare_map(field, before, after);
          break;
        case Relation::kListMap:
          compare_list_map(field, before, after);
          break;
        case Relation::kListSet:
          compare_list_set(before, after);
          break;
        case Relation::kLeaf:
          break;
      }
      if (before == nullptr) {
        at(out_.added).insert();
      } else if (after == nullptr) {
        at(out_.removed).insert();
      }
    }
    path_.pop_back();
  }

  void leaf(const json::Value* before, const json::Value* after) {
    if (before == nullptr) {
      at(out_.added).insert();
    } else if (after == nullptr) {
      at(out_.removed).insert();
    } else {
      at(out_.modified).insert();
    }
  }

  void compare_map(const Field& field, const json::Value* before, const json::Value* after) {
    auto visit = [&](const std::string& key, const json::Value* b, const json::Value* a) {
      descend(cat("f:", key), field, true, b, a);
    };
    each_member(before, after, visit);
  }

  static std::string key_of(const Field& field, const json::Value& item) {
    std::vector<std::string_view> names(field.list_map_keys.begin(), field.list_map_keys.end());
    std::sort(names.begin(), names.end());
    json::Object key;
    for (std::string_view name : names) {
      const json::Value* value = item.find(name);
      if (value != nullptr) key.set(name, *value);
    }
    return cat("k:", json::write(key));
  }

  void compare_list_map(const Field& field, const json::Value* before, const json::Value* after) {
    auto keyed = [&](const json::Value* list) {
      std::vector<std::pair<std::string, const json::Value*>> items;
      if (list == nullptr || !list->is_array()) return items;
      for (const json::Value& item : list->as_array()) {
        std::string key = key_of(field, item);
        // A repeated key counts once: the API refuses or merges such lists elsewhere.
        const bool seen =
            std::any_of(items.begin(), items.end(), [&](const auto& other) { return other.first == key; });
        if (!seen) items.emplace_back(std::move(key), &item);
      }
      return items;
    };
    compare_items(field, keyed(before), keyed(after));
  }

  void compare_items(const Field& field, const std::vector<std::pair<std::string, const json::Value*>>& before,
                     const std::vector<std::pair<std::string, const json::Value*>>& after) {
    auto find = [](const auto& items, const std::string& key) -> const json::Value* {
      for (const auto& [other, value] : items) {
        if (other == key) return value;
      }
      return nullptr;
    };
    for (const auto& [key, value] : after) descend(key, field, true, find(before, key), value);
    for (const auto& [key, value] : before) {
      if (find(after, key) == nullptr) descend(key, field, true, value, nullptr);
    }
  }

  void compare_list_set(const json::Value* before, const json::Value* after) {
    auto contains = [](const json::Value* list, const json::Value& item) {
      if (list == nullptr || !list->is_array()) return false;
      return std::find(list->as_array().begin(), list->as_array().end(), item) != list->as_array().end();
    };
    auto note = [&](FieldSet& set, const json::Value* list, const json::Value* other) {
      if (list == nullptr || !list->is_array()) return;
      for (const json::Value& item : list->as_array()) {
        if (contains(other, item)) continue;
        path_.push_back(cat("v:", json::write(item)));
        at(set).insert();
        path_.pop_back();
      }
    };
    note(out_.added, after, before);
    note(out_.removed, before, after);
  }

  FieldSet& at(FieldSet& root) {
    FieldSet* node = &root;
    for (const std::string& element : path_) node = &node->child(element);
    return *node;
  }

  Comparison& out_;
  std::vector<std::string> path_;
};

}  // namespace

Comparison compare_fields(const Message& message, const json::Value& before, const json::Value& after) {
  Comparison out;
  Comparer(out).compare_struct(message, &before, &after);
  return out;
}

}  // namespace kayak::api
