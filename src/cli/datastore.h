// datastore.h: the store of a server that keeps its data in an existing etcd cluster.
#pragma once

#include <functional>
#include <memory>

#include "cli/options.h"
#include "io/loop.h"
#include "store/store.h"

namespace kayak::cli {

// Whether all data live in an etcd cluster, so that there is no group of our own: members, witness and snapshots are
// that cluster's business.
bool has_datastore(const ServerOptions& options);
// `on_fatal`: as in EtcdStoreOptions. Errors: as of store::etcd::open_etcd_store.
Task<Result<std::unique_ptr<store::Store>>> open_datastore(Context context, const ServerOptions& options,
                                                           std::function<void(const Error&)> on_fatal, StopToken stop);

}  // namespace kayak::cli
