// datastore.h: the store of a server that keeps its data in an existing etcd cluster.
#pragma once

#include <memory>

#include "cli/options.h"
#include "io/loop.h"
#include "store/store.h"

namespace kayak::cli {

// Whether all data live in an etcd cluster, so that there is no group of our own: members, witness and snapshots are
// that cluster's business.
bool has_datastore(const ServerOptions& options);
// Errors: as of store::etcd::open_etcd_store.
Task<Result<std::unique_ptr<store::Store>>> open_datastore(Context context, const ServerOptions& options,
                                                           StopToken stop);

}  // namespace kayak::cli
