// addresses.cc: address files.
#include "net/addresses.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace kayak::net {
namespace {

// Large networks are used from their first 64 Ki addresses alone: far beyond the pods of a node.
constexpr std::uint64_t kMaxOffsets = 65'536;

}  // namespace

AddressFiles::AddressFiles(std::string directory, std::vector<Cidr> cidrs)
    : directory_(std::move(directory)), cidrs_(std::move(cidrs)), last_(cidrs_.size(), 1) {}

Result<void> AddressFiles::open() {
  const std::lock_guard lock(mutex_);
  if (Result<void> made = make_directories(directory_); !made) return made.error();
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(directory_.c_str()), ::closedir);
  if (!directory) return error_from_errno(errno, cat("reading ", directory_));
  by_pod_.clear();
  while (const dirent* entry = ::readdir(directory.get())) {
    const Result<IpAddress> address = IpAddress::parse(entry->d_name);
    if (!address) continue;
    const std::string path = cat(directory_, "/", entry->d_name);
    const Result<std::string> content = read_file(path, 256);
    const std::string pod(content ? trim(*content) : std::string_view());
    const bool ours =
        std::any_of(cidrs_.begin(), cidrs_.end(), [&](const Cidr& cidr) { return cidr.contains(*address); });
    if (pod.empty() || !ours) {
      ::unlink(path.c_str());  // half written, or of an earlier configuration
      continue;
    }
    by_pod_[pod].push_back(*address);
  }
  // In the order of the networks.
  for (auto& [pod, addresses] : by_pod_) {
    std::stable_sort(addresses.begin(), addresses.end(), [&](const IpAddress& a, const IpAddress& b) {
      const auto place = [&](const IpAddress& address) {
        return std::find_if(cidrs_.begin(), cidrs_.end(), [&](const Cidr& cidr) { return cidr.contains(address); }) -
               cidrs_.begin();
      };
      return place(a) < place(b);
    });
  }
  return Result<void>();
}

Result<IpAddress> AddressFiles::take_one(const Cidr& cidr, std::uint64_t* last, const std::string& pod_uid) {
  const std::uint64_t usable = std::min(cidr.size() - (cidr.network.v6 ? 0 : 1), kMaxOffsets);  // offsets 2 .. usable-1
  for (std::uint64_t tried = 0; tried + 2 < usable; ++tried) {
    *last = *last + 1 < usable ? *last + 1 : 2;
    if (*last < 2) *last = 2;
    const IpAddress address = cidr.at(*last);
    const std::string path = cat(directory_, "/", address.to_string());
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd && errno == EEXIST) continue;
    if (!fd) return error_from_errno(errno, cat("taking address ", address.to_string()));
    const std::string line = pod_uid + "\n";
    if (::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      const int error = errno;
      ::unlink(path.c_str());
      return error_from_errno(error, cat("taking address ", address.to_string()));
    }
    return address;
  }
  return Error(Code::kNoSpace, cat("no address is left in ", cidr.to_string()));
}

Result<std::vector<IpAddress>> AddressFiles::take(std::string_view pod_uid) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_pod_.find(pod_uid); known != by_pod_.end() && known->second.size() == cidrs_.size())
    return known->second;
  std::vector<IpAddress> taken = by_pod_[std::string(pod_uid)];
  for (std::size_t i = 0; i < cidrs_.size(); ++i) {
    if (std::any_of(taken.begin(), taken.end(), [&](const IpAddress& address) { return cidrs_[i].contains(address); }))
      continue;
    Result<IpAddress> one = take_one(cidrs_[i], &last_[i], std::string(pod_uid));
    if (!one) {
      for (const IpAddress& address : taken) ::unlink(cat(directory_, "/", address.to_string()).c_str());
      by_pod_.erase(std::string(pod_uid));
      return one.error();
    }
    taken.insert(taken.begin() + static_cast<std::ptrdiff_t>(std::min(i, taken.size())), *one);
  }
  by_pod_[std::string(pod_uid)] = taken;
  return taken;
}

Result<void> AddressFiles::release(std::string_view pod_uid) {
  const std::lock_guard lock(mutex_);
  const auto known = by_pod_.find(pod_uid);
  if (known == by_pod_.end()) return Result<void>();
  for (const IpAddress& address : known->second) {
    const std::string path = cat(directory_, "/", address.to_string());
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return error_from_errno(errno, cat("freeing ", address.to_string()));
  }
  by_pod_.erase(known);
  return Result<void>();
}

std::vector<std::string> AddressFiles::pods() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [pod, addresses] : by_pod_) out.push_back(pod);
  return out;
}

}  // namespace kayak::net
