// reviews.cc: the answers to reviews, by the same authorizer that requests pass.
#include "api/reviews.h"

#include <algorithm>
#include <array>

#include "api/authorizer.h"
#include "api/decode.h"
#include "api/document.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

using Review = Result<void> (*)(ServerParts& parts, const ApiRequest& request, json::Value& document);

json::Value user_info(const UserInfo& user) {
  json::Value info = json::Object();
  if (!user.name.empty()) info["username"] = user.name;
  if (!user.uid.empty()) info["uid"] = user.uid;
  json::Array groups;
  for (const std::string& group : user.groups) groups.emplace_back(group);
  if (!groups.empty()) info["groups"] = std::move(groups);
  return info;
}

void set_decision(json::Value& document, bool allowed) {
  json::Value status = json::Object();
  status["allowed"] = allowed;
  if (!allowed) status["reason"] = "only administrators and the cluster's components have access";
  document["status"] = std::move(status);
}

// Exactly one of the two kinds of attributes must be asked about.
Result<void> check_attributes(const Kind& kind, const json::Value& document) {
  const bool resource = document.at({"spec", "resourceAttributes"}) != nullptr;
  const bool path = document.at({"spec", "nonResourceAttributes"}) != nullptr;
  if (resource && path) {
    return invalid(kind, "",
                   {field::invalid(field::Path("spec.nonResourceAttributes"), json::Object(),
                                   "cannot be specified in combination with resourceAttributes")});
  }
  if (!resource && !path) {
    return invalid(kind, "",
                   {field::invalid(field::Path("spec.resourceAttributes"), nullptr,
                                   "exactly one of nonResourceAttributes or resourceAttributes must be specified")});
  }
  return Result<void>();
}

Result<void> self_subject_review(ServerParts& parts, const ApiRequest& request, json::Value& document) {
  metadata_of(document)["creationTimestamp"] = format_time(parts.context.clock.wall());
  document["status"]["userInfo"] = user_info(request.user);
  return Result<void>();
}

Result<void> self_access_review(ServerParts&, const ApiRequest& request, json::Value& document) {
  if (auto valid = check_attributes(*request.kind, document); !valid) return valid;
  set_decision(document, has_full_access(request.user));
  return Result<void>();
}

Result<void> access_review(ServerParts&, const ApiRequest& request, json::Value& document) {
  if (auto valid = check_attributes(*request.kind, document); !valid) return valid;
  UserInfo user;
  user.name = text_at(document, {"spec", "user"});
  const json::Value* groups = document.at({"spec", "groups"});
  if (groups != nullptr && groups->is_array()) {
    for (const json::Value& group : groups->as_array()) user.groups.emplace_back(group.string_or());
  }
  if (user.name.empty() && user.groups.empty()) {
    return invalid(*request.kind, "",
                   {field::invalid(field::Path("spec.user"), "", "at least one of user or group must be specified")});
  }
  if (request.kind->namespaced) {
    const std::string_view asked = text_at(document, {"spec", "resourceAttributes", "namespace"});
    if (asked != request.namespace_) {
      return invalid(*request.kind, "",
                     {field::invalid(field::Path("spec.resourceAttributes.namespace"), json::Value(asked),
                                     "must match metadata.namespace")});
    }
  }
  // A group alone can hold access; a name is needed by none of the rules then.
  if (user.name.empty()) user.name = "system:group-only";
  set_decision(document, has_full_access(user));
  return Result<void>();
}

Result<void> rules_review(ServerParts&, const ApiRequest& request, json::Value& document) {
  if (text_at(document, {"spec", "namespace"}).empty()) return bad_request("no namespace on request");
  json::Array all{json::Value("*")};
  json::Value status;
  status["resourceRules"] = json::Array();
  status["nonResourceRules"] = json::Array();
  status["incomplete"] = false;
  if (has_full_access(request.user)) {
    json::Value resources;
    resources["verbs"] = all;
    resources["apiGroups"] = all;
    resources["resources"] = all;
    status["resourceRules"].as_array().push_back(std::move(resources));
    json::Value paths;
    paths["verbs"] = all;
    paths["nonResourceURLs"] = all;
    status["nonResourceRules"].as_array().push_back(std::move(paths));
  }
  document["spec"] = json::Object();
  document["status"] = std::move(status);
  return Result<void>();
}

Result<void> token_review(ServerParts&, const ApiRequest& request, json::Value& document) {
  if (text_at(document, {"spec", "token"}).empty()) {
    return bad_request("token is required for TokenReview in authentication");
  }
  if (!request.namespace_.empty()) return bad_request("namespace is not allowed on this type");
  json::Value status = json::Object();
  status["user"] = json::Object();
  status["error"] = "no token authenticator is configured";
  document["status"] = std::move(status);
  return Result<void>();
}

struct ReviewRow {
  std::string_view plural;
  Review review;
};
constexpr std::array kReviews = {
    ReviewRow{"selfsubjectreviews", self_subject_review}, ReviewRow{"selfsubjectaccessreviews", self_access_review},
    ReviewRow{"subjectaccessreviews", access_review},     ReviewRow{"localsubjectaccessreviews", access_review},
    ReviewRow{"selfsubjectrulesreviews", rules_review},   ReviewRow{"tokenreviews", token_review},
};

// ---- component statuses: deprecated, still what `kubectl get cs` asks for

constexpr std::array<std::string_view, 3> kComponents = {"scheduler", "controller-manager", "etcd-0"};

json::Value component_status(std::string_view name) {
  json::Value status;
  status["metadata"]["name"] = name;
  json::Value condition;
  condition["type"] = "Healthy";
  condition["status"] = "True";
  condition["message"] = "ok";
  status["conditions"] = json::Array{std::move(condition)};
  return status;
}

Result<ApiResponse> serve_component_status(const ApiRequest& request) {
  ApiResponse response;
  DocumentAnswer answer;
  answer.table_kind = request.kind->kind;
  if (request.verb == Verb::kGet) {
    if (std::find(kComponents.begin(), kComponents.end(), request.name) == kComponents.end()) {
      return not_found(*request.kind, request.name);
    }
    answer.document = component_status(request.name);
    set_type(answer.document, "v1", "ComponentStatus");
    answer.message = request.kind->message;
  } else {
    json::Array items;
    for (std::string_view name : kComponents) items.push_back(component_status(name));
    answer.document["metadata"] = json::Object();
    answer.document["items"] = std::move(items);
    set_type(answer.document, "v1", "ComponentStatusList");
    answer.message = find_message("v1", "ComponentStatusList");
  }
  response.document = std::move(answer);
  return response;
}

}  // namespace

Result<ApiResponse> serve_unstored(ServerParts& parts, const ApiRequest& request) {
  if (request.kind->plural == "componentstatuses") return serve_component_status(request);
  for (const ReviewRow& row : kReviews) {
    if (row.plural != request.kind->plural) continue;
    if (request.verb != Verb::kCreate) return method_not_supported(*request.kind, verb_name(request.verb));
    ApiResponse response;
    auto document = decode_document(expected_of(*request.kind), request.body, request.duplicate_fields,
                                    request.write.field_validation, response.warnings);
    if (!document) return document.error();
    if (auto reviewed = row.review(parts, request, *document); !reviewed) return reviewed.error();
    canonicalize(*request.kind->message, *document);
    set_type(*document, request.kind->api_version(), request.kind->kind);
    response.status = 201;
    DocumentAnswer answer;
    answer.document = std::move(*document);
    answer.message = request.kind->message;
    response.document = std::move(answer);
    return response;
  }
  return no_such_path();
}

}  // namespace kayak::api
