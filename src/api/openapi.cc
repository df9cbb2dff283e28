// openapi.cc: whole OpenAPI documents, put together piece by piece as text, and the weak cache of them.
#include "api/openapi.h"

#include <algorithm>

#include "api/messages.h"
#include "api/openapi_impl.h"
#include "api/schema_tables.h"
#include "base/strings.h"

namespace kayak::api {
namespace {

using openapi::Path;
using openapi::Version;

// Changes whenever the code here writes other documents from the same tables.
constexpr std::string_view kFormat = "1";

std::string hex64(std::uint64_t value) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return hex_encode(bytes);
}

// FNV-1a: names a document, protects nothing.
std::uint64_t hash(std::uint64_t state, std::string_view text) {
  for (const char c : text) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return (state ^ 0xff) * 0x100000001b3;
}
constexpr std::uint64_t kHashStart = 0xcbf29ce484222325;

bool serves(const OpenApiSource& source, const Kind& kind) { return !source.serves_kind || source.serves_kind(kind); }

std::string path_of_group(const Kind& kind) {
  return kind.group.empty() ? cat("api/", kind.version) : cat("apis/", kind.group, "/", kind.version);
}

std::string etag_of(const OpenApiSource& source, std::string_view document, std::string_view only_path) {
  std::uint64_t state = hash(kHashStart, document);
  state = hash(state, kFormat);
  state = hash(state, source.version);
  state = hash(state, hex64(detail::kSchemaFingerprint));
  for (const Kind& kind : all_kinds()) {
    if (!serves(source, kind) || (!only_path.empty() && path_of_group(kind) != only_path)) continue;
    state = hash(state, cat(kind.api_version(), "/", kind.plural));
    for (const SubresourceRow& row : kind.subresources) {
      if (!source.serves_subresource || source.serves_subresource(kind, row)) state = hash(state, row.name);
    }
  }
  return hex64(state);
}

void append_key(std::string& out, std::string_view key) {
  if (out.back() != '{') out += ',';
  json::write_string_to(out, key);
  out += ':';
}

void append_info(std::string& out, const OpenApiSource& source) {
  out += R"("info":{"title":"Kubernetes","version":)";
  json::write_string_to(out, source.version);
  out += '}';
}

std::vector<Path> all_paths(const OpenApiSource& source, Version version, std::string_view only_path,
                            std::set<const Message*>* used) {
  std::vector<Path> out;
  for (const Kind& kind : all_kinds()) {
    if (!serves(source, kind) || (!only_path.empty() && path_of_group(kind) != only_path)) continue;
    for (Path& path : openapi::paths_of(kind, source, version, used)) out.push_back(std::move(path));
  }
  std::sort(out.begin(), out.end(), [](const Path& a, const Path& b) { return a.path < b.path; });
  return out;
}

std::vector<const Message*> definitions_of(std::set<const Message*> used) {
  used.insert(&messages::meta_v1_Status);
  used.insert(&messages::meta_v1_WatchEvent);
  return openapi::reachable({used.begin(), used.end()});
}

constexpr std::string_view kBearerToken =
    R"({"BearerToken":{"description":"Bearer token or client certificate","in":"header","name":"authorization",)"
    R"("type":"apiKey"}})";

}  // namespace

OpenApi::OpenApi(OpenApiSource source) : source_(std::move(source)) {}

std::string OpenApi::make_v2_json(std::string_view) const {
  std::set<const Message*> used;
  std::string out = R"({"swagger":"2.0",)";
  append_info(out, source_);
  out += R"(,"paths":{)";
  for (const Path& path : all_paths(source_, Version::kV2, "", &used)) {
    append_key(out, path.path);
    json::write_to(out, path.item);
  }
  out += R"(},"definitions":{)";
  for (const Message* message : definitions_of(used)) {
    append_key(out, openapi::definition_name(*message));
    json::write_to(out, openapi::definition(*message, Version::kV2));
  }
  out += R"(},"parameters":)";
  json::write_to(out, openapi::shared_parameters());
  out += R"(,"securityDefinitions":)";
  out += kBearerToken;
  return out += R"(,"security":[{"BearerToken":[]}]})";
}

std::string OpenApi::make_v2_protobuf(std::string_view) const {
  using openapi::append_field;
  using openapi::gnostic_named;
  std::set<const Message*> used;
  std::string paths, definitions, parameters, info;
  for (const Path& path : all_paths(source_, Version::kV2, "", &used)) {
    append_field(paths, 2, gnostic_named(path.path, openapi::gnostic_path_item(path.item)));
  }
  for (const Message* message : definitions_of(used)) {
    append_field(definitions, 1,
                 gnostic_named(openapi::definition_name(*message),
                               openapi::gnostic_schema(openapi::definition(*message, Version::kV2))));
  }
  for (const auto& [name, parameter] : openapi::shared_parameters()) {
    append_field(parameters, 1, gnostic_named(name, openapi::gnostic_parameter(parameter)));
  }
  append_field(info, 1, "Kubernetes");
  append_field(info, 2, source_.version);
  std::string api_key, security;
  append_field(api_key, 1, "apiKey");
  append_field(api_key, 2, "authorization");
  append_field(api_key, 3, "header");
  append_field(api_key, 4, "Bearer token or client certificate");
  std::string item;
  append_field(item, 2, api_key);
  append_field(security, 1, gnostic_named("BearerToken", item));
  std::string out;
  append_field(out, 1, "2.0");
  append_field(out, 2, info);
  append_field(out, 8, paths);
  append_field(out, 9, definitions);
  append_field(out, 10, parameters);
  append_field(out, 13, security);
  return out;
}

std::string OpenApi::make_v3(std::string_view path) const {
  std::set<const Message*> used;
  std::string out = R"({"openapi":"3.0.0",)";
  append_info(out, source_);
  out += R"(,"paths":{)";
  for (const Path& one : all_paths(source_, Version::kV3, path, &used)) {
    append_key(out, one.path);
    json::write_to(out, one.item);
  }
  out += R"(},"components":{"schemas":{)";
  for (const Message* message : definitions_of(used)) {
    append_key(out, openapi::definition_name(*message));
    json::write_to(out, openapi::definition(*message, Version::kV3));
  }
  out += R"(},"securitySchemes":)";
  out += kBearerToken;
  return out += "}}";
}

OpenApiRef OpenApi::cached(const std::string& name, const std::string& etag,
                           std::string (OpenApi::*make)(std::string_view) const) {
  {
    const std::lock_guard lock(mutex_);
    if (OpenApiRef kept = documents_[name].lock()) return kept;
  }
  // Two threads may both make it: rare, and cheaper than making others wait.
  OpenApiDocument document = {(this->*make)(name), etag};
  document.body.shrink_to_fit();
  auto made = std::make_shared<const OpenApiDocument>(std::move(document));
  const std::lock_guard lock(mutex_);
  documents_[name] = made;
  return made;
}

OpenApiRef OpenApi::v2_json() { return cached("v2.json", etag_of(source_, "v2.json", ""), &OpenApi::make_v2_json); }

OpenApiRef OpenApi::v2_protobuf() { return cached("v2.pb", etag_of(source_, "v2.pb", ""), &OpenApi::make_v2_protobuf); }

std::string OpenApi::v3_etag(std::string_view path) const {
  for (const Kind& kind : all_kinds()) {
    if (serves(source_, kind) && path_of_group(kind) == path) return etag_of(source_, "v3", path);
  }
  return {};
}

OpenApiRef OpenApi::v3_document(std::string_view path) {
  const std::string etag = v3_etag(path);
  if (etag.empty()) return nullptr;
  return cached(std::string(path), etag, &OpenApi::make_v3);
}

OpenApiDocument OpenApi::v3_index() const {
  std::set<std::string> names;
  for (const Kind& kind : all_kinds()) {
    if (serves(source_, kind)) names.insert(path_of_group(kind));
  }
  std::string out = R"({"paths":{)";
  for (const std::string& name : names) {
    append_key(out, name);
    json::Object entry;
    entry.set("serverRelativeURL", cat("/openapi/v3/", name, "?hash=", v3_etag(name)));
    json::write_to(out, entry);
  }
  return {out + "}}", etag_of(source_, "v3-index", "")};
}

}  // namespace kayak::api
