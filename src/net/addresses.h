// addresses.h: which pod has which address: one file per address, so that a crash loses nothing.
// Owns the files in its directory. Thread-safe by the file system: an address is taken by creating its file.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/cidr.h"

namespace kayak::net {

class AddressFiles {
 public:
  AddressFiles(std::string directory, std::vector<Cidr> cidrs);
  // Makes the directory and reads what is there; files that are not ours are left alone.
  Result<void> open();
  // One address per network, the same ones again for a pod that has them. The network's own address, the gateway
  // (first) and IPv4's broadcast (last) are never given out, and a freed address is not given again at once.
  // Errors: NoSpace, Io.
  Result<std::vector<IpAddress>> take(std::string_view pod_uid);
  Result<void> release(std::string_view pod_uid);
  std::vector<std::string> pods() const;

 private:
  Result<IpAddress> take_one(const Cidr& cidr, std::uint64_t* last, const std::string& pod_uid);
  const std::string directory_;
  const std::vector<Cidr> cidrs_;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<IpAddress>, std::less<>> by_pod_;
  std::vector<std::uint64_t> last_;  // offset given out last, per network
};

}  // namespace kayak::net
