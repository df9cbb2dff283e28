// server.h: `kayak server`: wires store, API, scheduler, controllers and node agent into one process.
#pragma once

#include "cli/options.h"
#include "io/loop.h"

namespace kayak::cli {

// Runs until SIGTERM or SIGINT, or until a part fails for good. The exit status of the process.
int run_server(const ServerOptions& options);

// `kayak image ...`. The exit status.
int run_image(const ImageOptions& options);

// `kayak snapshot ...`. The exit status.
int run_snapshot(const SnapshotOptions& options);
// `kayak member ...`. The exit status.
int run_member(const MemberOptions& options);

}  // namespace kayak::cli
