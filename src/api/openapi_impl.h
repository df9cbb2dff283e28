// openapi_impl.h: what the files of OpenAPI share. Private to src/api/openapi*.cc.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/openapi.h"
#include "api/schema.h"
#include "base/json.h"

namespace kayak::api::openapi {

enum class Version { kV2, kV3 };

// "io.k8s.api.apps.v1.Deployment"
std::string definition_name(const Message& message);
// {"$ref":"#/definitions/..."} or #/components/schemas/...
json::Value reference(const Message& message, Version version);
// The schema of a message: properties, required, extensions.
json::Value definition(const Message& message, Version version);
// `roots` and all messages that they reach and that have a definition of their own.
std::vector<const Message*> reachable(const std::vector<const Message*>& roots);

// One path: "/apis/apps/v1/namespaces/{namespace}/deployments" and its path item.
struct Path {
  std::string path;
  json::Value item;
};
// Of one kind's resource and subresources. Messages that the operations name are added to `used`.
std::vector<Path> paths_of(const Kind& kind, const OpenApiSource& source, Version version,
                           std::set<const Message*>* used);
// The parameters that v2 paths refer to.
json::Object shared_parameters();

// Parts of a v2 document as gnostic's protobuf messages: PathItem, Schema, Parameter.
std::string gnostic_path_item(const json::Value& item);
std::string gnostic_schema(const json::Value& schema);
std::string gnostic_parameter(const json::Value& parameter);
// A length-delimited field, and {1: name, 2: value} as gnostic writes the entries of its maps.
void append_field(std::string& out, int number, std::string_view bytes);
std::string gnostic_named(std::string_view name, std::string_view value);

}  // namespace kayak::api::openapi
