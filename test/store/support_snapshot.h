// support_snapshot.h: streams of stores, and databases built from them, for tests.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/database_builder.h"
#include "store/support_store.h"

namespace kayak::store::test {

// The slices of the store as it is now; `between` runs after each.
Result<std::vector<std::string>> slices_of(Driver& driver, const std::function<void()>& between = nullptr);
std::string joined(const std::vector<std::string>& slices);
// As a follower does it: built and put in place at `options.path`.
Result<SnapshotHead> build_from(const std::string& stream, DatabaseBuilder::Options options);
// For a follower at `path`.
DatabaseBuilder::Options follower_at(const std::string& path);

}  // namespace kayak::store::test
