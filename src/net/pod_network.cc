// pod_network.cc: the bridge, the veth pairs and the masquerading of pods. Netlink blocks for a moment: it runs on the
// pool, one operation at a time.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <net/if.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "net/addresses.h"
#include "net/cidr.h"
#include "net/net.h"
#include "net/netlink.h"
#include "net/nft.h"

namespace kayak::net {
namespace {

constexpr const char* kPodInterface = "eth0";
constexpr std::int32_t kSourceNatPriority = 100;

// Writes a small kernel file. Lenient callers drop the result: IPv6 may be off.
Result<void> write_kernel_file(const std::string& path, std::string_view value) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return error_from_errno(errno, cat("opening ", path));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return error_from_errno(errno, cat("writing ", path));
  }
  return Result<void>();
}

// CVE-2020-10749: a router advertisement from a pod must not change the node's routes, nor one pod another's.
void refuse_router_advertisements(const std::string& interface) {
  static_cast<void>(write_kernel_file(cat("/proc/sys/net/ipv6/conf/", interface, "/accept_ra"), "0"));
}

// FNV-1a: stable across runs, for names and not for secrets.
std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// "veth" and 44 bits of hash: 15 bytes, what an interface name can hold.
std::string host_interface(const std::string& bridge, std::string_view pod_uid) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::uint64_t hash = hash_text(cat(bridge, "/", pod_uid));
  std::string name = "veth";
  for (int i = 0; i < 11; ++i, hash >>= 4) name.push_back(kDigits[hash & 0xf]);
  return name;
}

// Derived from the address: when an address is used again, the neighbours' ARP caches are right at once.
NlAddress hardware_address(const IpAddress& ip) {
  const std::size_t size = ip.size();
  const std::uint8_t bytes[6] = {
      0x0a, 0x58, ip.bytes[size - 4], ip.bytes[size - 3], ip.bytes[size - 2], ip.bytes[size - 1]};
  return NlAddress(nl_addr_build(AF_LLC, bytes, sizeof bytes));
}

NlAddress ip_address(const IpAddress& ip, int prefix) {
  NlAddress address(nl_addr_build(ip.v6 ? AF_INET6 : AF_INET, ip.bytes.data(), ip.size()));
  if (address) nl_addr_set_prefixlen(address.get(), prefix);
  return address;
}

Result<RtLink> find_link(nl_sock* socket, const std::string& name) {
  rtnl_link* link = nullptr;
  const int code = rtnl_link_get_kernel(socket, 0, name.c_str(), &link);
  if (code < 0) return netlink_error(code, cat("looking up interface ", name));
  return RtLink(link);
}

// The MTU of the interface that the default route leaves by; 1500 when there is none.
std::uint32_t default_route_mtu(nl_sock* socket) {
  constexpr std::uint32_t kEthernet = 1500;
  const Result<std::string> routes = read_file("/proc/thread-self/net/route");
  if (!routes) return kEthernet;
  for (const std::string_view line : split(*routes, '\n')) {
    const std::vector<std::string_view> cells = split(line, '\t');
    if (cells.size() < 8 || cells[1] != "00000000" || cells[7] != "00000000") continue;
    const Result<RtLink> link = find_link(socket, std::string(cells[0]));
    if (link && rtnl_link_get_mtu(link->get()) >= 576) return rtnl_link_get_mtu(link->get());
  }
  return kEthernet;
}

Result<void> delete_link(nl_sock* socket, const std::string& name) {
  RtLink link(rtnl_link_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  const int code = rtnl_link_delete(socket, link.get());
  if (code < 0 && code != -NLE_NODEV && code != -NLE_OBJ_NOTFOUND)
    return netlink_error(code, cat("removing interface ", name));
  return Result<void>();
}

Result<void> add_address(nl_sock* socket, int interface_index, const IpAddress& ip, int prefix) {
  RtAddress address(rtnl_addr_alloc());
  const NlAddress local = ip_address(ip, prefix);
  rtnl_addr_set_ifindex(address.get(), interface_index);
  if (const int code = rtnl_addr_set_local(address.get(), local.get()); code < 0) return netlink_error(code, "address");
  if (ip.v6) rtnl_addr_set_flags(address.get(), IFA_F_NODAD);  // ours alone, by the address files: no second of waiting
  const int code = rtnl_addr_add(socket, address.get(), NLM_F_CREATE | NLM_F_REPLACE);
  if (code < 0 && code != -NLE_EXIST) return netlink_error(code, cat("adding address ", ip.to_string()));
  return Result<void>();
}

Result<void> add_default_route(nl_sock* socket, int interface_index, const IpAddress& gateway) {
  RtRoute route(rtnl_route_alloc());
  const NlAddress any = ip_address(Cidr{IpAddress{gateway.v6, {}}, 0}.network, 0);
  const NlAddress via = ip_address(gateway, gateway.v6 ? 128 : 32);
  rtnl_route_set_family(route.get(), gateway.v6 ? AF_INET6 : AF_INET);
  rtnl_route_set_dst(route.get(), any.get());
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_gateway(hop, via.get());
  rtnl_route_nh_set_ifindex(hop, interface_index);
  rtnl_route_add_nexthop(route.get(), hop);
  const int code = rtnl_route_add(socket, route.get(), NLM_F_CREATE | NLM_F_REPLACE);
  return code < 0 ? Result<void>(netlink_error(code, "adding the default route")) : Result<void>();
}

Result<void> set_up(nl_sock* socket, rtnl_link* link) {
  RtLink change(rtnl_link_alloc());
  rtnl_link_set_flags(change.get(), IFF_UP);
  const int code = rtnl_link_change(socket, link, change.get(), 0);
  return code < 0 ? Result<void>(netlink_error(code, cat("setting ", rtnl_link_get_name(link), " up")))
                  : Result<void>();
}

// The bridge may send a frame back out of the port it came in by.
Result<void> set_hairpin(nl_sock* socket, rtnl_link* port) {
  RtLink change(rtnl_link_alloc());
  rtnl_link_set_family(change.get(), AF_BRIDGE);
  rtnl_link_set_ifindex(change.get(), rtnl_link_get_ifindex(port));
  rtnl_link_bridge_set_flags(change.get(), RTNL_BRIDGE_HAIRPIN_MODE);
  const int code = rtnl_link_change(socket, change.get(), change.get(), 0);
  return code < 0 ? Result<void>(netlink_error(code, "setting hairpin mode")) : Result<void>();
}

// This thread in another network namespace until the end of the scope. Coming back cannot fail: a pool thread that
// stayed would do its next work in a pod.
class InNamespace {
 public:
  static Result<std::unique_ptr<InNamespace>> enter(int ns_fd) {
    Fd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!home) return error_from_errno(errno, "opening our own network namespace");
    if (::setns(ns_fd, CLONE_NEWNET) != 0) return error_from_errno(errno, "entering the pod's network namespace");
    return std::unique_ptr<InNamespace>(new InNamespace(std::move(home)));
  }
  ~InNamespace() { ASSERT(::setns(home_.get(), CLONE_NEWNET) == 0); }
  InNamespace(const InNamespace&) = delete;
  InNamespace& operator=(const InNamespace&) = delete;

 private:
  explicit InNamespace(Fd home) : home_(std::move(home)) {}
  Fd home_;
};

// ---- the blocking half

class Network {
 public:
  Network(PodNetworkOptions options, std::vector<Cidr> pods, std::vector<Cidr> cluster)
      : options_(std::move(options)),
        pods_(std::move(pods)),
        cluster_(std::move(cluster)),
        addresses_(options_.state_dir, pods_) {}

  Result<void> start();
  Result<std::vector<IpAddress>> add(const std::string& pod_uid, const std::string& netns_path);
  Result<void> remove(const std::string& pod_uid);
  Result<void> keep_only(const std::vector<std::string>& pod_uids);
  Result<void> cleanup_all();
  std::vector<IpAddress> gateways() const {
    std::vector<IpAddress> out;
    for (const Cidr& cidr : pods_) out.push_back(cidr.at(1));
    return out;
  }

 private:
  Result<void> make_bridge(nl_sock* socket);
  Result<void> enable_forwarding();
  std::vector<NftChain> rules() const;
  Result<void> make_veth(nl_sock* socket, const std::string& host, int ns_fd, const IpAddress& address);
  Result<void> attach(nl_sock* socket, const std::string& host);
  Result<void> configure_inside(int ns_fd, const std::vector<IpAddress>& addresses);
  bool has_interface(int ns_fd) const;

  const PodNetworkOptions options_;
  const std::vector<Cidr> pods_, cluster_;
  AddressFiles addresses_;
  std::mutex mutex_;
  std::uint32_t mtu_ = 1500;
};

Result<void> Network::start() {
  const std::lock_guard lock(mutex_);
  if (Result<void> opened = addresses_.open(); !opened) return opened.error();
  Result<NlSocket> socket = open_netlink(NETLINK_ROUTE);
  if (!socket) return socket.error();
  mtu_ = options_.mtu != 0 ? options_.mtu : default_route_mtu(socket->get());
  if (Result<void> made = make_bridge(socket->get()); !made)
    return made.error().while_doing(cat("making bridge ", options_.bridge));
  if (Result<void> enabled = enable_forwarding(); !enabled) return enabled.error();
  return replace_nft_table(options_.bridge, rules());
}

Result<void> Network::make_bridge(nl_sock* socket) {
  RtLink bridge(rtnl_link_bridge_alloc());
  if (!bridge) return Error(Code::kInternal, "no memory for a link");
  const NlAddress mac = hardware_address(pods_.front().at(1));
  rtnl_link_set_name(bridge.get(), options_.bridge.c_str());
  rtnl_link_set_mtu(bridge.get(), mtu_);
  rtnl_link_set_addr(bridge.get(), mac.get());  // fixed: it would follow its ports otherwise
  const int code = rtnl_link_add(socket, bridge.get(), NLM_F_CREATE | NLM_F_EXCL);
  if (code < 0 && code != -NLE_EXIST) return netlink_error(code, "adding the link");
  Result<RtLink> link = find_link(socket, options_.bridge);
  if (!link) return link.error();
  refuse_router_advertisements(options_.bridge);
  for (const Cidr& cidr : pods_) {
    if (Result<void> added = add_address(socket, rtnl_link_get_ifindex(link->get()), cidr.at(1), cidr.prefix); !added)
      return added.error();
  }
  return set_up(socket, link->get());
}

Result<void> Network::enable_forwarding() {
  for (const Cidr& cidr : pods_) {
    const char* path = cidr.network.v6 ? "/proc/sys/net/ipv6/conf/all/forwarding" : "/proc/sys/net/ipv4/ip_forward";
    if (Result<void> written = write_kernel_file(path, "1"); !written)
      return written.error().while_doing("letting the node forward");
  }
  return Result<void>();
}

// Traffic of pods leaves the node with the node's address, unless it goes to other pods.
std::vector<NftChain> Network::rules() const {
  NftChain chain;
  chain.name = "postrouting";
  chain.type = "nat";
  chain.hook = NF_INET_POST_ROUTING;
  chain.priority = kSourceNatPriority;
  for (const Cidr& cidr : cluster_) chain.rules.push_back(NftRule().destination_in(cidr).stop());
  for (const char* multicast : {"224.0.0.0/4", "ff00::/8"})
    chain.rules.push_back(NftRule().destination_in(*Cidr::parse(multicast)).stop());
  for (const Cidr& cidr : pods_) {
    chain.rules.push_back(NftRule().source_in(cidr).out_interface_is_not(options_.bridge).masquerade());
  }
  return {chain};
}

bool Network::has_interface(int ns_fd) const {
  const auto inside = InNamespace::enter(ns_fd);
  return inside && ::if_nametoindex(kPodInterface) != 0;
}

Result<std::vector<IpAddress>> Network::add(const std::string& pod_uid, const std::string& netns_path) {
  const std::lock_guard lock(mutex_);
  const Fd ns(::open(netns_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!ns) return error_from_errno(errno, cat("opening network namespace ", netns_path));
  Result<std::vector<IpAddress>> addresses = addresses_.take(pod_uid);
  if (!addresses) return addresses.error();
  Result<NlSocket> socket = open_netlink(NETLINK_ROUTE);
  if (!socket) return socket.error();
  const std::string host = host_interface(options_.bridge, pod_uid);
  if (!has_interface(ns.get())) {
    // A pair that a crash left behind ends in no namespace of this pod.
    if (Result<void> gone = delete_link(socket->get(), host); !gone) return gone.error();
    if (Result<void> made = make_veth(socket->get(), host, ns.get(), addresses->front()); !made) return made.error();
  }
  if (Result<void> done = attach(socket->get(), host); !done) return done.error();
  if (Result<void> done = configure_inside(ns.get(), *addresses); !done) return done.error();
  return addresses;
}

Result<void> Network::make_veth(nl_sock* socket, const std::string& host, int ns_fd, const IpAddress& address) {
  RtLink link(rtnl_link_veth_alloc());
  if (!link) return Error(Code::kInternal, "no memory for a link");
  rtnl_link_set_name(link.get(), host.c_str());
  rtnl_link_set_mtu(link.get(), mtu_);
  rtnl_link* peer = rtnl_link_veth_get_peer(link.get());
  const NlAddress mac = hardware_address(address);
  rtnl_link_set_name(peer, kPodInterface);
  rtnl_link_set_mtu(peer, mtu_);
  rtnl_link_set_addr(peer, mac.get());
  rtnl_link_set_ns_fd(peer, ns_fd);
  const int code = rtnl_link_add(socket, link.get(), NLM_F_CREATE | NLM_F_EXCL);
  rtnl_link_put(peer);
  return code < 0 ? Result<void>(netlink_error(code, cat("adding veth pair ", host))) : Result<void>();
}

// The host's end: port of the bridge, up. Hairpin lets a pod reach itself by the address of a service.
Result<void> Network::attach(nl_sock* socket, const std::string& host) {
  refuse_router_advertisements(host);
  Result<RtLink> link = find_link(socket, host);
  if (!link) return link.error();
  const Result<RtLink> bridge = find_link(socket, options_.bridge);
  if (!bridge) return bridge.error();
  RtLink change(rtnl_link_alloc());
  rtnl_link_set_master(change.get(), rtnl_link_get_ifindex(bridge->get()));
  rtnl_link_set_flags(change.get(), IFF_UP);
  const int code = rtnl_link_change(socket, link->get(), change.get(), 0);
  if (code < 0) return netlink_error(code, cat("attaching ", host, " to ", options_.bridge));
  return set_hairpin(socket, link->get());
}

Result<void> Network::configure_inside(int ns_fd, const std::vector<IpAddress>& addresses) {
  const auto inside = InNamespace::enter(ns_fd);
  if (!inside) return inside.error();
  refuse_router_advertisements(kPodInterface);
  Result<NlSocket> socket = open_netlink(NETLINK_ROUTE);
  if (!socket) return socket.error();
  Result<RtLink> link = find_link(socket->get(), kPodInterface);
  if (!link) return link.error();
  const int index = rtnl_link_get_ifindex(link->get());
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (Result<void> added = add_address(socket->get(), index, addresses[i], pods_[i].prefix); !added)
      return added.error();
  }
  if (Result<void> up = set_up(socket->get(), link->get()); !up) return up.error();
  for (const Cidr& cidr : pods_) {
    if (Result<void> added = add_default_route(socket->get(), index, cidr.at(1)); !added) return added.error();
  }
  return Result<void>();
}

Result<void> Network::remove(const std::string& pod_uid) {
  const std::lock_guard lock(mutex_);
  Result<NlSocket> socket = open_netlink(NETLINK_ROUTE);
  if (!socket) return socket.error();
  if (Result<void> gone = delete_link(socket->get(), host_interface(options_.bridge, pod_uid)); !gone)
    return gone.error();
  return addresses_.release(pod_uid);
}

Result<void> Network::keep_only(const std::vector<std::string>& pod_uids) {
  for (const std::string& pod : addresses_.pods()) {
    if (std::find(pod_uids.begin(), pod_uids.end(), pod) != pod_uids.end()) continue;
    if (Result<void> gone = remove(pod); !gone) return gone.error();
  }
  return Result<void>();
}

// The names of the interfaces that are ports of the bridge.
Result<std::vector<std::string>> ports_of(nl_sock* socket, const std::string& bridge) {
  std::vector<std::string> out;
  Result<RtLink> master = find_link(socket, bridge);
  if (!master && master.error().code() == Code::kNotFound) return out;
  if (!master) return master.error();
  nl_cache* raw = nullptr;
  if (const int code = rtnl_link_alloc_cache(socket, AF_UNSPEC, &raw); code < 0)
    return netlink_error(code, "listing interfaces");
  const NlCache cache(raw);
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr; object = nl_cache_get_next(object)) {
    auto* link = reinterpret_cast<rtnl_link*>(object);
    if (rtnl_link_get_master(link) == rtnl_link_get_ifindex(master->get())) out.emplace_back(rtnl_link_get_name(link));
  }
  return out;
}

Result<void> Network::cleanup_all() {
  static_cast<void>(addresses_.open());
  if (Result<void> kept = keep_only({}); !kept) return kept.error();
  const std::lock_guard lock(mutex_);
  Result<NlSocket> socket = open_netlink(NETLINK_ROUTE);
  if (!socket) return socket.error();
  const Result<std::vector<std::string>> ports = ports_of(socket->get(), options_.bridge);
  if (!ports) return ports.error();
  for (const std::string& port : *ports) {
    if (Result<void> gone = delete_link(socket->get(), port); !gone) return gone.error();
  }
  if (Result<void> gone = delete_link(socket->get(), options_.bridge); !gone) return gone.error();
  if (Result<void> gone = remove_nft_table(options_.bridge); !gone) return gone.error();
  ::rmdir(options_.state_dir.c_str());
  return Result<void>();
}

// ---- the loop's half

class PodNetworkImpl final : public PodNetwork {
 public:
  PodNetworkImpl(Context context, std::shared_ptr<Network> network)
      : context_(std::move(context)), network_(std::move(network)) {}

  Task<Result<void>> start(StopToken stop) override {
    auto work = [network = network_] { return network->start(); };
    return run(std::move(work), std::move(stop));
  }
  Task<Result<PodAddresses>> add(std::string pod_uid, std::string netns_path, StopToken stop) override;
  Task<Result<void>> remove(std::string pod_uid, StopToken stop) override {
    auto work = [network = network_, pod_uid = std::move(pod_uid)] { return network->remove(pod_uid); };
    return run(std::move(work), std::move(stop));
  }
  Task<Result<void>> keep_only(std::vector<std::string> pod_uids, StopToken stop) override {
    auto work = [network = network_, pod_uids = std::move(pod_uids)] { return network->keep_only(pod_uids); };
    return run(std::move(work), std::move(stop));
  }
  Task<Result<void>> cleanup_all(StopToken stop) override {
    auto work = [network = network_] { return network->cleanup_all(); };
    return run(std::move(work), std::move(stop));
  }
  std::vector<std::string> gateways() const override {
    std::vector<std::string> out;
    for (const IpAddress& gateway : network_->gateways()) out.push_back(gateway.to_string());
    return out;
  }

 private:
  // Not cut short by `stop`: half a veth pair helps nobody, and a millisecond is no wait.
  template <typename F>
  Task<Result<void>> run(F work, StopToken stop) {
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
    Result<void> done = co_await context_.loop.offload(std::move(work));
    co_return done;
  }
  Context context_;
  std::shared_ptr<Network> network_;
};

Task<Result<PodAddresses>> PodNetworkImpl::add(std::string pod_uid, std::string netns_path, StopToken stop) {
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
  auto work = [network = network_, pod_uid, netns_path] { return network->add(pod_uid, netns_path); };
  Result<std::vector<IpAddress>> added = co_await context_.loop.offload(std::move(work));
  if (!added) {
    auto undo = [network = network_, pod_uid] { return network->remove(pod_uid); };
    const Result<void> undone = co_await context_.loop.offload(std::move(undo));
    if (!undone)
      context_.log.warn("the network of a pod could not be undone",
                        {{"pod", pod_uid}, {"error", undone.error().message()}});
    co_return added.error().while_doing("pod network");
  }
  PodAddresses out;
  for (const IpAddress& address : *added) out.ips.push_back(address.to_string());
  co_return out;
}

Result<std::vector<Cidr>> parse_cidrs(const std::vector<std::string>& texts) {
  std::vector<Cidr> out;
  for (const std::string& text : texts) {
    Result<Cidr> cidr = Cidr::parse(text);
    if (!cidr) return cidr.error();
    out.push_back(*cidr);
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<PodNetwork>> PodNetwork::create(Context context, PodNetworkOptions options) {
  constexpr int kMinPrefix = 8, kMaxPrefixV4 = 30, kMaxPrefixV6 = 126;
  if (options.bridge.empty() || options.bridge.size() >= IFNAMSIZ ||
      options.bridge.find_first_of("/ :.") != std::string::npos) {
    return Error(Code::kInvalid, cat(quote(options.bridge), " is not a name for a network interface"));
  }
  Result<std::vector<Cidr>> pods = parse_cidrs(options.pod_cidrs);
  if (!pods) return pods.error().while_doing("pod network");
  Result<std::vector<Cidr>> cluster = parse_cidrs(options.cluster_cidrs);
  if (!cluster) return cluster.error().while_doing("cluster network");
  if (pods->empty() || pods->size() > 2 || (pods->size() == 2 && (*pods)[0].network.v6 == (*pods)[1].network.v6)) {
    return Error(Code::kInvalid, "pod networks: one per IP family is needed, one or two");
  }
  for (const Cidr& cidr : *pods) {
    if (cidr.prefix < kMinPrefix || cidr.prefix > (cidr.network.v6 ? kMaxPrefixV6 : kMaxPrefixV4)) {
      return Error(Code::kInvalid, cat("pod network ", cidr.to_string(), " is too large or too small"));
    }
  }
  auto network = std::make_shared<Network>(std::move(options), std::move(*pods), std::move(*cluster));
  return std::unique_ptr<PodNetwork>(std::make_unique<PodNetworkImpl>(context.named("net"), std::move(network)));
}

}  // namespace kayak::net
