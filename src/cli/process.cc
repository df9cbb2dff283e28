// process.cc: see process.h.
#include "cli/process.h"

#include <cstdio>

#include "base/version.h"

namespace kayak::cli {

namespace {

int run_process(const Log& log, const ProcessMain& main) {
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  Loop loop;
  const Context context{loop, clock, random, log, metrics};
  const Result<void> result = main(context);
  if (result) return 0;
  std::fprintf(stderr, "kayak: %s\n", result.error().message().c_str());
  return 1;
}

}  // namespace

int run_tool(const ProcessMain& main) { return run_process(Log::to_fd(2, LogLevel::kWarn), main); }

int run_service(std::string_view name, const ServerOptions& options, const ProcessMain& main) {
  const Log log = Log::to_fd(2, options.log_level);
  return run_process(log.named(name), [&](const Context& context) {
    context.loop.watch_stalls(log.named("loop"), context.metrics);
    context.log.info("starting", {{"version", kVersion}, {"data_dir", options.data_dir}});
    return main(context);
  });
}

}  // namespace kayak::cli
