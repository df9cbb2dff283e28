// strategy.h: how each kind's writes behave: a row per kind, one per subresource, and the few rules that need code.
// Source: shared fact table strategy.tsv (Kubernetes v1.36).
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/server_parts.h"
#include "base/json.h"

namespace kayak::api {

// What a prepare step may know and say.
struct WriteContext {
  ServerParts& parts;
  const Kind& kind;  // storage version
  const UserInfo& user;
  WallTime now;
  bool dry_run = false;
  std::vector<std::string>& warnings;
  // Keys (claims.h) that turned out to be another's when this write was tried before.
  std::set<std::string> lost_claims{};
};

// When metadata.generation counts a change.
enum class Generation : std::uint8_t {
  kNone,
  kSpec,
  kSpecOrAnnotations,  // deployments
  kTemplate,           // podtemplates
  kWebhooks,           // webhook configurations
  kContent,            // anything outside metadata
  kContentOrLabels,    // endpointslices
};

// What DELETE answers when the object is gone at once.
enum class DeleteAnswer : std::uint8_t { kStatus, kObject };
enum class GarbageCollection : std::uint8_t { kBackground, kOrphan, kUnsupported };

using PrepareCreate = void (*)(WriteContext& context, json::Value& object);
using PrepareUpdate = void (*)(WriteContext& context, json::Value& object, const json::Value& old);

// Something taken for a write (addresses, ports): kept when the write stands, given back when it does not.
struct Reservation {
  std::function<void()> give_back;  // null: nothing was taken
};
using Reserve = Result<Reservation> (*)(WriteContext& context, json::Value& object, const json::Value* old);

// The keys (claims.h) that only this object may hold in the whole cluster, and what to write at one of them.
using ClaimedKeys = std::set<std::string> (*)(const json::Value& object);
using ClaimText = store::Bytes (*)(ServerParts& parts, const json::Value& object, const std::string& key);

struct Strategy {
  std::string_view group, resource;
  bool create_on_put = false;
  bool put_needs_revision = false;
  bool has_status = false;          // wiped at creation, kept on update
  bool status_at_creation = false;  // but not wiped there
  bool starts_generation = false;
  Generation generation = Generation::kNone;
  DeleteAnswer delete_answer = DeleteAnswer::kStatus;
  GarbageCollection garbage_collection = GarbageCollection::kBackground;
  bool graceful = false;
  std::span<const std::string_view> reset_fields;  // of the main endpoint, for managedFields
  PrepareCreate prepare_create = nullptr;
  PrepareUpdate prepare_update = nullptr;
  Reserve reserve = nullptr;
  ClaimedKeys claimed_keys = nullptr;
  ClaimText claim_text = nullptr;
  // Said on every accepted write: the object is kept but nothing acts on it yet.
  std::string_view not_enforced;
};

// What a write to a subresource of the object itself leaves as it was.
struct SubresourceStrategy {
  std::string_view group, resource, subresource;
  bool put_needs_revision = false;
  bool keeps_metadata = false;             // all of metadata but managedFields and resourceVersion
  std::span<const std::string_view> kept;  // dotted paths taken from the old object
  std::span<const std::string_view> reset_fields;
  PrepareUpdate prepare_update = nullptr;
};

// A row for every stored kind; kinds without one behave as the table's default.
const Strategy& strategy_of(const Kind& kind);
// Null when the subresource is no view of the object itself (scale, binding, log).
const SubresourceStrategy* subresource_strategy_of(const Kind& kind, std::string_view subresource);

// The generation's step after an update; pure.
bool generation_changed(Generation rule, const json::Value& object, const json::Value& old);

// ---- rules in code, by kind group (strategy/*.cc)
void prepare_pod_create(WriteContext& context, json::Value& pod);
void prepare_pod_status(WriteContext& context, json::Value& pod, const json::Value& old);
void prepare_namespace_create(WriteContext& context, json::Value& object);
void prepare_namespace_update(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_namespace_finalize(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_limit_range_create(WriteContext& context, json::Value& object);
void prepare_volume_create(WriteContext& context, json::Value& object);
void prepare_volume_status(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_claim_create(WriteContext& context, json::Value& object);
void prepare_claim_update(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_secret_update(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_service_account_create(WriteContext& context, json::Value& object);
void prepare_service_account_update(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_service_update(WriteContext& context, json::Value& object, const json::Value& old);
Result<Reservation> reserve_service(WriteContext& context, json::Value& object, const json::Value* old);
std::set<std::string> service_keys(const json::Value& service);
store::Bytes service_key_text(ServerParts& parts, const json::Value& service, const std::string& key);
std::string address_key(std::string_view address);  // of the IPAddress object
std::string node_port_key(int port);
constexpr std::string_view kNodePortPrefix = "/kayak/node-ports/";
constexpr std::string_view kManagedByLabel = "ipaddress.kubernetes.io/managed-by";
constexpr std::string_view kManagedByAllocator = "ipallocator.k8s.io";
void prepare_job_create(WriteContext& context, json::Value& object);
void prepare_daemon_set_create(WriteContext& context, json::Value& object);
void prepare_daemon_set_update(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_stateful_set_create(WriteContext& context, json::Value& object);
void prepare_csr_create(WriteContext& context, json::Value& object);
void prepare_csr_update(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_csr_status(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_crd_create(WriteContext& context, json::Value& object);
void prepare_crd_update(WriteContext& context, json::Value& object, const json::Value& old);
void prepare_api_service_create(WriteContext& context, json::Value& object);
void prepare_endpoint_slice_create(WriteContext& context, json::Value& object);
void prepare_endpoint_slice_update(WriteContext& context, json::Value& object, const json::Value& old);

// Guaranteed, Burstable or BestEffort, by the resources of a pod's containers.
// Source: core/v1 PodQOSClass; Kubernetes docs, "Pod Quality of Service Classes".
std::string_view pod_qos_class(const json::Value& pod);

}  // namespace kayak::api
