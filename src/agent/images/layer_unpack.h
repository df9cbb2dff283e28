// layer_unpack.h: one compressed layer file into one folder, for overlayfs.
// libarchive reads (tar, gzip, zstd); writing to disk is ours: every path is resolved beneath the folder by the kernel
// (openat2), so that no name, symbolic link or hard link in the archive leads outside.
// Owns nothing after it returned; on failure the caller removes the folder. Blocking: call it on the pool.
// Source: OCI image-spec layer.md (whiteouts); overlayfs documentation (character device 0/0, trusted.overlay.opaque).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/images/manifest.h"
#include "base/result.h"

namespace kayak::agent {

struct UnpackLimits {
  std::uint64_t max_bytes = 64ull << 30;  // of file content
  std::uint64_t max_entries = 2'000'000;
  std::size_t max_depth = 128;  // of path components
};

// Unpacks `layer_fd` (from its start) into `folder`, which exists and is empty, and checks that the uncompressed tar
// has the digest `diff_id`. A folder that the archive needs but does not list takes owner and mode from the nearest of
// `below` (the layers under this one, the lowest first). `cancelled` is looked at between entries. Errors: Corrupt (bad
// archive, escape, wrong digest), NoSpace, Io, TooLarge, Cancelled.
Result<void> unpack_layer(int layer_fd, Compression compression, const std::string& folder, const std::string& diff_id,
                          const std::vector<std::string>& below, const UnpackLimits& limits,
                          const std::atomic<bool>& cancelled);

}  // namespace kayak::agent
