// schema.cc: look-ups in messages and in the built-in tables (generated/api/schema_tables.cc).
#include "api/schema.h"

#include <algorithm>

#include "api/schema_tables.h"

namespace kayak::api {

const Field* Message::find(std::string_view json_name) const {
  for (const Field& field : fields) {
    if (field.is_inline) {
      if (const Field* inner = field.message->find(json_name)) return inner;
    } else if (field.json_name == json_name) {
      return &field;
    }
  }
  return nullptr;
}

std::string_view Message::short_name() const { return name.substr(name.rfind('.') + 1); }

const Message* find_message(std::string_view full_name) {
  const auto messages = detail::kSortedMessages;
  const auto at = std::lower_bound(messages.begin(), messages.end(), full_name,
                                   [](const Message* m, std::string_view name) { return m->name < name; });
  return at != messages.end() && (*at)->name == full_name ? *at : nullptr;
}

namespace {

constexpr std::string_view kMetaPackage = "k8s.io.apimachinery.pkg.apis.meta.v1";

const Message* find_kind_in(std::string_view package, std::string_view kind) {
  std::string name;
  name.reserve(package.size() + 1 + kind.size());
  name.append(package).append(1, '.').append(kind);
  const Message* message = find_message(name);
  // WatchEvent is the one kind whose JSON does not name itself.
  return message && (message->has_type_meta || kind == "WatchEvent") ? message : nullptr;
}

}  // namespace

const Message* find_message(std::string_view api_version, std::string_view kind) {
  bool known = api_version == "meta.k8s.io/v1";
  for (const auto& row : detail::kGroupVersionPackages) {
    if (row.group_version != api_version) continue;
    known = true;
    if (const Message* message = find_kind_in(row.package, kind)) return message;
  }
  return known ? find_kind_in(kMetaPackage, kind) : nullptr;
}

std::span<const Message* const> all_messages() { return detail::kSortedMessages; }

}  // namespace kayak::api
