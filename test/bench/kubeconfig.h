// kubeconfig.h: how to reach a server, from the kubeconfig that it wrote.
#pragma once

#include <memory>
#include <string>

#include "io/http.h"

namespace kayak::bench {

// The first cluster and user of the file. Errors: NotFound, BadRequest, Invalid.
Result<io::HttpTarget> target_of_kubeconfig(const std::string& path, bool with_certificate = true);

}  // namespace kayak::bench
