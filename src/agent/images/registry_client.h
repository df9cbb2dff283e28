// registry_client.h: one registry endpoint over HTTP: manifests and blobs, with basic and token authentication.
// Everything it hands out was checked against its digest and size while streaming. Credentials go to the endpoint's own
// host and the token service it names, never along a redirect to another host (CVE-2020-15157).
// Source: OCI distribution-spec; Docker token authentication.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/images/manifest.h"
#include "agent/images/registries.h"
#include "base/fd.h"
#include "io/http.h"

namespace kayak::agent {

struct FetchedManifest {
  std::string text, content_type, digest;
};

class RegistryClient {
 public:
  RegistryClient(Context context, RegistryEndpoint endpoint);

  // By tag or digest. Errors: NotFound, Unauthorized, Forbidden, TooManyRequests, Unavailable, Corrupt, Timeout,
  // Cancelled.
  Task<Result<FetchedManifest>> manifest(std::string tag_or_digest, StopToken stop);
  // The blob's bytes appended to `out` (a file of ours); `progress` gets the number of bytes of each piece.
  // Errors: as above; Corrupt when size or digest differ, the download stops at the first byte too many.
  Task<Result<void>> blob(Descriptor descriptor, int out_fd, std::function<void(std::uint64_t)> progress,
                          StopToken stop);

 private:
  Task<Result<io::HttpClientResponse>> get(std::string path, std::string accept, StopToken stop);
  Task<Result<io::HttpClientResponse>> send(std::string path, std::string accept, StopToken stop);
  Task<Result<void>> authenticate(std::string challenge, StopToken stop);
  Task<Result<io::HttpClientResponse>> follow(std::string location, int redirects, StopToken stop);
  Result<std::unique_ptr<io::HttpClient>> client_for(const io::Url& url, bool with_client_certificate) const;

  Context context_;
  RegistryEndpoint endpoint_;
  std::unique_ptr<io::HttpClient> http_;
  std::unique_ptr<io::HttpClient> redirected_;  // keeps the last redirect's connection while its body is read
  std::string authorization_;
};

}  // namespace kayak::agent
