// rows.h: the makers that the table in controllers.cc lists. Private to this folder.
#pragma once

#include "controllers/controllers.h"

namespace kayak::controllers {

std::unique_ptr<Controller> make_garbage_collector(const ControllerDeps& deps);       // garbage_collector.cc
std::unique_ptr<Controller> make_namespace_controller(const ControllerDeps& deps);    // namespace.cc
std::unique_ptr<Controller> make_deployment_controller(const ControllerDeps& deps);   // deployment.cc
std::unique_ptr<Controller> make_replica_set_controller(const ControllerDeps& deps);  // replica_set.cc
std::unique_ptr<Controller> make_replication_controller(const ControllerDeps& deps);  // replica_set.cc
std::unique_ptr<Controller> make_node_ipam(const ControllerDeps& deps);               // node_ipam.cc

}  // namespace kayak::controllers
