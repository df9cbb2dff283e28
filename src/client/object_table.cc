// object_table.cc: look-ups by key, owner and field over shared objects.
#include "client/object_table.h"

namespace kayak::client {

std::string_view ObjectTable::owner_of(const api::Object& object) {
  for (const api::OwnerReference& owner : object.header().owners) {
    if (owner.controller) return owner.uid;
  }
  return {};
}

std::string_view ObjectTable::field_of(const api::Object& object, std::string_view field) {
  for (const auto& [name, value] : object.header().field_values) {
    if (name == field) return value;
  }
  return {};
}

void ObjectTable::index(const ObjectRef& object) {
  if (by_owner_) by_owner_->insert(Entry{owner_of(*object), &object});
  for (auto& [field, index] : by_field_) index.insert(Entry{field_of(*object, field), &object});
}

void ObjectTable::unindex(const ObjectRef& object) {
  if (by_owner_) by_owner_->erase(Entry{owner_of(*object), &object});
  for (auto& [field, index] : by_field_) index.erase(Entry{field_of(*object, field), &object});
}

ObjectRef ObjectTable::put(const ObjectRef& object) {
  const KeyView key = key_of(*object);
  ObjectRef previous;
  auto place = objects_.lower_bound(key);
  if (place != objects_.end() && key_of(**place) == key) {
    unindex(*place);
    previous = *place;
    place = objects_.erase(place);
  }
  index(*objects_.emplace_hint(place, object));
  return previous;
}

ObjectRef ObjectTable::remove(std::string_view namespace_, std::string_view name) {
  auto place = objects_.find(KeyView{namespace_, name});
  if (place == objects_.end()) return nullptr;
  unindex(*place);
  ObjectRef previous = *place;
  objects_.erase(place);
  return previous;
}

ObjectRef ObjectTable::get(std::string_view namespace_, std::string_view name) const {
  auto place = objects_.find(KeyView{namespace_, name});
  return place == objects_.end() ? nullptr : *place;
}

std::vector<ObjectRef> ObjectTable::list(std::string_view namespace_) const {
  if (namespace_.empty()) return std::vector<ObjectRef>(objects_.begin(), objects_.end());
  std::vector<ObjectRef> found;
  for (auto place = objects_.lower_bound(KeyView{namespace_, ""}); place != objects_.end(); ++place) {
    if ((*place)->namespace_() != namespace_) break;
    found.push_back(*place);
  }
  return found;
}

std::vector<ObjectRef> ObjectTable::find(const Index& index, std::string_view value) {
  std::vector<ObjectRef> found;
  for (auto [place, end] = index.equal_range(value); place != end; ++place) found.push_back(*place->object);
  return found;
}

const ObjectTable::Index& ObjectTable::owners() const {
  if (!by_owner_) {
    by_owner_ = std::make_unique<Index>();
    for (const ObjectRef& object : objects_) by_owner_->insert(Entry{owner_of(*object), &object});
  }
  return *by_owner_;
}

std::vector<ObjectRef> ObjectTable::owned_by(std::string_view owner_uid) const { return find(owners(), owner_uid); }

std::vector<ObjectRef> ObjectTable::orphans(std::string_view namespace_) const {
  std::vector<ObjectRef> found;
  for (auto [place, end] = owners().equal_range(NoValueIn{namespace_}); place != end; ++place) {
    found.push_back(*place->object);
  }
  return found;
}

std::vector<ObjectRef> ObjectTable::by_field(const std::string& field, std::string_view value) const {
  auto place = by_field_.find(field);
  if (place == by_field_.end()) {
    place = by_field_.emplace(field, Index()).first;
    for (const ObjectRef& object : objects_) place->second.insert(Entry{field_of(*object, field), &object});
  }
  return find(place->second, value);
}

}  // namespace kayak::client
