// until_signal.cc: see until_signal.h.
#include "cli/until_signal.h"

#include <csignal>

#include "io/signals.h"

namespace kayak::cli {

namespace {

Task<Result<void>> watch_signals(Context context, io::StopSource* stop, StopToken end) {
  Result<int> signal = co_await io::wait_for_signal(context, end);
  if (signal) {
    context.log.info("stopping", {{"signal", *signal == SIGINT ? "SIGINT" : "SIGTERM"}});
    stop->stop();
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> run_until_signal(Context context, Serves serves) {
  io::StopSource stop;
  io::TaskScope signals;
  signals.spawn(watch_signals(context, &stop, signals.token()));
  Result<void> result = co_await serves(stop.token());
  signals.stop();
  Result<void> joined = co_await signals.join();
  if (!result && result.error().code() == Code::kCancelled) result = Result<void>();
  co_return result ? joined : result;
}

}  // namespace kayak::cli
