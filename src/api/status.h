// status.h: errors as upstream spells them, and an Error as the metav1.Status that clients read.
// Source: apimachinery pkg/api/errors, metav1.Status.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/validation/field.h"
#include "base/json.h"
#include "base/result.h"

namespace kayak::api {

// 404 `pods "x" not found`.
Error not_found(const Kind& kind, std::string_view name);
// 409 `pods "x" already exists`.
Error already_exists(const Kind& kind, std::string_view name);
// 409 after eight generated names were all taken; asks for a retry in 1 s.
Error generated_name_taken(const Kind& kind, std::string_view name);
// 409 `Operation cannot be fulfilled on pods "x": <why>`.
Error conflict(const Kind& kind, std::string_view name, std::string_view why);
// The usual `why` of a lost race.
Error modified_conflict(const Kind& kind, std::string_view name);
// 403 `pods "x" is forbidden: <why>`; without a name `pods is forbidden: <why>`.
Error forbidden(const Kind& kind, std::string_view name, std::string_view why);
// 400 <why>.
Error bad_request(std::string why);
// 405 for a verb that a resource does not have.
Error method_not_supported(const Kind& kind, std::string_view action);
// 404 of a path that nothing serves.
Error no_such_path();
// 422 `Pod "x" is invalid: <errors>`. For what is no object of a kind: field::to_error.
Error invalid(const Kind& kind, std::string_view name, const field::ErrorList& errors);
// 504 with cause ResourceVersionTooLarge.
Error too_large_revision(std::int64_t wanted, std::int64_t current);
// 410 of a watch from a revision that is no longer kept.
Error too_old_revision(std::int64_t wanted, std::int64_t oldest);
// 500 with the cause's text.
Error internal_error(std::string_view cause);

int http_status(Code code);
std::string_view status_reason(Code code);
// metav1.Status, canonical, with kind and apiVersion.
json::Value status_document(const Error& error);
// {"status":"Success", details}: what a DELETE that removed an object answers.
json::Value success_document(const Kind& kind, std::string_view name, std::string_view uid);
// {"status":"Success", "code": 201}: what a created binding answers.
json::Value created_document();
// An error that reached the top as it is: system-level codes become what a client may see of them.
Error for_client(const Error& error);

}  // namespace kayak::api
