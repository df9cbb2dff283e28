// users.h: which user and groups a container runs as: image USER, pod and container security context, and the image's
// own passwd and group files. Pure; untrusted files are read with limits (CVE-2026-47262).
// Source: core/v1 PodSecurityContext, SecurityContext; OCI image-spec config.md "User"; passwd(5), group(5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kayak::agent {

struct ProcessUser {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> additional_gids;  // sorted, without repeats, holds gid
};

// No more of passwd and group files than this is looked at.
constexpr std::size_t kMaxUserFileBytes = 1 << 20;

struct UserInputs {
  const json::Value& pod;
  const json::Value& container;
  std::string_view image_user;
  std::string_view passwd, group;  // contents; empty when the image has none
};
// Errors: Invalid with what cannot be found, or upstream's message when runAsNonRoot forbids it.
Result<ProcessUser> resolve_user(const UserInputs& in);

}  // namespace kayak::agent
