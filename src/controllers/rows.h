// rows.h: the makers that the table in controllers.cc lists. Private to this folder.
#pragma once

#include "controllers/controllers.h"

namespace kayak::controllers {

std::unique_ptr<Controller> make_node_ipam(const ControllerDeps& deps);  // node_ipam.cc

}  // namespace kayak::controllers
