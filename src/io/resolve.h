// resolve.h: where names are looked up, for tests of resolve() (stream.h) and for nobody else.
#pragma once

#include <string>

#include "io/stream.h"

namespace kayak::io {

struct ResolveSources {
  std::string hosts_file = "/etc/hosts";
  std::string servers;  // "127.0.0.1:5353,..."; empty: those of /etc/resolv.conf
  int timeout_ms = 2000;
  int tries = 3;
};
Task<Result<std::vector<std::string>>> resolve_from(Context context, ResolveSources sources, std::string host,
                                                    StopToken stop = StopToken());

// The addresses that `text`, in the format of hosts(5), gives to `host`, in order.
std::vector<std::string> addresses_in_hosts(std::string_view text, std::string_view host);

}  // namespace kayak::io
