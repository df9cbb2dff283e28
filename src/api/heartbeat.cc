// heartbeat.cc: the heartbeat table and the comparison that it drives.
#include "api/heartbeat.h"

#include <algorithm>
#include <array>
#include <span>

#include "api/document.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// What a field may become in a heartbeat: another time (it never goes away), or a count that does not fall.
enum class Leaf : std::uint8_t { kTime, kCount };
struct HeartbeatField {
  std::string_view path;  // "[]": every element of a list
  Leaf leaf;
};
struct HeartbeatRow {
  std::string_view group, plural;
  std::string_view
      key_prefix;  // of the stored objects that the row is about; empty: a served version, not a stored one
  std::string_view namespace_;  // empty: any
  std::span<const HeartbeatField> fields;
};

constexpr std::array kLeaseFields = {HeartbeatField{"spec.renewTime", Leaf::kTime}};
// Not lastTransitionTime: it says that something happened.
constexpr std::array kNodeFields = {HeartbeatField{"status.conditions[].lastHeartbeatTime", Leaf::kTime}};
constexpr std::array kEventFields = {
    HeartbeatField{"count", Leaf::kCount}, HeartbeatField{"lastTimestamp", Leaf::kTime},
    HeartbeatField{"series.count", Leaf::kCount}, HeartbeatField{"series.lastObservedTime", Leaf::kTime}};
constexpr std::array kNewEventFields = {
    HeartbeatField{"deprecatedCount", Leaf::kCount}, HeartbeatField{"deprecatedLastTimestamp", Leaf::kTime},
    HeartbeatField{"series.count", Leaf::kCount}, HeartbeatField{"series.lastObservedTime", Leaf::kTime}};

constexpr std::array kRows = {
    HeartbeatRow{"coordination.k8s.io", "leases", "/registry/leases/kube-node-lease/", "kube-node-lease", kLeaseFields},
    HeartbeatRow{"", "nodes", "/registry/minions/", "", kNodeFields},
    HeartbeatRow{"", "events", "/registry/events/", "", kEventFields},
    HeartbeatRow{"events.k8s.io", "events", "", "", kNewEventFields},
};

const HeartbeatRow* row_of(const Kind& kind, const json::Value& document) {
  for (const HeartbeatRow& row : kRows) {
    if (row.group != kind.group || row.plural != kind.plural) continue;
    return row.namespace_.empty() || meta_text(document, "namespace") == row.namespace_ ? &row : nullptr;
  }
  return nullptr;
}

bool is_absent(const json::Value* value) { return value == nullptr || value->is_null(); }

bool allowed(Leaf leaf, const json::Value* before, const json::Value* after) {
  if (is_absent(after)) return false;
  if (leaf == Leaf::kTime) return after->is_string();
  return after->is_int() && after->as_int() >= (is_absent(before) ? 0 : before->int_or(after->as_int()));
}

// Walks both documents where they differ.
class Comparison {
 public:
  explicit Comparison(std::span<const HeartbeatField> fields) : fields_(fields) {}
  // False: they differ elsewhere than in the fields.
  bool same(const std::string& path, const json::Value* before, const json::Value* after);
  bool beat() const { return beat_; }

 private:
  bool same_members(const std::string& path, const json::Value& before, const json::Value& after);

  std::span<const HeartbeatField> fields_;
  bool beat_ = false;  // a field differs
};

bool Comparison::same(const std::string& path, const json::Value* before, const json::Value* after) {
  if (before == nullptr && after == nullptr) return true;
  if (before != nullptr && after != nullptr && *before == *after) return true;
  bool on_the_way = path.empty();
  for (const HeartbeatField& field : fields_) {
    if (field.path == path) {
      beat_ = true;
      return allowed(field.leaf, before, after);
    }
    if (!field.path.starts_with(path)) continue;
    const std::string_view rest = field.path.substr(path.size());
    on_the_way = on_the_way || rest.starts_with('.') || rest.starts_with("[]");
  }
  if (!on_the_way || before == nullptr || after == nullptr) return false;
  if (before->is_object() && after->is_object()) return same_members(path, *before, *after);
  if (!before->is_array() || !after->is_array() || before->as_array().size() != after->as_array().size()) return false;
  for (std::size_t i = 0; i < after->as_array().size(); ++i) {
    if (!same(path + "[]", &before->as_array()[i], &after->as_array()[i])) return false;
  }
  return true;
}

bool Comparison::same_members(const std::string& path, const json::Value& before, const json::Value& after) {
  const auto below = [&](std::string_view name) { return path.empty() ? std::string(name) : cat(path, ".", name); };
  for (const auto& [name, value] : after.as_object()) {
    if (path.empty() && name == "metadata") continue;
    if (!same(below(name), before.find(name), &value)) return false;
  }
  for (const auto& [name, value] : before.as_object()) {
    if (path.empty() && name == "metadata") continue;
    if (after.find(name) == nullptr && !same(below(name), &value, nullptr)) return false;
  }
  return true;
}

// The same entry but for its time.
bool same_manager(const json::Value& a, const json::Value& b) {
  if (!a.is_object() || !b.is_object()) return a == b;
  for (const auto& [name, value] : a.as_object()) {
    const json::Value* other = b.find(name);
    if (name != "time" && (other == nullptr || *other != value)) return false;
  }
  const auto more = [&](const json::Member& member) {
    return member.first != "time" && a.find(member.first) == nullptr;
  };
  return std::none_of(b.as_object().begin(), b.as_object().end(), more);
}

// In any order, as a newer time moves an entry to the end.
bool same_managers(const json::Value* before, const json::Value* after) {
  if (before == nullptr || after == nullptr) return before == after;
  if (!before->is_array() || !after->is_array()) return *before == *after;
  const json::Array& a = before->as_array();
  const json::Array& b = after->as_array();
  const auto in = [](const json::Array& list) {
    return [&list](const json::Value& entry) {
      return std::any_of(list.begin(), list.end(),
                         [&](const json::Value& other) { return same_manager(entry, other); });
    };
  };
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), in(b)) && std::all_of(b.begin(), b.end(), in(a));
}

bool same_metadata(const json::Value& before, const json::Value& after) {
  const json::Value* a = before.find("metadata");
  const json::Value* b = after.find("metadata");
  if (a == nullptr || b == nullptr || !a->is_object() || !b->is_object()) return false;
  const auto is_compared = [](std::string_view name) { return name != "resourceVersion" && name != "managedFields"; };
  for (const auto& [name, value] : a->as_object()) {
    if (is_compared(name) && !same_member(*a, *b, name)) return false;
  }
  for (const auto& [name, value] : b->as_object()) {
    if (is_compared(name) && a->find(name) == nullptr) return false;
  }
  return same_managers(a->find("managedFields"), b->find("managedFields"));
}

// ---- keep_heartbeats

// The element of `list` that stands for the same thing as `element`: a condition's identity is its type.
const json::Value* counterpart(const json::Value* list, const json::Value& element) {
  if (list == nullptr || !list->is_array()) return nullptr;
  for (const json::Value& other : list->as_array()) {
    if (text_at(other, {"type"}) == text_at(element, {"type"})) return &other;
  }
  return nullptr;
}

void keep_field(std::string_view path, const json::Value* durable, const json::Value* shown, json::Value& sent) {
  if (is_absent(durable) || is_absent(shown) || !sent.is_object()) return;
  const std::size_t end = path.find_first_of(".[");
  const std::string_view name = path.substr(0, end);
  const json::Value* theirs = sent.find(name);
  const json::Value* old = durable->find(name);
  const json::Value* newest = shown->find(name);
  if (is_absent(theirs) || is_absent(newest)) return;
  if (end == path.npos) {
    if (old != nullptr && *theirs == *old) sent[name] = *newest;
    return;
  }
  if (path[end] == '.') return keep_field(path.substr(end + 1), old, newest, sent[name]);
  if (!theirs->is_array()) return;
  for (json::Value& element : sent[name].as_array()) {
    keep_field(path.substr(end + 3), counterpart(old, element), counterpart(newest, element), element);
  }
}

}  // namespace

Difference difference_between(const Kind& kind, const json::Value& before, const json::Value& after) {
  if (!same_metadata(before, after)) return Difference::kDurable;
  const HeartbeatRow* row = row_of(kind, after);
  Comparison comparison(row == nullptr ? std::span<const HeartbeatField>() : row->fields);
  if (!comparison.same(std::string(), &before, &after)) return Difference::kDurable;
  return comparison.beat() ? Difference::kHeartbeat : Difference::kNone;
}

bool may_have_heartbeats(std::string_view key) {
  return std::any_of(kRows.begin(), kRows.end(), [&](const HeartbeatRow& row) {
    return !row.key_prefix.empty() && key.starts_with(row.key_prefix);
  });
}

void keep_heartbeats(const Kind& served, const json::Value& durable, const json::Value& shown, json::Value& sent) {
  const HeartbeatRow* row = row_of(served, shown);
  if (row == nullptr) return;
  for (const HeartbeatField& field : row->fields) keep_field(field.path, &durable, &shown, sent);
}

}  // namespace kayak::api
