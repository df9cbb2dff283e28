// openapi.h: the API described for clients: /openapi/v2 as JSON and as gnostic's protobuf, /openapi/v3 as a hashed
// index and a document per group version. kubectl explains, validates and finds out about dryRun and fieldValidation by
// it. Made from the schema tables and the served kinds when asked for. Owns no socket: http paths and headers are the
// caller's.
// Source: OpenAPI 2.0 and 3.0; kube-openapi's extensions (x-kubernetes-*); gnostic openapiv2/OpenAPIv2.proto.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "api/kind.h"

namespace kayak::api {

struct OpenApiDocument {
  std::string body;
  std::string etag;  // without quotes; changes when the body does. Also the v3 index's hash parameter.
};
using OpenApiRef = std::shared_ptr<const OpenApiDocument>;

// Which rows of the kinds table this server answers.
struct OpenApiSource {
  bool (*serves_kind)(const Kind& kind) = nullptr;
  bool (*serves_subresource)(const Kind& kind, const SubresourceRow& row) = nullptr;
  std::string version;  // of the server: "v1.36.0+kayak1"
};

// Makes documents on demand and keeps them only while somebody holds them: they take megabytes and are asked for
// rarely. All functions may be called from any thread. Making a document blocks for tens of milliseconds (v2) or a few
// (v3): call them off the loop, but for v3_index() and v3_etag().
class OpenApi {
 public:
  explicit OpenApi(OpenApiSource source);
  OpenApiRef v2_json();
  OpenApiRef v2_protobuf();  // com.github.proto-openapi.spec.v2.v1.0+protobuf
  // {"paths":{"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=..."}}}
  OpenApiDocument v3_index() const;
  // `path` as in the index: "api/v1", "apis/apps/v1". Null when there is none.
  OpenApiRef v3_document(std::string_view path);
  // The etag alone, at no cost; "" when there is no such document.
  std::string v3_etag(std::string_view path) const;

 private:
  OpenApiRef cached(const std::string& name, const std::string& etag,
                    std::string (OpenApi::*make)(std::string_view) const);
  std::string make_v2_json(std::string_view) const;
  std::string make_v2_protobuf(std::string_view) const;
  std::string make_v3(std::string_view path) const;

  const OpenApiSource source_;
  std::mutex mutex_;  // of documents_
  std::map<std::string, std::weak_ptr<const OpenApiDocument>> documents_;
};

}  // namespace kayak::api
