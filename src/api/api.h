// api.h: the front door of the API server. A request is a value; filters and handlers run on it, never on a socket, so
// that scheduler, controllers and node agent (client/client.h) take the same way as kubectl.
// Owns the request and answer types and the server's wiring. Encoding belongs to the HTTP adapter (http_server.h).
// Source: apiserver pkg/endpoints (request.RequestInfo, handlers), metav1 options.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/selector.h"
#include "base/json.h"
#include "io/http.h"
#include "io/loop.h"
#include "store/store.h"

namespace kayak::api {

class WatchCache;

struct UserInfo {
  std::string name, uid;
  std::vector<std::string> groups;
  bool in_group(std::string_view group) const;
};

enum class Verb : std::uint8_t { kGet, kList, kWatch, kCreate, kUpdate, kPatch, kDelete, kDeleteCollection };
std::string_view verb_name(Verb verb);  // as RBAC spells it: "get", ..., "deletecollection"

enum class PatchType : std::uint8_t { kJson, kMerge, kStrategicMerge };
enum class FieldValidation : std::uint8_t { kIgnore, kWarn, kStrict };

// metav1.ListOptions and GetOptions.
struct ReadOptions {
  LabelSelector labels;
  FieldSelector fields;
  std::string resource_version;        // "", "0" or a revision
  std::string resource_version_match;  // "", "Exact", "NotOlderThan"
  std::int64_t limit = 0;              // 0: all
  std::string continue_token;
  bool allow_bookmarks = false;
  std::optional<bool> send_initial_events;
  std::optional<std::int64_t> timeout_seconds;
};
// metav1.CreateOptions, UpdateOptions, PatchOptions.
struct WriteOptions {
  bool dry_run = false;
  std::string field_manager;  // empty: the user agent up to its first '/'
  FieldValidation field_validation = FieldValidation::kWarn;
};
// metav1.DeleteOptions.
struct DeleteOptions {
  std::optional<std::int64_t> grace_seconds;
  std::string propagation_policy;  // "", "Background", "Foreground", "Orphan"
  std::optional<bool> orphan_dependents;
  std::optional<std::string> uid, resource_version;  // preconditions
  bool dry_run = false;
};
// core/v1 PodLogOptions.
struct LogOptions {
  std::string container;
  bool follow = false, previous = false, timestamps = false;
  std::optional<std::int64_t> since_seconds, tail_lines, limit_bytes;
  std::optional<WallTime> since_time;
  std::string stream;  // "All", "Stdout", "Stderr"
};

struct ApiRequest {
  Verb verb = Verb::kGet;
  const Kind* kind = nullptr;  // of the URL: its group, version and resource; null only in requests about no resource
  std::string subresource;     // "", "status", "scale", ...
  std::string namespace_, name;
  UserInfo user;
  std::string user_agent;
  std::string audit_id;  // made when empty
  // Not 0: of a component that runs on the leader alone, in this term (store::Leadership): refused with Conflict later.
  std::uint64_t term = 0;
  ReadOptions read;
  WriteOptions write;
  DeleteOptions remove;
  LogOptions log;
  PatchType patch_type = PatchType::kMerge;
  json::Value body;  // of create, update, patch
  // JSON paths that the body's reader saw twice; judged by write.field_validation.
  std::vector<std::string> duplicate_fields;
};

struct ListAnswer {
  std::vector<ObjectRef> items;
  store::Revision revision = 0;
  std::string continue_token;                        // empty: complete
  std::optional<std::int64_t> remaining_item_count;  // with a token and without selectors
};
// An answer that is not a stored object: Status, Scale, Binding, reviews.
struct DocumentAnswer {
  json::Value document;              // canonical, with kind and apiVersion
  const Message* message = nullptr;  // its schema
  // Whose columns show it, or the items of its list, as a Table; an empty kind: it has no Table.
  std::string_view table_group, table_kind;
};
struct WatchAnswer {
  enum class Type : std::uint8_t { kAdded, kModified, kDeleted, kBookmark };
  Type type = Type::kAdded;
  ObjectRef object;              // null for kBookmark; for kDeleted the last state with the deletion's revision
  store::Revision revision = 0;  // the event's
  bool initial_events_end = false;
};
// Ends by itself when the request's timeoutSeconds are over (an empty batch).
class WatchSource {
 public:
  virtual ~WatchSource() = default;
  // All events that are ready, at least one; empty: the watch has ended as asked. Errors: Expired (list again),
  // Cancelled, Unavailable.
  virtual Task<Result<std::vector<WatchAnswer>>> next(StopToken stop = StopToken()) = 0;
};

// Exactly one of object, list, watch, document and stream is set.
struct ApiResponse {
  int status = 200;
  std::vector<std::string> warnings;  // texts of `Warning: 299 - "..."`
  std::string audit_id;
  store::Revision revision = 0;  // of what was written; 0: nothing was
  ObjectRef object;
  std::optional<ListAnswer> list;
  std::unique_ptr<WatchSource> watch;
  std::optional<DocumentAnswer> document;
  std::unique_ptr<io::HttpBody> stream;  // text/plain, e.g. pods/log
};

class HeartbeatLink;

struct ApiServerOptions {
  std::string service_cidr = "10.43.0.0/16";
  int node_port_first = 30000, node_port_last = 32767;
  // Where this server is reached: the endpoints of Service default/kubernetes. Empty address: none yet.
  std::string advertise_address;
  int advertise_port = 6443;
  // Somebody else keeps those endpoints, of all servers; they are made here only when there are none.
  bool endpoints_kept = false;
  Duration request_timeout = std::chrono::seconds(60);  // of everything but watches and followed logs
  Duration event_ttl = std::chrono::hours(1);
  std::size_t history_bytes = 4 * 1024 * 1024;  // of past events kept for watches; the texts are the store's own
  Duration history_age = std::chrono::minutes(5);
  // Heartbeats are kept in memory for so long. False where other servers write the same store (an existing etcd).
  bool absorb_heartbeats = true;
  // To the other servers that write the same store; null: there are none. Outlives the server.
  HeartbeatLink* heartbeat_link = nullptr;
  Duration heartbeat_age = std::chrono::minutes(5);
};

class ApiServer {
 public:
  // `store` must outlive it.
  static std::unique_ptr<ApiServer> create(Context context, store::Store& store, ApiServerOptions options);
  virtual ~ApiServer() = default;

  // Fills the watch cache, reconciles the bootstrap objects, then keeps the cache following the store until `stop`.
  // Errors: Unavailable (the store stopped), Corrupt (an object that cannot be read, with its key).
  virtual Task<Result<void>> run(StopToken stop) = 0;
  // The cache is filled and the bootstrap objects stand.
  virtual bool ready() const = 0;
  virtual Task<bool> wait_ready(StopToken stop) = 0;

  // The request pipeline: deadline, authorization, handler. Errors carry what a metav1.Status needs (status.h).
  virtual Task<Result<ApiResponse>> handle(ApiRequest request, StopToken stop) = 0;
  // Everything a socket can ask: resources, discovery, health, metrics, OpenAPI.
  virtual io::HttpHandler http_handler() = 0;

  virtual WatchCache& cache() = 0;

  // For whoever leads, once: what services hold alone in the cluster is written down for each of them, and for none
  // that is gone (claims.h). `term` as in ApiRequest. Errors: those of the store.
  virtual Task<Result<void>> repair_service_claims(std::uint64_t term, StopToken stop) = 0;

  // Serves pods/log for a scheduled pod, options checked, `options.container` set. Until it is set: 501.
  using LogHook =
      std::function<Task<Result<std::unique_ptr<io::HttpBody>>>(ObjectRef pod, LogOptions options, StopToken stop)>;
  virtual void set_log_hook(LogHook hook) = 0;
  // A line of /readyz; `check` answers with what is wrong. Names are path segments ("etcd", "informer-sync").
  using HealthCheck = std::function<Result<void>()>;
  virtual void add_readiness_check(std::string name, HealthCheck check) = 0;
};

}  // namespace kayak::api
