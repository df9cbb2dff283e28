// registries.h: registries.yaml, in k3s' shape: mirrors (endpoints, rewrites) and configs (auth, tls) by registry host.
// Source: k3s docs, "Private Registry Configuration".
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/images/images.h"
#include "agent/images/reference.h"

namespace kayak::agent {

struct RegistryTls {
  std::string ca_pem, certificate_pem, key_pem;  // contents, not paths
};
// One place to try for an image.
struct RegistryEndpoint {
  bool https = true;
  std::string host;  // as in the URL, without port
  std::uint16_t port = 443;
  std::string path_prefix;  // "" or "/v2" replaced prefix, e.g. "/mirror/v2"
  std::string repository;   // after rewrites
  Credentials credentials;
  RegistryTls tls;
  std::string to_string() const;
};

class Registries {
 public:
  Registries() = default;  // every registry at its own host by HTTPS
  // Errors: BadRequest, one line that names the key. `read` reads certificate files.
  static Result<Registries> parse(std::string_view yaml);
  // The mirrors of the reference's registry (or of "*") in order, then the registry itself.
  Result<std::vector<RegistryEndpoint>> endpoints(const Reference& reference) const;

 private:
  struct Mirror {
    std::vector<std::string> endpoints;
    std::vector<std::pair<std::string, std::string>> rewrites;  // prefix pattern "^a/(.*)" and replacement "b/$1"
  };
  struct Config {
    Credentials credentials;
    std::string ca_file, cert_file, key_file;
  };
  Result<RegistryEndpoint> endpoint(const std::string& url, const Reference& reference, const Mirror* mirror) const;
  std::map<std::string, Mirror, std::less<>> mirrors_;
  std::map<std::string, Config, std::less<>> configs_;
};

}  // namespace kayak::agent
