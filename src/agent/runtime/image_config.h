// image_config.h: what a container needs to know of its image: a value that the image store hands to the runtime.
// Owns nothing; pulling, verifying and keeping the layers is src/agent/images.
// Source: OCI image-spec, config.md. Labels and the like are left out on purpose: they are never interpreted.
#pragma once

#include <string>
#include <vector>

namespace kayak::agent {

// The "config" object of an OCI image configuration.
struct ImageConfig {
  std::vector<std::string> entrypoint, cmd;
  std::vector<std::string> env;      // KEY=value
  std::vector<std::string> volumes;  // absolute paths that the image wants outside its root file system
  std::string working_dir;
  std::string user;         // "", "name", "uid", "name:group", "uid:gid"
  std::string stop_signal;  // "SIGTERM", "TERM", "15"; empty: SIGTERM
};

// An image that is present on the node.
struct LocalImage {
  std::string id;                   // "sha256:..." of the image configuration
  std::string reference;            // as status.containerStatuses[].imageID prints it, e.g. repo@sha256:...
  std::vector<std::string> layers;  // unpacked layer directories, bottom first
  ImageConfig config;
};

}  // namespace kayak::agent
