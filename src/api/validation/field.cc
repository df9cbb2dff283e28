// field.cc: see field.h.
#include "api/validation/field.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::api::field {

namespace {

struct Words {
  std::string_view reason, text;
  bool shows_value;
};
constexpr Words kWords[] = {
    {"FieldValueNotFound", "Not found", true},
    {"FieldValueRequired", "Required value", false},
    {"FieldValueDuplicate", "Duplicate value", true},
    {"FieldValueInvalid", "Invalid value", true},
    {"FieldValueNotSupported", "Unsupported value", true},
    {"FieldValueForbidden", "Forbidden", false},
    {"FieldValueTooLong", "Too long", false},
    {"FieldValueTooMany", "Too many", true},
    {"InternalError", "Internal error", false},
    {"FieldValueTypeInvalid", "Invalid value", true},
};
const Words& words_of(ErrorType type) { return kWords[static_cast<std::size_t>(type)]; }

std::string shown(const json::Value& value) {
  return value.is_string() ? quote(value.as_string()) : json::write(value);
}

Error make(ErrorType type, const Path& path, std::string bad_value, std::string_view detail) {
  return Error{type, path.is_nil() ? "<nil>" : path.text(), std::move(bad_value), std::string(detail), false};
}

}  // namespace

Path Path::child(std::string_view name) const {
  Path path;
  path.text_ = text_.empty() ? std::string(name) : cat(text_, ".", name);
  return path;
}
Path Path::index(std::size_t i) const {
  Path path;
  path.text_ = cat(text_, "[", i, "]");
  return path;
}
Path Path::key(std::string_view key) const {
  Path path;
  path.text_ = cat(text_, "[", key, "]");
  return path;
}

std::string_view Error::reason() const { return words_of(type).reason; }

std::string Error::body() const {
  const Words& words = words_of(type);
  std::string text(words.text);
  if (words.shows_value && !omits_value) text += cat(": ", bad_value);
  if (!detail.empty()) text += cat(": ", detail);
  return text;
}

std::string Error::message() const { return cat(field, ": ", body()); }

Error not_found(const Path& path, const json::Value& value) {
  return make(ErrorType::kNotFound, path, shown(value), "");
}
Error required(const Path& path, std::string_view detail) { return make(ErrorType::kRequired, path, "", detail); }
Error duplicate(const Path& path, const json::Value& value) {
  return make(ErrorType::kDuplicate, path, shown(value), "");
}
Error invalid(const Path& path, const json::Value& value, std::string_view detail) {
  return make(ErrorType::kInvalid, path, shown(value), detail);
}

Error invalid_omitting_value(const Path& path, std::string_view detail) {
  Error error = make(ErrorType::kInvalid, path, "", detail);
  error.omits_value = true;
  return error;
}

Error not_supported(const Path& path, const json::Value& value, std::span<const std::string_view> supported) {
  std::string detail;
  for (const std::string_view choice : supported) {
    detail += cat(detail.empty() ? "supported values: " : ", ", quote(choice));
  }
  return make(ErrorType::kNotSupported, path, shown(value), detail);
}

Error forbidden(const Path& path, std::string_view detail) { return make(ErrorType::kForbidden, path, "", detail); }
Error too_long(const Path& path, std::size_t max_bytes) {
  return make(ErrorType::kTooLong, path, "",
              cat("may not be more than ", max_bytes, max_bytes == 1 ? " byte" : " bytes"));
}
Error too_many(const Path& path, std::size_t actual, std::size_t max_items) {
  return make(ErrorType::kTooMany, path, std::to_string(actual),
              cat("must have at most ", max_items, max_items == 1 ? " item" : " items"));
}
Error internal(const Path& path, std::string_view detail) { return make(ErrorType::kInternal, path, "", detail); }
Error type_invalid(const Path& path, const json::Value& value, std::string_view detail) {
  return make(ErrorType::kTypeInvalid, path, shown(value), detail);
}

void append(ErrorList& list, ErrorList more) {
  for (Error& error : more) list.push_back(std::move(error));
}

void append_invalid(ErrorList& list, const Path& path, const json::Value& value,
                    const std::vector<std::string>& messages) {
  for (const std::string& message : messages) list.push_back(invalid(path, value, message));
}

std::string aggregate(const ErrorList& errors) {
  std::vector<std::string> messages;
  for (const Error& error : errors) {
    std::string message = error.message();
    if (std::find(messages.begin(), messages.end(), message) == messages.end()) messages.push_back(std::move(message));
  }
  if (messages.size() == 1) return messages.front();
  return cat("[", join(messages, ", "), "]");
}

kayak::Error to_error(std::string_view group, std::string_view kind, std::string_view name, const ErrorList& errors) {
  StatusDetails details;
  details.name = name;
  details.group = group;
  details.kind = kind;
  for (const Error& error : errors) {
    details.causes.push_back(StatusCause{std::string(error.reason()), error.body(), error.field});
  }
  std::string message = cat(kind, group.empty() ? "" : ".", group, " ", quote(name), " is invalid");
  if (!errors.empty()) message += cat(": ", aggregate(errors));
  return kayak::Error(Code::kInvalid, std::move(message), std::move(details));
}

}  // namespace kayak::api::field
