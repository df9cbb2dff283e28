// openapi_paths.cc: the paths and operations of a kind.
// Source: apiserver pkg/endpoints/installer.go (operation names, parameters, actions); metav1 options.
#include <cctype>

#include "api/messages.h"
#include "api/openapi_impl.h"
#include "base/strings.h"

namespace kayak::api::openapi {
namespace {

// Query parameters by name: {name, type, description}.
struct Query {
  std::string_view name, type, description;
};
constexpr Query kPretty = {"pretty", "string", "\"true\" prints the answer for people."};
constexpr Query kWriteOptions[] = {
    {"dryRun", "string", "All: does everything but keep the result. Other values are refused."},
    {"fieldManager", "string", "The name under which the changes are remembered; at most 128 printable characters."},
    {"fieldValidation", "string",
     "What becomes of unknown and duplicate fields: Strict refuses them, Warn (the default) warns, Ignore drops them."},
};
constexpr Query kForce = {"force", "boolean", "Apply patches only: takes over fields that other managers own."};
constexpr Query kDeleteOptions[] = {
    {"dryRun", "string", "All: does everything but keep the result. Other values are refused."},
    {"gracePeriodSeconds", "integer", "Seconds until the object is removed; 0 removes it at once."},
    {"orphanDependents", "boolean", "Deprecated, use propagationPolicy. Whether dependents stay."},
    {"propagationPolicy", "string",
     "What becomes of dependents: Orphan leaves them, Background deletes them later, Foreground first."},
};
constexpr Query kListOptions[] = {
    {"allowWatchBookmarks", "boolean", "Whether a watch may send events of type BOOKMARK."},
    {"continue", "string", "Where a list goes on, from the metadata.continue of the list before."},
    {"fieldSelector", "string", "Keeps objects whose fields match, as in metadata.name=x."},
    {"labelSelector", "string", "Keeps objects whose labels match, as in app=web,tier!=db."},
    {"limit", "integer", "The most items a list holds; metadata.continue leads to the rest."},
    {"resourceVersion", "string", "How fresh the answer must be, or where a watch begins."},
    {"resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."},
    {"sendInitialEvents", "boolean", "Whether a watch begins with the objects that exist."},
    {"timeoutSeconds", "integer", "How long a list or watch may take."},
    {"watch", "boolean", "Answers with changes instead of a list."},
};
constexpr Query kLogOptions[] = {
    {"container", "string", "The container; needed when the pod has several."},
    {"follow", "boolean", "Goes on as the log grows."},
    {"insecureSkipTLSVerifyBackend", "boolean", "Does not verify the node's certificate."},
    {"limitBytes", "integer", "The most bytes to answer with."},
    {"previous", "boolean", "The log of the container before its last restart."},
    {"sinceSeconds", "integer", "Lines of the last so many seconds."},
    {"stream", "string", "All, Stdout or Stderr."},
    {"tailLines", "integer", "So many lines from the end."},
    {"timestamps", "boolean", "Puts the time before each line."},
};

json::Value query_parameter(const Query& query, Version version) {
  json::Object out;
  out.set("name", query.name);
  out.set("in", "query");
  out.set("description", query.description);
  if (version == Version::kV3) {
    json::Object schema;
    schema.set("type", query.type);
    schema.set("uniqueItems", true);
    out.set("schema", std::move(schema));
  } else {
    out.set("type", query.type);
    out.set("uniqueItems", true);
  }
  return out;
}

json::Value path_parameter(std::string_view name, std::string_view description, Version version) {
  json::Value out = query_parameter({name, "string", description}, version);
  out["in"] = "path";
  out["required"] = true;
  return out;
}

// "CoreV1", "AppsV1", "RbacAuthorizationV1": as operation names spell a group version.
std::string operation_group(const Kind& kind) {
  std::string_view group = kind.group.empty() ? "core" : kind.group;
  if (group.ends_with(".k8s.io")) group.remove_suffix(7);
  std::string out;
  for (const std::string_view part : split(group, '.')) {
    out += cat(static_cast<char>(std::toupper(static_cast<unsigned char>(part.front()))), part.substr(1));
  }
  return cat(out, static_cast<char>(std::toupper(static_cast<unsigned char>(kind.version.front()))),
             kind.version.substr(1));
}

std::string tag(const Kind& kind) {
  std::string name = operation_group(kind);
  name[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(name[0])));
  const std::size_t version = name.rfind('V');
  return cat(name.substr(0, version), "_", kind.version);
}

// What an operation is about, while its path item is put together.
struct Subject {
  const Kind& kind;
  Version version;
  std::set<const Message*>* used;
  std::string group, api_version_name, kind_name;  // of x-kubernetes-group-version-kind
  std::string suffix;                              // of the operation's name: "NamespacedPodStatus"
};

json::Value gvk(const Subject& subject) {
  json::Object out;
  out.set("group", subject.group);
  out.set("kind", subject.kind_name);
  out.set("version", subject.api_version_name);
  return out;
}

json::Array texts(std::initializer_list<std::string_view> values) {
  json::Array out;
  for (const std::string_view value : values) out.emplace_back(value);
  return out;
}

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kYaml = "application/yaml";
constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";

json::Value content(const json::Value& schema, std::initializer_list<std::string_view> types) {
  json::Object out;
  for (const std::string_view type : types) {
    json::Object media;
    media.set("schema", schema);
    out.set(type, std::move(media));
  }
  return out;
}

json::Value response(std::string_view description, const json::Value* schema, Version version, bool text) {
  json::Object out;
  out.set("description", description);
  if (schema && version == Version::kV2) out.set("schema", *schema);
  if (schema && version == Version::kV3) {
    out.set("content", text ? content(*schema, {"text/plain"}) : content(*schema, {kJson, kProtobuf, kYaml}));
  }
  return out;
}

struct Operation {
  std::string_view action;       // x-kubernetes-action
  std::string_view name_prefix;  // "create", "read", ...
  std::string_view description;  // before the kind's name
  const Message* body = nullptr;
  bool body_required = true;
  bool patch = false;
  const Message* answer = nullptr;
  std::initializer_list<int> codes = {200};
  bool text_answer = false;
};

void add_body(const Subject& subject, const Operation& operation, json::Value& out, json::Array& parameters) {
  subject.used->insert(operation.body);
  const json::Value schema = reference(*operation.body, subject.version);
  if (subject.version == Version::kV2) {
    json::Object body;
    body.set("name", "body");
    body.set("in", "body");
    if (operation.body_required) body.set("required", true);
    body.set("schema", schema);
    parameters.insert(parameters.begin(), std::move(body));
    return;
  }
  json::Object body;
  if (operation.patch) {
    body.set("content", content(schema, {"application/apply-patch+yaml", "application/json-patch+json",
                                         "application/merge-patch+json", "application/strategic-merge-patch+json"}));
  } else {
    body.set("content", content(schema, {"*/*"}));
  }
  if (operation.body_required) body.set("required", true);
  out["requestBody"] = std::move(body);
}

std::string_view code_name(int code) { return code == 201 ? "Created" : code == 202 ? "Accepted" : "OK"; }

json::Value operation_object(const Subject& subject, const Operation& operation, json::Array parameters) {
  json::Value out = json::Object();
  out["description"] = cat(operation.description, " ", subject.kind_name);
  out["operationId"] = cat(operation.name_prefix, operation_group(subject.kind), subject.suffix);
  out["tags"] = texts({tag(subject.kind)});
  if (subject.version == Version::kV2) {
    out["consumes"] = operation.patch
                          ? texts({"application/json-patch+json", "application/merge-patch+json",
                                   "application/strategic-merge-patch+json", "application/apply-patch+yaml"})
                          : texts({"*/*"});
    out["produces"] = operation.text_answer ? texts({"text/plain"}) : texts({kJson, kYaml, kProtobuf});
    out["schemes"] = texts({"https"});
  }
  if (operation.body) add_body(subject, operation, out, parameters);
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  json::Value schema;
  if (operation.text_answer) {
    schema["type"] = "string";
  } else if (operation.answer) {
    subject.used->insert(operation.answer);
    schema = reference(*operation.answer, subject.version);
  }
  json::Object responses;
  for (const int code : operation.codes) {
    responses.set(std::to_string(code), response(code_name(code), schema.is_null() ? nullptr : &schema, subject.version,
                                                 operation.text_answer));
  }
  responses.set("401", response("Unauthorized", nullptr, subject.version, false));
  out["responses"] = std::move(responses);
  if (!operation.action.empty()) out["x-kubernetes-action"] = operation.action;
  out["x-kubernetes-group-version-kind"] = gvk(subject);
  return out;
}

// Parameters go by reference in version 2, but for the ones that old clients look for in PATCH themselves.
void add_queries(json::Array& out, std::span<const Query> queries, Version version, bool in_place) {
  for (const Query& query : queries) {
    if (version == Version::kV3 || in_place) {
      out.push_back(query_parameter(query, version));
    } else {
      json::Object ref;
      ref.set("$ref", cat("#/parameters/", query.name));
      out.push_back(std::move(ref));
    }
  }
}

json::Array path_parameters(bool namespaced, bool named, std::string_view kind, Version version) {
  json::Array out;
  if (named) out.push_back(path_parameter("name", cat("The name of the ", kind, "."), version));
  if (namespaced) out.push_back(path_parameter("namespace", "The namespace of the object.", version));
  add_queries(out, std::span(&kPretty, 1), version, false);
  return out;
}

json::Value write_operation(const Subject& subject, Operation operation) {
  json::Array parameters;
  add_queries(parameters, kWriteOptions, subject.version, operation.patch);
  if (operation.patch) add_queries(parameters, std::span(&kForce, 1), subject.version, true);
  return operation_object(subject, operation, std::move(parameters));
}

const Message* patch_message() { return &messages::meta_v1_Patch; }

bool has_verb(std::string_view verbs, std::string_view verb) {
  for (const std::string_view one : split(verbs, ',')) {
    if (one == verb) return true;
  }
  return false;
}

// get, put, patch of an object or of a subresource that looks like one.
void add_object_operations(const Subject& subject, std::string_view verbs, const Message* message, json::Value& item) {
  if (has_verb(verbs, "get")) {
    item["get"] = operation_object(
        subject, {.action = "get", .name_prefix = "read", .description = "read the specified", .answer = message},
        json::Array());
  }
  if (has_verb(verbs, "update")) {
    item["put"] = write_operation(subject, {.action = "put",
                                            .name_prefix = "replace",
                                            .description = "replace the specified",
                                            .body = message,
                                            .answer = message,
                                            .codes = {200, 201}});
  }
  if (has_verb(verbs, "patch")) {
    item["patch"] = write_operation(subject, {.action = "patch",
                                              .name_prefix = "patch",
                                              .description = "partially update the specified",
                                              .body = patch_message(),
                                              .patch = true,
                                              .answer = message,
                                              .codes = {200, 201}});
  }
  if (has_verb(verbs, "create")) {
    item["post"] = write_operation(subject, {.action = "post",
                                             .name_prefix = "create",
                                             .description = "create",
                                             .body = message,
                                             .answer = message,
                                             .codes = {200, 201, 202}});
  }
}

json::Value list_operation(const Subject& subject) {
  json::Array parameters;
  add_queries(parameters, kListOptions, subject.version, false);
  const std::string list_name(subject.kind.list_kind);
  const Message* list = find_message(subject.kind.api_version(), list_name);
  return operation_object(
      subject,
      {.action = "list", .name_prefix = "list", .description = "list or watch objects of kind", .answer = list},
      std::move(parameters));
}

json::Value delete_operation(const Subject& subject, bool collection) {
  json::Array parameters;
  add_queries(parameters, kDeleteOptions, subject.version, false);
  if (collection) {
    for (const Query& query : kListOptions) {
      const bool of_watches = query.name == "watch" || query.name == "allowWatchBookmarks";
      if (!of_watches) add_queries(parameters, std::span(&query, 1), subject.version, false);
    }
  }
  return operation_object(subject,
                          {.action = collection ? "deletecollection" : "delete",
                           .name_prefix = "delete",
                           .description = collection ? "delete a collection of" : "delete a",
                           .body = &messages::meta_v1_DeleteOptions,
                           .body_required = false,
                           .answer = &messages::meta_v1_Status,
                           .codes = {200, 202}},
                          std::move(parameters));
}

std::string capitalized(std::string_view name) {
  std::string out(name);
  if (!out.empty()) out[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(out[0])));
  return out;
}

Subject subject_of(const Kind& kind, Version version, std::set<const Message*>* used) {
  return {kind,
          version,
          used,
          std::string(kind.group),
          std::string(kind.version),
          std::string(kind.kind),
          cat(kind.namespaced ? "Namespaced" : "", kind.kind)};
}

json::Value log_operation(const Subject& subject) {
  json::Array parameters;
  add_queries(parameters, kLogOptions, subject.version, true);
  return operation_object(
      subject,
      {.action = "get", .name_prefix = "read", .description = "read log of the specified", .text_answer = true},
      std::move(parameters));
}

void add_subresource(const Kind& kind, const SubresourceRow& row, const std::string& base, Version version,
                     std::set<const Message*>* used, std::vector<Path>* out) {
  Subject subject = subject_of(kind, version, used);
  subject.group = row.group;
  subject.api_version_name = row.version;
  subject.kind_name = row.kind;
  subject.suffix += capitalized(row.name);
  const std::string api_version = row.group.empty() ? std::string(row.version) : cat(row.group, "/", row.version);
  json::Value item = json::Object();
  if (row.name == "log") {
    item["get"] = log_operation(subject);
  } else {
    const Message* message = find_message(api_version, row.kind);
    if (!message) return;
    add_object_operations(subject, row.verbs, message, item);
  }
  item["parameters"] = path_parameters(kind.namespaced, true, kind.kind, version);
  out->push_back({cat(base, "/{name}/", row.name), std::move(item)});
}

}  // namespace

json::Object shared_parameters() {
  json::Object out;
  const auto add = [&out](const Query& query) { out.set(query.name, query_parameter(query, Version::kV2)); };
  add(kPretty);
  for (const Query& query : kWriteOptions) add(query);
  for (const Query& query : kDeleteOptions) add(query);
  for (const Query& query : kListOptions) add(query);
  return out;
}

std::vector<Path> paths_of(const Kind& kind, const OpenApiSource& source, Version version,
                           std::set<const Message*>* used) {
  std::vector<Path> out;
  const Subject subject = subject_of(kind, version, used);
  const std::string root =
      kind.group.empty() ? cat("/api/", kind.version) : cat("/apis/", kind.group, "/", kind.version);
  const std::string base =
      kind.namespaced ? cat(root, "/namespaces/{namespace}/", kind.plural) : cat(root, "/", kind.plural);

  json::Value collection = json::Object();
  if (has_verb(kind.verbs, "list")) collection["get"] = list_operation(subject);
  if (has_verb(kind.verbs, "create")) add_object_operations(subject, "create", kind.message, collection);
  if (has_verb(kind.verbs, "deletecollection")) {
    Subject many = subject;
    many.suffix = cat("Collection", subject.suffix);
    collection["delete"] = delete_operation(many, true);
  }
  if (!collection.as_object().empty()) {
    collection["parameters"] = path_parameters(kind.namespaced, false, kind.kind, version);
    out.push_back({base, std::move(collection)});
  }

  json::Value object = json::Object();
  add_object_operations(subject, kind.verbs, kind.message, object);
  object.as_object().erase("post");
  if (has_verb(kind.verbs, "delete")) object["delete"] = delete_operation(subject, false);
  if (!object.as_object().empty()) {
    object["parameters"] = path_parameters(kind.namespaced, true, kind.kind, version);
    out.push_back({cat(base, "/{name}"), std::move(object)});
  }

  if (kind.namespaced && has_verb(kind.verbs, "list")) {
    Subject everywhere = subject;
    everywhere.suffix = cat(kind.kind, "ForAllNamespaces");
    json::Value all = json::Object();
    all["get"] = list_operation(everywhere);
    all["parameters"] = path_parameters(false, false, kind.kind, version);
    out.push_back({cat(root, "/", kind.plural), std::move(all)});
  }
  for (const SubresourceRow& row : kind.subresources) {
    if (!source.serves_subresource || source.serves_subresource(kind, row)) {
      add_subresource(kind, row, base, version, used, &out);
    }
  }
  return out;
}

}  // namespace kayak::api::openapi
