// authorizer.h: who a caller is, by its connection, and whether it may do what it asks.
// Until RBAC is there: administrators and our own components may do everything, nobody else anything but to read the
// public paths. The place in the pipeline and the wording are RBAC's.
// Source: Kubernetes docs, "Authenticating" (X.509 client certificates), "Authorization".
#pragma once

#include <optional>
#include <string_view>

#include "api/api.h"
#include "io/tls.h"

namespace kayak::api {

// The certificate's common name and organizations, in group system:authenticated; system:anonymous without one.
UserInfo user_of(const io::TlsPeer& peer);
bool is_anonymous(const UserInfo& user);
// Paths that need no identity: /livez, /readyz, /healthz with their checks, and /version.
bool is_public_path(std::string_view path);

// Errors: Forbidden with upstream's wording.
Result<void> authorize(const UserInfo& user, const ApiRequest& request);
Result<void> authorize_path(const UserInfo& user, std::string_view method, std::string_view path);
bool has_full_access(const UserInfo& user);

}  // namespace kayak::api
