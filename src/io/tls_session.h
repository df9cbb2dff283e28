// tls_session.h: one mbedTLS session without sockets: bytes in, bytes out, and the rules for the peer's certificate.
// During the handshake it lives on the TLS thread and sees only its own memory; afterwards it lives on the loop.
#pragma once

#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/fd_stream.h"
#include "io/mbed.h"
#include "io/tls_runtime.h"

namespace kayak::io {

// A realm's side of a configuration.
struct TlsRealmConfig {
  std::string name;
  std::vector<std::string> alpn;
  CertificateChain own, cas;
  PrivateKey key;
};

// Certificates and settings, shared by the sessions made from them. Never changes once made.
class TlsConfig {
 public:
  // `realm` null: none. Errors: Invalid.
  static Result<std::shared_ptr<TlsConfig>> server(const TlsServerOptions& options, const TlsRealm* realm);
  // `ca_pem` as PEM already; empty for a pinned key.
  static Result<std::shared_ptr<TlsConfig>> client(std::string_view ca_pem, const std::string& certificate_pem,
                                                   const std::string& key_pem, std::vector<std::string> alpn);
  ~TlsConfig();
  TlsConfig(const TlsConfig&) = delete;
  TlsConfig& operator=(const TlsConfig&) = delete;
  const mbedtls_ssl_config* get() const { return &config_; }
  TlsRealmConfig* realm() const { return realm_.get(); }
  // A client's session needs its CAs no more once the server is known: a system bundle is half a megabyte.
  void forget_cas();

 private:
  TlsConfig();
  Result<void> setup(int endpoint, std::vector<std::string> alpn);
  Result<void> use_identity(const std::string& certificate_pem, const std::string& key_pem);
  Result<void> use_realm(const TlsRealm& realm);
  mbedtls_ssl_config config_;
  CertificateChain own_;
  std::unique_ptr<CertificateChain> cas_;
  PrivateKey key_;
  std::unique_ptr<TlsRealmConfig> realm_;
  std::vector<std::string> alpn_;
  std::vector<const char*> alpn_list_;
  SystemRandom random_;  // keys never come from a seeded sequence
};

// What the peer has to show.
struct PeerRule {
  enum class Kind { kClient, kServerName, kServerKey, kServerRealm };
  Kind kind = Kind::kClient;
  std::string name;               // kServerName: DNS name or IP; kServerRealm: for SNI
  std::vector<std::string> keys;  // hex of SHA-256 over the SubjectPublicKeyInfo; kServerRealm: empty takes any
  WallTime now;
};

class TlsSession {
 public:
  enum class Progress { kDone, kNeedsInput };

  TlsSession(TlsRuntime& runtime, std::shared_ptr<TlsConfig> config, PeerRule rule);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // ---- the handshake, on the TLS thread. `input` holds whole records; what is to be sent is appended to `*output`,
  // also when it fails (the alert). Errors: Unauthorized, Invalid, Io.
  Result<Progress> advance(std::string input, std::string* output);
  TlsPeer take_peer();  // once, after kDone

  // ---- afterwards, on the loop
  void attach(FdStream* stream) { stream_ = stream; }
  // The bytes read (0 at the end), nullopt when more has to arrive first.
  Result<std::optional<std::size_t>> try_read(std::span<char> buffer);
  bool has_input() const;
  // Turns bytes from `*first`, `*skip` into it, into records, until all are done or `cork` has enough. Moves both on.
  Result<void> encrypt(Slices& data, std::size_t* first, std::size_t* skip, std::string* cork);
  Result<void> close_notify(std::string* cork);
  // Gives the record buffers back (33 KiB) when nothing is in them; the next use takes new ones.
  void park();
  std::string& cork() { return runtime_.cork; }
  // Records that mbedTLS wrote while reading (alerts); to be sent before anything else.
  std::string& unsent() { return unsent_; }

 private:
  friend class TlsConfig;
  static int on_server_name(void*, mbedtls_ssl_context* ssl, const unsigned char* name, std::size_t length);
  static int on_certificate(void* self, mbedtls_x509_crt* crt, int depth, std::uint32_t* flags);
  static int on_send(void* self, const unsigned char* data, std::size_t length);
  static int on_receive(void* self, unsigned char* data, std::size_t length);
  void judge(const mbedtls_x509_crt& crt, int depth, std::uint32_t* flags);
  std::optional<Error> judge_leaf(const mbedtls_x509_crt& crt, const CertificateInfo& info, std::uint32_t* flags);
  int enter_realm();
  std::optional<Error> judge_protocol();
  bool is_key_wanted(const std::string& key) const;
  Error handshake_error(int rc);
  Result<void> setup();
  void unpark();

  TlsRuntime& runtime_;
  std::shared_ptr<TlsConfig> config_;
  std::unique_ptr<PeerRule> rule_;  // until the handshake is over
  mbedtls_ssl_context ssl_;
  FdStream* stream_ = nullptr;
  std::string* sink_ = nullptr;
  std::string input_, unsent_;
  std::size_t input_used_ = 0;
  std::optional<Error> failure_;
  std::optional<CertificateInfo> leaf_;
  bool set_up_ = false, end_ = false, broken_ = false, parked_ = false;
  bool in_realm_ = false, protocol_judged_ = false;
  std::uint32_t buffer_size_ = 0;
  std::array<std::uint16_t, 5> in_offsets_{}, out_offsets_{};
  std::array<unsigned char, 8> in_counter_{};
};

}  // namespace kayak::io
