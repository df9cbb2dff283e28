// field.h: what is wrong with an object, field by field, and the Status that says so.
// Knows the words of messages; the rules are in the files beside it.
// Source: apimachinery pkg/util/validation/field, pkg/api/errors (NewInvalid).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kayak::api::field {

// Where a field is: "spec.containers[0].name", "metadata.labels[app]".
class Path {
 public:
  Path() = default;  // of the object itself: messages call it "<nil>", as upstream
  explicit Path(std::string_view name) : text_(name), named_(true) {}  // "" is a place too: messages start with ": "
  Path child(std::string_view name) const;
  Path index(std::size_t i) const;
  Path key(std::string_view key) const;
  const std::string& text() const { return text_; }
  bool is_nil() const { return !named_ && text_.empty(); }

 private:
  std::string text_;
  bool named_ = false;
};

enum class ErrorType : std::uint8_t {
  kNotFound,
  kRequired,
  kDuplicate,
  kInvalid,
  kNotSupported,
  kForbidden,
  kTooLong,
  kTooMany,
  kInternal,
  kTypeInvalid,
};

struct Error {
  ErrorType type = ErrorType::kInvalid;
  std::string field;
  std::string bad_value;     // as messages show it; unused by kRequired, kForbidden, kTooLong and kInternal
  std::string detail;        // may be empty
  bool omits_value = false;  // the value would say nothing: "Invalid value: " and the detail

  std::string_view reason() const;  // "FieldValueInvalid"
  std::string body() const;         // "Invalid value: -1: must be greater than or equal to 0"
  std::string message() const;      // "spec.replicas: " and the body
};

// Errors in the order in which they were found. Only so many are kept: an object that is wrong in every item would fill
// the memory with them, and nobody reads a thousand.
constexpr std::size_t kMaxErrors = 1000;
class ErrorList : public std::vector<Error> {
 public:
  using std::vector<Error>::vector;
  void push_back(Error error) {
    if (size() < kMaxErrors) std::vector<Error>::push_back(std::move(error));
  }
};

Error not_found(const Path& path, const json::Value& value);
Error required(const Path& path, std::string_view detail);
Error duplicate(const Path& path, const json::Value& value);
Error invalid(const Path& path, const json::Value& value, std::string_view detail);
Error invalid_omitting_value(const Path& path, std::string_view detail);
// "supported values: "A", "B"".
Error not_supported(const Path& path, const json::Value& value, std::span<const std::string_view> supported);
Error forbidden(const Path& path, std::string_view detail);
Error too_long(const Path& path, std::size_t max_bytes);
Error too_many(const Path& path, std::size_t actual, std::size_t max_items);
Error internal(const Path& path, std::string_view detail);
Error type_invalid(const Path& path, const json::Value& value, std::string_view detail);

void append(ErrorList& list, ErrorList more);
// One error of the value for each message, as the name checks of names.h return them.
void append_invalid(ErrorList& list, const Path& path, const json::Value& value,
                    const std::vector<std::string>& messages);

// "spec.replicas: Invalid value: ...", or "[..., ...]" of several; each text once.
std::string aggregate(const ErrorList& errors);
// 422 Invalid: `Deployment.apps "x" is invalid: ` and the aggregate, a cause for each error.
kayak::Error to_error(std::string_view group, std::string_view kind, std::string_view name, const ErrorList& errors);

}  // namespace kayak::api::field
