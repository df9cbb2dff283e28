// start_checks.h: files that a server's options name and that it would need only later, or again and again: what is
// wrong with them is said at the start.
#pragma once

#include "base/random.h"
#include "base/result.h"
#include "cli/options.h"

namespace kayak::cli {

// Blocking. Errors: Invalid, NotFound, Io; the message names the flag.
Result<void> check_named_files(Random& random, const ServerOptions& options);

}  // namespace kayak::cli
