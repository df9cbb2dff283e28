// netlink.cc: libnl sockets and errors.
#include "net/netlink.h"

#include <netlink/errno.h>
#include <netlink/socket.h>

#include "base/strings.h"

namespace kayak::net {

Result<NlSocket> open_netlink(int protocol) {
  NlSocket socket(nl_socket_alloc());
  if (!socket) return Error(Code::kInternal, "no memory for a netlink socket");
  if (const int code = nl_connect(socket.get(), protocol); code < 0)
    return netlink_error(code, "opening a netlink socket");
  return socket;
}

Error netlink_error(int code, std::string_view what) {
  const Code kind = code == -NLE_OBJ_NOTFOUND || code == -NLE_NODEV ? Code::kNotFound
                    : code == -NLE_EXIST                            ? Code::kAlreadyExists
                    : code == -NLE_OPNOTSUPP                        ? Code::kUnavailable
                                                                    : Code::kIo;
  return Error(kind, cat(what, ": ", nl_geterror(code)));
}

}  // namespace kayak::net
