// authorizer.cc: identities and the list of those who may.
#include "api/authorizer.h"

#include <algorithm>
#include <array>

#include "api/request_info.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::array<std::string_view, 2> kAdminGroups = {"system:masters", "kayak:cluster-admins"};
// Our own components, each under its own name.
constexpr std::array<std::string_view, 2> kComponents = {"system:kube-scheduler", "system:kube-controller-manager"};
constexpr std::string_view kControllerPrefix = "system:serviceaccount:kube-system:";
constexpr std::string_view kNodePrefix = "system:node:";
constexpr std::string_view kNodesGroup = "system:nodes";

std::string lower_method(std::string_view method) { return to_lower(method); }

}  // namespace

bool UserInfo::in_group(std::string_view group) const {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

UserInfo user_of(const io::TlsPeer& peer) {
  UserInfo user;
  if (!peer.certificate || peer.certificate->common_name.empty()) {
    user.name = "system:anonymous";
    user.groups.emplace_back("system:unauthenticated");
    return user;
  }
  user.name = peer.certificate->common_name;
  user.groups = peer.certificate->organizations;
  if (!user.in_group("system:authenticated")) user.groups.emplace_back("system:authenticated");
  return user;
}

bool is_anonymous(const UserInfo& user) { return user.name.empty() || user.name == "system:anonymous"; }

bool is_public_path(std::string_view path) {
  for (std::string_view root : {"/livez", "/readyz", "/healthz"}) {
    if (path == root || (path.starts_with(root) && path[root.size()] == '/')) return true;
  }
  return path == "/version";
}

bool has_full_access(const UserInfo& user) {
  if (is_anonymous(user)) return false;
  for (std::string_view group : kAdminGroups) {
    if (user.in_group(group)) return true;
  }
  if (std::find(kComponents.begin(), kComponents.end(), user.name) != kComponents.end()) return true;
  if (user.name.starts_with(kControllerPrefix)) return true;
  return user.name.starts_with(kNodePrefix) && user.in_group(kNodesGroup);
}

Result<void> authorize(const UserInfo& user, const ApiRequest& request) {
  if (has_full_access(user)) return Result<void>();
  const Kind& kind = *request.kind;
  std::string resource(kind.plural);
  if (!request.subresource.empty()) resource += cat("/", request.subresource);
  const std::string where =
      request.namespace_.empty() ? " at the cluster scope" : cat(" in the namespace ", quote(request.namespace_));
  return forbidden(kind, request.name,
                   cat("User ", quote(user.name), " cannot ", verb_name(request.verb), " resource ", quote(resource),
                       " in API group ", quote(kind.group), where));
}

Result<void> authorize_path(const UserInfo& user, std::string_view method, std::string_view path) {
  if (is_public_path(path) || has_full_access(user)) return Result<void>();
  return Error(Code::kForbidden,
               cat("forbidden: User ", quote(user.name), " cannot ", lower_method(method), " path ", quote(path)),
               StatusDetails());
}

}  // namespace kayak::api
