// host.h: what the command line leaves open and this machine answers: its name and its address.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace kayak::cli {

std::string host_name();  // lower case, as node names are

// The IPv4 address of the interface with the default route; else the first that is not loopback; else 127.0.0.1.
std::string default_address();

}  // namespace kayak::cli
