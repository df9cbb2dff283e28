// query.h: a request's query parameters as options. A parameter that changes the meaning and is not built yet is
// refused; names that no version of the API knows are ignored, as upstream does.
// Source: metav1 ListOptions, GetOptions, CreateOptions, UpdateOptions, PatchOptions, DeleteOptions; core/v1
// PodLogOptions; apimachinery metav1/validation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/api.h"
#include "api/request_info.h"

namespace kayak::api {

using QueryPairs = std::vector<std::pair<std::string, std::string>>;

// The first value of `name`; null when absent.
const std::string* query_value(const QueryPairs& query, std::string_view name);
// As upstream's conversion: present and empty is true, "false" and "0" are false, all else true.
bool query_flag(const QueryPairs& query, std::string_view name);

// Fills the options of `request` that its verb reads. Errors: BadRequest (malformed), Invalid (upstream's validation).
Result<void> apply_query(const QueryPairs& query, const RequestInfo& info, ApiRequest& request);
// ?timeout=32s: how long the client will wait at most. Errors: BadRequest.
Result<std::optional<Duration>> query_timeout(const QueryPairs& query);
// A Go duration ("1h2m3.5s"), exact to the nanosecond; false when it is none.
bool parse_go_duration(std::string_view text, Duration* duration);
// A DeleteOptions body's members over what the query said. Errors: BadRequest, Invalid.
Result<void> apply_delete_options(const json::Value& body, DeleteOptions& options);
Result<void> validate_delete_options(const DeleteOptions& options);

}  // namespace kayak::api
