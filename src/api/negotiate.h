// negotiate.h: in which form a client sends and wants its bytes.
// Source: RFC 9110 12.5; apiserver pkg/endpoints/handlers/negotiation; Kubernetes API concepts, "Alternate
// representations".
#pragma once

#include <string>
#include <string_view>

#include "api/api.h"

namespace kayak::api {

enum class Encoding : std::uint8_t { kJson, kYaml, kProtobuf };
enum class View : std::uint8_t { kObject, kTable, kPartial };

struct MediaChoice {
  Encoding encoding = Encoding::kJson;
  View view = View::kObject;
  std::string view_version = "v1";  // of meta.k8s.io: "v1" or "v1beta1"
  bool pretty = false;
};
// What the endpoint can answer in.
struct MediaOffer {
  bool table = true;    // the kind has a Table form
  bool partial = true;  // it is made of objects with metadata
  bool stream = false;  // a watch: no YAML
};
// Errors: NotAcceptable, naming what there is.
Result<MediaChoice> negotiate(std::string_view accept, const MediaOffer& offer);
std::string content_type(const MediaChoice& choice, bool stream);

// One media type of an Accept header, split apart: type/subtype in lower case and its parameters.
struct MediaType {
  std::string type;
  std::vector<std::pair<std::string, std::string>> parameters;
  double quality = 1;
  std::string_view parameter(std::string_view name) const;
};
std::vector<MediaType> parse_accept(std::string_view accept);  // best first

struct DecodedBody {
  json::Value document;
  std::vector<std::string> duplicate_fields;
};
// A request's body by its Content-Type ("" is JSON): JSON, YAML, or protobuf of the kind in its envelope. Large bodies
// and all YAML are read off the loop. Errors: UnsupportedMediaType, BadRequest (the reader's words alone).
Task<Result<DecodedBody>> decode_body(Context context, std::string content_type, std::string bytes);
// The answer to a body that is no document: `why` is decode_body's BadRequest, `kind` what it had to be, `bytes` the
// body's first ones.
Error unrecognized(std::string_view content_type, std::string_view kind, const Error& why, std::string_view bytes);
// A patch's body: its type by Content-Type. Errors: UnsupportedMediaType (also apply patches, for now).
Result<PatchType> patch_type_of(std::string_view content_type);

}  // namespace kayak::api
