// tables.h: server-side printing: the columns and cells of meta.k8s.io/v1 Table per kind. Pure.
// Rows in tables keyed by kind; a kind without rows of its own has Name and Created At.
// Source: kubernetes pkg/printers/internalversion; apimachinery duration.HumanDuration.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "api/kind.h"
#include "base/clock.h"
#include "base/json.h"

namespace kayak::api {

struct CellInput {
  const json::Value& object;
  WallTime now;
  // Of the column: where to look ("status.phase"), and what to print when nothing is there.
  std::string_view path, fallback;
};
using CellFunction = json::Value (*)(const CellInput& input);

struct TableColumn {
  std::string_view name;             // "Name", "Up-to-date"
  std::string_view type = "string";  // string, integer, boolean, date
  std::string_view format;           // "name" for the first column
  std::int32_t priority = 0;         // 1: wide only; cells are sent all the same
  CellFunction cell = nullptr;
  std::string_view path, fallback;
};

// Never empty.
std::span<const TableColumn> table_columns(std::string_view group, std::string_view kind);
// The cells of one object, one per column.
json::Array table_cells(std::span<const TableColumn> columns, const json::Value& object, WallTime now);
// TableRow.conditions: {type: Completed} for ended pods; null for none.
json::Value table_row_conditions(std::string_view group, std::string_view kind, const json::Value& object);

// "3d4h", "5m12s", "45s" as kubectl prints ages; "<invalid>" for times to come.
std::string human_duration(Duration duration);

}  // namespace kayak::api
