// tls_config.cc: TLS 1.2 with ECDHE and authenticated encryption, nothing older or weaker.
// TLS 1.3 is left out on purpose also where mbedTLS 3.6 has it: one protocol, the same on every system we run on.
#include <mbedtls/platform.h>

#include <algorithm>

#include "io/tls_session.h"

namespace kayak::io {

namespace {

// AES is only fast where the processor does it; elsewhere (a Raspberry Pi) ChaCha20 comes first. mbedTLS 2.28 uses the
// instructions of x86 alone.
constexpr int kAesFirst[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                             0};
constexpr int kChaChaFirst[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                                MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                                MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                                MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                                0};

const int* cipher_suites() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul")) return kAesFirst;
#endif
  return kChaChaFirst;
}

}  // namespace

TlsConfig::TlsConfig() { mbedtls_ssl_config_init(&config_); }
TlsConfig::~TlsConfig() { mbedtls_ssl_config_free(&config_); }

Result<void> TlsConfig::setup(int endpoint, std::vector<std::string> alpn) {
  int rc = mbedtls_ssl_config_defaults(&config_, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
  if (rc != 0) return mbed_error(rc, "setting up TLS");
  mbedtls_ssl_conf_rng(&config_, mbed_random, &random_);
  mbedtls_ssl_conf_ciphersuites(&config_, cipher_suites());
  // P-256 first: mbedTLS has precomputed points and fast reduction for it. The rest is for the peers' sake; also
  // the curve of a peer's certificate has to be listed.
#if MBEDTLS_VERSION_NUMBER < 0x03000000
  static constexpr mbedtls_ecp_group_id kCurves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519,
                                                     MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1,
                                                     MBEDTLS_ECP_DP_NONE};
  static constexpr int kHashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512, MBEDTLS_MD_NONE};
  mbedtls_ssl_conf_curves(&config_, kCurves);
  mbedtls_ssl_conf_sig_hashes(&config_, kHashes);
  mbedtls_ssl_conf_min_version(&config_, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
  mbedtls_ssl_conf_max_version(&config_, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#else
  static constexpr std::uint16_t kGroups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                              MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
                                              MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
  mbedtls_ssl_conf_groups(&config_, kGroups);
  mbedtls_ssl_conf_min_tls_version(&config_, MBEDTLS_SSL_VERSION_TLS1_2);
  mbedtls_ssl_conf_max_tls_version(&config_, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_CLI_C)
  // No resumption: every connection shows its certificate anew, so that a replaced CA or an expired one counts at once.
  mbedtls_ssl_conf_session_tickets(&config_, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
  alpn_ = std::move(alpn);
  for (const std::string& protocol : alpn_) alpn_list_.push_back(protocol.c_str());
  alpn_list_.push_back(nullptr);
  if (!alpn_.empty()) rc = mbedtls_ssl_conf_alpn_protocols(&config_, alpn_list_.data());
  if (rc != 0) return Error(Code::kInvalid, mbed_error(rc, "the ALPN protocols").message());
  return Result<void>();
}

Result<void> TlsConfig::use_identity(const std::string& certificate_pem, const std::string& key_pem) {
  if (auto parsed = own_.parse(certificate_pem); !parsed) return parsed;
  if (auto parsed = key_.parse(key_pem, random_); !parsed) return parsed;
  if (!key_.matches(own_.crt.pk, random_)) {
    return Error(Code::kInvalid, "the private key is not that of the certificate");
  }
  const int rc = mbedtls_ssl_conf_own_cert(&config_, &own_.crt, &key_.pk);
  if (rc != 0) return mbed_error(rc, "using a certificate");
  return Result<void>();
}

// The realm's own side; that it has to be asked for by name is TlsSession's part (on_server_name).
Result<void> TlsConfig::use_realm(const TlsRealm& realm) {
  realm_ = std::make_unique<TlsRealmConfig>();
  realm_->name = realm.name;
  realm_->alpn = realm.alpn;
  if (realm.name.empty() || realm.alpn.empty()) return Error(Code::kInvalid, "a TLS realm needs a name and a protocol");
  for (const std::string& protocol : realm.alpn) {
    if (std::count(alpn_.begin(), alpn_.end(), protocol) > 1) {
      return Error(Code::kInvalid, cat("the protocol ", protocol, " is the server's own"));
    }
  }
  if (auto parsed = realm_->own.parse(realm.certificate_pem); !parsed) return parsed;
  if (auto parsed = realm_->key.parse(realm.key_pem, random_); !parsed) return parsed;
  if (!realm_->key.matches(realm_->own.crt.pk, random_)) {
    return Error(Code::kInvalid, "the private key is not that of the certificate");
  }
  if (auto parsed = realm_->cas.parse(realm.client_ca_pem); !parsed) return parsed.error().while_doing("the client CA");
  mbedtls_ssl_conf_sni(&config_, TlsSession::on_server_name, nullptr);
  return Result<void>();
}

Result<std::shared_ptr<TlsConfig>> TlsConfig::server(const TlsServerOptions& options, const TlsRealm* realm) {
  std::shared_ptr<TlsConfig> config(new TlsConfig);
  // mbedTLS has one list of protocols for all names; which of them goes with which is judged by the session.
  std::vector<std::string> alpn = options.alpn;
  if (realm != nullptr) alpn.insert(alpn.end(), realm->alpn.begin(), realm->alpn.end());
  if (auto set = config->setup(MBEDTLS_SSL_IS_SERVER, std::move(alpn)); !set) return set.error();
  if (realm != nullptr) {
    if (auto used = config->use_realm(*realm); !used) return used.error().while_doing(cat("the realm ", realm->name));
  }
  if (auto used = config->use_identity(options.certificate_pem, options.key_pem); !used) {
    return used.error().while_doing("the serving certificate");
  }
  if (options.client_required && options.client_ca_pem.empty()) {
    return Error(Code::kInvalid, "client certificates are required, but no CA of theirs is given");
  }
  mbedtls_ssl_conf_authmode(&config->config_, MBEDTLS_SSL_VERIFY_NONE);
  if (!options.client_ca_pem.empty()) {
    config->cas_ = std::make_unique<CertificateChain>();
    if (auto parsed = config->cas_->parse(options.client_ca_pem); !parsed) {
      return parsed.error().while_doing("the client CA");
    }
    // Optional, as a rule: who shows none is anonymous. One that does not hold ends the handshake in
    // TlsSession::advance.
    mbedtls_ssl_conf_ca_chain(&config->config_, &config->cas_->crt, nullptr);
    mbedtls_ssl_conf_authmode(&config->config_,
                              options.client_required ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
  }
  return config;
}

Result<std::shared_ptr<TlsConfig>> TlsConfig::client(std::string_view ca_pem, const std::string& certificate_pem,
                                                     const std::string& key_pem, std::vector<std::string> alpn) {
  std::shared_ptr<TlsConfig> config(new TlsConfig);
  if (auto set = config->setup(MBEDTLS_SSL_IS_CLIENT, std::move(alpn)); !set) return set.error();
  if (!certificate_pem.empty()) {
    if (auto used = config->use_identity(certificate_pem, key_pem); !used) {
      return used.error().while_doing("the client certificate");
    }
  }
  // Without CAs (a pinned key) verification is ours alone; TlsSession::advance insists on its verdict either way.
  mbedtls_ssl_conf_authmode(&config->config_, MBEDTLS_SSL_VERIFY_OPTIONAL);
  if (!ca_pem.empty()) {
    config->cas_ = std::make_unique<CertificateChain>();
    if (auto parsed = config->cas_->parse(ca_pem, true); !parsed) return parsed.error().while_doing("the CA bundle");
    mbedtls_ssl_conf_ca_chain(&config->config_, &config->cas_->crt, nullptr);
    mbedtls_ssl_conf_authmode(&config->config_, MBEDTLS_SSL_VERIFY_REQUIRED);
  }
  return config;
}

void TlsConfig::forget_cas() {
  mbedtls_ssl_conf_ca_chain(&config_, nullptr, nullptr);
  cas_.reset();
}

}  // namespace kayak::io
