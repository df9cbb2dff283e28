// tls.h: TLS on mbedTLS, the keys and certificates we make, and the rules by which a peer is accepted.
// The tls and x509 files of this folder and seal.cc are the only ones that see mbedTLS. mbedTLS 2.28 neither writes
// SANs nor matches iPAddress SANs: both are done here (RFC 5280 4.2.1.6, RFC 6125; 4 or 16 bytes, no common-name
// fallback).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "io/stream.h"

namespace kayak::io {

// What a certificate says, as far as we use it.
struct CertificateInfo {
  std::string common_name;                 // a user's name
  std::vector<std::string> organizations;  // a user's groups
  std::vector<std::string> dns_names;      // dNSName SANs
  std::vector<std::string> ip_addresses;   // iPAddress SANs, numeric text
  WallTime not_before, not_after;
  bool is_ca = false;
  bool server_auth = false, client_auth = false;  // extended key usage
  std::string public_key_sha256;                  // hex of SHA-256 over the SubjectPublicKeyInfo
};

// PEM private key (P-256, SEC1/PKCS#8 as mbedTLS writes it).
Result<std::string> generate_key_pem(Random& random);
// RSA 2048 for service-account tokens (RS256), PEM. Takes hundreds of milliseconds: call on the pool.
Result<std::string> generate_rsa_key_pem(Random& random, int bits = 2048);

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  bool is_ca = false;
  bool server_auth = false, client_auth = false;
  WallTime not_before, not_after;
};
// A certificate over the public half of `key_pem`, signed by the issuer; self-signed when the issuer is empty.
Result<std::string> issue_certificate_pem(Random& random, const CertificateRequest& request, std::string_view key_pem,
                                          std::string_view issuer_certificate_pem, std::string_view issuer_key_pem);
// The same for a public key alone (DER SubjectPublicKeyInfo): of somebody who keeps the private half.
Result<std::string> issue_certificate_for_key_pem(Random& random, const CertificateRequest& request,
                                                  std::string_view public_key, std::string_view issuer_certificate_pem,
                                                  std::string_view issuer_key_pem);
// The public half of `key_pem` as DER SubjectPublicKeyInfo. Errors: Invalid.
Result<std::string> public_key_of(Random& random, std::string_view key_pem);
// A PKCS #10 request (DER) for a certificate over `key_pem`, signed with it.
Result<std::string> make_certificate_request(Random& random, const std::string& common_name, std::string_view key_pem);
// The first certificate of `pem`. Errors: Invalid, TooLarge.
Result<CertificateInfo> parse_certificate_pem(std::string_view pem);
// Whether `der` is a PKCS #10 request signed by the key that it asks a certificate for (RSA or ECDSA). Takes
// milliseconds. Errors: Invalid.
Result<void> verify_certificate_request(std::string_view der);
// As above, and the key that it is for (DER SubjectPublicKeyInfo).
Result<std::string> requested_public_key(std::string_view der);
// Whether a server that shows `certificate` is `name`: an IP address against iPAddress SANs, a DNS name against
// dNSName SANs (left-most-label wildcards alone), never the common name. Errors: Unauthorized, in Go's words.
Result<void> check_server_name(const CertificateInfo& certificate, std::string_view dns_name_or_ip);

std::string sha256(std::string_view bytes);  // 32 raw bytes
// Streaming SHA-256.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  ~Sha256();
  void update(std::string_view bytes);
  std::string finish();  // 32 raw bytes

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Used as std::optional<CertificateInfo>, but copies share it: every request carries its connection's peer.
class SharedCertificate {
 public:
  SharedCertificate() = default;
  SharedCertificate(CertificateInfo info)
      : info_(std::make_shared<const CertificateInfo>(std::move(info))) {}  // NOLINT
  explicit operator bool() const { return info_ != nullptr; }
  bool has_value() const { return info_ != nullptr; }
  const CertificateInfo& operator*() const { return *info_; }
  const CertificateInfo* operator->() const { return info_.get(); }

 private:
  std::shared_ptr<const CertificateInfo> info_;
};

// Who the other side of a verified connection is.
struct TlsPeer {
  // At a server, set only when it verified against the client CA for clientAuth; at a client, with a realm's identity
  // alone.
  SharedCertificate certificate;
  std::string alpn;   // "" when none was agreed
  std::string realm;  // at a server: the TlsRealm it came in by; "": the server itself
};

class TlsStream : public Stream {
 public:
  virtual const TlsPeer& tls_peer() const = 0;
};

struct TlsServerOptions {
  std::string certificate_pem, key_pem;  // chain, leaf first
  std::string client_ca_pem;             // empty: client certificates are not asked for
  std::vector<std::string> alpn;         // in order of preference, e.g. {"h2", "http/1.1"}
  Duration handshake_timeout = std::chrono::seconds(10);
  bool client_required = false;  // who shows no certificate is refused; needs client_ca_pem
};
// A second server behind the same port, with nothing in common with the first: who asks for its name (SNI) has to show
// a certificate of its CA and agree on one of its protocols; who does not ask for its name cannot have its protocols,
// and its certificates count for nothing. Validity times are not looked at, on either side: who may come in is decided
// by key, and a group must form also while the clocks of its members, after a power cut, are wrong.
struct TlsRealm {
  std::string name;  // lower case, of a domain that nobody has: "peer.kayak.internal"
  std::string certificate_pem, key_pem;
  std::string client_ca_pem;
  std::vector<std::string> alpn;  // not empty; none that the server itself has
};
// Certificates can be replaced while it serves: connections accepted later see the new ones.
class TlsServer {
 public:
  static Result<std::unique_ptr<TlsServer>> create(Context context, TlsServerOptions options);
  virtual ~TlsServer() = default;
  virtual Result<void> replace(TlsServerOptions options) = 0;  // the realm stays
  // Opens the realm, or replaces it. Errors: Invalid.
  virtual Result<void> set_realm(TlsRealm realm) = 0;
  // The handshake runs on the TLS worker thread (bounded queue), then the session moves to the loop. A client
  // certificate that does not verify ends the handshake with bad_certificate.
  // Errors: Unauthorized (bad certificate), Invalid (no TLS), Timeout, Io, TooManyRequests (queue full).
  virtual Task<Result<std::unique_ptr<TlsStream>>> handshake(StreamPtr plain, StopToken stop = StopToken()) = 0;
};

// Whose handshakes go first when there are too many: numeric addresses, instead of those named before. For the servers
// of a group, which a crowd of clients must not keep apart.
void prefer_handshakes(Loop& loop, const std::vector<std::string>& addresses);

// A client cannot be made without a way to know its server: a name (DNS name or IP, matched against SANs only) under a
// CA, the server's pinned public key, or both the CA of a realm and a key of a list; or says that it has none.
class TlsServerIdentity {
 public:
  static TlsServerIdentity name(std::string dns_name_or_ip, std::string ca_pem);  // ca_pem empty: the system's CAs
  static TlsServerIdentity pinned_key(std::string public_key_sha256_hex);
  // A TlsRealm called `realm`: a certificate of `ca_pem`, whatever its names, for one of `keys` (as public_key_sha256).
  static TlsServerIdentity realm_keys(std::string realm, std::string ca_pem, std::vector<std::string> keys);
  // Likewise with any key, for who knows the CA and no member yet.
  static TlsServerIdentity realm_any_key(std::string realm, std::string ca_pem);
  // Whoever answers, with any certificate: for fetching what is believed for another reason than that it came from
  // there, such as a CA's certificate whose hash is known. Nothing secret may be sent on it.
  static TlsServerIdentity stranger();

 private:
  friend class TlsClient;
  TlsServerIdentity() = default;
  friend struct TlsClientAccess;
  enum class Kind { kName, kPinnedKey, kRealm };
  Kind kind_ = Kind::kName;
  std::string name_, ca_pem_;
  std::vector<std::string> keys_;  // empty: any
};
struct TlsClientOptions {
  TlsServerIdentity server;
  std::string certificate_pem, key_pem;  // empty: anonymous
  std::vector<std::string> alpn;
};
// Errors: Unauthorized (the server is not who it should be, with the reason), Timeout, Io.
Task<Result<std::unique_ptr<TlsStream>>> tls_connect(Context context, StreamPtr plain, TlsClientOptions options,
                                                     StopToken stop = StopToken());

}  // namespace kayak::io
