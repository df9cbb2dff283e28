#include "api/support_golden.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace kayak::test {
namespace {

std::string file_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<Golden> read_all() {
  const std::filesystem::path folder = "../shared/api/golden";
  std::vector<Golden> all;
  if (!std::filesystem::is_directory(folder)) {
    std::cerr << "skipped: no golden objects at " << folder << "\n";
    return all;
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    Golden golden;
    golden.name = entry.path().stem();
    const std::size_t kind = golden.name.rfind('.');
    const std::size_t version = golden.name.rfind('.', kind - 1);
    golden.kind = golden.name.substr(kind + 1);
    const std::string group = golden.name.substr(0, version);
    golden.api_version = (group == "core" ? "" : group + "/") + golden.name.substr(version + 1, kind - version - 1);
    golden.json = file_text(entry.path());
    golden.pb = file_text(folder / (golden.name + ".pb"));
    golden.yaml = file_text(folder / (golden.name + ".yaml"));
    all.push_back(golden);
  }
  std::sort(all.begin(), all.end(), [](const Golden& a, const Golden& b) { return a.name < b.name; });
  return all;
}

}  // namespace

const std::vector<Golden>& golden_objects() {
  static const std::vector<Golden> all = read_all();
  return all;
}

}  // namespace kayak::test
