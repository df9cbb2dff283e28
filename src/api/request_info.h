// request_info.h: what a URL and a method ask for.
// Source: apiserver pkg/endpoints/request (RequestInfo), Kubernetes API concepts, "Resource URIs".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/api.h"

namespace kayak::api {

struct RequestInfo {
  bool is_resource = false;  // false: discovery, health and the like; then only `path` counts
  std::string path;          // decoded, without a trailing '/'
  Verb verb = Verb::kGet;
  const Kind* kind = nullptr;
  const SubresourceRow* subresource_row = nullptr;
  std::string group, version, resource, subresource, namespace_, name;
};

// `path` percent-encoded, `watch`: the query asks for a watch. Errors: NotFound (no such resource or subresource),
// MethodNotAllowed (the resource has no such verb), BadRequest (a name that can be no path segment).
Result<RequestInfo> parse_request_info(std::string_view method, std::string_view path, bool watch);

// What this server answers of the kind table: what is not here is neither routed nor in discovery.
bool is_served(const Kind& kind);
bool is_served(const Kind& kind, const SubresourceRow& subresource);
bool has_verb(std::string_view verbs, std::string_view verb);  // in a comma separated list

// Why `name` cannot be a part of a path ("may not be '..'"); empty when it can.
std::string path_segment_problem(std::string_view name);

}  // namespace kayak::api
