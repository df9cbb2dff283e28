// signals.h: the signals that end the program, as something to wait for on the loop.
#pragma once

#include "io/loop.h"

namespace kayak::io {

// Waits for SIGTERM or SIGINT and gives its number. Blocks both for the process (call it before threads start, or from
// the main thread early) and ignores SIGPIPE. Errors: Cancelled, Io.
Task<Result<int>> wait_for_signal(Context context, StopToken stop);

}  // namespace kayak::io
