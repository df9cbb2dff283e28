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
Identity controller_identity(std::string_view name);  // system:serviceaccount:kube-system:<name>
Identity node_identity(std::string_view node_name);   // system:node:<name>, group system:nodes

// `server` must outlive the client. Writes return when the server's watch cache has reached their revision.
std::unique_ptr<Client> make_inprocess_client(Context context, api::ApiServer& server, Identity identity);

}  // namespace kayak::client
