// node_keeper.cc: see node_keeper.h.
#include "agent/node/node_keeper.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::agent {

using namespace std::chrono_literals;

namespace {
constexpr Duration kLeasePeriod = 10s;
constexpr std::int64_t kLeaseSeconds = 40;
constexpr Duration kStatusPeriod = 5min;
// Pressure is looked at between reports; one small read of /proc each time.
constexpr Duration kPressurePeriod = 10s;
constexpr const char* kLeaseNamespace = "kube-node-lease";

void drop_heartbeats(json::Value& status) {
  json::Value* conditions = status.find("conditions");
  if (!conditions) return;
  for (json::Value& c : conditions->as_array()) c.as_object().erase("lastHeartbeatTime");
}
}  // namespace

NodeKeeper::NodeKeeper(Context context, client::Client& client, NodeConfig config, std::string data_dir)
    : context_(std::move(context)),
      client_(client),
      config_(std::move(config)),
      data_dir_(std::move(data_dir)),
      machine_(read_machine_info("", data_dir_)) {}

void NodeKeeper::set_problem(std::string problem) {
  if (problem == problem_) return;
  problem_ = std::move(problem);
  changed_.set();
}

Task<Result<api::ObjectRef>> NodeKeeper::register_node(StopToken stop) {
  for (Duration wait = 100ms;; wait = std::min<Duration>(wait * 2, 10s)) {
    client::WriteOptions options;
    Result<api::ObjectRef> node =
        co_await client_.create(api::kinds::nodes(), "", make_node(config_, machine_), options, stop);
    if (!node && node.error().code() == Code::kAlreadyExists) {
      json::Value patch = json::Value(json::Object());
      patch["metadata"]["labels"] = node_labels(config_, machine_);
      node = co_await client_.patch(api::kinds::nodes(), "", config_.name, client::PatchType::kMerge, std::move(patch),
                                    options, stop);
    }
    if (node) {
      uid_ = (*node)->uid();
      co_return node;
    }
    if (stop.stopped()) co_return node.error();
    context_.log.warn("cannot register the node, trying again",
                      {{"node", config_.name}, {"error", node.error().message()}});
    Result<void> slept = co_await context_.loop.sleep(wait, stop);
    if (!slept) co_return slept.error();
  }
}

Task<Result<std::string>> NodeKeeper::wait_for_pod_cidr(StopToken stop) {
  for (Duration wait = 5ms;; wait = std::min<Duration>(wait * 2, 5s)) {
    Result<api::ObjectRef> node = co_await client_.get(api::kinds::nodes(), "", config_.name, stop);
    if (node) {
      const json::Document document = (*node)->document();
      const json::Value* cidr = document->at({"spec", "podCIDR"});
      if (cidr && !cidr->string_or().empty()) co_return std::string(cidr->string_or());
    }
    Result<void> slept = co_await context_.loop.sleep(wait, stop);
    if (!slept) co_return slept.error();
  }
}

Task<Result<void>> NodeKeeper::run(StopToken stop) {
  io::TaskScope scope(stop);
  scope.spawn(renew_leases(scope.token()));
  scope.spawn(report_statuses(scope.token()));
  co_return co_await scope.join();
}

Task<Result<void>> NodeKeeper::renew_leases(StopToken stop) {
  while (!stop.stopped()) {
    Result<void> renewed = co_await renew_lease(stop);
    if (!renewed && !stop.stopped()) {
      context_.log.warn("cannot renew the node's lease, trying again",
                        {{"node", config_.name}, {"error", renewed.error().message()}});
    }
    const Duration pause = renewed ? Duration(kLeasePeriod) : Duration(1s);
    Result<void> slept = co_await context_.loop.sleep(pause, stop);
    if (!slept) break;
  }
  co_return Result<void>();
}

Task<Result<void>> NodeKeeper::renew_lease(StopToken stop) {
  json::Value spec = json::Value(json::Object());
  spec["holderIdentity"] = config_.name;
  spec["leaseDurationSeconds"] = kLeaseSeconds;
  spec["renewTime"] = format_micro_time(context_.clock.wall());
  client::WriteOptions options;
  json::Value patch = json::Value(json::Object());
  patch["spec"] = spec;
  Result<api::ObjectRef> lease = co_await client_.patch(api::kinds::leases(), kLeaseNamespace, config_.name,
                                                        client::PatchType::kMerge, std::move(patch), options, stop);
  if (lease || lease.error().code() != Code::kNotFound) co_return lease ? Result<void>() : Result<void>(lease.error());
  json::Value made = json::Value(json::Object());
  made["apiVersion"] = "coordination.k8s.io/v1";
  made["kind"] = "Lease";
  made["metadata"]["name"] = config_.name;
  made["metadata"]["namespace"] = kLeaseNamespace;
  json::Value owner = json::Value(json::Object());
  owner["apiVersion"] = "v1";
  owner["kind"] = "Node";
  owner["name"] = config_.name;
  owner["uid"] = uid_;
  json::Array owners;
  owners.push_back(std::move(owner));
  made["metadata"]["ownerReferences"] = json::Value(std::move(owners));
  made["spec"] = std::move(spec);
  Result<api::ObjectRef> created =
      co_await client_.create(api::kinds::leases(), kLeaseNamespace, std::move(made), options, stop);
  co_return created ? Result<void>() : Result<void>(created.error());
}

Task<Result<void>> NodeKeeper::report_statuses(StopToken stop) {
  while (!stop.stopped()) {
    changed_.reset();
    Result<void> reported = co_await report_status(context_.clock.now() - reported_at_ >= kStatusPeriod, stop);
    if (!reported && !stop.stopped()) {
      context_.log.warn("cannot report the node's status, trying again",
                        {{"node", config_.name}, {"error", reported.error().message()}});
    }
    io::Loop::Timer timer = context_.loop.after(reported ? kPressurePeriod : Duration(1s), [this] { changed_.set(); });
    co_await changed_.wait(stop);
  }
  co_return Result<void>();
}

Task<Result<void>> NodeKeeper::report_status(bool force, StopToken stop) {
  Result<api::ObjectRef> node = co_await client_.get(api::kinds::nodes(), "", config_.name, stop);
  if (!node && node.error().code() == Code::kNotFound) {
    // Deleted by someone while we live: we register again, as kubelet does.
    node = co_await register_node(stop);
  }
  if (!node) co_return node.error();
  const json::Document document = (*node)->document();
  const std::vector<NodeImage> images = images_ ? images_() : std::vector<NodeImage>();
  json::Value status = node_status(config_, machine_, read_pressure("", data_dir_), images,
                                   document->at({"status", "conditions"}), problem_, context_.clock.wall());
  json::Value compared = status;
  drop_heartbeats(compared);
  std::string text = cat((*node)->uid(), json::write(compared));
  if (text == reported_ && !force) co_return Result<void>();
  json::Value patch = json::Value(json::Object());
  patch["status"] = std::move(status);
  client::WriteOptions options;
  options.subresource = "status";
  Result<api::ObjectRef> written = co_await client_.patch(api::kinds::nodes(), "", config_.name,
                                                          client::PatchType::kMerge, std::move(patch), options, stop);
  if (!written) co_return written.error();
  reported_ = std::move(text);
  reported_at_ = context_.clock.now();
  co_return Result<void>();
}

}  // namespace kayak::agent
