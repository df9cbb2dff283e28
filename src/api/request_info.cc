// request_info.cc: paths to resources, methods to verbs.
#include "api/request_info.h"

#include <algorithm>
#include <array>

#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// Subresources that answer. The others of the kind table come with the work that builds them.
constexpr std::array<std::string_view, 5> kServedSubresources = {"status", "scale", "binding", "log", "finalize"};
// Groups whose kinds another server computes.
constexpr std::array<std::string_view, 1> kUnservedGroups = {"metrics.k8s.io"};

Error method_not_allowed() {
  return Error(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource",
               StatusDetails());
}

// The decoded segments; an encoded '/' stays inside its segment, so that it can never separate (CVE-2015-5305).
Result<std::vector<std::string>> segments_of(std::string_view path) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  std::vector<std::string> segments;
  if (path.empty()) return segments;
  for (std::string_view raw : split(path, '/')) {
    Result<std::string> segment = io::percent_decode(raw);
    if (!segment) return bad_request(cat("invalid path: ", segment.error().message()));
    segments.push_back(std::move(*segment));
  }
  return segments;
}

Result<Verb> verb_of(std::string_view method, bool has_name, bool watch) {
  if (method == "GET" || method == "HEAD") {
    if (watch) return Verb::kWatch;
    return has_name ? Verb::kGet : Verb::kList;
  }
  if (method == "POST") return Verb::kCreate;
  if (method == "PUT") return Verb::kUpdate;
  if (method == "PATCH") return Verb::kPatch;
  if (method == "DELETE") return has_name ? Verb::kDelete : Verb::kDeleteCollection;
  return method_not_allowed();
}

Result<void> check_names(const RequestInfo& info) {
  for (const std::string* name : {&info.name, &info.namespace_}) {
    const std::string problem = path_segment_problem(*name);
    if (!problem.empty()) return bad_request(cat("Name parameter invalid: ", quote(*name), ": ", problem));
  }
  return Result<void>();
}

Result<void> check_served(const RequestInfo& info, std::string_view method) {
  const Kind& kind = *info.kind;
  const bool has_name = !info.name.empty();
  if (!kind.namespaced && !info.namespace_.empty() && kind.plural != "namespaces") return no_such_path();
  if (kind.namespaced && info.namespace_.empty()) {
    if (has_name) return no_such_path();
    if (info.verb != Verb::kList && info.verb != Verb::kWatch) return method_not_allowed();
  }
  if (info.subresource_row != nullptr) {
    // A subresource is always of one object, so its verbs are get, update, patch and create.
    if (!has_verb(info.subresource_row->verbs, verb_name(info.verb))) return method_not_allowed();
    return Result<void>();
  }
  if (has_name && info.verb == Verb::kCreate) return method_not_allowed();
  if (!has_name && (method == "PUT" || method == "PATCH")) return method_not_allowed();
  if (!has_verb(kind.verbs, verb_name(info.verb))) return method_not_allowed();
  return Result<void>();
}

}  // namespace

std::string_view verb_name(Verb verb) {
  switch (verb) {
    case Verb::kGet:
      return "get";
    case Verb::kList:
      return "list";
    case Verb::kWatch:
      return "watch";
    case Verb::kCreate:
      return "create";
    case Verb::kUpdate:
      return "update";
    case Verb::kPatch:
      return "patch";
    case Verb::kDelete:
      return "delete";
    case Verb::kDeleteCollection:
      return "deletecollection";
  }
  return "";
}

bool has_verb(std::string_view verbs, std::string_view verb) {
  for (std::string_view part : split(verbs, ',')) {
    if (part == verb) return true;
  }
  return false;
}

bool is_served(const Kind& kind) {
  return std::find(kUnservedGroups.begin(), kUnservedGroups.end(), kind.group) == kUnservedGroups.end();
}

bool is_served(const Kind& kind, const SubresourceRow& subresource) {
  return is_served(kind) && std::find(kServedSubresources.begin(), kServedSubresources.end(), subresource.name) !=
                                kServedSubresources.end();
}

std::string path_segment_problem(std::string_view name) {
  if (name == "." || name == "..") return cat("may not be '", name, "'");
  if (name.find('/') != std::string_view::npos) return "may not contain '/'";
  if (name.find('%') != std::string_view::npos) return "may not contain '%'";
  return "";
}

Result<RequestInfo> parse_request_info(std::string_view method, std::string_view path, bool watch) {
  Result<std::vector<std::string>> segments = segments_of(path);
  if (!segments) return segments.error();
  RequestInfo info;
  info.path = cat("/", join(*segments, "/"));
  std::vector<std::string> parts = std::move(*segments);
  std::size_t at = 0;
  if (parts.size() > 2 && parts[0] == "api") {
    info.version = parts[1];
    at = 2;
  } else if (parts.size() > 3 && parts[0] == "apis") {
    info.group = parts[1];
    info.version = parts[2];
    at = 3;
  } else {
    return info;
  }
  info.is_resource = true;
  if (parts.size() > at + 1 && parts[at] == "watch") {  // the old form of ?watch=true
    watch = true;
    ++at;
  }
  parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(at));
  if (parts[0] == "namespaces" && parts.size() > 1) {
    info.namespace_ = parts[1];
    if (parts.size() > 2 && parts[2] != "status" && parts[2] != "finalize")
      parts.erase(parts.begin(), parts.begin() + 2);
  }
  info.resource = parts[0];
  if (parts.size() > 1) info.name = parts[1];
  if (parts.size() > 2) info.subresource = parts[2];
  if (auto named = check_names(info); !named) return named.error();
  info.kind = find_kind(info.group, info.version, info.resource);
  if (info.kind == nullptr || !is_served(*info.kind) || parts.size() > 3) return no_such_path();
  if (parts.size() > 1 && info.name.empty()) return no_such_path();
  if (info.resource == "namespaces") info.namespace_.clear();
  if (!info.subresource.empty()) {
    for (const SubresourceRow& row : info.kind->subresources) {
      if (row.name == info.subresource && is_served(*info.kind, row)) info.subresource_row = &row;
    }
    if (info.subresource_row == nullptr) return no_such_path();
  }
  Result<Verb> verb = verb_of(method, !info.name.empty(), watch);
  if (!verb) return verb.error();
  info.verb = *verb;
  if (auto served = check_served(info, method); !served) return served.error();
  return info;
}

}  // namespace kayak::api
