// net.h: the pod network of one node: a bridge with the node's pod CIDRs, a veth pair per pod, addresses, masquerading.
// Owns the bridge, the pods' veth pairs, the address files and one nftables table. Leaves to others: making and pinning
// network namespaces (agent/runtime/sandbox), services and policies (their own tables), routes between nodes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/loop.h"

namespace kayak::net {

struct PodNetworkOptions {
  std::string bridge = "kayak0";  // at most 15 bytes; also names the nftables table: unique per installation
  std::vector<std::string> pod_cidrs = {"10.42.0.0/24"};  // of this node: one per IP family, IPv4 /8../30
  // Not masqueraded towards these (the whole cluster's pod network).
  std::vector<std::string> cluster_cidrs = {"10.42.0.0/16"};
  std::string state_dir = "/run/kayak/net";  // one file per address in use, named by it, holding the pod's uid
  std::uint32_t mtu = 0;                     // 0: that of the interface with the default route, else 1500
};

struct PodAddresses {
  std::vector<std::string> ips;  // one per family, in the order of pod_cidrs
};

class PodNetwork {
 public:
  // Nothing is touched before `start`. Errors: Invalid (a CIDR or name that makes no sense, says which).
  static Result<std::unique_ptr<PodNetwork>> create(Context context, PodNetworkOptions options);
  virtual ~PodNetwork() = default;
  // Makes or repairs bridge, forwarding and masquerade rules. Idempotent. Errors: Io, Unavailable (kernel lacks
  // bridges or nftables: says which).
  virtual Task<Result<void>> start(StopToken stop) = 0;
  // An interface eth0 in the namespace at `netns_path`, up, with addresses and default route. For a pod that has one
  // already: the same addresses again. Errors: NoSpace (no address left), Io.
  virtual Task<Result<PodAddresses>> add(std::string pod_uid, std::string netns_path, StopToken stop) = 0;
  // Ok when there is nothing.
  virtual Task<Result<void>> remove(std::string pod_uid, StopToken stop) = 0;
  // Frees what belongs to pods that are not in `pod_uids` (after a crash).
  virtual Task<Result<void>> keep_only(std::vector<std::string> pod_uids, StopToken stop) = 0;
  // Removes the pods' links, the bridge, the table, the address files. Pods' namespaces lose their network.
  virtual Task<Result<void>> cleanup_all(StopToken stop) = 0;
  // The bridge's own addresses (the pods' gateways), in the order of pod_cidrs.
  virtual std::vector<std::string> gateways() const = 0;
};

}  // namespace kayak::net
