// openapi_handlers.cc: see openapi_handlers.h. Content negotiation, entity tags and the hashed index; the documents
// themselves are openapi.h's.
#include "api/openapi_handlers.h"

#include "api/openapi.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// Clients ask for either spelling; Go cannot parse the one with an @ as a Content-Type, so the answer never has it.
constexpr std::string_view kV2Protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
constexpr std::string_view kV2ProtobufOld = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

PathAnswer answer_of(const OpenApiRef& document, std::string_view content_type, const PathRequest& request) {
  PathAnswer answer;
  answer.content_type = std::string(content_type);
  answer.headers.add("ETag", cat("\"", document->etag, "\""));
  answer.headers.add("Vary", "Accept");
  if (request.http.headers.get("If-None-Match").find(document->etag) != std::string_view::npos) {
    answer.status = 304;
    return answer;
  }
  answer.body.push_back(io::Slice{document->body, document});
  return answer;
}

Result<PathAnswer> answer_v2(OpenApi& documents, const PathRequest& request) {
  if (request.path != "/openapi/v2") return no_such_path();
  const std::string_view accept = request.http.headers.get("Accept");
  for (std::string_view type : {kV2Protobuf, kV2ProtobufOld}) {
    if (accept.find(type) != std::string_view::npos) return answer_of(documents.v2_protobuf(), kV2Protobuf, request);
  }
  return answer_of(documents.v2_json(), "application/json", request);
}

Result<PathAnswer> answer_v3(OpenApi& documents, const PathRequest& request) {
  constexpr std::string_view kRoot = "/openapi/v3";
  if (request.path == kRoot || request.path == "/openapi/v3/") {
    auto index = std::make_shared<const OpenApiDocument>(documents.v3_index());
    return answer_of(index, "application/json", request);
  }
  const OpenApiRef document = documents.v3_document(std::string_view(request.path).substr(kRoot.size() + 1));
  if (!document) return no_such_path();
  return answer_of(document, "application/json", request);
}

bool serves_kind(const Kind& kind) { return is_served(kind); }
bool serves_subresource(const Kind& kind, const SubresourceRow& row) { return is_served(kind, row); }

}  // namespace

std::vector<PathRow> openapi_handlers(std::string version) {
  OpenApiSource source;
  source.serves_kind = serves_kind;
  source.serves_subresource = serves_subresource;
  source.version = std::move(version);
  auto documents = std::make_shared<OpenApi>(std::move(source));
  std::vector<PathRow> rows;
  PathRow v2{"/openapi/v2", [documents](const PathRequest& request) { return answer_v2(*documents, request); }};
  PathRow v3{"/openapi/v3/", [documents](const PathRequest& request) { return answer_v3(*documents, request); }};
  v2.slow = v3.slow = true;
  rows.push_back(std::move(v2));
  rows.push_back(std::move(v3));
  return rows;
}

}  // namespace kayak::api
