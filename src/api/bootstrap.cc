// bootstrap.cc: reads what there is and writes what is missing, as any client would.
#include "api/bootstrap.h"

#include <array>

#include "api/document.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::array<std::string_view, 4> kNamespaces = {"default", "kube-system", "kube-public", "kube-node-lease"};

UserInfo bootstrap_user() {
  UserInfo user;
  user.name = "system:apiserver";
  user.groups = {"system:masters", "system:authenticated"};
  return user;
}

ApiRequest request_for(Verb verb, const Kind& kind, std::string_view namespace_, std::string_view name) {
  ApiRequest request;
  request.verb = verb;
  request.kind = &kind;
  request.namespace_ = namespace_;
  request.name = name;
  request.user = bootstrap_user();
  request.user_agent = "kube-apiserver";
  return request;
}

// Makes `object` unless there is one of its name.
Task<Result<void>> ensure(ApiServer& server, const Kind& kind, json::Value object, StopToken stop) {
  const std::string namespace_(meta_text(object, "namespace"));
  const std::string name(meta_text(object, "name"));
  if (server.cache().get(kind, namespace_, name)) co_return Result<void>();
  ApiRequest request = request_for(Verb::kCreate, kind, namespace_, "");
  request.body = std::move(object);
  auto made = co_await server.handle(std::move(request), stop);
  if (!made && made.error().code() != Code::kAlreadyExists) {
    co_return made.error().while_doing(cat("making ", kind.group_resource(), " ", name));
  }
  co_return Result<void>();
}

json::Value named(std::string_view name) {
  json::Value object;
  object["metadata"]["name"] = name;
  return object;
}

}  // namespace

Task<Result<void>> reconcile_bootstrap(ApiServer& server, ServerParts&, StopToken stop) {
  for (std::string_view name : kNamespaces) {
    auto done = co_await ensure(server, kinds::namespaces(), named(name), stop);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

}  // namespace kayak::api
