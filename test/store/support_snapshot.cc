#include "store/support_snapshot.h"

#include <cstdio>

namespace kayak::store::test {

Result<std::vector<std::string>> slices_of(Driver& driver, const std::function<void()>& between) {
  auto source = driver.store().snapshot();
  if (!source) return source.error();
  std::vector<std::string> slices;
  for (;;) {
    auto slice = driver.harness.wait((*source)->next());
    if (!slice) return slice.error();
    if (!*slice) return slices;
    slices.push_back(std::move(**slice));
    if (between) between();
  }
}

std::string joined(const std::vector<std::string>& slices) {
  std::string out;
  for (const std::string& slice : slices) out += slice;
  return out;
}

Result<SnapshotHead> build_from(const std::string& stream, DatabaseBuilder::Options options) {
  const std::string path = options.path;
  auto builder = DatabaseBuilder::create(std::move(options));
  if (!builder) return builder.error();
  auto used = (*builder)->feed(stream);
  if (!used) return used.error();
  auto head = (*builder)->finish();
  if (!head) return head.error();
  ASSERT(std::rename(incoming_path(path).c_str(), path.c_str()) == 0);
  return head;
}

DatabaseBuilder::Options follower_at(const std::string& path) {
  DatabaseBuilder::Options options;
  options.path = path;
  options.store_id = "the follower's..";
  options.hard.term = 1'000'000;
  return options;
}

}  // namespace kayak::store::test
