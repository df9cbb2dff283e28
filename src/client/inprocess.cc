// inprocess.cc: calls of components in the server's process: requests with documents instead of bytes.
#include "client/inprocess.h"

#include <deque>

#include "api/watch_cache.h"
#include "base/strings.h"

namespace kayak::client {

namespace {

class InProcessWatch final : public WatchStream {
 public:
  explicit InProcessWatch(std::unique_ptr<api::WatchSource> source) : source_(std::move(source)) {}

  Task<Result<WatchEvent>> next(StopToken stop) override {
    if (ready_.empty()) {
      auto batch = co_await source_->next(stop);
      if (!batch) co_return batch.error();
      // Without a timeout a watch only ends because this reader was too slow for it.
      if (batch->empty()) co_return Error(Code::kExpired, "the watch fell too far behind");
      for (api::WatchAnswer& event : *batch) ready_.push_back(std::move(event));
    }
    api::WatchAnswer answer = std::move(ready_.front());
    ready_.pop_front();
    WatchEvent event;
    event.object = std::move(answer.object);
    event.revision = answer.revision;
    switch (answer.type) {
      case api::WatchAnswer::Type::kAdded:
        event.type = WatchEvent::Type::kAdded;
        break;
      case api::WatchAnswer::Type::kModified:
        event.type = WatchEvent::Type::kModified;
        break;
      case api::WatchAnswer::Type::kDeleted:
        event.type = WatchEvent::Type::kDeleted;
        break;
      case api::WatchAnswer::Type::kBookmark:
        event.type = WatchEvent::Type::kBookmark;
        break;
    }
    co_return event;
  }

 private:
  std::unique_ptr<api::WatchSource> source_;
  std::deque<api::WatchAnswer> ready_;
};

class InProcessClient final : public Client {
 public:
  InProcessClient(api::ApiServer& server, Identity identity, std::uint64_t term)
      : server_(server), identity_(std::move(identity)), term_(term) {}

  Task<Result<ObjectRef>> get(const Kind& kind, std::string namespace_, std::string name, StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kGet, kind, std::move(namespace_), std::move(name));
    auto response = co_await server_.handle(std::move(request), stop);
    if (!response) co_return response.error();
    co_return std::move(response->object);
  }

  Task<Result<ObjectList>> list(const Kind& kind, ListOptions options, StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kList, kind, std::move(options.namespace_), std::string());
    request.read.labels = std::move(options.labels);
    request.read.fields = std::move(options.fields);
    auto response = co_await server_.handle(std::move(request), stop);
    if (!response) co_return response.error();
    ObjectList list;
    list.items = std::move(response->list->items);
    list.revision = response->list->revision;
    co_return list;
  }

  Task<Result<std::unique_ptr<WatchStream>>> watch(const Kind& kind, ListOptions options, store::Revision revision,
                                                   StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kWatch, kind, std::move(options.namespace_), std::string());
    request.read.labels = std::move(options.labels);
    request.read.fields = std::move(options.fields);
    request.read.resource_version = std::to_string(revision);
    request.read.allow_bookmarks = true;
    auto response = co_await server_.handle(std::move(request), stop);
    if (!response) co_return response.error();
    std::unique_ptr<WatchStream> stream = std::make_unique<InProcessWatch>(std::move(response->watch));
    co_return stream;
  }

  Task<Result<ObjectRef>> create(const Kind& kind, std::string namespace_, json::Value object, WriteOptions options,
                                 StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kCreate, kind, std::move(namespace_), std::string());
    request.body = std::move(object);
    return write(std::move(request), std::move(options), std::move(stop));
  }

  Task<Result<ObjectRef>> update(const Kind& kind, std::string namespace_, std::string name, json::Value object,
                                 WriteOptions options, StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kUpdate, kind, std::move(namespace_), std::move(name));
    request.body = std::move(object);
    return write(std::move(request), std::move(options), std::move(stop));
  }

  Task<Result<ObjectRef>> patch(const Kind& kind, std::string namespace_, std::string name, PatchType type,
                                json::Value patch, WriteOptions options, StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kPatch, kind, std::move(namespace_), std::move(name));
    switch (type) {
      case PatchType::kJson:
        request.patch_type = api::PatchType::kJson;
        break;
      case PatchType::kMerge:
        request.patch_type = api::PatchType::kMerge;
        break;
      case PatchType::kStrategicMerge:
        request.patch_type = api::PatchType::kStrategicMerge;
        break;
    }
    request.body = std::move(patch);
    return write(std::move(request), std::move(options), std::move(stop));
  }

  Task<Result<void>> remove(const Kind& kind, std::string namespace_, std::string name, DeleteOptions options,
                            StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kDelete, kind, std::move(namespace_), std::move(name));
    request.remove.grace_seconds = options.grace_seconds;
    request.remove.propagation_policy = std::move(options.propagation_policy);
    if (!options.uid.empty()) request.remove.uid = std::move(options.uid);
    if (!options.resource_version.empty()) request.remove.resource_version = std::move(options.resource_version);
    auto response = co_await server_.handle(std::move(request), stop);
    if (!response) co_return response.error();
    co_return co_await server_.cache().wait_until(response->revision, stop);
  }

  Task<Result<json::Value>> create_subresource(const Kind& kind, std::string namespace_, std::string name,
                                               std::string subresource, json::Value body, StopToken stop) override {
    api::ApiRequest request = make(api::Verb::kCreate, kind, std::move(namespace_), std::move(name));
    request.subresource = std::move(subresource);
    request.body = std::move(body);
    auto response = co_await server_.handle(std::move(request), stop);
    if (!response) co_return response.error();
    if (auto seen = co_await server_.cache().wait_until(response->revision, stop); !seen) co_return seen.error();
    if (response->document) co_return std::move(response->document->document);
    json::Value answer = *response->object->document();
    co_return answer;
  }

 private:
  api::ApiRequest make(api::Verb verb, const Kind& kind, std::string namespace_, std::string name) const {
    api::ApiRequest request;
    request.verb = verb;
    request.kind = &kind;
    request.namespace_ = std::move(namespace_);
    request.name = std::move(name);
    request.user = identity_.user;
    request.term = term_;
    request.user_agent = identity_.field_manager;
    request.write.field_manager = identity_.field_manager;
    // Our own documents are of our own schema: what it does not know is a bug, not a warning.
    request.write.field_validation = api::FieldValidation::kStrict;
    return request;
  }

  // The answer to a write, once the cache shows it.
  Task<Result<ObjectRef>> write(api::ApiRequest request, WriteOptions options, StopToken stop) {
    request.subresource = std::move(options.subresource);
    request.write.dry_run = options.dry_run;
    const Kind& kind = *request.kind;
    const std::string namespace_ = request.namespace_, name = request.name;
    auto response = co_await server_.handle(std::move(request), stop);
    if (!response) co_return response.error();
    if (auto seen = co_await server_.cache().wait_until(response->revision, stop); !seen) co_return seen.error();
    if (response->object) co_return std::move(response->object);
    // The answer was another document (a Scale): what it is about.
    auto found = co_await get(kind, namespace_, name, stop);
    co_return found;
  }

  api::ApiServer& server_;
  Identity identity_;
  const std::uint64_t term_;
};

Identity identity_of(std::string name, std::vector<std::string> groups, std::string manager) {
  Identity identity;
  identity.user.name = std::move(name);
  identity.user.groups = std::move(groups);
  identity.user.groups.emplace_back("system:authenticated");
  identity.field_manager = std::move(manager);
  return identity;
}

}  // namespace

Identity controller_manager_identity() {
  return identity_of("system:kube-controller-manager", {}, "kube-controller-manager");
}

Identity scheduler_identity() { return identity_of("system:kube-scheduler", {}, "kube-scheduler"); }

Identity controller_identity(std::string_view name) {
  return identity_of(cat("system:serviceaccount:kube-system:", name),
                     {"system:serviceaccounts", "system:serviceaccounts:kube-system"}, "kube-controller-manager");
}

Identity node_identity(std::string_view node_name) {
  return identity_of(cat("system:node:", node_name), {"system:nodes"}, "kubelet");
}

std::unique_ptr<Client> make_inprocess_client(Context, api::ApiServer& server, Identity identity, std::uint64_t term) {
  return std::make_unique<InProcessClient>(server, std::move(identity), term);
}

}  // namespace kayak::client
