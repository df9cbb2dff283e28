// negotiate.cc: Accept, Content-Type and the reading of bodies.
#include "api/negotiate.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "api/schema.h"
#include "api/status.h"
#include "base/strings.h"
#include "base/yaml.h"

namespace kayak::api {

namespace {

constexpr std::string_view kJsonType = "application/json";
constexpr std::string_view kYamlType = "application/yaml";
constexpr std::string_view kProtobufType = "application/vnd.kubernetes.protobuf";
constexpr std::size_t kMaxAccepted = 64;
// Reading this much JSON takes a millisecond on a small board: more goes to the pool.
constexpr std::size_t kInlineBytes = 32 * 1024;

struct PatchRow {
  std::string_view media_type;
  PatchType type;
};
constexpr std::array kPatches = {
    PatchRow{"application/json-patch+json", PatchType::kJson},
    PatchRow{"application/merge-patch+json", PatchType::kMerge},
    PatchRow{"application/strategic-merge-patch+json", PatchType::kStrategicMerge},
};

MediaType parse_media_type(std::string_view text) {
  MediaType media;
  bool first = true;
  for (std::string_view part : split(text, ';')) {
    part = trim(part);
    if (first) {
      media.type = to_lower(part);
      first = false;
      continue;
    }
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) continue;
    std::string name = to_lower(trim(part.substr(0, equals)));
    std::string_view value = trim(part.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (name == "q") {
      media.quality = std::strtod(std::string(value).c_str(), nullptr);
    } else {
      media.parameters.emplace_back(std::move(name), std::string(value));
    }
  }
  return media;
}

int wildcards(const std::string& type) { return type == "*/*" || type == "*" ? 2 : type.ends_with("/*") ? 1 : 0; }

// Whether `media` can be answered, and how.
bool accept_one(const MediaType& media, const MediaOffer& offer, MediaChoice* choice) {
  if (media.type == kJsonType || media.type == "*/*" || media.type == "*" || media.type == "application/*") {
    choice->encoding = Encoding::kJson;
  } else if (media.type == kYamlType && !offer.stream) {
    choice->encoding = Encoding::kYaml;
  } else if (media.type == kProtobufType) {
    choice->encoding = Encoding::kProtobuf;
  } else {
    return false;
  }
  choice->view = View::kObject;
  const std::string_view as = media.parameter("as");
  if (!as.empty()) {
    const std::string_view version = media.parameter("v");
    if (media.parameter("g") != "meta.k8s.io" || (version != "v1" && version != "v1beta1")) return false;
    choice->view_version = version;
    if (as == "Table") {
      // The Table types have no protobuf form.
      if (!offer.table || choice->encoding == Encoding::kProtobuf) return false;
      choice->view = View::kTable;
    } else if (as == "PartialObjectMetadata" || as == "PartialObjectMetadataList") {
      if (!offer.partial) return false;
      choice->view = View::kPartial;
    } else {
      return false;
    }
  }
  const std::string_view pretty = media.parameter("pretty");
  choice->pretty = pretty == "1" || pretty == "true";
  return true;
}

Error unsupported(const std::vector<std::string>& accepted) {
  return Error(
      Code::kUnsupportedMediaType,
      cat("the body of the request was in an unknown format - accepted media types include: ", join(accepted, ", ")),
      StatusDetails());
}

Result<DecodedBody> read_text(const std::string& bytes, bool yaml) {
  DecodedBody decoded;
  Result<json::Value> document = Error(Code::kBadRequest, "");
  if (yaml) {
    yaml::ReadLimits limits;
    limits.duplicates = &decoded.duplicate_fields;
    document = yaml::read(bytes, limits);
  } else {
    json::ReadOptions options;
    options.duplicates = &decoded.duplicate_fields;
    document = json::read(bytes, options);
  }
  if (!document) {
    if (document.error().code() == Code::kTooLarge) return document.error();
    return bad_request(document.error().message());
  }
  decoded.document = std::move(*document);
  return decoded;
}

Result<DecodedBody> read_protobuf(const std::string& bytes) {
  Result<Enveloped> enveloped = decode_envelope(bytes);
  if (!enveloped) return enveloped.error();
  DecodedBody decoded;
  decoded.document = std::move(enveloped->document);
  decoded.document["kind"] = enveloped->kind;
  decoded.document["apiVersion"] = enveloped->api_version;
  return decoded;
}

// What a body begins with, for the one who has to find out what was sent.
std::string summary_of(std::string_view bytes) {
  constexpr std::size_t kShown = 30;
  if (bytes.empty()) return "<empty>";
  const std::string_view start = bytes.substr(0, kShown);
  return cat(start[0] == '{' ? std::string(start) : hex_encode(start), bytes.size() > kShown ? " ..." : "");
}

}  // namespace

Error unrecognized(std::string_view content_type, std::string_view kind, const Error& why, std::string_view bytes) {
  const std::string type = parse_media_type(content_type).type;
  const std::string_view step = type == kProtobufType ? ""
                                : type == kYamlType   ? "couldn't get version/kind; yaml parse error: "
                                                      : "couldn't get version/kind; json parse error: ";
  return bad_request(cat("the object provided is unrecognized (must be of type ", kind, "): ", step, why.message(),
                         " (", summary_of(bytes), ")"));
}

std::string_view MediaType::parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

std::vector<MediaType> parse_accept(std::string_view accept) {
  std::vector<MediaType> accepted;
  for (std::string_view part : split(accept, ',')) {
    if (accepted.size() == kMaxAccepted) break;
    MediaType media = parse_media_type(trim(part));
    if (!media.type.empty() && media.quality > 0) accepted.push_back(std::move(media));
  }
  std::stable_sort(accepted.begin(), accepted.end(), [](const MediaType& a, const MediaType& b) {
    if (a.quality != b.quality) return a.quality > b.quality;
    return wildcards(a.type) < wildcards(b.type);
  });
  return accepted;
}

Result<MediaChoice> negotiate(std::string_view accept, const MediaOffer& offer) {
  MediaChoice choice;
  if (trim(accept).empty()) return choice;
  for (const MediaType& media : parse_accept(accept)) {
    if (accept_one(media, offer, &choice)) return choice;
  }
  const std::string types = offer.stream ? "application/json, application/vnd.kubernetes.protobuf;stream=watch"
                                         : "application/json, application/yaml, application/vnd.kubernetes.protobuf";
  return Error(Code::kNotAcceptable, cat("only the following media types are accepted: ", types), StatusDetails());
}

std::string content_type(const MediaChoice& choice, bool stream) {
  switch (choice.encoding) {
    case Encoding::kJson:
      return std::string(kJsonType);
    case Encoding::kYaml:
      return std::string(kYamlType);
    case Encoding::kProtobuf:
      return stream ? cat(kProtobufType, ";stream=watch") : std::string(kProtobufType);
  }
  return std::string(kJsonType);
}

Task<Result<DecodedBody>> decode_body(Context context, std::string content_type, std::string bytes) {
  const MediaType media = parse_media_type(content_type);
  if (media.type == kProtobufType) co_return read_protobuf(bytes);
  const bool yaml = media.type == kYamlType;
  if (!yaml && !media.type.empty() && media.type != kJsonType) {
    co_return unsupported({"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"});
  }
  if (!yaml && bytes.size() <= kInlineBytes) co_return read_text(bytes, false);
  auto kept = std::make_shared<const std::string>(std::move(bytes));
  auto work = [kept, yaml] { return read_text(*kept, yaml); };
  co_return co_await context.loop.offload(work);
}

Result<PatchType> patch_type_of(std::string_view content_type) {
  const MediaType media = parse_media_type(content_type);
  std::vector<std::string> accepted;
  for (const PatchRow& row : kPatches) {
    if (row.media_type == media.type) return row.type;
    accepted.emplace_back(row.media_type);
  }
  return unsupported(accepted);
}

}  // namespace kayak::api
