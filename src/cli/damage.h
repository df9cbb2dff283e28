// damage.h: what a person can do about a damaged database of which no other server has a copy.
#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "cli/options.h"

namespace kayak::cli {

// `damage` with the way out: one command that can be pasted and goes back to the newest snapshot of this cluster that
// is whole, or what is left when there is none. Looks through the snapshots. Blocking.
Error with_way_out(const Error& damage, const ServerOptions& options, WallTime now);

}  // namespace kayak::cli
