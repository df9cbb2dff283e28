// query.cc: query parameters and the DeleteOptions body.
#include "api/query.h"

#include <algorithm>
#include <array>

#include "api/schema_impl.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::size_t kMaxFieldManager = 128;
constexpr std::string_view kMetaGroup = "meta.k8s.io";
constexpr std::string_view kValidations[] = {"", "Ignore", "Strict", "Warn"};
constexpr std::string_view kStreams[] = {"All", "Stdout", "Stderr"};
constexpr std::string_view kPolicies[] = {"Background", "Foreground", "Orphan"};

// Known to some version of the API, changes what a request means, and is not built.
struct RefusedParameter {
  std::string_view name, why;
};
constexpr std::array kRefused = {
    RefusedParameter{"export", "the export parameter, deprecated since v1.14, is no longer supported"},
    RefusedParameter{"exact", "the exact parameter, deprecated since v1.14, is no longer supported"},
    RefusedParameter{"shardSelector", "the shardSelector parameter is not supported by this server"},
    RefusedParameter{"ignoreStoreReadErrorWithClusterBreakingPotential",
                     "the ignoreStoreReadErrorWithClusterBreakingPotential parameter is not supported by this server"},
};

Result<std::optional<std::int64_t>> query_int(const QueryPairs& query, std::string_view name) {
  const std::string* text = query_value(query, name);
  if (text == nullptr) return std::optional<std::int64_t>();
  if (text->empty()) return std::optional<std::int64_t>(0);
  std::int64_t value = 0;
  if (!parse_int64(*text, &value)) {
    return bad_request(cat("strconv.ParseInt: parsing ", quote(*text), ": invalid syntax"));
  }
  return std::optional<std::int64_t>(value);
}

std::string text_of(const QueryPairs& query, std::string_view name) {
  const std::string* value = query_value(query, name);
  return value == nullptr ? std::string() : *value;
}

Result<void> apply_read(const QueryPairs& query, ReadOptions& options) {
  Result<LabelSelector> labels = LabelSelector::parse(text_of(query, "labelSelector"));
  if (!labels) return labels.error();
  options.labels = std::move(*labels);
  Result<FieldSelector> fields = FieldSelector::parse(text_of(query, "fieldSelector"));
  if (!fields) return fields.error();
  options.fields = std::move(*fields);
  options.resource_version = text_of(query, "resourceVersion");
  options.resource_version_match = text_of(query, "resourceVersionMatch");
  options.continue_token = text_of(query, "continue");
  options.allow_bookmarks = query_flag(query, "allowWatchBookmarks");
  if (query_value(query, "sendInitialEvents") != nullptr) {
    options.send_initial_events = query_flag(query, "sendInitialEvents");
  }
  auto limit = query_int(query, "limit");
  if (!limit) return limit.error();
  options.limit = std::max<std::int64_t>(limit->value_or(0), 0);
  auto timeout = query_int(query, "timeoutSeconds");
  if (!timeout) return timeout.error();
  options.timeout_seconds = *timeout;
  return Result<void>();
}

Result<bool> parse_dry_run(const std::vector<std::string>& values, std::string_view options_kind) {
  if (values.empty()) return false;
  if (std::all_of(values.begin(), values.end(), [](const std::string& value) { return value == "All"; })) return true;
  constexpr std::string_view kAll[] = {"All"};
  json::Array sent;
  for (const std::string& value : values) sent.emplace_back(value);
  return field::to_error(kMetaGroup, options_kind, "",
                         {field::not_supported(field::Path("dryRun"), std::move(sent), kAll)});
}

std::vector<std::string> all_values(const QueryPairs& query, std::string_view name) {
  std::vector<std::string> values;
  for (const auto& [key, value] : query) {
    if (key == name) values.push_back(value);
  }
  return values;
}

bool printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string_view options_kind_of(Verb verb) {
  switch (verb) {
    case Verb::kCreate:
      return "CreateOptions";
    case Verb::kPatch:
      return "PatchOptions";
    default:
      return "UpdateOptions";
  }
}

Result<void> apply_write(const QueryPairs& query, Verb verb, WriteOptions& options) {
  field::ErrorList errors;
  const std::string_view kind = options_kind_of(verb);
  Result<bool> dry_run = parse_dry_run(all_values(query, "dryRun"), kind);
  if (!dry_run) return dry_run.error();
  options.dry_run = *dry_run;
  options.field_manager = text_of(query, "fieldManager");
  if (verb == Verb::kPatch && query_value(query, "force") != nullptr) {
    errors.push_back(field::forbidden(field::Path("force"), "may not be specified for non-apply patch"));
  }
  if (options.field_manager.size() > kMaxFieldManager) {
    errors.push_back(field::too_long(field::Path("fieldManager"), kMaxFieldManager));
  }
  if (!printable(options.field_manager)) {
    errors.push_back(
        field::invalid(field::Path("fieldManager"), options.field_manager, "should only contain printable characters"));
  }
  const std::string validation = text_of(query, "fieldValidation");
  if (validation == "Ignore") {
    options.field_validation = FieldValidation::kIgnore;
  } else if (validation == "Strict") {
    options.field_validation = FieldValidation::kStrict;
  } else if (!validation.empty() && validation != "Warn") {
    errors.push_back(field::not_supported(field::Path("fieldValidation"), validation, kValidations));
  }
  if (errors.empty()) return Result<void>();
  return field::to_error(kMetaGroup, kind, "", errors);
}

Result<void> apply_delete(const QueryPairs& query, DeleteOptions& options) {
  auto grace = query_int(query, "gracePeriodSeconds");
  if (!grace) return grace.error();
  options.grace_seconds = *grace;
  if (query_value(query, "orphanDependents") != nullptr) {
    options.orphan_dependents = query_flag(query, "orphanDependents");
  }
  options.propagation_policy = text_of(query, "propagationPolicy");
  Result<bool> dry_run = parse_dry_run(all_values(query, "dryRun"), "DeleteOptions");
  if (!dry_run) return dry_run.error();
  options.dry_run = *dry_run;
  return Result<void>();
}

Result<void> apply_log(const QueryPairs& query, const std::string& pod, LogOptions& options) {
  options.container = text_of(query, "container");
  options.follow = query_flag(query, "follow");
  options.previous = query_flag(query, "previous");
  options.timestamps = query_flag(query, "timestamps");
  options.stream = text_of(query, "stream");
  struct Number {
    std::string_view name;
    std::optional<std::int64_t>* out;
  };
  for (const Number& number : {Number{"sinceSeconds", &options.since_seconds}, Number{"tailLines", &options.tail_lines},
                               Number{"limitBytes", &options.limit_bytes}}) {
    auto value = query_int(query, number.name);
    if (!value) return value.error();
    *number.out = *value;
  }
  field::ErrorList errors;
  if (const std::string* since = query_value(query, "sinceTime"); since != nullptr && !since->empty()) {
    WallTime time;
    if (!parse_time(*since, &time)) return bad_request(cat("parsing time ", quote(*since), ": not an RFC 3339 time"));
    options.since_time = time;
  }
  if (options.tail_lines && *options.tail_lines < 0) {
    errors.push_back(
        field::invalid(field::Path("tailLines"), *options.tail_lines, "must be greater than or equal to 0"));
  }
  if (options.limit_bytes && *options.limit_bytes < 1) {
    errors.push_back(field::invalid(field::Path("limitBytes"), *options.limit_bytes, "must be greater than 0"));
  }
  if (options.since_seconds && options.since_time) {
    errors.push_back(
        field::forbidden(field::Path(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  } else if (options.since_seconds && *options.since_seconds < 1) {
    errors.push_back(field::invalid(field::Path("sinceSeconds"), *options.since_seconds, "must be greater than 0"));
  }
  if (!options.stream.empty() && options.stream != "All" && options.stream != "Stdout" && options.stream != "Stderr") {
    errors.push_back(field::not_supported(field::Path("stream"), options.stream, kStreams));
  }
  if (options.tail_lines && (options.stream == "Stdout" || options.stream == "Stderr")) {
    errors.push_back(
        field::forbidden(field::Path(""), "`tailLines` and specific `stream` are mutually exclusive for now"));
  }
  if (errors.empty()) return Result<void>();
  return field::to_error("", "PodLogOptions", pod, errors);
}

}  // namespace

const std::string* query_value(const QueryPairs& query, std::string_view name) {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

bool query_flag(const QueryPairs& query, std::string_view name) {
  const std::string* value = query_value(query, name);
  if (value == nullptr) return false;
  return !iequals(*value, "false") && *value != "0";
}

bool parse_go_duration(std::string_view text, Duration* duration) {
  std::int64_t nanoseconds = 0;
  if (!detail::parse_duration(text, &nanoseconds)) return false;
  *duration = Duration(nanoseconds);
  return true;
}

Result<std::optional<Duration>> query_timeout(const QueryPairs& query) {
  const std::string* text = query_value(query, "timeout");
  if (text == nullptr || text->empty()) return std::optional<Duration>();
  Duration duration{};
  if (!parse_go_duration(*text, &duration)) {
    return bad_request(cat("invalid timeout specified in the request URL - time: invalid duration ", quote(*text)));
  }
  if (duration.count() <= 0) return std::optional<Duration>();
  return std::optional<Duration>(duration);
}

Result<void> apply_query(const QueryPairs& query, const RequestInfo& info, ApiRequest& request) {
  for (const RefusedParameter& row : kRefused) {
    if (query_value(query, row.name) != nullptr) return bad_request(std::string(row.why));
  }
  if (info.subresource == "log") return apply_log(query, info.name, request.log);
  switch (info.verb) {
    case Verb::kGet:
    case Verb::kList:
    case Verb::kWatch:
      return apply_read(query, request.read);
    case Verb::kCreate:
    case Verb::kUpdate:
    case Verb::kPatch:
      return apply_write(query, info.verb, request.write);
    case Verb::kDeleteCollection:
      if (auto read = apply_read(query, request.read); !read) return read;
      return apply_delete(query, request.remove);
    case Verb::kDelete:
      return apply_delete(query, request.remove);
  }
  return Result<void>();
}

Result<void> apply_delete_options(const json::Value& body, DeleteOptions& options) {
  if (!body.is_object()) return bad_request("the body of a delete must be DeleteOptions");
  const std::string_view kind = body.find("kind") != nullptr ? body.find("kind")->string_or() : "";
  if (!kind.empty() && kind != "DeleteOptions") {
    return bad_request(cat("decoded object cannot be converted to DeleteOptions: it is a ", kind));
  }
  if (const json::Value* grace = body.find("gracePeriodSeconds"); grace != nullptr && !grace->is_null()) {
    if (!grace->is_int()) return bad_request("gracePeriodSeconds must be an integer");
    options.grace_seconds = grace->as_int();
  }
  if (const json::Value* policy = body.find("propagationPolicy"); policy != nullptr && !policy->is_null()) {
    options.propagation_policy = policy->string_or();
  }
  if (const json::Value* orphan = body.find("orphanDependents"); orphan != nullptr && orphan->is_bool()) {
    options.orphan_dependents = orphan->as_bool();
  }
  if (const json::Value* conditions = body.find("preconditions"); conditions != nullptr && conditions->is_object()) {
    if (const json::Value* uid = conditions->find("uid"); uid != nullptr && uid->is_string()) {
      options.uid = uid->as_string();
    }
    if (const json::Value* version = conditions->find("resourceVersion"); version != nullptr && version->is_string()) {
      options.resource_version = version->as_string();
    }
  }
  if (const json::Value* ignore = body.find("ignoreStoreReadErrorWithClusterBreakingPotential");
      ignore != nullptr && ignore->bool_or(false)) {
    return bad_request("ignoreStoreReadErrorWithClusterBreakingPotential is not supported by this server");
  }
  if (const json::Value* dry_run = body.find("dryRun"); dry_run != nullptr && dry_run->is_array()) {
    std::vector<std::string> values;
    for (const json::Value& value : dry_run->as_array()) values.emplace_back(value.string_or());
    Result<bool> parsed = parse_dry_run(values, "DeleteOptions");
    if (!parsed) return parsed.error();
    options.dry_run = options.dry_run || *parsed;
  }
  return Result<void>();
}

Result<void> validate_delete_options(const DeleteOptions& options) {
  field::ErrorList errors;
  if (options.orphan_dependents && !options.propagation_policy.empty()) {
    errors.push_back(field::invalid(field::Path("propagationPolicy"), options.propagation_policy,
                                    "orphanDependents and deletionPropagation cannot be both set"));
  }
  const std::string& policy = options.propagation_policy;
  if (!policy.empty() && policy != "Foreground" && policy != "Background" && policy != "Orphan") {
    errors.push_back(field::not_supported(field::Path("propagationPolicy"), policy, kPolicies));
  }
  if (errors.empty()) return Result<void>();
  return field::to_error(kMetaGroup, "DeleteOptions", "", errors);
}

}  // namespace kayak::api
