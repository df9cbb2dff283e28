// bootstrap_flowcontrol.h: the priority levels and flow schemas that every cluster has.
// Source: shared fact table bootstrap/flowcontrol.tsv.
#pragma once

#include <vector>

#include "api/kind.h"
#include "base/json.h"

namespace kayak::api {

struct BootstrapObject {
  const Kind* kind = nullptr;
  json::Value document;
  bool mandatory = false;  // kept as it is here even when someone says otherwise
};
std::vector<BootstrapObject> flow_control_objects();

}  // namespace kayak::api
