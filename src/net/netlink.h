// netlink.h: what libnl objects need to be values: owners, and errors as ours. For the files of src/net alone.
#pragma once

#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kayak::net {

template <auto Free>
struct Releaser {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using NlSocket = std::unique_ptr<nl_sock, Releaser<nl_socket_free>>;
using NlMessage = std::unique_ptr<nl_msg, Releaser<nlmsg_free>>;
using NlCache = std::unique_ptr<nl_cache, Releaser<nl_cache_free>>;
using NlAddress = std::unique_ptr<nl_addr, Releaser<nl_addr_put>>;
using RtLink = std::unique_ptr<rtnl_link, Releaser<rtnl_link_put>>;
using RtAddress = std::unique_ptr<rtnl_addr, Releaser<rtnl_addr_put>>;
using RtRoute = std::unique_ptr<rtnl_route, Releaser<rtnl_route_put>>;

// A connected socket of `protocol` (NETLINK_ROUTE, NETLINK_NETFILTER). Blocking: for the pool.
Result<NlSocket> open_netlink(int protocol);
// A libnl error code (negative) as an Error.
Error netlink_error(int code, std::string_view what);

}  // namespace kayak::net
