// support_golden.h: upstream's round-trip data, kept beside the repository and not in it.
#pragma once

#include <string>
#include <vector>

namespace kayak::test {

struct Golden {
  std::string name;               // "apps.v1.Deployment"
  std::string api_version, kind;  // "apps/v1", "Deployment"
  std::string json, pb, yaml;     // the files
};
// Empty when the folder is absent (a note is printed once).
const std::vector<Golden>& golden_objects();

}  // namespace kayak::test
