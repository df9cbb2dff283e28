// client.h: a Store whose data live in an etcd v3 cluster. A front door beside store.h.
// What differs from the embedded engine: the Lease of the control plane alone decides who leads (leadership() says that
// this server does, in term 0), revisions and history are shared with whoever else writes to the cluster, and every
// server compacts, but only one of them at a time.
// Source: etcd v3.5 API.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "store/store.h"

namespace kayak::store::etcd {

struct EtcdStoreOptions {
  // "https://host:2379", "http://host:2379" or "unix:///path"; one after the other is used when one fails.
  std::vector<std::string> endpoints;
  // PEM files, read anew for each connection, so that renewed certificates are taken up. Empty: the system's CAs;
  // no client certificate.
  std::string ca_file, certificate_file, key_file;
  // For how long the start tries to reach a member that has a leader.
  Duration start_timeout = std::chrono::seconds(30);
  // A call that no member has begun with waits for one so long.
  Duration patience = std::chrono::seconds(20);
  // One call may take so long; a member of etcd gives up by itself after about 7 s.
  Duration call_timeout = std::chrono::seconds(10);
  std::size_t history_bytes = 8 * 1024 * 1024;          // of recent events kept in memory for watches
  Duration compact_interval = std::chrono::minutes(5);  // history kept at least this long; 0: only by compact()
  Revision compact_revisions = 1000;                    // fewer are not worth a compaction
  // The cluster no longer has what this server has seen (it was restored from a backup), or every endpoint leads to
  // another one now. What was read from it may be wrong, so nothing can go on. Unset: a line to stderr and abort().
  // When it returns, every further call gets Unavailable.
  std::function<void(const Error&)> on_fatal;
};

// Whether `url` can be an endpoint. Errors: Invalid; the message goes on where it was quoted ("must...").
Result<void> check_endpoint(const std::string& url);

// Errors: Invalid (an endpoint or a file, with what is wrong), Unavailable (no endpoint answers; says which, why and
// what to look at), Unauthorized (none of the endpoints is who it should be).
Task<Result<std::unique_ptr<Store>>> open_etcd_store(Context context, EtcdStoreOptions options,
                                                     StopToken stop = StopToken());

}  // namespace kayak::store::etcd
