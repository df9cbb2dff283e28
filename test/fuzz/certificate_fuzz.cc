// fuzz-deps: kayak_io
// Certificates and certificate requests as strangers show them: the DER reader takes only what it would write, names
// are free of control characters, and whoever has no names is no server. The input is DER; as PEM it goes through
// mbedTLS.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/strings.h"
#include "io/der.h"
#include "io/tls.h"

namespace {

using namespace kayak;
using namespace kayak::io;

void check_elements(std::string_view bytes, int depth) {
  for (der::Reader reader{bytes}; !reader.empty();) {
    const std::string_view before = reader.rest;
    std::uint8_t tag = 0;
    std::string_view content;
    if (!reader.next(&tag, &content)) {
      ASSERT(reader.rest == before);
      return;
    }
    ASSERT(der::element(tag, content) == before.substr(0, before.size() - reader.rest.size()));
    if ((tag & 0x20) != 0 && depth > 0) check_elements(content, depth - 1);
  }
}

void check_certificate(std::string_view pem) {
  const Result<CertificateInfo> info = parse_certificate_pem(pem);
  if (!info) return;
  ASSERT(info->public_key_sha256.size() == 64);
  for (const std::string& name : info->dns_names) {
    for (const char c : name) ASSERT(c > ' ' && c < 0x7f);
  }
  for (const std::string& ip : info->ip_addresses) ASSERT(check_server_name(*info, ip));
  ASSERT(!info->dns_names.empty() || !check_server_name(*info, "kubernetes.default"));
  (void)check_server_name(*info, info->common_name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_elements(bytes, 8);
  check_certificate(bytes);
  check_certificate(cat("-----BEGIN CERTIFICATE-----\n", base64_encode(bytes), "\n-----END CERTIFICATE-----\n"));
  (void)verify_certificate_request(bytes);
  return 0;
}
