// status.cc: the wording and the Status form of errors.
#include "api/status.h"

#include "base/strings.h"

namespace kayak::api {

namespace {

StatusDetails details_of(const Kind& kind, std::string_view name) {
  StatusDetails details;
  details.name = name;
  details.group = kind.group;
  details.kind = kind.plural;
  return details;
}

}  // namespace

Error not_found(const Kind& kind, std::string_view name) {
  return Error(Code::kNotFound, cat(kind.group_resource(), " ", quote(name), " not found"), details_of(kind, name));
}

Error already_exists(const Kind& kind, std::string_view name) {
  return Error(Code::kAlreadyExists, cat(kind.group_resource(), " ", quote(name), " already exists"),
               details_of(kind, name));
}

Error generated_name_taken(const Kind& kind, std::string_view name) {
  StatusDetails details = details_of(kind, name);
  details.retry_after_seconds = 1;
  return Error(Code::kAlreadyExists,
               cat(kind.group_resource(), " ", quote(name),
                   " already exists, the server was not able to generate a unique name for the object"),
               std::move(details));
}

Error conflict(const Kind& kind, std::string_view name, std::string_view why) {
  return Error(Code::kConflict,
               cat("Operation cannot be fulfilled on ", kind.group_resource(), " ", quote(name), ": ", why),
               details_of(kind, name));
}

Error modified_conflict(const Kind& kind, std::string_view name) {
  return conflict(kind, name,
                  "the object has been modified; please apply your changes to the latest version and try again");
}

Error forbidden(const Kind& kind, std::string_view name, std::string_view why) {
  const std::string subject = name.empty() ? kind.group_resource() : cat(kind.group_resource(), " ", quote(name));
  return Error(Code::kForbidden, cat(subject, " is forbidden: ", why), details_of(kind, name));
}

Error bad_request(std::string why) { return Error(Code::kBadRequest, std::move(why)); }

Error method_not_supported(const Kind& kind, std::string_view action) {
  StatusDetails details = details_of(kind, "");
  return Error(Code::kMethodNotAllowed,
               cat(action, " is not supported on resources of kind ", quote(kind.group_resource())),
               std::move(details));
}

Error no_such_path() {
  return Error(Code::kNotFound, "the server could not find the requested resource", StatusDetails());
}

Error invalid(const Kind& kind, std::string_view name, const field::ErrorList& errors) {
  return field::to_error(kind.group, kind.kind, name, errors);
}

Error too_large_revision(std::int64_t wanted, std::int64_t current) {
  StatusDetails details;
  details.causes.push_back(StatusCause{"ResourceVersionTooLarge", "Too large resource version", ""});
  details.retry_after_seconds = 1;
  return Error(Code::kTimeout, cat("Timeout: Too large resource version: ", wanted, ", current: ", current),
               std::move(details));
}

Error too_old_revision(std::int64_t wanted, std::int64_t oldest) {
  return Error(Code::kExpired, cat("too old resource version: ", wanted, " (", oldest, ")"));
}

Error internal_error(std::string_view cause) {
  StatusDetails details;
  details.causes.push_back(StatusCause{"", std::string(cause), ""});
  return Error(Code::kInternal, cat("Internal error occurred: ", cause), std::move(details));
}

int http_status(Code code) {
  switch (code) {
    case Code::kBadRequest:
      return 400;
    case Code::kUnauthorized:
      return 401;
    case Code::kForbidden:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kMethodNotAllowed:
      return 405;
    case Code::kNotAcceptable:
      return 406;
    case Code::kAlreadyExists:
    case Code::kConflict:
      return 409;
    case Code::kExpired:
    case Code::kGone:
      return 410;
    case Code::kTooLarge:
      return 413;
    case Code::kUnsupportedMediaType:
      return 415;
    case Code::kInvalid:
      return 422;
    case Code::kTooManyRequests:
      return 429;
    case Code::kUnavailable:
      return 503;
    case Code::kTimeout:
      return 504;
    case Code::kServerTimeout:
    case Code::kInternal:
    case Code::kCancelled:
    case Code::kIo:
    case Code::kNoSpace:
    case Code::kCorrupt:
      return 500;
  }
  return 500;
}

std::string_view status_reason(Code code) {
  switch (code) {
    case Code::kBadRequest:
      return "BadRequest";
    case Code::kUnauthorized:
      return "Unauthorized";
    case Code::kForbidden:
      return "Forbidden";
    case Code::kNotFound:
      return "NotFound";
    case Code::kMethodNotAllowed:
      return "MethodNotAllowed";
    case Code::kNotAcceptable:
      return "NotAcceptable";
    case Code::kAlreadyExists:
      return "AlreadyExists";
    case Code::kConflict:
      return "Conflict";
    case Code::kExpired:
      return "Expired";
    case Code::kGone:
      return "Gone";
    case Code::kTooLarge:
      return "RequestEntityTooLarge";
    case Code::kUnsupportedMediaType:
      return "UnsupportedMediaType";
    case Code::kInvalid:
      return "Invalid";
    case Code::kTooManyRequests:
      return "TooManyRequests";
    case Code::kUnavailable:
      return "ServiceUnavailable";
    case Code::kTimeout:
      return "Timeout";
    case Code::kServerTimeout:
      return "ServerTimeout";
    case Code::kInternal:
    case Code::kCancelled:
    case Code::kIo:
    case Code::kNoSpace:
    case Code::kCorrupt:
      return "InternalError";
  }
  return "InternalError";
}

Error for_client(const Error& error) {
  switch (error.code()) {
    case Code::kIo:
    case Code::kNoSpace:
    case Code::kCorrupt:
      return internal_error(error.message());
    case Code::kCancelled:
      return Error(Code::kUnavailable, "the server is shutting down or the client went away");
    case Code::kInternal:
      return error.details() != nullptr ? error : internal_error(error.message());
    default:
      return error;
  }
}

json::Value status_document(const Error& raw) {
  const Error error = for_client(raw);
  json::Value status;
  status["kind"] = "Status";
  status["apiVersion"] = "v1";
  status["metadata"] = json::Object();
  status["status"] = "Failure";
  if (!error.message().empty()) status["message"] = error.message();
  status["reason"] = status_reason(error.code());
  if (const StatusDetails* details = error.details(); details != nullptr && !details->continue_token.empty()) {
    status["metadata"]["continue"] = details->continue_token;
  } else if (details != nullptr) {
    json::Value& out = status["details"];
    out = json::Object();
    if (!details->name.empty()) out["name"] = details->name;
    if (!details->group.empty()) out["group"] = details->group;
    if (!details->kind.empty()) out["kind"] = details->kind;
    if (!details->uid.empty()) out["uid"] = details->uid;
    if (!details->causes.empty()) {
      json::Array causes;
      for (const StatusCause& cause : details->causes) {
        json::Object item;
        if (!cause.reason.empty()) item.set("reason", cause.reason);
        if (!cause.message.empty()) item.set("message", cause.message);
        if (!cause.field.empty()) item.set("field", cause.field);
        causes.emplace_back(std::move(item));
      }
      out["causes"] = std::move(causes);
    }
    if (details->retry_after_seconds > 0) out["retryAfterSeconds"] = details->retry_after_seconds;
  }
  status["code"] = http_status(error.code());
  return status;
}

json::Value success_document(const Kind& kind, std::string_view name, std::string_view uid) {
  json::Value status;
  status["kind"] = "Status";
  status["apiVersion"] = "v1";
  status["metadata"] = json::Object();
  status["status"] = "Success";
  json::Value& details = status["details"];
  details["name"] = name;
  if (!kind.group.empty()) details["group"] = kind.group;
  details["kind"] = kind.plural;
  if (!uid.empty()) details["uid"] = uid;
  return status;
}

json::Value created_document() {
  json::Value status;
  status["kind"] = "Status";
  status["apiVersion"] = "v1";
  status["metadata"] = json::Object();
  status["status"] = "Success";
  status["code"] = 201;
  return status;
}

}  // namespace kayak::api
