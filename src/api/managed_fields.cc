// managed_fields.cc: an update takes the fields it changed from their managers and keeps the list small.
#include "api/managed_fields.h"

#include <algorithm>
#include <array>
#include <vector>

#include "api/field_set.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::size_t kMaxUpdateManagers = 10;
constexpr std::size_t kMaxManagerBytes = 128;
constexpr std::string_view kAncient = "ancient-changes";

// Fields that belong to the server or to the object's identity: nobody manages them.
constexpr std::array<std::string_view, 10> kUnmanaged = {"metadata",
                                                         "metadata.name",
                                                         "metadata.namespace",
                                                         "metadata.creationTimestamp",
                                                         "metadata.selfLink",
                                                         "metadata.uid",
                                                         "metadata.clusterName",
                                                         "metadata.generation",
                                                         "metadata.managedFields",
                                                         "metadata.resourceVersion"};

struct Entry {
  std::string manager, operation, api_version, time, subresource;
  FieldSet fields;
  bool same_writer(const Entry& other) const {
    return manager == other.manager && operation == other.operation && api_version == other.api_version &&
           subresource == other.subresource;
  }
};

std::string text_of(const json::Value& entry, std::string_view name) {
  const json::Value* value = entry.find(name);
  return value == nullptr ? std::string() : std::string(value->string_or());
}

const json::Value* managed_of(const json::Value& document) { return document.at({"metadata", "managedFields"}); }

// False when an entry is not one of ours to read (another fieldsType).
bool decode(const json::Value* managed, std::vector<Entry>* entries) {
  if (managed == nullptr || !managed->is_array()) return true;
  for (const json::Value& item : managed->as_array()) {
    Entry entry;
    entry.manager = text_of(item, "manager");
    entry.operation = text_of(item, "operation");
    entry.api_version = text_of(item, "apiVersion");
    entry.time = text_of(item, "time");
    entry.subresource = text_of(item, "subresource");
    const std::string type = text_of(item, "fieldsType");
    if ((type != "FieldsV1" && !type.empty()) || (entry.operation != "Apply" && entry.operation != "Update")) {
      return false;
    }
    if (const json::Value* fields = item.find("fieldsV1")) entry.fields = FieldSet::from_json(*fields);
    if (!entry.fields.empty()) entries->push_back(std::move(entry));
  }
  return true;
}

// [{}] is how a client asks for all entries to be forgotten.
bool is_reset(const json::Value* managed) {
  return managed != nullptr && managed->is_array() && managed->as_array().size() == 1 &&
         managed->as_array()[0].is_object() && managed->as_array()[0].as_object().empty();
}

std::vector<Entry> entries_before(const json::Value& before, const json::Value& after, bool subresource) {
  std::vector<Entry> entries;
  const json::Value* sent = managed_of(after);
  if (!subresource) {
    if (is_reset(sent)) return entries;
    if (decode(sent, &entries) && !entries.empty()) return entries;
    entries.clear();
  }
  if (!decode(managed_of(before), &entries)) entries.clear();
  return entries;
}

json::Value encode(std::vector<Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    if (a.operation != b.operation) return a.operation < b.operation;
    if (a.time != b.time) return a.time < b.time;  // RFC 3339 UTC orders as text
    if (a.manager != b.manager) return a.manager < b.manager;
    if (a.api_version != b.api_version) return a.api_version < b.api_version;
    return a.subresource < b.subresource;
  });
  json::Array out;
  for (const Entry& entry : entries) {
    json::Object item;
    if (!entry.manager.empty()) item.set("manager", entry.manager);
    item.set("operation", entry.operation);
    if (!entry.api_version.empty()) item.set("apiVersion", entry.api_version);
    if (!entry.time.empty()) item.set("time", entry.time);
    item.set("fieldsType", "FieldsV1");
    item.set("fieldsV1", entry.fields.to_json());
    if (!entry.subresource.empty()) item.set("subresource", entry.subresource);
    out.emplace_back(std::move(item));
  }
  return out;
}

// More than ten updaters: the oldest become one entry per version.
void cap_updaters(std::vector<Entry>& entries) {
  std::vector<Entry*> updaters;
  for (Entry& entry : entries) {
    if (entry.operation == "Update" && entry.subresource.empty()) updaters.push_back(&entry);
  }
  if (updaters.size() <= kMaxUpdateManagers) return;
  std::stable_sort(updaters.begin(), updaters.end(), [](const Entry* a, const Entry* b) { return a->time < b->time; });
  const std::size_t surplus = updaters.size() - kMaxUpdateManagers + 1;
  std::vector<Entry> ancient;
  for (std::size_t i = 0; i < surplus; ++i) {
    Entry old = std::move(*updaters[i]);
    updaters[i]->operation.clear();  // gone, below
    old.manager = kAncient;
    const auto same = std::find_if(ancient.begin(), ancient.end(), [&](const Entry& e) { return e.same_writer(old); });
    if (same == ancient.end()) {
      ancient.push_back(std::move(old));
    } else {
      same->fields.unite(old.fields);
      same->time = std::max(same->time, old.time);
    }
  }
  std::erase_if(entries, [](const Entry& entry) { return entry.operation.empty(); });
  for (Entry& entry : ancient) entries.push_back(std::move(entry));
}

}  // namespace

std::string manager_from_user_agent(std::string_view user_agent) {
  std::string manager;
  for (char c : user_agent.substr(0, user_agent.find('/'))) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) continue;
    if (manager.size() == kMaxManagerBytes) break;
    manager.push_back(c);
  }
  return manager.empty() ? "unknown" : manager;
}

void update_managed_fields(const Message& message, const json::Value& before, json::Value& after,
                           const ManagedUpdate& update) {
  std::vector<Entry> entries = entries_before(before, after, !update.subresource.empty());
  Comparison changed = compare_fields(message, before, after);
  for (FieldSet* set : {&changed.added, &changed.modified, &changed.removed}) {
    set->erase_below("metadata.managedFields");
    for (std::string_view field : update.reset_fields) set->erase_below(field);
    for (std::string_view field : kUnmanaged) set->erase_member(field);
    set->drop_empty();
  }
  if (!changed.empty()) {
    FieldSet taken = changed.modified;
    taken.unite(changed.added);
    for (Entry& entry : entries) {
      entry.fields.subtract(taken);
      entry.fields.subtract(changed.removed);
    }
    if (!taken.empty()) {
      Entry mine;
      mine.manager = update.manager;
      mine.operation = "Update";
      mine.api_version = update.api_version;
      mine.subresource = update.subresource;
      auto same = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.same_writer(mine); });
      if (same == entries.end()) same = entries.insert(entries.end(), std::move(mine));
      same->fields.unite(taken);
      same->time = format_time(update.now);
    }
    std::erase_if(entries, [](const Entry& entry) { return entry.fields.empty(); });
    cap_updaters(entries);
  }
  json::Value& metadata = after["metadata"];
  if (!metadata.is_object()) metadata = json::Object();
  if (entries.empty()) {
    metadata.as_object().erase("managedFields");
  } else {
    metadata["managedFields"] = encode(std::move(entries));
  }
}

}  // namespace kayak::api
