// fake_client.cc: the object table behind FakeClient.
#include "support/fake_client.h"

#include <algorithm>
#include <deque>

namespace kayak::test {

using api::Kind;
using api::ObjectRef;
using client::ObjectKey;
using client::WatchEvent;
using namespace std::chrono_literals;

namespace {

std::string text_at(const json::Value& document, std::string_view path) {
  const json::Value* value = &document;
  for (std::string_view name : split(path, '.')) {
    value = value->find(name);
    if (value == nullptr) return std::string();
  }
  return std::string(value->string_or());
}

class TableObject final : public api::Object {
 public:
  TableObject(const Kind& kind, json::Value document, store::Revision revision)
      : kind_(kind), document_(std::make_shared<const json::Value>(std::move(document))), revision_(revision) {
    const json::Value& doc = *document_;
    header_.name = text_at(doc, "metadata.name");
    header_.namespace_ = text_at(doc, "metadata.namespace");
    header_.uid = text_at(doc, "metadata.uid");
    header_.deleting = doc.at({"metadata", "deletionTimestamp"}) != nullptr;
    if (const json::Value* labels = doc.at({"metadata", "labels"}); labels != nullptr && labels->is_object()) {
      for (const auto& [key, value] : labels->as_object()) header_.labels.emplace_back(key, value.string_or());
      std::sort(header_.labels.begin(), header_.labels.end());
    }
    for (std::string_view field : split(kind.field_selectors, ',')) {
      if (field.empty()) continue;
      field_texts_.push_back(text_at(doc, field));  // the header holds views: a deque keeps its texts in place
      header_.field_values.emplace_back(field, field_texts_.back());
    }
    if (const json::Value* owners = doc.at({"metadata", "ownerReferences"}); owners != nullptr && owners->is_array()) {
      for (const json::Value& owner : owners->as_array()) {
        api::OwnerReference reference;
        reference.api_version = text_at(owner, "apiVersion");
        reference.kind = text_at(owner, "kind");
        reference.name = text_at(owner, "name");
        reference.uid = text_at(owner, "uid");
        const json::Value* controller = owner.find("controller");
        const json::Value* block = owner.find("blockOwnerDeletion");
        reference.controller = controller != nullptr && controller->bool_or(false);
        reference.block_owner_deletion = block != nullptr && block->bool_or(false);
        header_.owners.push_back(std::move(reference));
      }
    }
    if (const json::Value* finalizers = doc.at({"metadata", "finalizers"});
        finalizers != nullptr && finalizers->is_array()) {
      for (const json::Value& finalizer : finalizers->as_array())
        header_.finalizers.emplace_back(finalizer.string_or());
    }
  }
  const Kind& kind() const override { return kind_; }
  const api::ObjectHeader& header() const override { return header_; }
  store::Revision revision() const override { return revision_; }
  json::Document document() const override { return document_; }
  // Nothing that stands on the Client interface reads the stored form.
  void append_json(std::vector<io::Slice>&, bool) const override { ASSERT(false); }
  const std::shared_ptr<const std::string>& text() const override {
    static const auto kNone = std::make_shared<const std::string>();
    return kNone;
  }
  std::size_t prefix_end() const override { return 0; }
  std::size_t revision_offset() const override { return 0; }

 private:
  std::deque<std::string> field_texts_;
  const Kind& kind_;
  json::Document document_;
  api::ObjectHeader header_;
  store::Revision revision_;
};

json::Value merge(const json::Value& original, const json::Value& patch, bool strategic = false);

// The lists that our components patch strategically, with their merge keys.
std::string_view merge_key(std::string_view field) {
  if (field == "conditions") return "type";
  if (field == "ownerReferences") return "uid";
  return "";
}

json::Value merge_list(const json::Value* original, const json::Value& patch, std::string_view key) {
  json::Array result;
  if (original != nullptr && original->is_array()) result = original->as_array();
  for (const json::Value& item : patch.as_array()) {
    auto place = std::find_if(result.begin(), result.end(),
                              [&](const json::Value& other) { return text_at(other, key) == text_at(item, key); });
    if (text_at(item, "$patch") == "delete") {
      if (place != result.end()) result.erase(place);
    } else if (place == result.end()) {
      result.push_back(item);
    } else {
      *place = merge(*place, item, true);
    }
  }
  return result;
}

json::Value merge(const json::Value& original, const json::Value& patch, bool strategic) {
  if (!patch.is_object()) return patch;
  json::Value result = original.is_object() ? original : json::Value(json::Object());
  for (const auto& [key, value] : patch.as_object()) {
    const json::Value* old_value = result.find(key);
    if (value.is_null()) {
      result.as_object().erase(key);
    } else if (strategic && value.is_array() && !merge_key(key).empty()) {
      result[key] = merge_list(old_value, value, merge_key(key));
    } else {
      result[key] = merge(old_value == nullptr ? json::Value() : *old_value, value, strategic);
    }
  }
  return result;
}

// add, replace, remove and test on object members and whole list items: what our controllers send.
Result<json::Value> apply_json_patch(json::Value document, const json::Value& operations) {
  for (const json::Value& operation : operations.as_array()) {
    const std::string op = text_at(operation, "op");
    std::vector<std::string_view> path = split(text_at(operation, "path"), '/');
    const std::string path_text = text_at(operation, "path");
    path = split(path_text, '/');
    json::Value* place = &document;
    for (std::size_t i = 1; i + 1 < path.size(); ++i) {
      std::int64_t index = 0;
      if (place->is_array() && parse_int64(path[i], &index)) {
        place = &place->as_array().at(static_cast<std::size_t>(index));
      } else {
        place = place->find(path[i]);
      }
      if (place == nullptr) return Error(Code::kInvalid, cat("no such path: ", path_text));
    }
    std::int64_t index = 0;
    const json::Value* value = operation.find("value");
    if (place->is_array() && parse_int64(path.back(), &index)) {
      auto& list = place->as_array();
      if (static_cast<std::size_t>(index) >= list.size()) return Error(Code::kInvalid, "index out of range");
      const auto at = list.begin() + index;
      if (op == "test" && !(*at == *value)) return Error(Code::kInvalid, "test failed");
      if (op == "remove") list.erase(at);
      if (op == "replace") *at = *value;
      continue;
    }
    json::Value* old_value = place->find(path.back());
    if (op == "test" && (old_value == nullptr || !(*old_value == *value))) return Error(Code::kInvalid, "test failed");
    if (op == "remove") {
      if (old_value == nullptr) return Error(Code::kInvalid, cat("no such path: ", path_text));
      place->as_object().erase(path.back());
    }
    if (op == "add" || op == "replace") (*place)[path.back()] = *value;
  }
  return document;
}

Error not_found(const Kind& kind, const std::string& name) {
  return Error(Code::kNotFound, cat(kind.group_resource(), " \"", name, "\" not found"));
}

bool selected(const api::Object& object, const client::ListOptions& options) {
  if (!options.namespace_.empty() && object.namespace_() != options.namespace_) return false;
  if (!options.labels.empty() && !options.labels.matches(object.header().labels)) return false;
  for (const api::FieldSelector::Term& term : options.fields.terms()) {
    if ((api::field_value(object, term.field) == term.value) != term.equal) return false;
  }
  return true;
}

}  // namespace

// Follows the history of one kind, `lag` behind.
class FakeWatch final : public client::WatchStream {
 public:
  FakeWatch(FakeClient& api, const Kind& kind, client::ListOptions options, store::Revision revision)
      : api_(api), shelf_(api.shelf(kind)), options_(std::move(options)), born_(api.generation_of_watches_) {
    // The first change newer than `revision`.
    next_ = shelf_.dropped;
    for (const auto& change : shelf_.history) {
      if (change.event.revision > revision) break;
      ++next_;
    }
  }
  Task<Result<WatchEvent>> next(StopToken stop) override {
    for (;;) {
      if (born_ != api_.generation_of_watches_) {
        const bool expired = next_ < shelf_.dropped || api_.compacted_ == api_.revision_;
        co_return Error(expired ? Code::kExpired : Code::kUnavailable, "the watch has ended");
      }
      if (next_ < shelf_.dropped + static_cast<std::int64_t>(shelf_.history.size())) {
        const FakeClient::Change change = shelf_.history[static_cast<std::size_t>(next_ - shelf_.dropped)];
        const Duration age = api_.context_.clock.now() - change.at;
        if (age < api_.lag) {
          const Result<void> slept = co_await api_.context_.loop.sleep(api_.lag - age, stop);
          if (!slept) co_return slept.error();
          continue;
        }
        ++next_;
        const bool was = change.before && selected(*change.before, options_);
        const bool is = change.event.type != WatchEvent::Type::kDeleted && selected(*change.event.object, options_);
        if (!was && !is) continue;
        WatchEvent event = change.event;
        event.type = !was ? WatchEvent::Type::kAdded : is ? WatchEvent::Type::kModified : WatchEvent::Type::kDeleted;
        if (!is && change.event.type != WatchEvent::Type::kDeleted) event.object = change.before;
        co_return event;
      }
      shelf_.changed.reset();
      const bool woken = co_await shelf_.changed.wait(stop);
      if (!woken) co_return Error(Code::kCancelled, "stopped");
    }
  }

 private:
  FakeClient& api_;
  FakeClient::Shelf& shelf_;
  client::ListOptions options_;
  std::int64_t next_ = 0;
  int born_;
};

std::optional<Error> FakeClient::check(std::string_view verb, const Kind& kind, const std::string& namespace_,
                                       const std::string& name) {
  if (verb != "get" && verb != "list" && verb != "watch") {
    calls.push_back(cat(verb, " ", kind.plural, " ", namespace_, "/", name));
  }
  return refuse ? refuse(verb, kind, namespace_, name) : std::nullopt;
}

ObjectRef FakeClient::store(const Kind& kind, json::Value document) {
  ++revision_;
  document["kind"] = kind.kind;
  document["apiVersion"] = kind.api_version();
  document["metadata"]["resourceVersion"] = std::to_string(revision_);
  auto object = std::make_shared<TableObject>(kind, std::move(document), revision_);
  Shelf& s = shelf(kind);
  ObjectRef& slot = s.objects[ObjectKey{object->namespace_(), object->name()}];
  const ObjectRef before = slot;
  slot = object;
  const auto type = before ? WatchEvent::Type::kModified : WatchEvent::Type::kAdded;
  s.history.push_back(Change{WatchEvent{type, object, revision_}, before, context_.clock.now()});
  s.changed.set();
  return object;
}

void FakeClient::drop(const Kind& kind, const ObjectKey& key) {
  Shelf& s = shelf(kind);
  auto place = s.objects.find(key);
  if (place == s.objects.end()) return;
  ++revision_;
  const ObjectRef before = place->second;
  s.objects.erase(place);
  auto last = std::make_shared<TableObject>(kind, *before->document(), revision_);
  s.history.push_back(Change{WatchEvent{WatchEvent::Type::kDeleted, last, revision_}, before, context_.clock.now()});
  s.changed.set();
}

ObjectRef FakeClient::find(const Kind& kind, const std::string& namespace_, const std::string& name) const {
  auto s = shelves_.find(&kind);
  if (s == shelves_.end()) return nullptr;
  auto place = s->second.objects.find(ObjectKey{namespace_, name});
  return place == s->second.objects.end() ? nullptr : place->second;
}

std::vector<ObjectRef> FakeClient::all(const Kind& kind, const std::string& namespace_) const {
  std::vector<ObjectRef> found;
  auto s = shelves_.find(&kind);
  if (s == shelves_.end()) return found;
  for (const auto& [key, object] : s->second.objects) {
    if (namespace_.empty() || key.namespace_ == namespace_) found.push_back(object);
  }
  return found;
}

ObjectRef FakeClient::put(const Kind& kind, json::Value object) {
  json::Value& metadata = object["metadata"];
  const ObjectRef old_object = find(kind, text_at(object, "metadata.namespace"), text_at(object, "metadata.name"));
  if (metadata.find("uid") == nullptr) {
    metadata["uid"] = old_object ? old_object->uid() : context_.random.uuid4();
  }
  if (metadata.find("creationTimestamp") == nullptr) metadata["creationTimestamp"] = format_time(context_.clock.wall());
  if (kind.generation && metadata.find("generation") == nullptr) metadata["generation"] = 1;
  return store(kind, std::move(object));
}

bool FakeClient::edit(const Kind& kind, const std::string& namespace_, const std::string& name,
                      const std::function<void(json::Value&)>& change) {
  const ObjectRef object = find(kind, namespace_, name);
  if (!object) return false;
  json::Value document = *object->document();
  const json::Value* spec = document.find("spec");
  const json::Value before = spec == nullptr ? json::Value() : *spec;
  change(document);
  spec = document.find("spec");
  if (kind.generation && spec != nullptr && !(*spec == before)) {
    const json::Value* generation = document.at({"metadata", "generation"});
    document["metadata"]["generation"] = (generation == nullptr ? 0 : generation->int_or(0)) + 1;
  }
  store(kind, std::move(document));
  return true;
}

bool FakeClient::erase(const Kind& kind, const std::string& namespace_, const std::string& name) {
  if (!find(kind, namespace_, name)) return false;
  drop(kind, ObjectKey{namespace_, name});
  return true;
}

void FakeClient::delete_now(const Kind& kind, const std::string& namespace_, const std::string& name,
                            const std::string& propagation) {
  client::DeleteOptions options;
  options.propagation_policy = propagation;
  const Result<void> done = delete_object(kind, namespace_, name, options);
  ASSERT(done.ok());
}

void FakeClient::compact() {
  for (auto& [kind, s] : shelves_) {
    s.dropped += static_cast<std::int64_t>(s.history.size());
    s.history.clear();
  }
  compacted_ = revision_;
  drop_watches();
}

void FakeClient::drop_watches() {
  ++generation_of_watches_;
  for (auto& [kind, s] : shelves_) s.changed.set();
}

Task<Result<ObjectRef>> FakeClient::get(const Kind& kind, std::string namespace_, std::string name, StopToken) {
  co_await context_.loop.yield();
  if (auto error = check("get", kind, namespace_, name)) co_return *error;
  ObjectRef object = find(kind, namespace_, name);
  if (!object) co_return not_found(kind, name);
  co_return object;
}

Task<Result<client::ObjectList>> FakeClient::list(const Kind& kind, client::ListOptions options, StopToken) {
  co_await context_.loop.yield();
  if (auto error = check("list", kind, options.namespace_, "")) co_return *error;
  client::ObjectList answer;
  for (const ObjectRef& object : all(kind)) {
    if (selected(*object, options)) answer.items.push_back(object);
  }
  answer.revision = revision_;
  co_return answer;
}

Task<Result<std::unique_ptr<client::WatchStream>>> FakeClient::watch(const Kind& kind, client::ListOptions options,
                                                                     store::Revision revision, StopToken) {
  co_await context_.loop.yield();
  if (auto error = check("watch", kind, options.namespace_, "")) co_return *error;
  if (revision < compacted_) co_return Error(Code::kExpired, "too old resource version");
  std::unique_ptr<client::WatchStream> stream = std::make_unique<FakeWatch>(*this, kind, options, revision);
  co_return stream;
}

Task<Result<ObjectRef>> FakeClient::create(const Kind& kind, std::string namespace_, json::Value object,
                                           client::WriteOptions options, StopToken) {
  json::Value& metadata = object["metadata"];
  if (kind.namespaced) metadata["namespace"] = namespace_;
  if (text_at(object, "metadata.name").empty()) {
    metadata["name"] = text_at(object, "metadata.generateName") + context_.random.name_suffix();
  }
  const std::string name = text_at(object, "metadata.name");
  co_await context_.loop.yield();
  if (auto error = check("create", kind, namespace_, name)) co_return *error;
  if (find(kind, namespace_, name)) {
    co_return Error(Code::kAlreadyExists, cat(kind.group_resource(), " \"", name, "\" already exists"));
  }
  metadata.as_object().erase("uid");
  metadata["creationTimestamp"] = format_time(context_.clock.wall());
  if (kind.generation) metadata["generation"] = 1;
  if (on_create) on_create(kind, object);
  if (options.dry_run) co_return ObjectRef(std::make_shared<TableObject>(kind, object, revision_));
  co_return put(kind, std::move(object));
}

Result<ObjectRef> FakeClient::write_over(const Kind& kind, const ObjectRef& old_object, json::Value document,
                                         const std::string& subresource) {
  const std::string wanted = text_at(document, "metadata.resourceVersion");
  if (!wanted.empty() && wanted != std::to_string(old_object->revision())) {
    return Error(
        Code::kConflict,
        cat("Operation cannot be fulfilled on ", kind.group_resource(), " \"", old_object->name(),
            "\": the object has been modified; please apply your changes to the latest version and try again"));
  }
  const json::Value& before = *old_object->document();
  json::Value next = subresource.empty() ? std::move(document) : before;
  if (subresource == "status") {
    const json::Value* status = document.find("status");
    if (status != nullptr) next["status"] = *status;
    const json::Value* annotations = document.at({"metadata", "annotations"});
    if (annotations != nullptr) next["metadata"]["annotations"] = *annotations;
  } else if (subresource == "finalize") {
    const json::Value* spec = document.find("spec");
    next["spec"] = spec == nullptr ? json::Value(json::Object()) : *spec;
  } else if (kind.has_status) {
    const json::Value* status = before.find("status");
    if (status != nullptr) {
      next["status"] = *status;
    } else if (next.is_object()) {
      next.as_object().erase("status");
    }
  }
  for (std::string_view field : {"uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion"}) {
    const json::Value* value = before.find("metadata")->find(field);
    if (value != nullptr) next["metadata"][field] = *value;
  }
  if (next == before) return old_object;
  const json::Value* old_spec = before.find("spec");
  const json::Value* new_spec = next.find("spec");
  const bool same_spec =
      (old_spec == nullptr) == (new_spec == nullptr) && (old_spec == nullptr || *old_spec == *new_spec);
  if (kind.generation && !same_spec) {
    next["metadata"]["generation"] = before.at({"metadata", "generation"})->int_or(0) + 1;
  }
  const json::Value* finalizers = next.at({"metadata", "finalizers"});
  const bool none = finalizers == nullptr || !finalizers->is_array() || finalizers->as_array().empty();
  const json::Value* spec_finalizers = next.at({"spec", "finalizers"});
  const bool spec_none =
      spec_finalizers == nullptr || !spec_finalizers->is_array() || spec_finalizers->as_array().empty();
  const bool graceful_pod =
      kind.kind == "Pod" && text_at(next, "spec.nodeName") != "" && !old_object->header().finalizers.size();
  const ObjectKey key{old_object->namespace_(), old_object->name()};
  ObjectRef stored = store(kind, std::move(next));
  if (stored->header().deleting && none && spec_none && !graceful_pod) drop(kind, key);
  return stored;
}

Task<Result<ObjectRef>> FakeClient::update(const Kind& kind, std::string namespace_, std::string name,
                                           json::Value object, client::WriteOptions options, StopToken) {
  const std::string verb = options.subresource.empty() ? "update" : cat("update/", options.subresource);
  co_await context_.loop.yield();
  if (auto error = check(verb, kind, namespace_, name)) co_return *error;
  const ObjectRef old_object = find(kind, namespace_, name);
  if (!old_object) co_return not_found(kind, name);
  co_return write_over(kind, old_object, std::move(object), options.subresource);
}

Task<Result<ObjectRef>> FakeClient::patch(const Kind& kind, std::string namespace_, std::string name,
                                          client::PatchType type, json::Value patch, client::WriteOptions options,
                                          StopToken) {
  const std::string verb = options.subresource.empty() ? "patch" : cat("patch/", options.subresource);
  co_await context_.loop.yield();
  if (auto error = check(verb, kind, namespace_, name)) co_return *error;
  const ObjectRef old_object = find(kind, namespace_, name);
  if (!old_object) co_return not_found(kind, name);
  const json::Value& before = *old_object->document();
  const std::string uid = text_at(patch, "metadata.uid");
  if (!uid.empty() && uid != old_object->uid()) {
    co_return Error(Code::kConflict, cat("Precondition failed: UID in precondition: ", uid,
                                         ", UID in object meta: ", old_object->uid()));
  }
  Result<json::Value> patched = json::Value();
  switch (type) {
    case client::PatchType::kJson:
      patched = apply_json_patch(before, patch);
      break;
    case client::PatchType::kMerge:
      patched = merge(before, patch);
      break;
    case client::PatchType::kStrategicMerge:
      patched = merge(before, patch, true);
      break;
  }
  if (!patched) co_return patched.error();
  co_return write_over(kind, old_object, std::move(*patched), options.subresource);
}

Result<void> FakeClient::delete_object(const Kind& kind, const std::string& namespace_, const std::string& name,
                                       const client::DeleteOptions& options) {
  const ObjectRef object = find(kind, namespace_, name);
  if (!object) return not_found(kind, name);
  if (!options.uid.empty() && options.uid != object->uid()) {
    return Error(Code::kConflict, cat("Precondition failed: UID in precondition: ", options.uid,
                                      ", UID in object meta: ", object->uid()));
  }
  if (!options.resource_version.empty() && options.resource_version != std::to_string(object->revision())) {
    return Error(Code::kConflict, "Precondition failed: ResourceVersion");
  }
  json::Value document = *object->document();
  json::Value& metadata = document["metadata"];
  json::Array finalizers;
  for (const std::string& finalizer : object->header().finalizers) {
    const bool drop_it =
        (finalizer == "orphan" && !options.propagation_policy.empty() && options.propagation_policy != "Orphan") ||
        (finalizer == "foregroundDeletion" && !options.propagation_policy.empty() &&
         options.propagation_policy != "Foreground");
    if (!drop_it) finalizers.emplace_back(finalizer);
  }
  auto add = [&finalizers](const char* finalizer) {
    for (const json::Value& present : finalizers) {
      if (present.string_or() == finalizer) return;
    }
    finalizers.emplace_back(finalizer);
  };
  if (options.propagation_policy == "Orphan") add("orphan");
  if (options.propagation_policy == "Foreground") add("foregroundDeletion");
  const std::string phase = text_at(document, "status.phase");
  const bool graceful = kind.kind == "Pod" && text_at(document, "spec.nodeName") != "" &&
                        options.grace_seconds.value_or(30) > 0 && phase != "Failed" && phase != "Succeeded";
  const bool namespace_content = kind.kind == "Namespace" && document.at({"spec", "finalizers"}) != nullptr;
  if (finalizers.empty() && !graceful && !namespace_content) {
    drop(kind, ObjectKey{namespace_, name});
    return Result<void>();
  }
  if (!finalizers.empty()) metadata["finalizers"] = std::move(finalizers);
  if (metadata.find("deletionTimestamp") == nullptr) {
    metadata["deletionTimestamp"] = format_time(context_.clock.wall());
    if (namespace_content) document["status"]["phase"] = "Terminating";
    store(kind, std::move(document));
  }
  return Result<void>();
}

Task<Result<void>> FakeClient::remove(const Kind& kind, std::string namespace_, std::string name,
                                      client::DeleteOptions options, StopToken) {
  co_await context_.loop.yield();
  if (auto error = check("delete", kind, namespace_, name)) co_return *error;
  co_return delete_object(kind, namespace_, name, options);
}

Task<Result<json::Value>> FakeClient::create_subresource(const Kind& kind, std::string namespace_, std::string name,
                                                         std::string subresource, json::Value body, StopToken) {
  co_await context_.loop.yield();
  if (auto error = check(cat("create/", subresource), kind, namespace_, name)) co_return *error;
  const ObjectRef object = find(kind, namespace_, name);
  if (!object) co_return not_found(kind, name);
  if (subresource == "binding") {
    const std::string node = text_at(body, "target.name");
    if (text_at(*object->document(), "spec.nodeName") != "") {
      co_return Error(Code::kConflict,
                      cat("Operation cannot be fulfilled on pods/binding \"", name, "\": pod ", name,
                          " is already assigned to node \"", text_at(*object->document(), "spec.nodeName"), "\""));
    }
    json::Value document = *object->document();
    document["spec"]["nodeName"] = node;
    store(kind, std::move(document));
  } else if (subresource == "eviction") {
    client::DeleteOptions options;
    const Result<void> done = delete_object(kind, namespace_, name, options);
    if (!done) co_return done.error();
  }
  json::Value status;
  status["kind"] = "Status";
  status["status"] = "Success";
  co_return status;
}

Task<bool> TestBed::until(std::function<bool()> holds, double seconds) {
  const Instant end = clock.now() + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  while (!holds()) {
    if (clock.now() >= end) co_return false;
    const Result<void> slept = co_await loop.sleep(1ms);
    if (!slept) co_return false;
  }
  co_return true;
}

}  // namespace kayak::test
