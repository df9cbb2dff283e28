// x509_request.cc: PKCS #10 certificate requests as others write them.
// Source: RFC 2986.
#include <mbedtls/md.h>
#include <mbedtls/x509_csr.h>

#include <array>

#include "io/mbed.h"
#include "io/tls.h"

namespace kayak::io {

namespace {

constexpr std::size_t kMaxRequestBytes = 64 * 1024;

struct ParsedRequest {
  ParsedRequest() { mbedtls_x509_csr_init(&csr); }
  ~ParsedRequest() { mbedtls_x509_csr_free(&csr); }
  ParsedRequest(const ParsedRequest&) = delete;
  ParsedRequest& operator=(const ParsedRequest&) = delete;
  mbedtls_x509_csr csr;
};

Error invalid_request(int rc, std::string_view what) { return Error(Code::kInvalid, mbed_error(rc, what).message()); }

// Reads `der` and checks its signature.
Result<void> read_request(std::string_view der, mbedtls_x509_csr& csr) {
  if (der.size() > kMaxRequestBytes) return Error(Code::kInvalid, "the certificate request is too large");
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  if (const int rc = mbedtls_x509_csr_parse_der(&csr, bytes, der.size()); rc != 0) {
    return invalid_request(rc, "reading a certificate request");
  }
  const mbedtls_md_type_t algorithm = csr.MBEDTLS_PRIVATE(sig_md);
  const mbedtls_md_info_t* digest = mbedtls_md_info_from_type(algorithm);
  if (digest == nullptr) return Error(Code::kInvalid, "the certificate request's signature algorithm is not supported");
  std::array<unsigned char, MBEDTLS_MD_MAX_SIZE> hash{};
  const int hashed = mbedtls_md(digest, csr.cri.p, csr.cri.len, hash.data());
  if (hashed != 0) return invalid_request(hashed, "hashing a certificate request");
  const mbedtls_x509_buf& signature = csr.MBEDTLS_PRIVATE(sig);
  const int rc = mbedtls_pk_verify_ext(csr.MBEDTLS_PRIVATE(sig_pk), csr.MBEDTLS_PRIVATE(sig_opts), &csr.pk, algorithm,
                                       hash.data(), mbedtls_md_get_size(digest), signature.p, signature.len);
  if (rc != 0) return invalid_request(rc, "checking a certificate request's signature");
  return Result<void>();
}

}  // namespace

Result<void> verify_certificate_request(std::string_view der) {
  ParsedRequest parsed;
  return read_request(der, parsed.csr);
}

Result<std::string> requested_public_key(std::string_view der) {
  ParsedRequest parsed;
  if (auto read = read_request(der, parsed.csr); !read) return read.error();
  std::array<unsigned char, 2048> buffer{};
  const int rc = mbedtls_pk_write_pubkey_der(&parsed.csr.pk, buffer.data(), buffer.size());
  if (rc < 0) return invalid_request(rc, "writing the key of a certificate request");
  const auto length = static_cast<std::size_t>(rc);  // at the buffer's end
  return std::string(reinterpret_cast<const char*>(buffer.data()) + buffer.size() - length, length);
}

}  // namespace kayak::io
