// decode.cc: the strictness and wording of decoding.
#include "api/decode.h"

#include "api/json_patch.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::size_t kMaxReported = 100;

std::vector<std::string> issue_texts(const DecodeIssues& issues, const std::vector<std::string>& duplicates) {
  std::vector<std::string> texts;
  for (const std::string& path : issues.unknown) {
    if (texts.size() < kMaxReported) texts.push_back(cat("unknown field ", quote(path)));
  }
  for (const std::string& path : duplicates) {
    if (texts.size() < kMaxReported) texts.push_back(cat("duplicate field ", quote(path)));
  }
  return texts;
}

std::string_view member_text(const json::Value& document, std::string_view name) {
  const json::Value* value = document.find(name);
  return value == nullptr ? std::string_view() : value->string_or();
}

Error cannot_handle(const Expected& expected, std::string_view kind, std::string_view version, std::string_view why) {
  return bad_request(cat(kind, " in version ", quote(version), " cannot be handled as a ", expected.kind, ": ", why));
}

// The document's own kind and apiVersion against what the URL says; absent ones are filled in later.
Result<void> check_type(const Expected& expected, const json::Value& document) {
  if (!document.is_object()) {
    return bad_request(cat("the object provided is unrecognized (must be of type ", expected.kind,
                           "): couldn't get version/kind; json parse error: json: cannot unmarshal ",
                           go_type_name(document), " into Go value of type struct"));
  }
  const std::string_view kind = member_text(document, "kind");
  const std::string_view api_version = member_text(document, "apiVersion");
  const std::size_t slash = api_version.find('/');
  const std::string_view version = slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
  if (!kind.empty() && kind != expected.kind) {
    const std::string full = api_version.empty() ? expected.api_version() : std::string(api_version);
    if (find_message(full, kind) == nullptr) {
      return cannot_handle(expected, kind, version.empty() ? expected.version : version,
                           cat("no kind ", quote(kind), " is registered for version ", quote(full)));
    }
    return cannot_handle(expected, kind, version.empty() ? expected.version : version,
                         cat("the object is a ", kind, ", not a ", expected.kind));
  }
  if (!api_version.empty() && api_version != expected.api_version()) {
    return bad_request(cat("the API version in the data (", api_version, ") does not match the expected API version (",
                           expected.api_version(), ")"));
  }
  return Result<void>();
}

struct Decoded {
  json::Value document;
  std::vector<std::string> issues;
};

Result<Decoded> decode(const Expected& expected, json::Value document, const std::vector<std::string>& duplicates) {
  DecodeIssues issues;
  Result<json::Value> canonical = decode_json(*expected.message, std::move(document), &issues);
  if (!canonical) return canonical.error();
  Decoded decoded;
  decoded.document = std::move(*canonical);
  set_type(decoded.document, expected.api_version(), expected.kind);
  decoded.issues = issue_texts(issues, duplicates);
  return decoded;
}

}  // namespace

std::string Expected::api_version() const { return group.empty() ? version : cat(group, "/", version); }

Expected expected_of(const Kind& kind) {
  return Expected{std::string(kind.group), std::string(kind.version), std::string(kind.kind), kind.message};
}

Expected expected_of(const SubresourceRow& row) {
  Expected expected{std::string(row.group), std::string(row.version), std::string(row.kind), nullptr};
  expected.message = find_message(expected.api_version(), expected.kind);
  return expected;
}

void set_type(json::Value& document, std::string_view api_version, std::string_view kind) {
  auto& members = document.as_object().members();
  std::erase_if(members, [](const json::Member& m) { return m.first == "kind" || m.first == "apiVersion"; });
  std::vector<json::Member> type(2);
  type[0].first = "kind";
  type[0].second = json::Value(kind);
  type[1].first = "apiVersion";
  type[1].second = json::Value(api_version);
  members.insert(members.begin(), std::make_move_iterator(type.begin()), std::make_move_iterator(type.end()));
}

Result<json::Value> decode_document(const Expected& expected, json::Value document,
                                    const std::vector<std::string>& duplicates, FieldValidation validation,
                                    std::vector<std::string>& warnings) {
  if (auto type = check_type(expected, document); !type) return type.error();
  Result<Decoded> decoded = decode(expected, std::move(document), duplicates);
  if (!decoded) return cannot_handle(expected, expected.kind, expected.version, decoded.error().message());
  if (validation == FieldValidation::kStrict && !decoded->issues.empty()) {
    return cannot_handle(expected, expected.kind, expected.version,
                         cat("strict decoding error: ", join(decoded->issues, ", ")));
  }
  if (validation == FieldValidation::kWarn) {
    for (std::string& issue : decoded->issues) warnings.push_back(std::move(issue));
  }
  return std::move(decoded->document);
}

Result<json::Value> decode_patched(const Expected& expected, json::Value document, const json::Value& patch,
                                   const std::vector<std::string>& duplicates, FieldValidation validation,
                                   std::vector<std::string>& warnings) {
  const auto refuse = [&patch](std::string_view why) {
    return field::to_error("", "", "", {field::invalid(field::Path("patch"), json::write(patch), why)});
  };
  if (auto type = check_type(expected, document); !type) return refuse(type.error().message());
  Result<Decoded> decoded = decode(expected, std::move(document), duplicates);
  if (!decoded) return refuse(decoded.error().message());
  if (validation == FieldValidation::kStrict && !decoded->issues.empty()) {
    return refuse(cat("strict decoding error: ", join(decoded->issues, ", ")));
  }
  if (validation == FieldValidation::kWarn) {
    for (std::string& issue : decoded->issues) warnings.push_back(std::move(issue));
  }
  return std::move(decoded->document);
}

}  // namespace kayak::api
