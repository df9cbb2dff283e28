// process.h: what each command's process has one of: loop, clock, randomness, metrics, a log on stderr.
#pragma once

#include <functional>

#include "cli/options.h"
#include "io/loop.h"

namespace kayak::cli {

using ProcessMain = std::function<Result<void>(const Context& context)>;
// A command that does one thing and ends; warnings alone are logged. The exit status: 0, or 1 when `main` failed and
// stderr says why.
int run_tool(const ProcessMain& main);
// A process that serves, under its `name` in the log. The exit status, likewise.
int run_service(std::string_view name, const ServerOptions& options, const ProcessMain& main);

}  // namespace kayak::cli
