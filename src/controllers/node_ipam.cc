// node_ipam.cc: gives every node without spec.podCIDR a free /24 of the cluster's pod addresses.
// Source: kube-controller-manager's range allocator (spec.podCIDR and spec.podCIDRs are set once and never change).
#include "controllers/node_ipam.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>

#include "api/views/core_v1.h"
#include "base/strings.h"
#include "controllers/rows.h"

namespace kayak::controllers {

namespace {

constexpr int kNodeBits = 24;

struct Range {
  std::uint32_t first = 0;
  int bits = 32;
  std::uint32_t mask() const { return bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits); }
  bool overlaps(const Range& other) const {
    const std::uint32_t both = mask() & other.mask();
    return (first & both) == (other.first & both);
  }
};

bool parse_range(const std::string& text, Range* range) {
  const std::size_t slash = text.find('/');
  std::int64_t bits = 0;
  in_addr address{};
  if (slash == std::string::npos || !parse_int64(std::string_view(text).substr(slash + 1), &bits) || bits < 0 ||
      bits > 32 || inet_pton(AF_INET, text.substr(0, slash).c_str(), &address) != 1) {
    return false;
  }
  range->bits = static_cast<int>(bits);
  range->first = ntohl(address.s_addr) & range->mask();
  return true;
}

std::string range_text(const Range& range) {
  in_addr address{};
  address.s_addr = htonl(range.first);
  char text[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &address, text, sizeof text);
  return cat(text, "/", range.bits);
}

class NodeIpam final : public Controller {
 public:
  explicit NodeIpam(const ControllerDeps& deps)
      : context_(deps.context),
        client_(deps.client),
        cluster_cidr_(deps.options.cluster_cidr),
        nodes_(deps.informers.informer(api::kinds::nodes())),
        queue_(client::make_work_queue(deps.context, "node-ipam")) {}

  Task<Result<void>> run(StopToken stop) override {
    Result<void> synced = co_await nodes_.wait_for_sync(stop);
    if (!synced) co_return synced;
    client::InformerHandler handler;
    handler.on_add = [this](const api::ObjectRef& node) { queue_->add(client::ObjectKey{"", node->name()}); };
    handler.on_update = [this](const api::ObjectRef&, const api::ObjectRef& node) {
      if (api::core_v1::NodeView(node).spec().pod_cidr().empty()) queue_->add(client::ObjectKey{"", node->name()});
    };
    nodes_.add_handler(std::move(handler));
    // One worker: an answer is only right when the one before it is visible.
    auto reconcile = [this](client::ObjectKey key, StopToken token) {
      return assign(std::move(key), std::move(token));
    };
    co_return co_await client::run_workers(context_, *queue_, 1, reconcile, stop);
  }

 private:
  Task<Result<client::Requeue>> assign(client::ObjectKey key, StopToken stop) {
    const api::ObjectRef node = nodes_.get("", key.name);
    if (!node || !api::core_v1::NodeView(node).spec().pod_cidr().empty()) co_return client::Requeue::never();
    std::vector<std::string> taken;
    for (const api::ObjectRef& other : nodes_.list()) {
      const std::string cidr(api::core_v1::NodeView(other).spec().pod_cidr());
      if (!cidr.empty()) taken.push_back(cidr);
    }
    Result<std::string> cidr = next_pod_cidr(cluster_cidr_, taken);
    if (!cidr) co_return cidr.error().while_doing(cat("giving node ", key.name, " pod addresses"));
    json::Value patch = json::Value(json::Object());
    patch["spec"]["podCIDR"] = *cidr;
    json::Array list;
    list.emplace_back(*cidr);
    patch["spec"]["podCIDRs"] = json::Value(std::move(list));
    patch["metadata"]["resourceVersion"] = std::to_string(node->revision());
    client::WriteOptions options;
    Result<api::ObjectRef> written = co_await client_.patch(api::kinds::nodes(), "", key.name,
                                                            client::PatchType::kMerge, std::move(patch), options, stop);
    if (!written) co_return written.error();
    co_return client::Requeue::never();
  }

  Context context_;
  client::Client& client_;
  std::string cluster_cidr_;
  client::Informer& nodes_;
  std::unique_ptr<client::WorkQueue> queue_;
};

}  // namespace

Result<std::string> next_pod_cidr(const std::string& cluster_cidr, const std::vector<std::string>& taken) {
  Range cluster;
  if (!parse_range(cluster_cidr, &cluster))
    return Error(Code::kInvalid, cat(cluster_cidr, " is not a range of addresses"));
  std::vector<Range> used;
  for (const std::string& text : taken) {
    Range range;
    if (parse_range(text, &range)) used.push_back(range);
  }
  Range candidate{cluster.first, std::max(cluster.bits, kNodeBits)};
  const std::uint64_t parts = std::uint64_t{1} << (candidate.bits - cluster.bits);
  for (std::uint64_t i = 0; i < parts; ++i) {
    candidate.first = cluster.first + static_cast<std::uint32_t>(i << (32 - candidate.bits));
    const bool is_taken = std::any_of(used.begin(), used.end(), [&](const Range& r) { return r.overlaps(candidate); });
    if (!is_taken) return range_text(candidate);
  }
  return Error(Code::kNoSpace, cat("every part of ", cluster_cidr, " belongs to a node already"));
}

std::unique_ptr<Controller> make_node_ipam(const ControllerDeps& deps) { return std::make_unique<NodeIpam>(deps); }

}  // namespace kayak::controllers
