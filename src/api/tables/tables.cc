// tables.cc: see tables.h; the cells that kinds share.
#include "api/tables/tables.h"

#include <algorithm>

#include "api/selector.h"
#include "api/tables/cells.h"
#include "base/strings.h"

namespace kayak::api {

namespace cells {

const json::Value* at(const json::Value& value, std::string_view path) {
  const json::Value* node = &value;
  while (node && !path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    node = node->find(path.substr(0, dot));
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return node && node->is_null() ? nullptr : node;
}

std::string text_at(const json::Value& value, std::string_view path, std::string_view fallback) {
  const json::Value* node = at(value, path);
  if (!node) return std::string(fallback);
  if (node->is_string()) return node->as_string().empty() ? std::string(fallback) : node->as_string();
  return json::write(*node);
}

std::int64_t int_at(const json::Value& value, std::string_view path, std::int64_t fallback) {
  const json::Value* node = at(value, path);
  return node ? node->int_or(fallback) : fallback;
}

const json::Array& list_at(const json::Value& value, std::string_view path) {
  static const json::Array empty;
  const json::Value* node = at(value, path);
  return node && node->is_array() ? node->as_array() : empty;
}

const json::Object& object_at(const json::Value& value, std::string_view path) {
  static const json::Object empty;
  const json::Value* node = at(value, path);
  return node && node->is_object() ? node->as_object() : empty;
}

std::string age_text(const json::Value* time, WallTime now, std::string_view unknown) {
  WallTime parsed;
  if (!time || !parse_time(time->string_or(), &parsed)) return std::string(unknown);
  return human_duration(now - parsed);
}

std::string more(const std::vector<std::string>& items, std::size_t most) {
  std::vector<std::string> shown(items.begin(),
                                 items.begin() + static_cast<std::ptrdiff_t>(std::min(most, items.size())));
  std::string out = join(shown, ",");
  if (items.size() > most) out += cat(" + ", items.size() - most, " more...");
  return out;
}

std::string labels_text(const json::Value* map) {
  if (!map || !map->is_object() || map->as_object().empty()) return "<none>";
  std::vector<std::string> pairs;
  for (const auto& [key, value] : map->as_object()) pairs.push_back(cat(key, "=", value.string_or()));
  std::sort(pairs.begin(), pairs.end());
  return join(pairs, ",");
}

const json::Value* find_condition(const json::Value& object, std::string_view type) {
  for (const json::Value& c : list_at(object, "status.conditions")) {
    const json::Value* its_type = c.find("type");
    if (its_type && its_type->string_or() == type) return &c;
  }
  return nullptr;
}

std::string condition(const json::Value& object, std::string_view type) {
  const json::Value* c = find_condition(object, type);
  return c ? text_at(*c, "status") : "";
}

json::Value text(const CellInput& in) { return text_at(in.object, in.path, in.fallback); }

json::Value integer(const CellInput& in) {
  const json::Value* node = at(in.object, in.path);
  if (!node && !in.fallback.empty()) return in.fallback;
  return node ? node->int_or(0) : 0;
}

json::Value boolean(const CellInput& in) {
  const json::Value* node = at(in.object, in.path);
  return node ? node->bool_or(false) : in.fallback == "true";
}

json::Value age(const CellInput& in) {
  return age_text(at(in.object, in.path.empty() ? "metadata.creationTimestamp" : in.path), in.now,
                  in.fallback.empty() ? "<unknown>" : in.fallback);
}

json::Value created_at(const CellInput& in) { return text_at(in.object, "metadata.creationTimestamp"); }

json::Value count(const CellInput& in) {
  std::size_t sum = 0;
  for (std::string_view path : split(in.path, ','))
    sum += list_at(in.object, path).size() + object_at(in.object, path).size();
  return static_cast<std::int64_t>(sum);
}

json::Value labels(const CellInput& in) { return labels_text(at(in.object, in.path)); }

json::Value selector(const CellInput& in) {
  const json::Value* node = at(in.object, in.path);
  if (!node || !node->is_object() || node->as_object().empty()) return in.fallback.empty() ? "<none>" : "";
  Result<LabelSelector> parsed = LabelSelector::from_object(node);
  if (!parsed) return "<invalid>";
  return parsed->to_string();
}

namespace {
json::Value container_fields(const CellInput& in, std::string_view field) {
  std::vector<std::string> texts;
  for (const json::Value& container : list_at(in.object, cat(in.path, ".containers")))
    texts.push_back(text_at(container, field));
  return join(texts, ",");
}
}  // namespace

json::Value containers(const CellInput& in) { return container_fields(in, "name"); }
json::Value images(const CellInput& in) { return container_fields(in, "image"); }

json::Value joined(const CellInput& in) {
  std::vector<std::string> texts;
  for (const json::Value& item : list_at(in.object, in.path)) texts.emplace_back(item.string_or());
  return texts.empty() ? std::string(in.fallback) : join(texts, ",");
}

json::Value ready_of(const CellInput& in) {
  return cat(int_at(in.object, "status.readyReplicas"), "/", int_at(in.object, "spec.replicas"));
}

}  // namespace cells

std::string human_duration(Duration duration) {
  const std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return cat(seconds, "s");
  const std::int64_t minutes = seconds / 60;
  // "{whole}{unit}" with "{rest}{small}" behind it unless the rest is nothing.
  auto two = [](std::int64_t whole, const char* unit, std::int64_t rest, const char* small) {
    return rest == 0 ? cat(whole, unit) : cat(whole, unit, rest, small);
  };
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return cat(minutes, "m");
  const std::int64_t hours = minutes / 60;
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return cat(hours, "h");
  if (hours < 192) return two(hours / 24, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return cat(hours / 24, "d");
  const std::int64_t years = hours / (24 * 365);
  if (hours < 24 * 365 * 8) return two(years, "y", hours / 24 % 365, "d");
  return cat(years, "y");
}

std::span<const TableColumn> table_columns(std::string_view group, std::string_view kind) {
  static constexpr TableColumn kDefault[] = {cells::kName, cells::kCreatedAt};
  for (const auto& part : {cells::core_columns(), cells::workload_columns(), cells::other_columns()}) {
    for (const cells::KindColumns& row : part) {
      if (row.kind == kind && row.group == group) return row.columns;
    }
  }
  return kDefault;
}

json::Array table_cells(std::span<const TableColumn> columns, const json::Value& object, WallTime now) {
  json::Array row;
  row.reserve(columns.size());
  for (const TableColumn& column : columns)
    row.push_back(column.cell(CellInput{object, now, column.path, column.fallback}));
  return row;
}

json::Value table_row_conditions(std::string_view group, std::string_view kind, const json::Value& object) {
  if (!group.empty() || kind != "Pod") return json::Value();
  const std::string phase = cells::text_at(object, "status.phase");
  if (phase != "Succeeded" && phase != "Failed") return json::Value();
  json::Value condition = json::Value(json::Object());
  condition["type"] = "Completed";
  condition["status"] = "True";
  condition["reason"] = phase;
  condition["message"] = phase == "Succeeded" ? "The pod has completed successfully." : "The pod failed.";
  json::Array list;
  list.push_back(std::move(condition));
  return json::Value(std::move(list));
}

}  // namespace kayak::api
