// seccomp.h: the default system call filter of containers, as an OCI "linux.seccomp" object. Pure.
// Our own allow-list, drawn from the facts of the profile that container engines share: everything an ordinary program
// needs, nothing that reaches the kernel's administration, and more when a capability asks for it.
// Source: OCI runtime-spec config-linux.md "Seccomp"; syscalls(2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace kayak::agent {

enum class Arch : std::uint8_t { kAmd64, kArm64, kArm };
Arch native_arch();

// `capabilities`: the bounding set of the container ("CAP_..."), as some calls are let through for its holders.
json::Value default_seccomp_profile(Arch arch, const std::vector<std::string>& capabilities);

}  // namespace kayak::agent
