// registry_client.cc: see registry_client.h.
#include "agent/images/registry_client.h"

#include <unistd.h>

#include <cerrno>

#include "agent/images/challenge.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::agent {

namespace {

constexpr int kMaxRedirects = 5;
constexpr std::string_view kManifestTypes =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

Error status_error(int status, const std::string& what) {
  switch (status) {
    case 401:
      return Error(Code::kUnauthorized, cat(what, ": the registry wants other credentials (401 Unauthorized)"));
    case 403:
      return Error(Code::kForbidden, cat(what, ": the registry refuses access (403 Forbidden)"));
    case 404:
      return Error(Code::kNotFound, cat(what, ": not found"));
    case 429:
      return Error(Code::kTooManyRequests, cat(what, ": the registry asks to slow down (429 Too Many Requests)"));
    default:
      return Error(Code::kUnavailable, cat(what, ": unexpected status ", status, " from the registry"));
  }
}

std::string host_and_port(std::string_view host, std::uint16_t port) {
  return host.find(':') == std::string_view::npos ? cat(host, ":", port) : cat("[", host, "]:", port);
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return error_from_errno(errno, "writing a layer");
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return Result<void>();
}

}  // namespace

RegistryClient::RegistryClient(Context context, RegistryEndpoint endpoint)
    : context_(std::move(context)), endpoint_(std::move(endpoint)) {}

Result<std::unique_ptr<io::HttpClient>> RegistryClient::client_for(const io::Url& url, bool own_endpoint) const {
  io::HttpTarget target;
  target.host = url.host;
  target.port = url.port;
  if (url.scheme == "https") {
    io::TlsClientOptions tls{
        io::TlsServerIdentity::name(url.host, own_endpoint ? endpoint_.tls.ca_pem : ""), "", "", {}};
    if (own_endpoint) {
      tls.certificate_pem = endpoint_.tls.certificate_pem;
      tls.key_pem = endpoint_.tls.key_pem;
    }
    target.tls = std::move(tls);
  } else if (url.scheme != "http") {
    return Error(Code::kCorrupt, cat("the registry points to a ", url.scheme, " address"));
  }
  return io::HttpClient::create(context_, std::move(target));
}

Task<Result<io::HttpClientResponse>> RegistryClient::send(std::string path, std::string accept, StopToken stop) {
  if (!http_) {
    io::Url url;
    url.scheme = endpoint_.https ? "https" : "http";
    url.host = endpoint_.host;
    url.port = endpoint_.port;
    Result<std::unique_ptr<io::HttpClient>> client = client_for(url, true);
    if (!client) co_return client.error();
    http_ = std::move(*client);
  }
  io::HttpClientRequest request;
  request.path = std::move(path);
  if (!accept.empty()) request.headers.add("Accept", accept);
  request.headers.add("User-Agent", "kayak");
  if (!authorization_.empty()) request.headers.add("Authorization", authorization_);
  co_return co_await http_->request(std::move(request), stop);
}

// Bearer: asks the realm for a token. Basic: uses the credentials themselves.
Task<Result<void>> RegistryClient::authenticate(std::string challenge, StopToken stop) {
  const Credentials& credentials = endpoint_.credentials;
  const std::string basic = credentials.username.empty()
                                ? ""
                                : cat("Basic ", base64_encode(cat(credentials.username, ":", credentials.password)));
  const std::string scheme = to_lower(std::string_view(challenge).substr(0, challenge.find(' ')));
  if (scheme == "basic") {
    if (basic.empty()) co_return Error(Code::kUnauthorized, "the registry wants a user name and password");
    authorization_ = basic;
    co_return Result<void>();
  }
  if (scheme != "bearer") co_return Error(Code::kUnauthorized, "the registry wants an unknown kind of authentication");
  const std::string parameters = challenge.substr(challenge.find(' ') + 1);
  Result<io::Url> realm = io::parse_url(challenge_parameter(parameters, "realm"));
  if (!realm) co_return Error(Code::kCorrupt, "the registry names no token service");
  // Over plain HTTP only for a registry that is plain itself, or credentials would leave the encrypted path.
  if (realm->scheme != "https" && endpoint_.https)
    co_return Error(Code::kCorrupt, "the registry's token service is not HTTPS");
  const bool own_host = realm->host == endpoint_.host && realm->port == endpoint_.port;
  Result<std::unique_ptr<io::HttpClient>> client = client_for(*realm, own_host);
  if (!client) co_return client.error();
  io::HttpClientRequest request;
  request.path = cat(realm->path, "?", realm->query, realm->query.empty() ? "" : "&",
                     "service=", io::percent_encode(challenge_parameter(parameters, "service")));
  const std::string scope = challenge_parameter(parameters, "scope");
  if (!scope.empty()) request.path += cat("&scope=", io::percent_encode(scope));
  if (!basic.empty()) request.headers.add("Authorization", basic);
  Result<io::HttpClientResponse> response = co_await (*client)->request(std::move(request), stop);
  if (!response) co_return response.error().while_doing("asking for a registry token");
  if (response->status != 200) co_return status_error(response->status, "asking for a registry token");
  Result<std::string> body = co_await response->body->read_all(1 << 20, stop);
  if (!body) co_return body.error().while_doing("asking for a registry token");
  Result<json::Value> document = json::read(*body);
  if (!document) co_return Error(Code::kCorrupt, "the registry's token service does not answer JSON");
  const json::Value* token = document->find("token");
  if (!token) token = document->find("access_token");
  if (!token || token->string_or().empty())
    co_return Error(Code::kCorrupt, "the registry's token service gave no token");
  authorization_ = cat("Bearer ", token->string_or());
  co_return Result<void>();
}

// Follows a redirect without our credentials.
Task<Result<io::HttpClientResponse>> RegistryClient::follow(std::string location, int redirects, StopToken stop) {
  std::string origin = cat(endpoint_.https ? "https://" : "http://", host_and_port(endpoint_.host, endpoint_.port));
  for (; redirects < kMaxRedirects; ++redirects) {
    const bool path_alone = location.starts_with('/') && !location.starts_with("//");
    Result<io::Url> url = io::parse_url(path_alone ? cat(origin, location) : location);
    if (!url) co_return Error(Code::kCorrupt, "the registry redirects to something that is no address");
    if (endpoint_.https && url->scheme != "https")
      co_return Error(Code::kCorrupt, "the registry redirects from HTTPS to HTTP");
    origin = cat(url->scheme, "://", host_and_port(url->host, url->port));
    const bool own_host = url->host == endpoint_.host && url->port == endpoint_.port;
    Result<std::unique_ptr<io::HttpClient>> client = client_for(*url, own_host);
    if (!client) co_return client.error();
    redirected_ = std::move(*client);
    io::HttpClientRequest request;
    request.path = url->query.empty() ? url->path : cat(url->path, "?", url->query);
    request.headers.add("User-Agent", "kayak");
    if (own_host && !authorization_.empty()) request.headers.add("Authorization", authorization_);
    Result<io::HttpClientResponse> response = co_await redirected_->request(std::move(request), stop);
    if (!response) co_return response.error();
    if (response->status < 300 || response->status > 399) co_return std::move(*response);
    location = std::string(response->headers.get("Location"));
  }
  co_return Error(Code::kCorrupt, "the registry redirects in a circle");
}

Task<Result<io::HttpClientResponse>> RegistryClient::get(std::string path, std::string accept, StopToken stop) {
  Result<io::HttpClientResponse> response = co_await send(path, accept, stop);
  if (!response) co_return response.error();
  if (response->status == 401) {
    const std::string challenge(response->headers.get("WWW-Authenticate"));
    response->body.reset();
    authorization_.clear();
    Result<void> authenticated = co_await authenticate(challenge, stop);
    if (!authenticated) co_return authenticated.error();
    response = co_await send(path, accept, stop);
    if (!response) co_return response.error();
  }
  if (response->status >= 300 && response->status <= 399) {
    const std::string location(response->headers.get("Location"));
    response->body.reset();
    response = co_await follow(location, 0, stop);
  }
  co_return std::move(response);
}

Task<Result<FetchedManifest>> RegistryClient::manifest(std::string tag_or_digest, StopToken stop) {
  const std::string what = cat("manifest ", endpoint_.repository, ":", tag_or_digest);
  const std::string path = cat(endpoint_.path_prefix, "/v2/", endpoint_.repository, "/manifests/", tag_or_digest);
  Result<io::HttpClientResponse> response = co_await get(path, std::string(kManifestTypes), stop);
  if (!response) co_return response.error().while_doing(what);
  if (response->status != 200) co_return status_error(response->status, what);
  FetchedManifest fetched;
  fetched.content_type = std::string(response->headers.get("Content-Type"));
  Result<std::string> text = co_await response->body->read_all(kMaxManifestBytes, stop);
  if (!text) co_return text.error().while_doing(what);
  fetched.text = std::move(*text);
  fetched.digest = cat("sha256:", hex_encode(io::sha256(fetched.text)));
  if (valid_digest(tag_or_digest) && fetched.digest != tag_or_digest) {
    co_return Error(Code::kCorrupt, cat(what, ": the registry sent content with digest ", fetched.digest));
  }
  co_return fetched;
}

Task<Result<void>> RegistryClient::blob(Descriptor descriptor, int out_fd, std::function<void(std::uint64_t)> progress,
                                        StopToken stop) {
  const std::string what = cat("blob ", descriptor.digest);
  const std::string path = cat(endpoint_.path_prefix, "/v2/", endpoint_.repository, "/blobs/", descriptor.digest);
  Result<io::HttpClientResponse> response = co_await get(path, "", stop);
  if (!response) co_return response.error().while_doing(what);
  if (response->status != 200) co_return status_error(response->status, what);
  io::Sha256 hash;
  std::uint64_t received = 0;
  for (;;) {
    Result<std::string> piece = co_await response->body->read(stop);
    if (!piece) co_return piece.error().while_doing(what);
    if (piece->empty()) break;
    received += piece->size();
    if (received > descriptor.size) {
      co_return Error(Code::kCorrupt,
                      cat(what, ": the registry sends more than the ", descriptor.size, " bytes it promised"));
    }
    if (progress) progress(piece->size());
    // Writing and hashing some hundred KB takes the pool less than the network takes to bring them, and keeps the loop
    // free.
    std::string bytes = std::move(*piece);
    auto work = [&hash, out_fd, bytes = std::move(bytes)] {
      hash.update(bytes);
      return write_all(out_fd, bytes);
    };
    Result<void> written = co_await context_.loop.offload(std::move(work));
    if (!written) co_return written.error().while_doing(what);
  }
  if (received != descriptor.size) {
    co_return Error(Code::kCorrupt, cat(what, ": ", received, " bytes came of the ", descriptor.size, " promised"));
  }
  if (cat("sha256:", hex_encode(hash.finish())) != descriptor.digest) {
    co_return Error(Code::kCorrupt, cat(what, ": the content does not have this digest"));
  }
  co_return Result<void>();
}

}  // namespace kayak::agent
