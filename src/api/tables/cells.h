// cells.h: cells that many kinds share, and small readers for the special ones. Private to this folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/tables/tables.h"

namespace kayak::api::cells {

// The node at a dotted path below `value`; null when absent.
const json::Value* at(const json::Value& value, std::string_view path);
std::string text_at(const json::Value& value, std::string_view path, std::string_view fallback = "");
std::int64_t int_at(const json::Value& value, std::string_view path, std::int64_t fallback = 0);
const json::Array& list_at(const json::Value& value, std::string_view path);     // empty when absent
const json::Object& object_at(const json::Value& value, std::string_view path);  // empty when absent
std::string age_text(const json::Value* time, WallTime now, std::string_view unknown = "<unknown>");
// The first `most` joined with comma, then " + n more...".
std::string more(const std::vector<std::string>& items, std::size_t most);
std::string labels_text(const json::Value* map);
// The condition's status, "" when it is not there.
std::string condition(const json::Value& object, std::string_view type);
const json::Value* find_condition(const json::Value& object, std::string_view type);

json::Value text(const CellInput& in);     // string at path, or the fallback
json::Value integer(const CellInput& in);  // number at path, or 0; with a fallback, its text when absent
json::Value boolean(const CellInput& in);  // at path; absent reads as the fallback "true" or false
json::Value age(const CellInput& in);      // of the time at path (creationTimestamp when empty)
json::Value created_at(const CellInput& in);
json::Value count(const CellInput& in);       // members or items at path; several paths by comma are added up
json::Value labels(const CellInput& in);      // map at path as k=v
json::Value selector(const CellInput& in);    // LabelSelector at path
json::Value containers(const CellInput& in);  // names of the containers of the pod spec at path
json::Value images(const CellInput& in);
json::Value joined(const CellInput& in);    // list of texts at path, by comma
json::Value ready_of(const CellInput& in);  // {status.readyReplicas}/{spec.replicas}

inline constexpr TableColumn kName = {.name = "Name", .format = "name", .cell = text, .path = "metadata.name"};
inline constexpr TableColumn kAge = {.name = "Age", .cell = age};
inline constexpr TableColumn kCreatedAt = {.name = "Created At", .type = "date", .cell = created_at};

struct KindColumns {
  std::string_view group, kind;
  std::span<const TableColumn> columns;
};
std::span<const KindColumns> core_columns();      // columns_core.cc
std::span<const KindColumns> workload_columns();  // columns_workload.cc
std::span<const KindColumns> other_columns();     // columns_other.cc

}  // namespace kayak::api::cells
