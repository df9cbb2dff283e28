// support_pki.h: a CA and the certificates that tests need, made on the spot.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "io/tls.h"

namespace kayak::test {

struct Identity {
  std::string certificate_pem, key_pem;
};

class Pki {
 public:
  explicit Pki(std::string name);
  const Identity& ca() const { return ca_; }
  // Valid from an hour ago for a day, unless the request says otherwise.
  Identity issue(io::CertificateRequest request) const;
  Identity server(std::vector<std::string> dns_names, std::vector<std::string> ip_addresses) const;
  Identity client(std::string common_name, std::vector<std::string> organizations) const;

 private:
  mutable SystemRandom random_;
  Identity ca_;
};

}  // namespace kayak::test
