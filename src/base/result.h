// result.h: the one result type and the one error type.
// A failure carries a code that maps onto a metav1.Status reason; each layer adds what it was doing.
// Source: apimachinery metav1.StatusReason, StatusDetails, StatusCause.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/assert.h"

namespace kayak {

enum class Code : std::uint8_t {
  kInternal,              // 500 InternalError
  kBadRequest,            // 400 BadRequest
  kUnauthorized,          // 401 Unauthorized
  kForbidden,             // 403 Forbidden
  kNotFound,              // 404 NotFound
  kMethodNotAllowed,      // 405 MethodNotAllowed
  kNotAcceptable,         // 406 NotAcceptable
  kAlreadyExists,         // 409 AlreadyExists
  kConflict,              // 409 Conflict
  kExpired,               // 410 Expired
  kGone,                  // 410 Gone
  kTooLarge,              // 413 RequestEntityTooLarge
  kUnsupportedMediaType,  // 415 UnsupportedMediaType
  kInvalid,               // 422 Invalid
  kTooManyRequests,       // 429 TooManyRequests
  kUnavailable,           // 503 ServiceUnavailable; the peer or service cannot be reached now
  kServerTimeout,         // 500 ServerTimeout
  kTimeout,               // 504 Timeout; a deadline passed
  kCancelled,             // the caller's stop token fired
  kIo,                    // a system call failed
  kNoSpace,               // disk or quota is full
  kCorrupt,               // stored bytes are damaged
};

// One metav1.StatusCause.
struct StatusCause {
  std::string reason;   // e.g. FieldValueInvalid
  std::string message;  // for people
  std::string field;    // JSON path, e.g. spec.replicas
};

// metav1.StatusDetails.
struct StatusDetails {
  std::string name, group, kind, uid;
  std::vector<StatusCause> causes;
  std::int32_t retry_after_seconds = 0;
  std::string continue_token;  // Status.metadata.continue, of an expired list that may go on inconsistently
};

class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  Error(Code code, std::string message, StatusDetails details)
      : code_(code),
        message_(std::move(message)),
        details_(std::make_shared<const StatusDetails>(std::move(details))) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // Null when the failure has no details.
  const StatusDetails* details() const { return details_.get(); }

  // The same failure, its message prefixed by "`what`: ".
  Error while_doing(std::string_view what) const {
    Error copy = *this;
    copy.message_ = std::string(what) + ": " + message_;
    return copy;
  }

 private:
  Code code_;
  std::string message_;
  std::shared_ptr<const StatusDetails> details_;
};

// "strerror (errno)" as Code::kIo, or kNoSpace for ENOSPC and EDQUOT, kNotFound for ENOENT.
Error error_from_errno(int error_number, std::string_view what);

// A value or an Error. Test with operator bool before reading.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design
  template <typename U, typename = std::enable_if_t<
                            std::is_convertible_v<U, T> && !std::is_same_v<std::decay_t<U>, T> &&
                            !std::is_same_v<std::decay_t<U>, Error> && !std::is_same_v<std::decay_t<U>, Result>>>
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}  // NOLINT: implicit by design

  explicit operator bool() const { return state_.index() == 0; }
  bool ok() const { return state_.index() == 0; }

  T& value() & {
    ASSERT(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    ASSERT(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    ASSERT(ok());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const {
    ASSERT(!ok());
    return std::get<1>(state_);
  }
  T value_or(T fallback) const& { return ok() ? value() : std::move(fallback); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  explicit operator bool() const { return !error_; }
  bool ok() const { return !error_; }
  const Error& error() const {
    ASSERT(error_);
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace kayak
