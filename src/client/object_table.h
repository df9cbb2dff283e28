// object_table.h: the objects an informer holds, in order of namespace and name, with indexes made on first use.
// Holds references to the API's shared objects and pointers into them, no copies of keys or documents.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "client/client.h"

namespace kayak::client {

class ObjectTable {
 public:
  // The previous object, or null.
  ObjectRef put(const ObjectRef& object);
  ObjectRef remove(std::string_view namespace_, std::string_view name);
  ObjectRef get(std::string_view namespace_, std::string_view name) const;
  std::vector<ObjectRef> list(std::string_view namespace_) const;  // "": all
  std::vector<ObjectRef> owned_by(std::string_view owner_uid) const;
  std::vector<ObjectRef> orphans(std::string_view namespace_) const;
  std::vector<ObjectRef> by_field(const std::string& field, std::string_view value) const;
  std::size_t size() const { return objects_.size(); }
  auto begin() const { return objects_.begin(); }
  auto end() const { return objects_.end(); }

 private:
  struct KeyView {
    std::string_view namespace_, name;
    auto operator<=>(const KeyView&) const = default;
  };
  static KeyView key_of(const api::Object& object) { return {object.namespace_(), object.name()}; }
  struct ByKey {
    using is_transparent = void;
    bool operator()(const ObjectRef& a, const ObjectRef& b) const { return key_of(*a) < key_of(*b); }
    bool operator()(const ObjectRef& a, const KeyView& b) const { return key_of(*a) < b; }
    bool operator()(const KeyView& a, const ObjectRef& b) const { return a < key_of(*b); }
  };
  using Objects = std::set<ObjectRef, ByKey>;
  // An index entry: the indexed value and the object, both living in the object itself.
  struct Entry {
    std::string_view value;
    const ObjectRef* object;
  };
  struct NoValueIn {
    std::string_view namespace_;
  };
  struct ByValue {
    using is_transparent = void;
    bool operator()(const Entry& a, const Entry& b) const {
      if (a.value != b.value) return a.value < b.value;
      return key_of(**a.object) < key_of(**b.object);
    }
    bool operator()(const Entry& a, std::string_view b) const { return a.value < b; }
    bool operator()(std::string_view a, const Entry& b) const { return a < b.value; }
    // Entries without a value, by namespace.
    bool operator()(const Entry& a, const NoValueIn& b) const {
      return a.value.empty() && std::string_view((*a.object)->namespace_()) < b.namespace_;
    }
    bool operator()(const NoValueIn& a, const Entry& b) const {
      return !b.value.empty() || a.namespace_ < std::string_view((*b.object)->namespace_());
    }
  };
  using Index = std::set<Entry, ByValue>;

  static std::string_view owner_of(const api::Object& object);
  static std::string_view field_of(const api::Object& object, std::string_view field);
  const Index& owners() const;  // made on first use
  void index(const ObjectRef& object);
  void unindex(const ObjectRef& object);
  static std::vector<ObjectRef> find(const Index& index, std::string_view value);

  Objects objects_;
  mutable std::unique_ptr<Index> by_owner_;
  mutable std::map<std::string, Index, std::less<>> by_field_;
};

}  // namespace kayak::client
