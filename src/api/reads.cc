// reads.cc: get, list and watch on the cache, and on the store's past where a snapshot asks for it.
#include "api/reads.h"

#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// How long a read of a revision from the future waits for it.
constexpr Duration kFreshness = std::chrono::seconds(3);
constexpr std::int64_t kSnapshotPage = 500;
// How long the pages of one list stand at its revision. The store alone would not end it: it has no need to compact
// while little is written, and what is unchanged is read from the cache. Upstream's tokens end with its compaction
// after five to ten minutes, whatever was written, and clients and their tests count on both the five and the ten.
// Longer than heartbeats wait (five minutes): a list that begins anew then has another revision wherever a node lives.
constexpr std::int64_t kTokenSeconds = 8 * 60;

Result<store::Revision> parse_revision(const std::string& text) {
  std::int64_t value = 0;
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || !parse_int64(text, &value)) {
    const char* why = digits ? "value out of range" : "invalid syntax";
    return bad_request(
        cat("resourceVersion: Invalid value: ", quote(text), ": strconv.ParseUint: parsing ", quote(text), ": ", why));
  }
  return value;
}

Task<Result<void>> wait_fresh(ServerParts& parts, store::Revision wanted, StopToken stop) {
  if (parts.cache.revision() >= wanted) co_return Result<void>();
  io::Deadline deadline(parts.context.loop, kFreshness, stop);
  auto waited = co_await parts.cache.wait_until(wanted, deadline.token());
  if (!waited && deadline.expired()) co_return too_large_revision(wanted, parts.cache.revision());
  co_return waited;
}

constexpr std::string_view kListMatches[] = {"Exact", "NotOlderThan", ""};
constexpr std::string_view kWatchMatches[] = {"NotOlderThan"};

Result<void> validate_list(const ReadOptions& options) {
  field::ErrorList errors;
  const std::string& match = options.resource_version_match;
  if (!match.empty()) {
    if (options.resource_version.empty()) {
      errors.push_back(field::forbidden(field::Path("resourceVersionMatch"),
                                        "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    if (!options.continue_token.empty()) {
      errors.push_back(field::forbidden(field::Path("resourceVersionMatch"),
                                        "resourceVersionMatch is forbidden when continue is provided"));
    }
    if (match != "Exact" && match != "NotOlderThan") {
      errors.push_back(field::not_supported(field::Path("resourceVersionMatch"), match, kListMatches));
    }
    if (match == "Exact" && options.resource_version == "0") {
      errors.push_back(field::forbidden(field::Path("resourceVersionMatch"),
                                        "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    }
  }
  if (options.send_initial_events) {
    errors.push_back(field::forbidden(field::Path("sendInitialEvents"), "sendInitialEvents is forbidden for list"));
  }
  if (errors.empty()) return Result<void>();
  return field::to_error("meta.k8s.io", "ListOptions", "", errors);
}

Result<void> validate_watch(const ReadOptions& options) {
  field::ErrorList errors;
  const std::string& match = options.resource_version_match;
  if (options.send_initial_events && match != "NotOlderThan") {
    errors.push_back(field::forbidden(field::Path("resourceVersionMatch"),
                                      "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
  }
  if (!match.empty()) {
    if (!options.send_initial_events) {
      errors.push_back(
          field::forbidden(field::Path("resourceVersionMatch"),
                           "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
    }
    if (match != "NotOlderThan") {
      errors.push_back(field::not_supported(field::Path("resourceVersionMatch"), match, kWatchMatches));
    }
    if (!options.continue_token.empty()) {
      errors.push_back(field::forbidden(field::Path("resourceVersionMatch"),
                                        "resourceVersionMatch is forbidden when continue is provided"));
    }
  }
  if (errors.empty()) return Result<void>();
  return field::to_error("meta.k8s.io", "ListOptions", "", errors);
}

// Selector names of a served version that its storage version calls otherwise.
struct RenamedField {
  std::string_view group, plural, field, stored;
};
constexpr RenamedField kRenamedFields[] = {
    {"", "pods", "spec.host", "spec.nodeName"},
    {"", "pods", "status.podIPs", "status.podIP"},
    {"events.k8s.io", "events", "reportingController", "reportingComponent"},
};

bool stored_field(const Kind& kind, const std::string& field, std::string* stored) {
  for (const RenamedField& row : kRenamedFields) {
    if (row.group == kind.group && row.plural == kind.plural && row.field == field) {
      *stored = row.stored;
      return true;
    }
  }
  bool known = field == "metadata.name" || (field == "metadata.namespace" && kind.namespaced);
  bool only_metadata = true;
  for (std::string_view name : split(kind.field_selectors, ',')) {
    known = known || name == field;
    only_metadata = only_metadata && name.starts_with("metadata.");
  }
  *stored = field;
  if (known && kind.group == "events.k8s.io" && field.starts_with("regarding.")) {
    *stored = cat("involvedObject.", field.substr(10));
  }
  if (!known && only_metadata) *stored = "";
  return known;
}

struct Page {
  ListAnswer answer;
  std::string last;  // key of the last item
  bool more = false;
  std::int64_t remaining = 0;
};

std::string key_suffix(const Kind& kind, const Object& object) {
  return kind.namespaced ? cat(object.namespace_(), "/", object.name()) : object.name();
}

Page page_from_cache(const WatchCache& cache, const Kind& kind, const ObjectFilter& filter, std::string_view after,
                     std::int64_t limit) {
  Page page;
  const bool count_rest = filter.matches_all();
  auto take = [&](const ObjectRef& object) {
    if (limit > 0 && page.answer.items.size() >= static_cast<std::size_t>(limit)) {
      page.more = true;
      ++page.remaining;
      return count_rest;
    }
    page.answer.items.push_back(object);
    return true;
  };
  cache.visit(kind, filter, after, take);
  return page;
}

// The same from the store, at a revision of the past. Errors: Expired (compacted), Invalid (future).
Task<Result<Page>> page_from_store(ServerParts& parts, const Kind& kind, ObjectFilter filter, std::string after,
                                   std::int64_t limit, store::Revision revision, StopToken stop) {
  std::string prefix = cat(kind.storage_prefix, "/");
  if (kind.namespaced && !filter.namespace_.empty()) prefix += cat(filter.namespace_, "/");
  store::RangeRequest range;
  range.key = prefix;
  if (!after.empty()) range.key = std::max(prefix, cat(kind.storage_prefix, "/", after) + '\0');
  range.range_end = prefix;
  range.range_end.back() = '0';  // the character after '/'
  range.revision = revision;
  Page page;
  for (;;) {
    range.limit =
        limit > 0 && filter.matches_all() ? limit - static_cast<std::int64_t>(page.answer.items.size()) : kSnapshotPage;
    auto read = co_await parts.store.range(range, stop);
    if (!read) co_return read.error();
    for (const store::KeyValue& kv : read->kvs) {
      auto object = Object::from_stored(kind, kv.value, kv.mod_revision);
      if (!object) {
        parts.context.log.error("unreadable object left out", {{"key", kv.key}, {"error", object.error().message()}});
        continue;
      }
      if (!filter.matches(**object)) continue;
      *object = parts.cache.with_heartbeat(*object);
      if (limit > 0 && page.answer.items.size() >= static_cast<std::size_t>(limit)) {
        page.more = true;
        co_return page;
      }
      page.answer.items.push_back(std::move(*object));
    }
    if (!read->more || read->kvs.empty()) break;
    if (limit > 0 && filter.matches_all() && page.answer.items.size() >= static_cast<std::size_t>(limit)) {
      page.more = true;
      page.remaining = read->count - static_cast<std::int64_t>(read->kvs.size());
      break;
    }
    range.key = read->kvs.back().key + '\0';
  }
  co_return page;
}

Error expired_token(const ContinueToken& token) {
  ContinueToken inconsistent = token;
  inconsistent.revision = -1;
  StatusDetails details;
  details.continue_token = encode_continue(inconsistent);
  return Error(Code::kExpired,
               "The provided continue parameter is too old to display a consistent list result. You can start a new "
               "list without the continue parameter, or use the continue token in this response to retrieve the "
               "remainder of the results. Continuing with the provided token results in an inconsistent list - "
               "objects that were created, modified, or deleted between the time the first chunk was returned and now "
               "may show up in the list.",
               std::move(details));
}

bool expired(const ContinueToken& token, const Clock& clock) {
  return token.begun != 0 && token.begun <= clock.wall().seconds() - kTokenSeconds;
}

// `begun` as in ContinueToken.
ApiResponse finish_list(const Kind& kind, const ObjectFilter& filter, Page page, store::Revision revision,
                        std::int64_t begun) {
  page.answer.revision = revision;
  if (page.more) {
    ContinueToken token;
    token.revision = revision;
    token.last = key_suffix(kind, *page.answer.items.back());
    token.begun = begun;
    page.answer.continue_token = encode_continue(token);
    if (filter.matches_all()) page.answer.remaining_item_count = page.remaining;
  }
  ApiResponse response;
  response.list = std::move(page.answer);
  return response;
}

// At exactly `revision`: from the cache when nothing of the kind changed since, else from the store's past.
Task<Result<Page>> page_at(ServerParts& parts, const Kind& kind, ObjectFilter filter, std::string after,
                           std::int64_t limit, store::Revision revision, StopToken stop) {
  if (auto fresh = co_await wait_fresh(parts, revision, stop); !fresh) co_return fresh.error();
  if (parts.cache.last_change(kind) <= revision) {
    co_return page_from_cache(parts.cache, kind, filter, after, limit);
  }
  co_return co_await page_from_store(parts, storage_kind(kind), std::move(filter), std::move(after), limit, revision,
                                     stop);
}

Task<Result<ApiResponse>> continue_list(ServerParts& parts, const ApiRequest& request, ObjectFilter filter,
                                        StopToken stop) {
  const ReadOptions& options = request.read;
  if (!options.resource_version.empty() && options.resource_version != "0") {
    co_return bad_request("specifying resource version is not allowed when using continue");
  }
  auto token = decode_continue(options.continue_token);
  if (!token) co_return token.error();
  if (token->revision < 0) {
    if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
    Page page = page_from_cache(parts.cache, *request.kind, filter, token->last, options.limit);
    co_return finish_list(*request.kind, filter, std::move(page), parts.cache.revision(),
                          parts.context.clock.wall().seconds());
  }
  if (expired(*token, parts.context.clock)) co_return expired_token(*token);
  auto page = co_await page_at(parts, *request.kind, filter, token->last, options.limit, token->revision, stop);
  if (!page && page.error().code() == Code::kExpired) co_return expired_token(*token);
  if (!page) co_return page.error();
  co_return finish_list(*request.kind, filter, std::move(*page), token->revision, token->begun);
}

}  // namespace

std::string encode_continue(const ContinueToken& token) {
  json::Value body;
  body["v"] = "meta.k8s.io/v1";
  body["rv"] = token.revision;
  body["start"] = token.last + '\0';
  if (token.begun != 0) body["begun"] = token.begun;
  return base64url_encode(json::write(body));
}

Result<ContinueToken> decode_continue(std::string_view text) {
  std::string bytes;
  const auto refuse = [](std::string_view why) { return bad_request(cat("invalid continue token: ", why)); };
  if (!base64url_decode(text, &bytes)) return refuse("it is not base64");
  Result<json::Value> body = json::read(bytes);
  if (!body || !body->is_object()) return refuse("continue key is not valid");
  const json::Value* version = body->find("v");
  const json::Value* revision = body->find("rv");
  const json::Value* start = body->find("start");
  if (version == nullptr || version->string_or() != "meta.k8s.io/v1") {
    return refuse(cat("continue key is not valid: server does not recognize this encoded version ",
                      quote(version == nullptr ? "" : version->string_or())));
  }
  if (revision == nullptr || revision->int_or(0) == 0) {
    return refuse("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  ContinueToken token;
  token.revision = revision->as_int();
  token.last = std::string(start == nullptr ? "" : start->string_or());
  if (const json::Value* begun = body->find("begun")) token.begun = begun->int_or(0);
  if (token.last.empty()) {
    return refuse("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
  }
  if (token.last.back() == '\0') token.last.pop_back();
  // Security 4: what a client sends never becomes a path.
  for (std::string_view part : split(token.last, '/')) {
    if (part == ".." || part == ".") return refuse(cat("continue key is not valid: ", quote(token.last)));
  }
  return token;
}

Result<ObjectFilter> filter_of(const ApiRequest& request) {
  ObjectFilter filter;
  filter.namespace_ = request.namespace_;
  filter.labels = request.read.labels;
  for (const FieldSelector::Term& term : request.read.fields.terms()) {
    FieldSelector::Term stored = term;
    if (!stored_field(*request.kind, term.field, &stored.field)) {
      if (!stored.field.empty()) return bad_request(cat("field label not supported: ", term.field));
      return bad_request(
          cat(quote(term.field), " is not a known field selector: only \"metadata.name\", \"metadata.namespace\""));
    }
    filter.fields.add(std::move(stored));
  }
  if (!request.name.empty()) filter.fields.add(FieldSelector::Term{"metadata.name", request.name, true});
  return filter;
}

Task<Result<ApiResponse>> serve_get(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  const std::string& wanted = request.read.resource_version;
  if (wanted.empty()) {
    if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
  } else {
    auto revision = parse_revision(wanted);
    if (!revision) co_return revision.error();
    if (auto fresh = co_await wait_fresh(parts, *revision, stop); !fresh) co_return fresh.error();
  }
  ApiResponse response;
  response.object = parts.cache.get(*request.kind, request.namespace_, request.name);
  if (!response.object) co_return not_found(*request.kind, request.name);
  co_return response;
}

Task<Result<ApiResponse>> serve_list(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  const ReadOptions& options = request.read;
  if (auto valid = validate_list(options); !valid) co_return valid.error();
  auto filter = filter_of(request);
  if (!filter) co_return filter.error();
  if (!options.continue_token.empty()) co_return co_await continue_list(parts, request, std::move(*filter), stop);

  store::Revision wanted = 0;
  if (!options.resource_version.empty()) {
    auto parsed = parse_revision(options.resource_version);
    if (!parsed) co_return parsed.error();
    wanted = *parsed;
  }
  const std::string& match = options.resource_version_match;
  const std::int64_t begun = parts.context.clock.wall().seconds();
  const bool exact = wanted > 0 && (match == "Exact" || (match.empty() && options.limit > 0));
  if (exact) {
    auto page = co_await page_at(parts, *request.kind, *filter, std::string(), options.limit, wanted, stop);
    if (!page && page.error().code() == Code::kExpired) {
      co_return Error(Code::kExpired, "The resourceVersion for the provided list is too old.");
    }
    if (!page) co_return page.error();
    co_return finish_list(*request.kind, *filter, std::move(*page), wanted, begun);
  }
  if (options.resource_version.empty()) {
    if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
  } else if (auto fresh = co_await wait_fresh(parts, wanted, stop); !fresh) {
    co_return fresh.error();
  }
  Page page = page_from_cache(parts.cache, *request.kind, *filter, "", options.limit);
  co_return finish_list(*request.kind, *filter, std::move(page), parts.cache.revision(), begun);
}

Task<Result<ApiResponse>> serve_watch(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  const ReadOptions& options = request.read;
  if (auto valid = validate_watch(options); !valid) co_return valid.error();
  auto filter = filter_of(request);
  if (!filter) co_return filter.error();
  CacheWatchOptions watch;
  watch.filter = std::move(*filter);
  watch.bookmarks = options.allow_bookmarks;
  if (options.timeout_seconds && *options.timeout_seconds > 0) {
    watch.timeout = std::chrono::seconds(*options.timeout_seconds);
  }
  store::Revision wanted = 0;
  if (!options.resource_version.empty()) {
    auto parsed = parse_revision(options.resource_version);
    if (!parsed) co_return parsed.error();
    wanted = *parsed;
  }
  // Without a revision: from the present, which the client sees as ADDED events unless it declines them.
  const bool wants_initial = options.send_initial_events.value_or(wanted == 0);
  if (wanted == 0) {
    if (options.resource_version.empty()) {
      if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
    }
    watch.after = parts.cache.revision();
  } else if (wants_initial) {
    if (auto fresh = co_await wait_fresh(parts, wanted, stop); !fresh) co_return fresh.error();
  } else {
    watch.after = wanted;
  }
  watch.initial_events = wants_initial;
  watch.initial_bookmark = wants_initial && options.send_initial_events.has_value() && options.allow_bookmarks;
  auto source = parts.cache.watch(*request.kind, std::move(watch));
  if (!source) co_return source.error();
  ApiResponse response;
  response.watch = std::move(*source);
  co_return response;
}

}  // namespace kayak::api
