// field_set.h: a set of field paths, as managedFields keep it: what a manager owns, what an update changed.
// Pure. Source: structured-merge-diff fieldpath; FieldsV1 format (metav1.FieldsV1).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/schema.h"
#include "base/json.h"

namespace kayak::api {

// A path's elements in FieldsV1 form: "f:name", `k:{"name":"x"}`, `v:"x"`.
class FieldSet {
 public:
  static FieldSet from_json(const json::Value& fields_v1);
  json::Value to_json() const;

  bool empty() const { return !member_ && children_.empty(); }
  bool has(const std::vector<std::string>& path) const;
  void insert() { member_ = true; }           // the path of this node itself
  FieldSet& child(std::string_view element);  // made when absent; drop_empty() afterwards when it stays empty
  void drop_empty();
  void unite(const FieldSet& other);
  void subtract(const FieldSet& other);        // exactly the members of `other`
  void erase_below(std::string_view dotted);   // "spec", "metadata.labels": with all that is under it
  void erase_member(std::string_view dotted);  // that path alone
  bool intersects(const FieldSet& other) const;
  bool operator==(const FieldSet& other) const;

 private:
  static FieldSet read(const json::Value& fields_v1);
  const FieldSet* find(std::string_view element) const;
  bool member_ = false;
  std::vector<std::pair<std::string, FieldSet>> children_;  // sorted by element
};

struct Comparison {
  FieldSet added, modified, removed;
  bool empty() const { return added.empty() && modified.empty() && removed.empty(); }
};
// What a change from `before` to `after` did, by the schema's list and map types. Both canonical.
Comparison compare_fields(const Message& message, const json::Value& before, const json::Value& after);

}  // namespace kayak::api
