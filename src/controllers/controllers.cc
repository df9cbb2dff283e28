// controllers.cc: the table of controllers, and running them together.
#include "controllers/controllers.h"

#include <array>
#include <vector>

#include "controllers/rows.h"

namespace kayak::controllers {

std::span<const ControllerRow> controller_table() {
  static constexpr std::array kRows = {
      ControllerRow{"generic-garbage-collector", make_garbage_collector},
      ControllerRow{"namespace-controller", make_namespace_controller},
      ControllerRow{"deployment-controller", make_deployment_controller},
      ControllerRow{"replicaset-controller", make_replica_set_controller},
      ControllerRow{"replication-controller", make_replication_controller},
      ControllerRow{"node-controller", make_node_ipam},
  };
  return kRows;
}

namespace {

class AllControllers final : public Controller {
 public:
  AllControllers(Context context, ClientFor client_for, client::InformerFactory& informers, Options options)
      : options_(std::move(options)) {
    for (const ControllerRow& row : controller_table()) {
      clients_.push_back(client_for(row.name));
      controllers_.push_back(row.make(ControllerDeps{context.named(row.name), *clients_.back(), informers, options_}));
    }
  }

  Task<Result<void>> run(StopToken stop) override {
    io::TaskScope scope(stop);
    for (const auto& controller : controllers_) scope.spawn(controller->run(scope.token()));
    co_return co_await scope.join();
  }

 private:
  Options options_;
  std::vector<std::unique_ptr<client::Client>> clients_;  // outlive the controllers below
  std::vector<std::unique_ptr<Controller>> controllers_;
};

}  // namespace

std::unique_ptr<Controller> make_controllers(Context context, ClientFor client_for, client::InformerFactory& informers,
                                             Options options) {
  return std::make_unique<AllControllers>(std::move(context), std::move(client_for), informers, std::move(options));
}

}  // namespace kayak::controllers
