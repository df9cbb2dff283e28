// datastore.cc: see datastore.h.
#include "cli/datastore.h"

#include "store/etcd/client.h"

namespace kayak::cli {

bool has_datastore(const ServerOptions& options) { return !options.datastore_endpoint.empty(); }

Task<Result<std::unique_ptr<store::Store>>> open_datastore(Context context, const ServerOptions& options,
                                                           std::function<void(const Error&)> on_fatal, StopToken stop) {
  store::etcd::EtcdStoreOptions out;
  out.endpoints = options.datastore_endpoint;
  out.ca_file = options.datastore_cafile;
  out.certificate_file = options.datastore_certfile;
  out.key_file = options.datastore_keyfile;
  out.on_fatal = std::move(on_fatal);
  co_return co_await store::etcd::open_etcd_store(std::move(context), std::move(out), std::move(stop));
}

}  // namespace kayak::cli
