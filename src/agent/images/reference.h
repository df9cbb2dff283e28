// reference.h: image references: "busybox", "ghcr.io/a/b:1.0", "localhost:5000/x@sha256:...".
// Source: distribution/reference grammar; docker.io defaults.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kayak::agent {

struct Reference {
  std::string registry;    // "docker.io", "localhost:5000"
  std::string repository;  // "library/busybox"
  std::string tag;         // "latest" when neither tag nor digest was given
  std::string digest;      // "sha256:<64 hex>" or empty

  // Errors: Invalid, with upstream's "couldn't parse image name" wording.
  static Result<Reference> parse(std::string_view text);
  std::string name() const;       // registry/repository
  std::string to_string() const;  // canonical, with tag and digest
  std::string with_tag() const;   // name:tag, "" without a tag
};

// "sha256:" and 64 lower-case hex digits.
bool valid_digest(std::string_view digest);

}  // namespace kayak::agent
