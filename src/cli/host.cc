// host.cc: see host.h.
#include "cli/host.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"

namespace kayak::cli {

namespace {

// The interface of the route to 0.0.0.0/0 in /proc/net/route; "" for none.
std::string default_interface() {
  Result<std::string> table = read_file("/proc/net/route", 1 << 20);
  if (!table) return "";
  for (std::string_view line : split(*table, '\n')) {
    const std::vector<std::string_view> columns = split(line, '\t');
    if (columns.size() > 7 && columns[1] == "00000000" && columns[7] == "00000000") return std::string(columns[0]);
  }
  return "";
}

}  // namespace

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return to_lower(name);
}

std::string default_address() {
  const std::string wanted = default_interface();
  std::string first;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return "127.0.0.1";
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
    char text[INET_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr, text, sizeof text);
    // Our own bridges of other installations are no address to be reached at.
    if (std::string_view(entry->ifa_name).substr(0, 5) == "kayak") continue;
    if (wanted == entry->ifa_name) {
      first = text;
      break;
    }
    if (first.empty()) first = text;
  }
  ::freeifaddrs(list);
  return first.empty() ? "127.0.0.1" : first;
}

}  // namespace kayak::cli
