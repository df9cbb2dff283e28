// inprocess.h: the Client of components that live in the API server's own process: the request pipeline of any socket,
// without sockets, TLS and encoding.
#pragma once

#include <memory>
#include <string>

#include "api/api.h"
#include "client/client.h"

namespace kayak::client {

// Who a component is to the API.
struct Identity {
  api::UserInfo user;
  std::string field_manager;  // as upstream's component names it: "kube-scheduler", "kubelet", ...
};
Identity scheduler_identity();                        // system:kube-scheduler
Identity controller_manager_identity();               // system:kube-controller-manager
Identity controller_identity(std::string_view name);  // system:serviceaccount:kube-system:<name>
Identity node_identity(std::string_view node_name);   // system:node:<name>, group system:nodes

// `server` must outlive the client. Writes return when the server's watch cache has reached their revision.
// `term` not 0: its writes are refused when another leadership has begun (store::Leadership).
std::unique_ptr<Client> make_inprocess_client(Context context, api::ApiServer& server, Identity identity,
                                              std::uint64_t term = 0);

}  // namespace kayak::client
