// until_signal.h: a program that serves until somebody asks it to end.
#pragma once

#include <functional>

#include "io/loop.h"

namespace kayak::cli {

using Serves = std::function<Task<Result<void>>(StopToken stop)>;
// Runs `serves` and stops it at SIGTERM or SIGINT; an end that was asked for is a success.
Task<Result<void>> run_until_signal(Context context, Serves serves);

}  // namespace kayak::cli
