// join_client.cc: see join_client.h.
#include "cli/join_client.h"

#include <array>

#include "base/strings.h"
#include "io/http.h"
#include "io/tls.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;

constexpr Duration kRetry = 3s;
constexpr std::size_t kMaxCaBytes = 64 * 1024;
constexpr std::size_t kMaxReasonBytes = 512;
constexpr const char* kAnyServer = "server.kayak.internal";  // nobody's name: servers ignore it

Result<io::HttpTarget> target_of(const std::string& server, io::TlsServerIdentity identity) {
  Result<io::Url> url = io::parse_url(server);
  if (!url) return url.error();
  io::HttpTarget target;
  target.host = url->host;
  target.port = url->port;
  target.tls = io::TlsClientOptions{std::move(identity), "", "", {}};
  return target;
}

// What a server said instead of what it was asked for, made fit for one line of a log.
std::string reason_of(const std::string& body) {
  std::string line;
  for (const char c : std::string_view(body).substr(0, kMaxReasonBytes)) line += c >= ' ' && c < 0x7f ? c : ' ';
  return std::string(trim(line));
}

Error refused(int status, const std::string& body) {
  const std::string why = cat("the server answered ", status, ": ", reason_of(body));
  if (status == 401) return Error(Code::kUnauthorized, why);
  if (status == 429) return Error(Code::kTooManyRequests, why);
  if (status == 404) return Error(Code::kBadRequest, why + " (is it a server of Kayak?)");
  return Error(status >= 500 ? Code::kUnavailable : Code::kBadRequest, why);
}

Task<Result<std::string>> ask(Context context, io::HttpTarget target, io::HttpClientRequest request,
                              std::size_t max_bytes, StopToken stop) {
  const std::unique_ptr<io::HttpClient> client = io::HttpClient::create(context, std::move(target), 0);
  Result<io::HttpClientResponse> response = co_await client->request(std::move(request), stop);
  if (!response) co_return response.error();
  Result<std::string> body = co_await response->body->read_all(max_bytes, stop);
  if (!body) co_return body.error();
  if (response->status != 200) co_return refused(response->status, *body);
  co_return body;
}

}  // namespace

Task<Result<std::string>> fetch_ca(Context context, std::string server, StopToken stop) {
  Result<io::HttpTarget> target = target_of(server, io::TlsServerIdentity::stranger());
  if (!target) co_return target.error();
  io::HttpClientRequest request;
  request.path = kCaCertsPath;
  request.header_timeout = 10s;
  request.body_timeout = 10s;
  Result<std::string> pem = co_await ask(context, std::move(*target), std::move(request), kMaxCaBytes, stop);
  if (!pem) co_return pem.error();
  Result<io::CertificateInfo> info = io::parse_certificate_pem(*pem);
  if (!info || !info->is_ca) co_return Error(Code::kInvalid, cat(server, kCaCertsPath, " is no CA's certificate"));
  co_return pem;
}

Task<Result<JoinBundle>> fetch_bundle(Context context, JoinTarget target, StopToken stop) {
  Result<std::string> ca = co_await fetch_ca(context, target.server, stop);
  if (!ca) co_return ca.error();
  const std::string hash = ca_hash(*ca);
  if (target.token.ca_hash.empty()) {
    context.log.warn(
        "the token names no CA: the server's is trusted if it proves to know the token; use the whole token "
        "from <data-dir>/server/token to be sure",
        {{"server", target.server}, {"ca_sha256", hash}});
  } else if (target.token.ca_hash != hash) {
    co_return Error(Code::kUnauthorized,
                    cat("the CA of ", target.server, " has the SHA-256 ", hash, ", not ", target.token.ca_hash,
                        " as the token says: it is another cluster, or somebody stands between"));
  }
  const std::string secret = target.token.secret;
  auto derive = [secret, hash] { return JoinKey::derive(secret, hash); };
  const JoinKey key = co_await context.loop.offload(std::move(derive));

  JoinRequest message;
  std::array<std::byte, kJoinNonceBytes> nonce;
  context.random.fill(nonce);
  message.nonce.assign(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  message.name = target.name;
  message.witness = target.witness;
  message.certificate_request = target.certificate_request;
  const std::string body = encode_join_request(message);

  // Any server of this CA will do, whatever it is called, and also while the clock of one of them is wrong.
  Result<io::HttpTarget> verified = target_of(target.server, io::TlsServerIdentity::realm_any_key(kAnyServer, *ca));
  if (!verified) co_return verified.error();
  io::HttpClientRequest request;
  request.method = "POST";
  request.path = kBundlePath;
  request.headers.add("authorization", cat(kJoinScheme, key.prove(body)));
  request.headers.add("content-type", "application/json");
  request.body.push_back(io::Slice::of(body));
  Result<std::string> response =
      co_await ask(context, std::move(*verified), std::move(request), kMaxJoinBundleBytes, stop);
  if (!response) co_return response.error();
  Result<std::string> opened = key.open(message.nonce, *response);
  if (!opened) co_return opened.error();
  Result<JoinBundle> bundle = decode_join_bundle(*opened, target.witness);
  if (!bundle) co_return bundle.error();
  const auto server_ca = bundle->files.find("server-ca.crt");
  if (server_ca == bundle->files.end() || server_ca->second != *ca) {
    co_return Error(Code::kUnauthorized, "the server gave another CA than it serves");
  }
  co_return bundle;
}

namespace {

// Whether another try can end otherwise.
bool passes(Code code) {
  return code == Code::kUnavailable || code == Code::kTimeout || code == Code::kIo || code == Code::kTooManyRequests;
}

}  // namespace

Task<Result<JoinBundle>> fetch_until_answered(Context context, JoinTarget target, StopToken stop) {
  std::string last;
  for (;;) {
    Result<JoinBundle> joined = co_await fetch_bundle(context, target, stop);
    if (joined || stop.stopped() || !passes(joined.error().code())) co_return joined;
    if (joined.error().message() != last) {
      last = joined.error().message();
      context.log.warn("cannot join yet, trying on", {{"server", target.server}, {"error", last}});
    }
    Result<void> slept = co_await context.loop.sleep(kRetry, stop);
    if (!slept) co_return slept.error();
  }
}

}  // namespace kayak::cli
