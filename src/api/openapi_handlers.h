// openapi_handlers.h: /openapi/v2 and /openapi/v3 as rows of the table of paths.
#pragma once

#include <vector>

#include "api/http_server.h"

namespace kayak::api {

// `version`: of the server, as the documents name it. The rows are slow: they are answered off the loop.
std::vector<PathRow> openapi_handlers(std::string version);

}  // namespace kayak::api
