// service_allocator.h: which cluster addresses and node ports are taken, as far as this server knows. Restored from the
// services in the watch cache and kept true by its events; a write holds what it takes until the cache shows it. What
// other servers take at the same moment is for the store to judge (claims.h).
// Deterministic: a service's own name decides where the search begins, so that the same manifests give the same
// addresses. Source: kubernetes pkg/registry/core/service/{ipallocator,portallocator}; KEP-3070 (reserved lower bands).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "api/object.h"
#include "base/result.h"

namespace kayak::api {

// The addresses and ports that a service's document names.
struct ServiceHoldings {
  std::set<std::uint32_t> addresses;
  std::set<int> ports;
};
ServiceHoldings holdings_of(const json::Value& service);

class ServiceAllocator {
 public:
  // Says of what the books have as free that it is another's nevertheless; null: nothing is.
  using AddressTaken = std::function<bool(const std::string& address)>;
  using PortTaken = std::function<bool(int port)>;
  struct Range {
    std::uint32_t first = 0, last = 0;  // usable addresses (without network and broadcast)
    std::string cidr;
  };
  // Errors: Invalid (not an IPv4 CIDR of /8 to /30; ports out of order).
  static Result<ServiceAllocator> create(std::string_view cidr, int first_port, int last_port);

  // The cache's event about a service.
  void observe(const ObjectRef& old_object, const ObjectRef& new_object);

  // For the service `owner` ("namespace/name"). Errors: Invalid, with upstream's reason.
  Result<void> take_address(const std::string& owner, std::string_view address, const AddressTaken& taken = nullptr);
  Result<std::string> find_address(const std::string& owner, const AddressTaken& taken = nullptr);
  // The same port may serve several protocols of one service: taking one's own again is fine.
  Result<void> take_port(const std::string& owner, int port, const PortTaken& taken = nullptr);
  Result<int> find_port(const std::string& owner, std::string_view port_name, const PortTaken& taken = nullptr);
  void give_back_address(const std::string& owner, const std::string& address);
  void give_back_port(const std::string& owner, int port);

  const Range& range() const { return range_; }
  std::size_t addresses_used() const { return addresses_.size(); }

 private:
  struct Holder {
    std::string owner;
    bool stored = false;  // the cache shows it
    int pending = 0;      // writes under way that took it
  };
  template <typename Key>
  static bool take(std::map<Key, Holder>& map, const Key& key, const std::string& owner);
  template <typename Key>
  static void give_back(std::map<Key, Holder>& map, const Key& key, const std::string& owner);
  template <typename Key>
  static void forget_stored(std::map<Key, Holder>& map, const std::string& owner);

  Range range_;
  int first_port_ = 0, last_port_ = 0;
  std::map<std::uint32_t, Holder> addresses_;
  std::map<int, Holder> ports_;
};

// "10.43.0.1" to a number; false when it is no IPv4 address in canonical form.
bool parse_ipv4(std::string_view text, std::uint32_t* address);
std::string format_ipv4(std::uint32_t address);

}  // namespace kayak::api
