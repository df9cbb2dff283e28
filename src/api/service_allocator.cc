// service_allocator.cc: the books of service addresses and node ports.
#include "api/service_allocator.h"

#include <algorithm>
#include <set>

#include "api/document.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// FNV-1a: the same on every machine and in every version, as the addresses it leads to are.
std::uint32_t hash_of(std::string_view text) {
  std::uint32_t hash = 2166136261u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

// The lower band is left to those who ask for an address of their choice.
std::uint32_t address_band(std::uint32_t size) { return size <= 16 ? 0 : std::clamp(size / 16, 16u, 256u); }
int port_band(int size) { return size < 16 ? 0 : std::clamp(size / 32, 16, 128); }

std::string owner_of(const Object& service) { return cat(service.namespace_(), "/", service.name()); }

}  // namespace

ServiceHoldings holdings_of(const json::Value& service) {
  ServiceHoldings held;
  const json::Value* addresses = service.at({"spec", "clusterIPs"});
  if (addresses != nullptr && addresses->is_array()) {
    for (const json::Value& text : addresses->as_array()) {
      std::uint32_t address = 0;
      if (parse_ipv4(text.string_or(), &address)) held.addresses.insert(address);
    }
  }
  const json::Value* ports = service.at({"spec", "ports"});
  if (ports != nullptr && ports->is_array()) {
    for (const json::Value& port : ports->as_array()) {
      const json::Value* number = port.find("nodePort");
      if (number != nullptr && number->int_or(0) > 0) held.ports.insert(static_cast<int>(number->as_int()));
    }
  }
  const json::Value* health = service.at({"spec", "healthCheckNodePort"});
  if (health != nullptr && health->int_or(0) > 0) held.ports.insert(static_cast<int>(health->as_int()));
  return held;
}

bool parse_ipv4(std::string_view text, std::uint32_t* address) {
  const std::vector<std::string_view> parts = split(text, '.');
  if (parts.size() != 4) return false;
  *address = 0;
  for (std::string_view part : parts) {
    std::int64_t value = 0;
    if (part.empty() || part.size() > 3 || (part.size() > 1 && part[0] == '0')) return false;
    if (part.find_first_not_of("0123456789") != std::string_view::npos) return false;
    if (!parse_int64(part, &value) || value > 255) return false;
    *address = *address << 8 | static_cast<std::uint32_t>(value);
  }
  return true;
}

std::string format_ipv4(std::uint32_t a) {
  return cat(a >> 24, ".", (a >> 16) & 255u, ".", (a >> 8) & 255u, ".", a & 255u);
}

Result<ServiceAllocator> ServiceAllocator::create(std::string_view cidr, int first_port, int last_port) {
  const std::size_t slash = cidr.find('/');
  std::uint32_t base = 0;
  std::int64_t bits = 0;
  if (slash == std::string_view::npos || !parse_ipv4(cidr.substr(0, slash), &base) ||
      !parse_int64(cidr.substr(slash + 1), &bits) || bits < 8 || bits > 30) {
    return Error(Code::kInvalid, cat("the service range ", quote(cidr), " is not an IPv4 CIDR of /8 to /30"));
  }
  if (first_port < 1 || last_port > 65535 || first_port > last_port) {
    return Error(Code::kInvalid, cat("the node port range ", first_port, "-", last_port, " is not a range of ports"));
  }
  const std::uint32_t size = 1u << (32 - bits);
  ServiceAllocator allocator;
  base &= ~(size - 1);
  allocator.range_ = Range{base + 1, base + size - 2, cat(format_ipv4(base), "/", bits)};
  allocator.first_port_ = first_port;
  allocator.last_port_ = last_port;
  return allocator;
}

template <typename Key>
bool ServiceAllocator::take(std::map<Key, Holder>& map, const Key& key, const std::string& owner) {
  Holder& holder = map[key];
  if (holder.owner.empty()) holder.owner = owner;
  if (holder.owner != owner) return false;
  ++holder.pending;
  return true;
}

template <typename Key>
void ServiceAllocator::give_back(std::map<Key, Holder>& map, const Key& key, const std::string& owner) {
  const auto found = map.find(key);
  if (found == map.end() || found->second.owner != owner || found->second.pending == 0) return;
  if (--found->second.pending == 0 && !found->second.stored) map.erase(found);
}

template <typename Key>
void ServiceAllocator::forget_stored(std::map<Key, Holder>& map, const std::string& owner) {
  for (auto it = map.begin(); it != map.end();) {
    Holder& holder = it->second;
    if (holder.owner == owner) holder.stored = false;
    it = holder.owner == owner && holder.pending == 0 ? map.erase(it) : std::next(it);
  }
}

void ServiceAllocator::observe(const ObjectRef& old_object, const ObjectRef& new_object) {
  const std::string owner = owner_of(new_object ? *new_object : *old_object);
  if (old_object) {
    forget_stored(addresses_, owner);
    forget_stored(ports_, owner);
  }
  if (!new_object) return;
  const json::Document document = new_object->document();
  const ServiceHoldings held = holdings_of(*document);
  // What a write took is now on the books for good.
  auto settle = [&](auto& map, const auto& key) {
    Holder& holder = map[key];
    holder.owner = owner;
    holder.stored = true;
    holder.pending = std::max(holder.pending - 1, 0);
  };
  for (std::uint32_t address : held.addresses) settle(addresses_, address);
  for (int port : held.ports) settle(ports_, port);
}

Result<void> ServiceAllocator::take_address(const std::string& owner, std::string_view address,
                                            const AddressTaken& taken) {
  std::uint32_t number = 0;
  if (!parse_ipv4(address, &number) || number < range_.first || number > range_.last) {
    return Error(Code::kInvalid, cat("failed to allocate IP ", address, ": the provided IP (", address,
                                     ") is not in the valid range. The range of valid IPs is ", range_.cidr));
  }
  if ((taken && taken(format_ipv4(number))) || !take(addresses_, number, owner)) {
    return Error(Code::kInvalid, cat("failed to allocate IP ", address, ": provided IP is already allocated"));
  }
  return Result<void>();
}

Result<std::string> ServiceAllocator::find_address(const std::string& owner, const AddressTaken& taken) {
  const std::uint32_t size = range_.last - range_.first + 1;
  const std::uint32_t band = address_band(size);
  const std::uint32_t start = hash_of(owner) % (size - band);
  // The upper band from the owner's own place, then the lower one.
  for (std::uint32_t step = 0; step < size; ++step) {
    const std::uint32_t offset = step < size - band ? band + (start + step) % (size - band) : step - (size - band);
    const std::uint32_t address = range_.first + offset;
    if (addresses_.find(address) != addresses_.end() || (taken && taken(format_ipv4(address)))) continue;
    take(addresses_, address, owner);
    return format_ipv4(address);
  }
  return Error(Code::kInvalid, cat("failed to allocate a serviceIP: range is full"));
}

Result<void> ServiceAllocator::take_port(const std::string& owner, int port, const PortTaken& taken) {
  if (port < first_port_ || port > last_port_) {
    return Error(Code::kInvalid, cat("provided port is not in the valid range. The range of valid ports is ",
                                     first_port_, "-", last_port_));
  }
  if ((taken && taken(port)) || !take(ports_, port, owner))
    return Error(Code::kInvalid, "provided port is already allocated");
  return Result<void>();
}

Result<int> ServiceAllocator::find_port(const std::string& owner, std::string_view port_name, const PortTaken& taken) {
  const int size = last_port_ - first_port_ + 1;
  const int band = port_band(size);
  const int start = static_cast<int>(hash_of(cat(owner, "/", port_name)) % static_cast<std::uint32_t>(size - band));
  for (int step = 0; step < size; ++step) {
    const int port = first_port_ + (step < size - band ? band + (start + step) % (size - band) : step - (size - band));
    if (ports_.find(port) != ports_.end() || (taken && taken(port))) continue;
    take(ports_, port, owner);
    return port;
  }
  return Error(Code::kInvalid, "failed to allocate a nodePort: range is full");
}

void ServiceAllocator::give_back_address(const std::string& owner, const std::string& address) {
  std::uint32_t number = 0;
  if (parse_ipv4(address, &number)) give_back(addresses_, number, owner);
}

void ServiceAllocator::give_back_port(const std::string& owner, int port) { give_back(ports_, port, owner); }

}  // namespace kayak::api
