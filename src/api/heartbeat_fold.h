// heartbeat_fold.h: makes heartbeats durable that no other write took along: all of them together when the oldest is
// five minutes old, and when the server stops.
// Source: src/store/README.md, Heartbeats.
#pragma once

#include "api/heartbeat_link.h"
#include "api/watch_cache.h"

namespace kayak::api {

// Writes what the overlay shows: a key of each kind per transaction, so that no watch sees two events of one revision,
// and all transactions at once, so that they share commits. Loses against whatever else writes a key meanwhile.
// The newest revision written; 0: nothing was. Errors: those of the store; what was not written stays in the overlay.
Task<Result<store::Revision>> fold_heartbeats(store::Store& store, WatchCache& cache, StopToken stop);

// The same if the oldest heartbeat is not younger than `age`, then waits until the cache shows it. True: it folded.
Task<Result<bool>> fold_heartbeats_older_than(Context context, store::Store& store, WatchCache& cache, Duration age,
                                              StopToken stop);

// Folds when due, until `stop`.
// Of several servers the one that leads does so; `link` null: there are no others.
Task<Result<void>> keep_folding_heartbeats(Context context, store::Store& store, WatchCache& cache,
                                           const HeartbeatLink* link, Duration age, StopToken stop);

// At a clean stop, after everything else: heartbeats are durable writes from now on, and those there are get folded, in
// at most a few seconds.
Task<void> fold_last_heartbeats(Context context, store::Store& store, WatchCache& cache);

}  // namespace kayak::api
