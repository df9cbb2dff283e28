// x509.cc: keys, and certificates as we write and read them. The DER of a certificate is ours, so that names, SANs and
// serial numbers are the same with every version of mbedTLS; it signs, hashes and checks chains.
// Source: RFC 5280, RFC 5758, RFC 7093 (key identifiers), RFC 6125 and RFC 9525 (names).
#include <arpa/inet.h>
#include <mbedtls/ecp.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha256.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "io/der.h"
#include "io/mbed.h"
#include "io/tls.h"

namespace kayak::io {

namespace {

constexpr const char* kOidCommonName = "2.5.4.3";
constexpr const char* kOidOrganization = "2.5.4.10";
constexpr const char* kOidSubjectKeyId = "2.5.29.14";
constexpr const char* kOidKeyUsage = "2.5.29.15";
constexpr const char* kOidSubjectAltName = "2.5.29.17";
constexpr const char* kOidBasicConstraints = "2.5.29.19";
constexpr const char* kOidAuthorityKeyId = "2.5.29.35";
constexpr const char* kOidExtKeyUsage = "2.5.29.37";
constexpr const char* kOidServerAuth = "1.3.6.1.5.5.7.3.1";
constexpr const char* kOidClientAuth = "1.3.6.1.5.5.7.3.2";
constexpr const char* kOidEcdsaSha256 = "1.2.840.10045.4.3.2";
constexpr const char* kOidRsaSha256 = "1.2.840.113549.1.1.11";

constexpr unsigned kSanDnsName = 2, kSanIpAddress = 7;
constexpr std::size_t kMaxPemBytes = 1024 * 1024;

std::string_view view(const mbedtls_asn1_buf& buf) {
  return std::string_view(reinterpret_cast<const char*>(buf.p), buf.p == nullptr ? 0 : buf.len);
}
const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

Result<std::string> key_pem(mbedtls_pk_context& pk) {
  std::array<unsigned char, 8192> buffer{};
  const int rc = mbedtls_pk_write_key_pem(&pk, buffer.data(), buffer.size());
  if (rc != 0) return mbed_error(rc, "writing a private key");
  std::string pem(reinterpret_cast<const char*>(buffer.data()));
  std::memset(buffer.data(), 0, buffer.size());
  return pem;
}

std::string to_pem(std::string_view der) {
  const std::string text = base64_encode(der);
  std::string pem = "-----BEGIN CERTIFICATE-----\n";
  for (std::size_t i = 0; i < text.size(); i += 64) pem.append(text, i, 64).append("\n");
  return pem + "-----END CERTIFICATE-----\n";
}

// ---- addresses in certificates

// 4 or 16 bytes, an IPv4 address mapped into IPv6 as 4; empty when `text` is no address.
std::string ip_bytes(const std::string& text) {
  unsigned char raw[16];
  if (inet_pton(AF_INET, text.c_str(), raw) == 1) return std::string(reinterpret_cast<char*>(raw), 4);
  if (inet_pton(AF_INET6, text.c_str(), raw) != 1) return "";
  constexpr unsigned char kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(raw, kMapped, sizeof(kMapped)) == 0) return std::string(reinterpret_cast<char*>(raw) + 12, 4);
  return std::string(reinterpret_cast<char*>(raw), 16);
}
std::string ip_text(std::string_view raw) {
  if (raw.size() != 4 && raw.size() != 16) return "";
  char text[INET6_ADDRSTRLEN];
  inet_ntop(raw.size() == 4 ? AF_INET : AF_INET6, raw.data(), text, sizeof(text));
  const std::string canonical = ip_bytes(text);
  inet_ntop(canonical.size() == 4 ? AF_INET : AF_INET6, canonical.data(), text, sizeof(text));
  return text;
}

bool plain_dns_name(std::string_view name) {
  return !name.empty() && name.size() <= 254 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
}

// ---- reading

// The value of the extension `dotted` (what the OCTET STRING holds), or nullopt.
std::optional<std::string_view> extension(const mbedtls_x509_crt& crt, std::string_view dotted) {
  const std::string wanted = der::oid_bytes(dotted);
  der::Reader outer{view(crt.v3_ext)};
  std::string_view list;
  if (!outer.take(der::kSequence, &list)) return std::nullopt;
  for (der::Reader extensions{list}; !extensions.empty();) {
    std::string_view one, id, critical, value;
    if (!extensions.take(der::kSequence, &one)) return std::nullopt;
    der::Reader fields{one};
    if (!fields.take(der::kOid, &id)) return std::nullopt;
    fields.take(der::kBoolean, &critical);
    if (!fields.take(der::kOctetString, &value)) return std::nullopt;
    if (id == wanted) return value;
  }
  return std::nullopt;
}

Result<void> read_alt_names(std::string_view value, CertificateInfo* info) {
  der::Reader outer{value};
  std::string_view list;
  if (!outer.take(der::kSequence, &list)) return Error(Code::kInvalid, "the certificate's SANs are malformed");
  for (der::Reader names{list}; !names.empty();) {
    std::uint8_t tag = 0;
    std::string_view content;
    if (!names.next(&tag, &content)) return Error(Code::kInvalid, "the certificate's SANs are malformed");
    // A name with a NUL or a blank in it, or an address of odd length, matches nothing: it is left out.
    if (tag == der::context_tag(kSanDnsName, false) && plain_dns_name(content)) info->dns_names.emplace_back(content);
    if (tag == der::context_tag(kSanIpAddress, false)) {
      std::string ip = ip_text(content);
      if (!ip.empty()) info->ip_addresses.push_back(std::move(ip));
    }
  }
  return Result<void>();
}

Result<void> read_usages(std::string_view value, CertificateInfo* info) {
  der::Reader outer{value};
  std::string_view list, id;
  if (!outer.take(der::kSequence, &list)) return Error(Code::kInvalid, "the certificate's key usages are malformed");
  const std::string server = der::oid_bytes(kOidServerAuth), client = der::oid_bytes(kOidClientAuth);
  for (der::Reader usages{list}; !usages.empty();) {
    if (!usages.take(der::kOid, &id)) return Error(Code::kInvalid, "the certificate's key usages are malformed");
    info->server_auth |= id == server;
    info->client_auth |= id == client;
  }
  return Result<void>();
}

bool read_is_ca(std::string_view value) {
  der::Reader outer{value};
  std::string_view fields, flag;
  if (!outer.take(der::kSequence, &fields)) return false;
  der::Reader inner{fields};
  return inner.take(der::kBoolean, &flag) && flag.size() == 1 && flag[0] != 0;
}

// Days since 1970 of a date of the Gregorian calendar.
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  year -= month <= 2;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}
WallTime wall_time(const mbedtls_x509_time& t) {
  const std::int64_t days = days_from_civil(t.year, t.mon, t.day);
  return WallTime{(((days * 24 + t.hour) * 60 + t.min) * 60 + t.sec) * 1'000'000};
}

// Texts whose bytes are ASCII or UTF-8 as they stand; BMPString and the like are no identity of ours.
bool readable_string(int tag) { return tag == 0x0c || tag == 0x12 || tag == 0x13 || tag == 0x14 || tag == 0x16; }

void read_subject(const mbedtls_x509_crt& crt, CertificateInfo* info) {
  const std::string common_name = der::oid_bytes(kOidCommonName), organization = der::oid_bytes(kOidOrganization);
  for (const mbedtls_x509_name* name = &crt.subject; name != nullptr; name = name->next) {
    if (!readable_string(name->val.tag)) continue;
    if (view(name->oid) == common_name) info->common_name = view(name->val);  // the last one counts, as in Go
    if (view(name->oid) == organization) info->organizations.emplace_back(view(name->val));
  }
}

}  // namespace

Result<CertificateInfo> describe(const mbedtls_x509_crt& crt) {
  CertificateInfo info;
  read_subject(crt, &info);
  info.not_before = wall_time(crt.valid_from);
  info.not_after = wall_time(crt.valid_to);
  if (const auto value = extension(crt, kOidSubjectAltName)) {
    if (auto read = read_alt_names(*value, &info); !read) return read.error();
  }
  if (const auto value = extension(crt, kOidExtKeyUsage)) {
    if (auto read = read_usages(*value, &info); !read) return read.error();
  }
  if (const auto value = extension(crt, kOidBasicConstraints)) info.is_ca = read_is_ca(*value);
  info.public_key_sha256 = hex_encode(sha256(view(crt.pk_raw)));
  return info;
}

Result<CertificateInfo> parse_certificate_pem(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return Error(Code::kTooLarge, "the certificate is larger than 1 MiB");
  CertificateChain chain;
  if (auto parsed = chain.parse(pem); !parsed) return parsed.error();
  return describe(chain.crt);
}

// ---- names

namespace {

// Left-most label "*" stands for one whole label, anything else for itself.
bool dns_name_matches(std::string_view pattern, std::string_view host) {
  if (pattern.ends_with('.')) pattern.remove_suffix(1);
  const std::vector<std::string_view> want = split(pattern, '.'), have = split(host, '.');
  if (want.size() != have.size()) return false;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (have[i].empty()) return false;
    if (i == 0 && want[i] == "*" && want.size() > 1) continue;
    if (!iequals(want[i], have[i])) return false;
  }
  return true;
}

Error name_error(std::string message) { return Error(Code::kUnauthorized, std::move(message)); }

}  // namespace

Result<void> check_server_name(const CertificateInfo& certificate, std::string_view name) {
  std::string host(name);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (const std::string raw = ip_bytes(host); !raw.empty()) {
    if (certificate.ip_addresses.empty()) {
      return name_error(cat("x509: cannot validate certificate for ", host, " because it doesn't contain any IP SANs"));
    }
    for (const std::string& ip : certificate.ip_addresses) {
      if (ip_bytes(ip) == raw) return Result<void>();
    }
    return name_error(cat("x509: certificate is valid for ", join(certificate.ip_addresses, ", "), ", not ", host));
  }
  if (host.ends_with('.')) host.pop_back();
  if (certificate.dns_names.empty()) {
    return name_error(cat("x509: certificate is not valid for any names, but wanted to match ", host));
  }
  for (const std::string& pattern : certificate.dns_names) {
    if (dns_name_matches(pattern, host)) return Result<void>();
  }
  return name_error(cat("x509: certificate is valid for ", join(certificate.dns_names, ", "), ", not ", host));
}

// ---- writing

namespace {

std::string der_name(const std::vector<std::string>& organizations, const std::string& common_name) {
  std::string out;
  auto add = [&out](const char* type, const std::string& value) {
    out += der::element(der::kSet, der::sequence({der::oid(type), der::element(der::kUtf8String, value)}));
  };
  for (const std::string& organization : organizations) add(kOidOrganization, organization);
  if (!common_name.empty()) add(kOidCommonName, common_name);
  return der::element(der::kSequence, out);
}

// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5); empty when the year has not four digits.
std::string der_time(WallTime time) {
  std::string digits;
  for (const char c : format_time(time)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (digits.size() != 14 || time.microseconds < 0) return "";
  const bool short_form = digits < "2050";
  return der::element(short_form ? der::kUtcTime : der::kGeneralizedTime, digits.substr(short_form ? 2 : 0) + "Z");
}

std::string der_extension(const char* id, bool critical, const std::string& value) {
  const std::string flag = critical ? der::element(der::kBoolean, "\xff") : "";
  return der::sequence({der::oid(id), flag, der::element(der::kOctetString, value)});
}

Result<std::string> alt_names(const CertificateRequest& request) {
  std::string names;
  for (const std::string& dns : request.dns_names) {
    if (!plain_dns_name(dns)) return Error(Code::kInvalid, cat(quote(dns), " cannot be a DNS name of a certificate"));
    names += der::element(der::context_tag(kSanDnsName, false), dns);
  }
  for (const std::string& ip : request.ip_addresses) {
    const std::string raw = ip_bytes(ip);
    if (raw.empty()) return Error(Code::kInvalid, cat(quote(ip), " is not an IP address"));
    names += der::element(der::context_tag(kSanIpAddress, false), raw);
  }
  return names.empty() ? names : der::element(der::kSequence, names);
}

// RFC 7093, method 1: the first 160 bits of SHA-256 over the key's bits.
std::string key_identifier(std::string_view spki) {
  der::Reader outer{spki};
  std::string_view fields, algorithm, bits;
  if (!outer.take(der::kSequence, &fields)) return "";
  der::Reader inner{fields};
  if (!inner.take(der::kSequence, &algorithm) || !inner.take(der::kBitString, &bits) || bits.empty()) return "";
  return sha256(bits.substr(1)).substr(0, 20);
}

Result<std::string> public_key_der(mbedtls_pk_context& pk) {
  std::array<unsigned char, 2048> buffer;
  const int rc = mbedtls_pk_write_pubkey_der(&pk, buffer.data(), buffer.size());
  if (rc < 0) return mbed_error(rc, "writing a public key");
  const std::size_t length = static_cast<std::size_t>(rc);  // at the buffer's end
  return std::string(reinterpret_cast<const char*>(buffer.data()) + buffer.size() - length, length);
}

struct Issuer {
  std::string name;            // DER
  std::string key_identifier;  // raw bytes
};

Result<Issuer> read_issuer(std::string_view pem, PrivateKey& key, Random& random) {
  CertificateChain chain;
  if (auto parsed = chain.parse(pem); !parsed) return parsed.error().while_doing("the issuer");
  auto info = describe(chain.crt);
  if (!info) return info.error();
  if (!info->is_ca) return Error(Code::kInvalid, cat("the issuer ", quote(info->common_name), " is not a CA"));
  if (!key.matches(chain.crt.pk, random)) {
    return Error(Code::kInvalid, "the issuer's key is not that of its certificate");
  }
  Issuer issuer{std::string(view(chain.crt.subject_raw)), key_identifier(view(chain.crt.pk_raw))};
  // An issuer made elsewhere names its key in its own way.
  std::string_view id;
  if (const auto value = extension(chain.crt, kOidSubjectKeyId)) {
    der::Reader reader{*value};
    if (reader.take(der::kOctetString, &id)) issuer.key_identifier = id;
  }
  return issuer;
}

Result<std::string> extensions_of(const CertificateRequest& request, std::string_view spki, const Issuer& issuer) {
  auto names = alt_names(request);
  if (!names) return names.error();
  std::string usages;
  if (request.server_auth) usages += der::oid(kOidServerAuth);
  if (request.client_auth) usages += der::oid(kOidClientAuth);
  // digitalSignature; for a CA also keyCertSign and cRLSign. The first octet counts the unused bits.
  const std::string key_usage = request.is_ca ? std::string("\x01\x86") : std::string("\x07\x80");
  const std::string ca = der::element(der::kSequence, request.is_ca ? der::element(der::kBoolean, "\xff") : "");
  std::string out = der_extension(kOidKeyUsage, true, der::element(der::kBitString, key_usage));
  if (!usages.empty()) out += der_extension(kOidExtKeyUsage, false, der::element(der::kSequence, usages));
  out += der_extension(kOidBasicConstraints, true, ca);
  out += der_extension(kOidSubjectKeyId, false, der::element(der::kOctetString, key_identifier(spki)));
  const std::string authority = der::element(der::context_tag(0, false), issuer.key_identifier);
  out += der_extension(kOidAuthorityKeyId, false, der::element(der::kSequence, authority));
  const bool no_subject = request.common_name.empty() && request.organizations.empty();
  if (!names->empty()) out += der_extension(kOidSubjectAltName, no_subject, *names);
  return der::element(der::context_tag(3, true), der::element(der::kSequence, out));
}

std::string random_serial(Random& random) {
  std::array<std::byte, 16> serial;
  random.fill(serial);
  // Positive, and of full length without a leading zero octet.
  serial[0] = (serial[0] & std::byte{0x3f}) | std::byte{0x40};
  return std::string(reinterpret_cast<const char*>(serial.data()), serial.size());
}

std::string signature_algorithm(PrivateKey& key) {
  const bool rsa = mbedtls_pk_can_do(&key.pk, MBEDTLS_PK_RSA) != 0;
  return rsa ? der::sequence({der::oid(kOidRsaSha256), der::element(der::kNull, "")})
             : der::sequence({der::oid(kOidEcdsaSha256)});
}

Result<std::string> sign(PrivateKey& key, std::string_view message, Random& random) {
  const std::string hash = sha256(message);
  std::array<unsigned char, 1024> signature;
  std::size_t length = 0;
#if MBEDTLS_VERSION_NUMBER < 0x03000000
  const int rc = mbedtls_pk_sign(&key.pk, MBEDTLS_MD_SHA256, bytes(hash), hash.size(), signature.data(), &length,
                                 mbed_random, &random);
#else
  const int rc = mbedtls_pk_sign(&key.pk, MBEDTLS_MD_SHA256, bytes(hash), hash.size(), signature.data(),
                                 signature.size(), &length, mbed_random, &random);
#endif
  if (rc != 0) return mbed_error(rc, "signing a certificate");
  return std::string(reinterpret_cast<const char*>(signature.data()), length);
}

}  // namespace

Result<std::string> issue_certificate_for_key_pem(Random& random, const CertificateRequest& request,
                                                  std::string_view public_key, std::string_view issuer_certificate_pem,
                                                  std::string_view issuer_key_pem) {
  PrivateKey issuer_key;
  if (auto parsed = issuer_key.parse(issuer_key_pem, random); !parsed) return parsed.error();
  const std::string subject = der_name(request.organizations, request.common_name);
  Issuer issuer{subject, key_identifier(public_key)};
  if (!issuer_certificate_pem.empty()) {
    auto read = read_issuer(issuer_certificate_pem, issuer_key, random);
    if (!read) return read.error();
    issuer = std::move(*read);
  }
  const std::string from = der_time(request.not_before), until = der_time(request.not_after);
  if (from.empty() || until.empty() || request.not_after <= request.not_before) {
    return Error(Code::kInvalid, "a certificate's times have to be between 1970 and 9999, the first before the second");
  }
  auto extensions = extensions_of(request, public_key, issuer);
  if (!extensions) return extensions.error();

  const std::string algorithm = signature_algorithm(issuer_key);
  const std::string version3 = der::element(der::context_tag(0, true), der::element(der::kInteger, "\x02"));
  const std::string serial = der::element(der::kInteger, random_serial(random));
  const std::string to_be_signed = der::sequence(
      {version3, serial, algorithm, issuer.name, der::sequence({from, until}), subject, public_key, *extensions});
  auto signature = sign(issuer_key, to_be_signed, random);
  if (!signature) return signature.error();
  return to_pem(der::sequence({to_be_signed, algorithm, der::bit_string(*signature)}));
}

Result<std::string> issue_certificate_pem(Random& random, const CertificateRequest& request, std::string_view key_pem,
                                          std::string_view issuer_certificate_pem, std::string_view issuer_key_pem) {
  auto public_key = public_key_of(random, key_pem);
  if (!public_key) return public_key.error();
  const bool self_signed = issuer_certificate_pem.empty();
  return issue_certificate_for_key_pem(random, request, *public_key, issuer_certificate_pem,
                                       self_signed ? key_pem : issuer_key_pem);
}

Result<std::string> make_certificate_request(Random& random, const std::string& common_name, std::string_view key_pem) {
  PrivateKey key;
  if (auto parsed = key.parse(key_pem, random); !parsed) return parsed.error();
  auto public_key = public_key_der(key.pk);
  if (!public_key) return public_key.error();
  const std::string version1 = der::element(der::kInteger, std::string_view("\0", 1));
  const std::string no_attributes = der::element(der::context_tag(0, true), "");
  const std::string info = der::sequence({version1, der_name({}, common_name), *public_key, no_attributes});
  auto signature = sign(key, info, random);
  if (!signature) return signature.error();
  return der::sequence({info, signature_algorithm(key), der::bit_string(*signature)});
}

Result<std::string> public_key_of(Random& random, std::string_view key_pem) {
  PrivateKey key;
  if (auto parsed = key.parse(key_pem, random); !parsed) return parsed.error();
  return public_key_der(key.pk);
}

// ---- keys

Result<std::string> generate_key_pem(Random& random) {
  PrivateKey key;
  int rc = mbedtls_pk_setup(&key.pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
  if (rc == 0) rc = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key.pk), mbed_random, &random);
  if (rc != 0) return mbed_error(rc, "making a key");
  return key_pem(key.pk);
}

Result<std::string> generate_rsa_key_pem(Random& random, int bits) {
  if (bits < 2048 || bits > 8192) return Error(Code::kInvalid, cat("an RSA key of ", bits, " bits is not made"));
  PrivateKey key;
  int rc = mbedtls_pk_setup(&key.pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA));
  const unsigned size = static_cast<unsigned>(bits);
  if (rc == 0) rc = mbedtls_rsa_gen_key(mbedtls_pk_rsa(key.pk), mbed_random, &random, size, 65537);
  if (rc != 0) return mbed_error(rc, "making an RSA key");
  return key_pem(key.pk);
}

// ---- SHA-256

std::string sha256(std::string_view data) {
  unsigned char hash[32];
  ASSERT(mbedtls_sha256(bytes(data), data.size(), hash, 0) == 0);
  return std::string(reinterpret_cast<const char*>(hash), sizeof(hash));
}

struct Sha256::Impl {
  mbedtls_sha256_context context;
};
Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  mbedtls_sha256_init(&impl_->context);
  ASSERT(mbedtls_sha256_starts(&impl_->context, 0) == 0);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256::~Sha256() {
  if (impl_) mbedtls_sha256_free(&impl_->context);
}
void Sha256::update(std::string_view data) {
  ASSERT(mbedtls_sha256_update(&impl_->context, bytes(data), data.size()) == 0);
}
std::string Sha256::finish() {
  unsigned char hash[32];
  ASSERT(mbedtls_sha256_finish(&impl_->context, hash) == 0);
  return std::string(reinterpret_cast<const char*>(hash), sizeof(hash));
}

}  // namespace kayak::io
