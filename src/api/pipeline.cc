// pipeline.cc: the write pipeline's order of steps; what each kind adds lies in strategy/, admission/ and validation/.
#include "api/pipeline.h"

#include "api/admission/admission.h"
#include "api/claim_steps.h"
#include "api/convert.h"
#include "api/decode.h"
#include "api/defaults.h"
#include "api/document.h"
#include "api/heartbeat.h"
#include "api/heartbeat_link.h"
#include "api/managed_fields.h"
#include "api/status.h"
#include "api/store_ops.h"
#include "api/validation/validation.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr int kNameAttempts = 8;
constexpr std::size_t kGeneratedBase = 58;  // with the suffix 63, a DNS label
// A change that loses this often is one of many writers' that never pause: its client should know.
constexpr int kSwapAttempts = 50;

std::size_t object_limit() { return 1572864; }  // upstream's etcd limit, which the store keeps

Error store_error(const Error& error) {
  if (error.code() == Code::kTooLarge) {
    return Error(Code::kTooLarge, cat("Request entity too large: limit is ", object_limit()), StatusDetails());
  }
  if (error.code() == Code::kNoSpace) {
    return Error(Code::kNoSpace, "the server's disk is full, nothing was written: no space left on device");
  }
  return error;
}

// Everything a write needs to know about what it writes.
struct WriteTarget {
  const Kind& served;
  const Kind& stored;
  const Strategy& strategy;
  WriteContext context;
};

WriteTarget target_of(ServerParts& parts, const ApiRequest& request, std::vector<std::string>& warnings) {
  const Kind& stored = storage_kind(*request.kind);
  WriteContext context{parts, stored, request.user, parts.context.clock.wall(), request.write.dry_run, warnings};
  return WriteTarget{*request.kind, stored, strategy_of(stored), context};
}

AdmissionRequest admission_of(ServerParts& parts, const ApiRequest& request, Verb verb, std::string_view subresource,
                              std::vector<std::string>& warnings) {
  return AdmissionRequest{parts,        verb,         *request.kind,         subresource, request.namespace_,
                          request.name, request.user, request.write.dry_run, warnings};
}

void note_managers(const ApiRequest& request, const UpdatePlan* plan, const Strategy& strategy,
                   const json::Value& before, json::Value& after, WallTime now) {
  ManagedUpdate update;
  update.manager = manager_of(request);
  update.api_version = request.kind->api_version();
  update.now = now;
  update.reset_fields = strategy.reset_fields;
  if (plan != nullptr) {
    update.subresource = plan->subresource;
    if (plan->view != nullptr) update.reset_fields = plan->view->reset_fields;
  }
  update_managed_fields(*request.kind->message, before, after, update);
}

Result<void> match_namespace(const ApiRequest& request, json::Value& document) {
  const std::string_view own = meta_text(document, "namespace");
  if (own == request.namespace_) return Result<void>();
  if (own.empty()) {
    metadata_of(document)["namespace"] = request.namespace_;
  } else if (request.namespace_.empty()) {
    erase_meta(document, "namespace");
  } else {
    return bad_request("the namespace of the provided object does not match the namespace sent on the request");
  }
  return Result<void>();
}

// The same owner twice counts once.
void drop_duplicate_owners(json::Value& document, std::vector<std::string>& warnings) {
  const json::Value* owners = meta_find(document, "ownerReferences");
  if (owners == nullptr || !owners->is_array()) return;
  json::Array kept;
  for (const json::Value& owner : owners->as_array()) {
    bool seen = false;
    for (const json::Value& other : kept) seen = seen || other == owner;
    if (!seen) kept.push_back(owner);
  }
  if (kept.size() == owners->as_array().size()) return;
  warnings.emplace_back(
      ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
      "reject such requests as early as 1.24; please fix your requests");
  metadata_of(document)["ownerReferences"] = std::move(kept);
}

void fill_system_metadata(WriteContext& context, json::Value& document) {
  for (std::string_view name : {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"}) {
    erase_meta(document, name);
  }
  json::Value& metadata = metadata_of(document);
  metadata["uid"] = context.parts.context.random.uuid4();
  metadata["creationTimestamp"] = format_time(context.now);
}

void generate_name(WriteContext& context, json::Value& document) {
  const std::string base(meta_text(document, "generateName"));
  if (base.empty() || !meta_text(document, "name").empty()) return;
  metadata_of(document)["name"] = cat(base.substr(0, kGeneratedBase), context.parts.context.random.name_suffix());
}

void prepare_new(WriteTarget& target, json::Value& document) {
  const Strategy& strategy = target.strategy;
  if (strategy.has_status && !strategy.status_at_creation) erase_member(document, "status");
  if (strategy.starts_generation) metadata_of(document)["generation"] = 1;
  if (strategy.prepare_create != nullptr) strategy.prepare_create(target.context, document);
}

// What a client cannot change: the object's identity and its course of deletion.
void keep_system_metadata(json::Value& document, const json::Value& old) {
  json::Value& metadata = metadata_of(document);
  const json::Value& before = *old.find("metadata");
  if (meta_text(document, "uid").empty()) copy_member(metadata, before, "uid");
  copy_member(metadata, before, "creationTimestamp");
  if (is_deleting(old)) copy_member(metadata, before, "deletionTimestamp");
  if (deletion_grace(old) && !deletion_grace(document)) copy_member(metadata, before, "deletionGracePeriodSeconds");
  erase_member(metadata, "selfLink");
  erase_member(metadata, "resourceVersion");
}

void keep_path(json::Value& document, const json::Value& old, std::string_view dotted) {
  const std::size_t dot = dotted.find('.');
  if (dot == std::string_view::npos) {
    copy_member(document, old, dotted);
    return;
  }
  const std::string_view head = dotted.substr(0, dot);
  static const json::Value nothing = json::Object();
  const json::Value* below = old.find(head);
  keep_path(document[head], below == nullptr ? nothing : *below, dotted.substr(dot + 1));
}

void prepare_view(const SubresourceStrategy& view, WriteContext& context, json::Value& document,
                  const json::Value& old) {
  if (view.keeps_metadata) {
    json::Value managed;
    if (const json::Value* now = meta_find(document, "managedFields")) managed = *now;
    copy_member(document, old, "metadata");
    if (!managed.is_null()) metadata_of(document)["managedFields"] = std::move(managed);
  }
  for (std::string_view path : view.kept) keep_path(document, old, path);
  if (view.prepare_update != nullptr) view.prepare_update(context, document, old);
}

void prepare_changed(const UpdatePlan& plan, WriteTarget& target, json::Value& document, const json::Value& old) {
  const Strategy& strategy = target.strategy;
  copy_member(metadata_of(document), *old.find("metadata"), "generation");
  if (plan.view != nullptr) {
    prepare_view(*plan.view, target.context, document, old);
  } else if (!plan.direct) {
    if (strategy.has_status) copy_member(document, old, "status");
    if (strategy.prepare_update != nullptr) strategy.prepare_update(target.context, document, old);
  }
  keep_system_metadata(document, old);
  canonicalize(*target.stored.message, document);
  if (plan.view == nullptr && !plan.direct && generation_changed(strategy.generation, document, old)) {
    metadata_of(document)["generation"] = generation_of(old) + 1;
    canonicalize(*target.stored.message, document);
  }
}

// An object whose deletion only waited for its finalizers goes with the last of them.
bool finished_deleting(const Kind& kind, const json::Value& document, const json::Value& old) {
  if (!is_deleting(document) || meta_find(document, "finalizers") != nullptr) return false;
  const std::optional<std::int64_t> grace = deletion_grace(old);
  if (kind.plural == "namespaces" && kind.group.empty()) {
    const json::Value* left = document.at({"spec", "finalizers"});
    return left == nullptr || !left->is_array() || left->as_array().empty();
  }
  return grace.has_value() && *grace == 0;
}

Result<void> check_preconditions(const WriteTarget& target, const UpdatePlan& plan, const ObjectRef& old,
                                 const json::Value& document) {
  const std::string name = old->name();
  const std::string_view uid = meta_text(document, "uid");
  if (!uid.empty() && uid != old->uid()) {
    return conflict(target.served, name,
                    cat("Precondition failed: UID in precondition: ", uid, ", UID in object meta: ", old->uid()));
  }
  const std::string_view revision = meta_text(document, "resourceVersion");
  const bool given = !revision.empty() && revision != "0";
  if (given && revision != std::to_string(old->revision())) return modified_conflict(target.served, name);
  const bool needed = plan.view != nullptr ? plan.view->put_needs_revision : target.strategy.put_needs_revision;
  if (!given && needed && plan.is_put) {
    return invalid(target.served, name,
                   {field::invalid(field::Path("metadata.resourceVersion"), 0, "must be specified for an update")});
  }
  return Result<void>();
}

// The steps between "read old" and the swap: the bytes to store.
Result<json::Value> changed_document(WriteTarget& target, const ApiRequest& request, const UpdatePlan& plan,
                                     const ObjectRef& old, Reservation* taken) {
  std::vector<std::string>& warnings = target.context.warnings;
  const json::Document old_served = document_as(*old, target.served);
  const json::Document old_stored = old->document();
  Result<json::Value> made = plan.change(*old_served, warnings);
  if (!made) return made.error();
  json::Value document = std::move(*made);
  if (auto met = check_preconditions(target, plan, old, document); !met) return met.error();
  if (const ObjectRef durable = plan.is_put ? target.context.parts.cache.durable_version(old) : nullptr) {
    keep_heartbeats(target.served, *document_as(*durable, target.served), *old_served, document);
  }
  if (!plan.direct) {
    drop_duplicate_owners(document, warnings);
    note_managers(request, &plan, target.strategy, *old_served, document, target.context.now);
  }
  document = convert(target.served, target.stored, std::move(document));
  const AdmissionRequest admission =
      admission_of(target.context.parts, request, Verb::kUpdate, plan.subresource, warnings);
  if (!plan.direct) {
    if (auto admitted = admit_mutating(admission, &document, old_stored.get()); !admitted) return admitted.error();
    if (target.strategy.reserve != nullptr && plan.view == nullptr) {
      Result<Reservation> reserved = target.strategy.reserve(target.context, document, old_stored.get());
      if (!reserved) return reserved.error();
      *taken = std::move(*reserved);
    }
  }
  prepare_changed(plan, target, document, *old_stored);
  if (!plan.direct) {
    const field::ErrorList errors =
        validation::validate_update(target.served, plan.subresource, document, *old_stored, warnings);
    if (!errors.empty()) return invalid(target.served, old->name(), errors);
    if (auto admitted = admit_validating(admission, &document, old_stored.get()); !admitted) return admitted.error();
  }
  return document;
}

void give_back(Reservation& taken) {
  if (taken.give_back) taken.give_back();
  taken.give_back = nullptr;
}

// What is shown from now on; null when it has to be written.
Task<ObjectRef> absorb_heartbeat(ServerParts& parts, const Object& old, store::Bytes text, StopToken stop) {
  WatchCache& cache = parts.cache;
  Heartbeat heartbeat;
  heartbeat.kind = &old.kind();
  heartbeat.namespace_ = old.namespace_();
  heartbeat.name = old.name();
  heartbeat.revision = old.revision();
  heartbeat.text = std::move(text);
  HeartbeatLink* link = parts.options.heartbeat_link;
  if (link != nullptr && cache.heartbeats().open()) {
    // The leader alone can tell whether the object still stands at this revision.
    const bool taken = co_await link->offer(heartbeat, std::move(stop));
    if (!taken) co_return nullptr;
  }
  co_return cache.take_heartbeat(heartbeat);
}

Result<Written> written_of(const Kind& stored, store::Bytes text, store::Revision revision, bool created) {
  Result<ObjectRef> object = Object::from_stored(stored, std::move(text), revision);
  if (!object) return object.error();
  Written written;
  written.object = std::move(*object);
  written.created = created;
  return written;
}

}  // namespace

std::string manager_of(const ApiRequest& request) {
  if (!request.write.field_manager.empty()) return request.write.field_manager;
  return manager_from_user_agent(request.user_agent);
}

namespace {

// What was there instead: the object's key first, then the claims in their order.
std::vector<std::string> lost_claims(const store::TxnResponse& response, const Expectation& expected,
                                     const SideWrites& beside) {
  std::vector<std::string> lost;
  if (beside.made.empty()) return lost;
  ASSERT(response.responses.size() >= beside.made.size() + 1);
  const auto& own = response.responses[0].range.kvs;
  if ((own.empty() ? store::Revision{0} : own[0].mod_revision) != expected.revision) return lost;
  for (std::size_t i = 0; i < beside.made.size(); ++i) {
    if (!response.responses[i + 1].range.kvs.empty()) lost.push_back(beside.made[i].key);
  }
  return lost;
}

// What one transaction would not take: claimed before it, and released after it.
struct Steps {
  std::vector<SideWrites::Put> before;
  std::vector<std::string> after;
};
Steps take_steps(SideWrites* beside) {
  Steps steps;
  std::vector<SideWrites::Put>& made = beside->made;
  if (made.size() > kClaimsBeside) {
    const auto end = made.end() - static_cast<std::ptrdiff_t>(kClaimsBeside);
    steps.before.assign(std::make_move_iterator(made.begin()), std::make_move_iterator(end));
    made.erase(made.begin(), end);
  }
  std::vector<std::string>& removed = beside->removed;
  const std::size_t most = kChangesBeside - made.size();
  if (removed.size() > most) {
    steps.after.assign(removed.begin() + static_cast<std::ptrdiff_t>(most), removed.end());
    removed.resize(most);
  }
  return steps;
}

// `op` writes the object's own key. `mark`: as ClaimsAhead::mark.
store::TxnRequest commit_request(const Expectation& expected, store::Op op, const SideWrites& beside,
                                 store::Revision mark) {
  store::TxnRequest txn;
  txn.term = expected.term;
  txn.compares.push_back(stands_at(op.key, expected.revision));
  if (!beside.made.empty()) txn.failure.push_back(range_of(op.key, true));
  const std::string mark_key = mark != 0 ? claim_mark(op.key) : std::string();
  txn.success.push_back(std::move(op));
  for (const SideWrites::Put& made : beside.made) {
    txn.compares.push_back(stands_at(made.key, 0));
    txn.failure.push_back(range_of(made.key, true));
    txn.success.push_back(put_of(made.key, made.value));
  }
  for (const std::string& removed : beside.removed) txn.success.push_back(delete_of(removed));
  if (mark == 0) return txn;
  txn.compares.push_back(stands_at(mark_key, mark));
  txn.failure.push_back(range_of(mark_key, true));
  txn.success.push_back(delete_of(mark_key));
  return txn;
}

bool mark_moved(const store::TxnResponse& response, store::Revision mark) {
  const auto& at_mark = response.responses.back().range.kvs;
  return at_mark.empty() || at_mark[0].mod_revision != mark;
}

Task<Result<Swapped>> commit(ServerParts& parts, Expectation expected, store::Op op, SideWrites beside,
                             StopToken stop) {
  const std::string key = op.key;
  const bool removes = op.type == store::Op::Type::kDelete;
  Steps steps = take_steps(&beside);
  Swapped swapped;
  ClaimsAhead ahead;
  if (!steps.before.empty()) {
    auto claimed = co_await claim_ahead(parts, key, expected.term, std::move(steps.before), stop);
    if (!claimed) co_return store_error(claimed.error());
    ahead = std::move(*claimed);
    swapped.again = ahead.overtaken;
    swapped.claims = ahead.lost;
    if (swapped.again || !swapped.claims.empty()) co_return swapped;
  }
  HeartbeatOverlay::Writing writing(parts.cache.heartbeats(), key);
  store::TxnRequest txn = commit_request(expected, std::move(op), beside, ahead.mark);
  auto done = co_await parts.store.txn(std::move(txn), stop);
  if (!done) co_return store_error(done.error());
  if (done->succeeded) {
    writing.done(done->revision, parts.cache.revision());
    swapped.revision = done->revision;
    co_await release_behind(parts, key, done->revision, removes, expected.term, std::move(steps.after), stop);
    co_return swapped;
  }
  swapped.claims = lost_claims(*done, expected, beside);
  swapped.again = ahead.mark != 0 && mark_moved(*done, ahead.mark);
  if (!swapped.again) co_await take_back(parts, key, expected.term, std::move(ahead), stop);
  co_return swapped;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): compare-and-swap, no kin of std::swap
Task<Result<Swapped>> swap(ServerParts& parts, std::string key, Expectation expected, store::Bytes text,
                           SideWrites beside, StopToken stop) {
  store::Op put = put_of(std::move(key), std::move(text));
  return commit(parts, expected, std::move(put), std::move(beside), std::move(stop));
}

Task<Result<Swapped>> swap_delete(ServerParts& parts, std::string key, Expectation expected, SideWrites beside,
                                  StopToken stop) {
  store::Op remove = delete_of(std::move(key));
  return commit(parts, expected, std::move(remove), std::move(beside), std::move(stop));
}

namespace {

// One attempt at creating: everything that depends on the name. Null when another object got a claim (claims.h), which
// is then in the context's lost_claims.
Task<Result<Written>> create_named(ServerParts& parts, const ApiRequest& request, WriteTarget& target,
                                   json::Value document, StopToken stop) {
  fill_system_metadata(target.context, document);
  generate_name(target.context, document);
  const std::string name(meta_text(document, "name"));
  Reservation taken;
  if (target.strategy.reserve != nullptr) {
    Result<Reservation> reserved = target.strategy.reserve(target.context, document, nullptr);
    if (!reserved) co_return reserved.error();
    taken = std::move(*reserved);
  }
  prepare_new(target, document);
  canonicalize(*target.stored.message, document);
  // Again: some defaults follow from what the strategy has just set (a Job's labels).
  apply_defaults(target.stored, document, target.context.now);
  const field::ErrorList errors = validation::validate_create(target.served, document, target.context.warnings);
  if (!errors.empty()) {
    give_back(taken);
    co_return invalid(target.served, name, errors);
  }
  const AdmissionRequest admission = admission_of(parts, request, Verb::kCreate, "", target.context.warnings);
  if (auto admitted = admit_validating(admission, &document, nullptr); !admitted) {
    give_back(taken);
    co_return admitted.error();
  }
  // The cache can say early that the name is taken; only the swap can say that it is free.
  if (parts.cache.get(target.stored, request.namespace_, name) != nullptr) {
    give_back(taken);
    co_return already_exists(target.served, name);
  }
  auto text = std::make_shared<const std::string>(json::write(document));
  if (request.write.dry_run) {
    give_back(taken);
    co_return written_of(target.stored, std::move(text), 0, true);
  }
  const Expectation absent{0, request.term};
  SideWrites beside = side_writes(parts, target.stored, nullptr, &document);
  const std::string key = storage_key(target.stored, request.namespace_, name);
  auto swapped = co_await swap(parts, key, absent, text, std::move(beside), stop);
  if (!swapped || swapped->revision == 0) give_back(taken);
  if (!swapped) co_return swapped.error();
  if (!swapped->claims.empty() || swapped->again) {
    target.context.lost_claims.insert(swapped->claims.begin(), swapped->claims.end());
    co_return Written();
  }
  if (swapped->revision == 0) co_return already_exists(target.served, name);
  auto written = written_of(target.stored, std::move(text), swapped->revision, true);
  if (written) written->revision = swapped->revision;
  co_return written;
}

}  // namespace

Task<Result<Written>> create_object(ServerParts& parts, const ApiRequest& request, json::Value document,
                                    std::vector<std::string>& warnings, StopToken stop) {
  WriteTarget target = target_of(parts, request, warnings);
  const std::string_view revision = meta_text(document, "resourceVersion");
  if (!revision.empty() && revision != "0") {
    co_return Error(Code::kInternal, "resourceVersion should not be set on objects to be created", StatusDetails());
  }
  if (auto matched = match_namespace(request, document); !matched) co_return matched.error();
  if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
  drop_duplicate_owners(document, warnings);
  Result<json::Value> zero = decode_json(*target.served.message, json::Object());
  ASSERT(zero.ok());
  note_managers(request, nullptr, target.strategy, *zero, document, target.context.now);
  document = convert(target.served, target.stored, std::move(document));
  const AdmissionRequest admission = admission_of(parts, request, Verb::kCreate, "", warnings);
  if (auto admitted = admit_mutating(admission, &document, nullptr); !admitted) co_return admitted.error();
  if (!target.strategy.not_enforced.empty()) warnings.emplace_back(target.strategy.not_enforced);

  const bool generated = meta_text(document, "name").empty() && !meta_text(document, "generateName").empty();
  const std::size_t first_warning = warnings.size();
  if (!generated && target.strategy.claimed_keys == nullptr) {  // nothing that could be tried again
    co_return co_await create_named(parts, request, target, std::move(document), stop);
  }
  int claims_lost = 0;
  for (int attempt = 1;; ++attempt) {
    warnings.resize(first_warning);
    json::Value copy = document;
    auto written = co_await create_named(parts, request, target, std::move(copy), stop);
    if (written && !written->object) {
      if (++claims_lost == kSwapAttempts) co_return modified_conflict(target.served, meta_text(document, "name"));
      --attempt;
      continue;
    }
    if (written || written.error().code() != Code::kAlreadyExists || !generated) co_return written;
    if (attempt == kNameAttempts) co_return generated_name_taken(target.served, written.error().details()->name);
  }
}

Task<Result<Written>> update_object(ServerParts& parts, const ApiRequest& request, const UpdatePlan& plan,
                                    std::vector<std::string>& warnings, StopToken stop) {
  WriteTarget target = target_of(parts, request, warnings);
  const std::size_t first_warning = warnings.size();
  for (int attempt = 0; attempt < kSwapAttempts; ++attempt) {
    warnings.resize(first_warning);
    target.context.now = parts.context.clock.wall();
    if (auto fresh = co_await parts.cache.wait_current(stop); !fresh) co_return fresh.error();
    const ObjectRef old = parts.cache.get(target.stored, request.namespace_, request.name);
    if (!old) {
      if (!plan.is_put || plan.view != nullptr || !target.strategy.create_on_put) {
        co_return not_found(target.served, request.name);
      }
      const json::Value nothing = json::Object();
      Result<json::Value> made = plan.change(nothing, warnings);
      if (!made) co_return made.error();
      erase_meta(*made, "resourceVersion");
      auto created = co_await create_object(parts, request, std::move(*made), warnings, stop);
      if (!created && created.error().code() == Code::kAlreadyExists) continue;
      co_return created;
    }
    const json::Document before = old->document();  // kept, as it is asked for several times
    Reservation taken;
    Result<json::Value> document = changed_document(target, request, plan, old, &taken);
    if (!document) {
      give_back(taken);
      co_return document.error();
    }
    if (!plan.direct && plan.view == nullptr && !target.strategy.not_enforced.empty()) {
      warnings.emplace_back(target.strategy.not_enforced);
    }
    const bool remove = finished_deleting(target.stored, *document, *before);
    const Difference difference = remove ? Difference::kDurable : difference_between(target.stored, *before, *document);
    if (difference == Difference::kNone) {
      give_back(taken);
      Written unchanged;
      unchanged.object = old;
      co_return unchanged;
    }
    auto text = std::make_shared<const std::string>(json::write(*document));
    if (request.write.dry_run) {
      give_back(taken);
      co_return written_of(target.stored, std::move(text), old->revision(), false);
    }
    if (difference == Difference::kHeartbeat) {
      Written shown;
      shown.object = co_await absorb_heartbeat(parts, *old, text, stop);
      if (shown.object) {
        give_back(taken);
        co_return shown;
      }
    }
    const std::string key = storage_key(target.stored, request.namespace_, request.name);
    Result<Swapped> swapped = Swapped();
    const Expectation expected{old->revision(), request.term};
    SideWrites beside = side_writes(parts, target.stored, before.get(), remove ? nullptr : &*document);
    if (remove) {
      swapped = co_await swap_delete(parts, key, expected, std::move(beside), stop);
    } else {
      swapped = co_await swap(parts, key, expected, text, std::move(beside), stop);
    }
    if (!swapped || swapped->revision == 0) give_back(taken);
    if (!swapped) co_return swapped.error();
    target.context.lost_claims.insert(swapped->claims.begin(), swapped->claims.end());
    if (swapped->revision == 0) continue;  // someone was faster: again, from what is there now
    auto written = written_of(target.stored, std::move(text), swapped->revision, false);
    if (written) {
      written->removed = remove;
      written->revision = swapped->revision;
    }
    co_return written;
  }
  co_return modified_conflict(target.served, request.name);
}

Task<Result<ApiResponse>> serve_create(ServerParts& parts, ApiRequest& request, StopToken stop) {
  ApiResponse response;
  auto document = decode_document(expected_of(*request.kind), std::move(request.body), request.duplicate_fields,
                                  request.write.field_validation, response.warnings);
  if (!document) co_return document.error();
  apply_defaults(*request.kind, *document, parts.context.clock.wall());
  auto written = co_await create_object(parts, request, std::move(*document), response.warnings, stop);
  if (!written) co_return written.error();
  response.status = 201;
  response.object = std::move(written->object);
  response.revision = written->revision;
  co_return response;
}

namespace {

// PUT: the body is the new object.
Change put_change(const ApiRequest& request) {
  return [&request](const json::Value&, std::vector<std::string>& warnings) -> Result<json::Value> {
    auto document = decode_document(expected_of(*request.kind), request.body, request.duplicate_fields,
                                    request.write.field_validation, warnings);
    if (!document) return document.error();
    apply_defaults(*request.kind, *document);
    return std::move(*document);
  };
}

// A change may not make another object of the one that the URL names.
Change same_object(const ApiRequest& request, Change change) {
  return [&request, change = std::move(change)](const json::Value& old,
                                                std::vector<std::string>& warnings) -> Result<json::Value> {
    Result<json::Value> document = change(old, warnings);
    if (!document) return document.error();
    if (auto matched = match_url(request, *document); !matched) return matched.error();
    return document;
  };
}

}  // namespace

Result<void> match_url(const ApiRequest& request, json::Value& document) {
  // Upstream looks at a patched object's namespace before its name, and words the same mistake otherwise in a PUT.
  if (request.verb == Verb::kPatch) {
    if (auto matched = match_namespace(request, document); !matched) return matched;
  }
  const std::string_view name = meta_text(document, "name");
  if (name.empty()) {
    return bad_request(
        cat("the name of the object (", request.name, " based on URL) was undeterminable: name must be provided"));
  }
  if (name != request.name) {
    return bad_request(
        cat("the name of the object (", name, ") does not match the name on the URL (", request.name, ")"));
  }
  const std::string_view namespace_ = meta_text(document, "namespace");
  if (!request.namespace_.empty() && !namespace_.empty() && namespace_ != request.namespace_) {
    return bad_request(cat("the namespace of the object (", namespace_,
                           ") does not match the namespace on the request (", request.namespace_, ")"));
  }
  return match_namespace(request, document);
}

Task<Result<ApiResponse>> serve_update(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  UpdatePlan plan;
  plan.subresource = request.subresource;
  plan.is_put = request.verb == Verb::kUpdate;
  if (!request.subresource.empty()) {
    plan.view = subresource_strategy_of(storage_kind(*request.kind), request.subresource);
    if (plan.view == nullptr) co_return method_not_supported(*request.kind, verb_name(request.verb));
  }
  plan.change = same_object(
      request, plan.is_put ? put_change(request) : patch_change(request, expected_of(*request.kind), request.kind));
  ApiResponse response;
  auto written = co_await update_object(parts, request, plan, response.warnings, stop);
  if (!written) co_return written.error();
  response.status = written->created ? 201 : 200;
  response.object = std::move(written->object);
  response.revision = written->revision;
  co_return response;
}

}  // namespace kayak::api
