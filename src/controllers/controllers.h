// controllers.h: the controllers, one file each, and the one table that lists them. The only header of src/controllers
// that others include. A controller sees the cluster through informers and acts through a Client of its own identity
// (system:serviceaccount:kube-system:<name>).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "client/client.h"

namespace kayak::controllers {

struct Options {
  std::string cluster_cidr = "10.42.0.0/16";  // split into one /24 per node
};

class Controller {
 public:
  virtual ~Controller() = default;
  // Starts when its informers are in sync; until `stop`. A failure stops the server, so what may pass is retried
  // inside.
  virtual Task<Result<void>> run(StopToken stop) = 0;
};

// What a controller is made of; all of it outlives the controller.
struct ControllerDeps {
  Context context;
  client::Client& client;
  client::InformerFactory& informers;
  const Options& options;
};

struct ControllerRow {
  std::string_view name;  // of its service account: "deployment-controller"
  std::unique_ptr<Controller> (*make)(const ControllerDeps& deps);
};
std::span<const ControllerRow> controller_table();

// All controllers of the table, each with the client that `client_for` gives for its name.
using ClientFor = std::function<std::unique_ptr<client::Client>(std::string_view name)>;
std::unique_ptr<Controller> make_controllers(Context context, ClientFor client_for, client::InformerFactory& informers,
                                             Options options);

}  // namespace kayak::controllers
