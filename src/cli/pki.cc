// pki.cc: see pki.h.
#include "cli/pki.h"

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"
#include "store/member.h"

namespace kayak::cli {

namespace {

constexpr std::int64_t kDay = 24 * 60 * 60;
constexpr std::int64_t kCaSeconds = 10 * 365 * kDay;
constexpr std::int64_t kLeafSeconds = 365 * kDay;
// 2026-01-01. A board without a clock battery boots in 1970: certificates count from here at the earliest, so that they
// are valid for clients whose clock is right.
constexpr std::int64_t kEarliest = 1767225600;

struct Validity {
  WallTime from, to;
};
Validity validity(WallTime now, std::int64_t seconds) {
  const std::int64_t base = std::max(now.seconds(), kEarliest);
  // One day back: a node or client whose clock runs behind must not find the certificate "not yet valid".
  return Validity{WallTime{std::min(base - kDay, kEarliest) * 1'000'000}, WallTime{(base + seconds) * 1'000'000}};
}

Result<void> store(const std::string& dir, const std::string& name, const KeyPair& pair) {
  if (auto key = write_file_atomic(cat(dir, "/", name, ".key"), pair.key_pem, 0600); !key) return key;
  return write_file_atomic(cat(dir, "/", name, ".crt"), pair.certificate_pem, 0644);
}

// Both files, or NotFound when the certificate is not there (the key is written first).
Result<KeyPair> load(const std::string& dir, const std::string& name) {
  Result<std::string> certificate = read_file(cat(dir, "/", name, ".crt"), 1 << 20);
  if (!certificate) return certificate.error();
  Result<std::string> key = read_file(cat(dir, "/", name, ".key"), 1 << 20);
  if (!key) return Error(Code::kCorrupt, cat(dir, "/", name, ".crt has no key beside it: ", key.error().message()));
  return KeyPair{std::move(*certificate), std::move(*key)};
}

Result<KeyPair> certificate_authority(Random& random, WallTime now, const std::string& dir, const std::string& name,
                                      const std::string& common_name) {
  Result<KeyPair> existing = load(dir, name);
  if (existing) {
    Result<io::CertificateInfo> info = io::parse_certificate_pem(existing->certificate_pem);
    if (info && info->is_ca) return existing;
    return Error(Code::kCorrupt,
                 cat(dir, "/", name, ".crt is not a CA certificate", info ? "" : ": " + info.error().message(),
                     "; restore it from a backup, or move the folder away for a new cluster identity"));
  }
  if (existing.error().code() != Code::kNotFound) return existing.error();
  Result<std::string> key = io::generate_key_pem(random);
  if (!key) return key.error();
  io::CertificateRequest request;
  request.common_name = common_name;
  request.is_ca = true;
  const Validity valid = validity(now, kCaSeconds);
  request.not_before = valid.from;
  request.not_after = valid.to;
  Result<std::string> certificate = io::issue_certificate_pem(random, request, *key, "", "");
  if (!certificate) return certificate.error();
  KeyPair made{std::move(*certificate), std::move(*key)};
  if (auto stored = store(dir, name, made); !stored) return stored.error();
  return made;
}

bool covers(std::vector<std::string> have, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(),
                     [&](const std::string& name) { return std::find(have.begin(), have.end(), name) != have.end(); });
}

bool still_good(const io::CertificateInfo& info, const io::CertificateRequest& request, WallTime now) {
  const std::int64_t life = info.not_after.seconds() - std::max(info.not_before.seconds(), kEarliest);
  const bool fresh = std::max(now.seconds(), kEarliest) < info.not_after.seconds() - std::min(life, kLeafSeconds) / 3;
  return fresh && info.common_name == request.common_name && info.organizations == request.organizations &&
         covers(info.dns_names, request.dns_names) && covers(info.ip_addresses, request.ip_addresses);
}

// A certificate for `key`, made and stored under `name`.
Result<KeyPair> issue(Random& random, WallTime now, const std::string& dir, const std::string& name,
                      io::CertificateRequest request, std::string key, const KeyPair& authority) {
  const Validity valid = validity(now, kLeafSeconds);
  request.not_before = valid.from;
  request.not_after = valid.to;
  Result<std::string> certificate =
      io::issue_certificate_pem(random, request, key, authority.certificate_pem, authority.key_pem);
  if (!certificate) return certificate.error();
  KeyPair made{std::move(*certificate), std::move(key)};
  if (auto stored = store(dir, name, made); !stored) return stored.error();
  return made;
}

Result<KeyPair> leaf(Random& random, WallTime now, const std::string& dir, const std::string& name,
                     io::CertificateRequest request, const KeyPair& authority) {
  Result<KeyPair> existing = load(dir, name);
  if (existing) {
    Result<io::CertificateInfo> info = io::parse_certificate_pem(existing->certificate_pem);
    if (info && still_good(*info, request, now)) return existing;
  }
  Result<std::string> key = io::generate_key_pem(random);
  if (!key) return key.error();
  return issue(random, now, dir, name, std::move(request), std::move(*key), authority);
}

io::CertificateRequest peer_request() {
  io::CertificateRequest request;
  request.common_name = "kayak-peer";
  request.server_auth = request.client_auth = true;
  return request;
}

// The others know this server by its key: a new certificate is made for the old one. `known`: what a server that runs
// has in use, whatever has become of the file; empty: none.
Result<KeyPair> peer_pair(Random& random, WallTime now, const std::string& dir, const KeyPair& authority,
                          const std::string& known) {
  Result<std::string> key = known.empty() ? load_or_make_peer_key(random, dir) : Result<std::string>(known);
  if (!key) return key.error();
  io::CertificateRequest request = peer_request();
  Result<std::string> public_key = io::public_key_of(random, *key);
  if (!public_key) return public_key.error();
  Result<KeyPair> existing = load(dir, "peer");
  if (existing) {
    Result<io::CertificateInfo> info = io::parse_certificate_pem(existing->certificate_pem);
    const bool same_key = info && info->public_key_sha256 == hex_encode(io::sha256(*public_key));
    if (same_key && still_good(*info, request, now)) return existing;
  }
  return issue(random, now, dir, "peer", std::move(request), std::move(*key), authority);
}

io::CertificateRequest client_request(const char* user, const char* group) {
  io::CertificateRequest request;
  request.common_name = user;
  request.organizations = {group};
  request.client_auth = true;
  return request;
}

Result<std::string> service_account_key(Random& random, const std::string& dir) {
  const std::string path = cat(dir, "/service-account.key");
  Result<std::string> existing = read_file(path, 1 << 20);
  if (existing || existing.error().code() != Code::kNotFound) return existing;
  // P-256 signs tokens as ES256, which upstream accepts; an RSA key would cost a first start half a second.
  Result<std::string> key = io::generate_key_pem(random);
  if (!key) return key.error();
  if (auto stored = write_file_atomic(path, *key, 0600); !stored) return stored.error();
  return key;
}

}  // namespace

Result<void> renew_leaves(Random& random, WallTime now, const ServerKeyOptions& options, ServerKeys* keys) {
  const std::string& dir = options.tls_dir;
  io::CertificateRequest serving;
  serving.common_name = "kayak-server";
  serving.server_auth = true;
  serving.dns_names = {"kubernetes", "kubernetes.default", "kubernetes.default.svc",
                       "kubernetes.default.svc.cluster.local", "localhost"};
  serving.ip_addresses = {"127.0.0.1", "::1"};
  for (const std::string& name : options.dns_names) serving.dns_names.push_back(name);
  for (const std::string& ip : options.ip_addresses) serving.ip_addresses.push_back(ip);
  io::CertificateRequest etcd_serving = serving;
  etcd_serving.common_name = "kayak-etcd-server";
  io::CertificateRequest etcd_client;
  etcd_client.common_name = "kayak-etcd-client";
  etcd_client.client_auth = true;
  struct Leaf {
    KeyPair* pair;
    const char* name;
    io::CertificateRequest request;
    const KeyPair* authority;
  };
  const std::vector<Leaf> leaves = {
      {&keys->serving, "serving-api", serving, &keys->server_ca},
      {&keys->admin, "client-admin", client_request("kayak-admin", "kayak:cluster-admins"), &keys->client_ca},
      {&keys->recovery, "client-recovery", client_request("kayak-recovery", "system:masters"), &keys->client_ca},
      {&keys->etcd_server, "etcd-server", etcd_serving, &keys->etcd_client_ca},
      {&keys->etcd_client, "etcd-client", etcd_client, &keys->etcd_client_ca},
  };
  for (const Leaf& l : leaves) {
    Result<KeyPair> pair = leaf(random, now, dir, l.name, l.request, *l.authority);
    if (!pair) return pair.error().while_doing(cat("preparing the certificate ", l.name));
    *l.pair = std::move(*pair);
  }
  Result<KeyPair> peer = peer_pair(random, now, dir, keys->peer_ca, keys->peer.key_pem);
  if (!peer) return peer.error().while_doing("preparing the certificate peer");
  keys->peer = std::move(*peer);
  return Result<void>();
}

Result<ServerKeys> load_or_make_server_keys(Random& random, WallTime now, const ServerKeyOptions& options) {
  const std::string& dir = options.tls_dir;
  if (auto made = make_directories(dir, 0700); !made) return made.error();
  ServerKeys keys;
  struct Authority {
    KeyPair* pair;
    const char* name;
    const char* common_name;
  };
  for (const Authority& a : {Authority{&keys.server_ca, "server-ca", "kayak-server-ca"},
                             Authority{&keys.client_ca, "client-ca", "kayak-client-ca"},
                             Authority{&keys.front_proxy_ca, "front-proxy-ca", "kayak-front-proxy-ca"},
                             Authority{&keys.peer_ca, "peer-ca", "kayak-peer-ca"},
                             Authority{&keys.etcd_client_ca, "etcd-client-ca", "kayak-etcd-client-ca"}}) {
    Result<KeyPair> pair = certificate_authority(random, now, dir, a.name, a.common_name);
    if (!pair) return pair.error().while_doing(cat("preparing the ", a.name));
    *a.pair = std::move(*pair);
  }
  if (auto made = renew_leaves(random, now, options, &keys); !made) return made.error();
  Result<std::string> token_key = service_account_key(random, dir);
  if (!token_key) return token_key.error().while_doing("preparing the service-account key");
  keys.service_account_key_pem = std::move(*token_key);
  return keys;
}

Result<std::string> issue_witness_certificate(Random& random, WallTime now, const KeyPair& peer_ca,
                                              std::string_view public_key) {
  constexpr std::size_t kP256Bytes = 91;  // of a SubjectPublicKeyInfo with an uncompressed point
  if (public_key.size() != kP256Bytes) return Error(Code::kInvalid, "a peer's key has to be one of P-256");
  io::CertificateRequest request = peer_request();
  request.organizations = {std::string(kayak::store::kWitnessOrganization)};
  const Validity valid = validity(now, kCaSeconds);
  request.not_before = valid.from;
  request.not_after = valid.to;
  return io::issue_certificate_for_key_pem(random, request, public_key, peer_ca.certificate_pem, peer_ca.key_pem);
}

Result<std::string> load_or_make_peer_key(Random& random, const std::string& tls_dir) {
  const std::string path = cat(tls_dir, "/peer.key");
  Result<std::string> existing = read_file(path, 1 << 20);
  if (existing) {
    if (io::public_key_of(random, *existing)) return existing;
    return Error(Code::kCorrupt, cat(path,
                                     " is not a private key; without it this server is another member: remove it, "
                                     "and server/db with it, and join again"));
  }
  if (existing.error().code() != Code::kNotFound) return existing;
  Result<std::string> key = io::generate_key_pem(random);
  if (!key) return key;
  if (auto stored = write_file_atomic(path, *key, 0600); !stored) return stored.error();
  return key;
}

std::string make_kubeconfig(const std::string& server_url, const std::string& server_ca_pem, const std::string& user,
                            const KeyPair& client) {
  return cat("apiVersion: v1\nkind: Config\nclusters:\n- name: kayak\n  cluster:\n    server: ", server_url,
             "\n    certificate-authority-data: ", base64_encode(server_ca_pem), "\nusers:\n- name: ", user,
             "\n  user:\n    client-certificate-data: ", base64_encode(client.certificate_pem),
             "\n    client-key-data: ", base64_encode(client.key_pem),
             "\ncontexts:\n- name: kayak\n  context:\n    cluster: kayak\n", "    user: ", user,
             "\ncurrent-context: kayak\n");
}

}  // namespace kayak::cli
