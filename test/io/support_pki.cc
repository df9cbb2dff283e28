// support_pki.cc: see support_pki.h.
#include "io/support_pki.h"

#include <chrono>

#include "base/assert.h"

namespace kayak::test {

using namespace std::chrono_literals;

namespace {
void fill_times(io::CertificateRequest* request) {
  if (request->not_after.microseconds != 0) return;
  const WallTime now = SystemClock().wall();
  request->not_before = now + -1h;
  request->not_after = now + 24h;
}
}  // namespace

Pki::Pki(std::string name) {
  io::CertificateRequest request;
  request.common_name = std::move(name);
  request.is_ca = true;
  fill_times(&request);
  auto key = io::generate_key_pem(random_);
  ASSERT(key);
  auto certificate = io::issue_certificate_pem(random_, request, *key, "", "");
  ASSERT(certificate);
  ca_ = Identity{*certificate, *key};
}

Identity Pki::issue(io::CertificateRequest request) const {
  fill_times(&request);
  auto key = io::generate_key_pem(random_);
  ASSERT(key);
  auto certificate = io::issue_certificate_pem(random_, request, *key, ca_.certificate_pem, ca_.key_pem);
  ASSERT(certificate);
  return Identity{*certificate, *key};
}

Identity Pki::server(std::vector<std::string> dns_names, std::vector<std::string> ip_addresses) const {
  io::CertificateRequest request;
  request.common_name = "kayak";
  request.dns_names = std::move(dns_names);
  request.ip_addresses = std::move(ip_addresses);
  request.server_auth = true;
  return issue(std::move(request));
}

Identity Pki::client(std::string common_name, std::vector<std::string> organizations) const {
  io::CertificateRequest request;
  request.common_name = std::move(common_name);
  request.organizations = std::move(organizations);
  request.client_auth = true;
  return issue(std::move(request));
}

}  // namespace kayak::test
