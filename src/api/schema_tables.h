// schema_tables.h: what the generated schema_tables.cc defines. Private to src/api; others use find_message().
#pragma once

#include "api/schema.h"

namespace kayak::api::detail {

// Every built-in message, sorted by full name.
extern const std::span<const Message* const> kSortedMessages;

// Where the messages of a group version are: {"apps/v1", "k8s.io.api.apps.v1"}.
struct GroupVersionPackage {
  std::string_view group_version, package;
};
extern const std::span<const GroupVersionPackage> kGroupVersionPackages;
extern const std::uint64_t kSchemaFingerprint;  // a hash of all tables

}  // namespace kayak::api::detail
