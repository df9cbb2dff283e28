// mbed.h: mbedTLS 2.28 and 3.6 as one, for the tls and x509 files alone.
#pragma once

#include <mbedtls/version.h>
#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define MBEDTLS_PRIVATE(member) member
#define mbedtls_sha256 mbedtls_sha256_ret
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include <span>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/result.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::io {

inline Error mbed_error(int code, std::string_view what) {
  char text[160] = "";
  mbedtls_strerror(code, text, sizeof(text));
  return Error(Code::kInternal, cat(what, ": ", text));
}

// mbedTLS's way to ask for randomness; `random` is a kayak::Random.
inline int mbed_random(void* random, unsigned char* out, std::size_t length) {
  static_cast<Random*>(random)->fill(std::as_writable_bytes(std::span<unsigned char>(out, length)));
  return 0;
}

class PrivateKey {
 public:
  PrivateKey() { mbedtls_pk_init(&pk); }
  ~PrivateKey() { mbedtls_pk_free(&pk); }
  PrivateKey(const PrivateKey&) = delete;
  PrivateKey& operator=(const PrivateKey&) = delete;
  // Errors: Invalid.
  Result<void> parse(std::string_view pem, Random& random) {
    const std::string text(pem);  // the parser wants the final NUL counted
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.c_str());
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    static_cast<void>(random);
    const int rc = mbedtls_pk_parse_key(&pk, bytes, text.size() + 1, nullptr, 0);
#else
    const int rc = mbedtls_pk_parse_key(&pk, bytes, text.size() + 1, nullptr, 0, mbed_random, &random);
#endif
    if (rc != 0) return Error(Code::kInvalid, mbed_error(rc, "reading a private key").message());
    return Result<void>();
  }
  // Whether this is the private half of `other`.
  bool matches(const mbedtls_pk_context& other, Random& random) {
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    static_cast<void>(random);
    return mbedtls_pk_check_pair(&other, &pk) == 0;
#else
    return mbedtls_pk_check_pair(&other, &pk, mbed_random, &random) == 0;
#endif
  }
  mbedtls_pk_context pk;
};

class CertificateChain {
 public:
  CertificateChain() { mbedtls_x509_crt_init(&crt); }
  ~CertificateChain() { mbedtls_x509_crt_free(&crt); }
  CertificateChain(const CertificateChain&) = delete;
  CertificateChain& operator=(const CertificateChain&) = delete;
  // Every certificate of `pem`; `tolerant` leaves out those that mbedTLS cannot read (a system's CA bundle may hold
  // some) as long as one remains. Errors: Invalid.
  Result<void> parse(std::string_view pem, bool tolerant = false) {
    const std::string text(pem);
    const int rc = mbedtls_x509_crt_parse(&crt, reinterpret_cast<const unsigned char*>(text.c_str()), text.size() + 1);
    if (rc < 0) return Error(Code::kInvalid, mbed_error(rc, "reading a certificate").message());
    const bool none = crt.raw.p == nullptr;
    if (none || (rc > 0 && !tolerant)) return Error(Code::kInvalid, "reading a certificate: it cannot be understood");
    return Result<void>();
  }
  mbedtls_x509_crt crt;
};

// What `crt` says. Errors: Invalid.
Result<CertificateInfo> describe(const mbedtls_x509_crt& crt);

}  // namespace kayak::io
