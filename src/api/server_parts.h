// server_parts.h: what the handlers of one API server share. Private to src/api.
#pragma once

#include "api/api.h"
#include "api/watch_cache.h"
#include "io/loop.h"
#include "store/store.h"

namespace kayak::api {

class ServiceAllocator;

struct ServerParts {
  Context context;
  store::Store& store;
  const ApiServerOptions& options;
  WatchCache& cache;
  ServiceAllocator& services;
  ApiServer::LogHook& log_hook;
};

}  // namespace kayak::api
