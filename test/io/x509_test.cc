// x509_test.cc: certificates as we write them, read back by us and by openssl; which names a certificate is good for.
#include <catch2/catch.hpp>
#include <fstream>
#include <set>

#include "base/strings.h"
#include "io/der.h"
#include "io/process.h"
#include "io/support.h"
#include "io/support_pki.h"

using namespace kayak;
using namespace kayak::io;
using namespace std::chrono_literals;
using kayak::test::TestContext;

namespace {

Task<Result<void>> run_openssl(Context context, std::vector<std::string> args, std::string input, std::string* out) {
  SpawnOptions options;
  options.program = "openssl";
  options.args = std::move(args);
  options.env = {"PATH=/usr/bin:/bin"};
  auto ran = co_await run_program(context, options, std::move(input));
  if (!ran) co_return ran.error();
  *out = ran->out + ran->err;
  co_return Result<void>();
}
// nullopt when there is no openssl here.
std::optional<std::string> openssl(std::vector<std::string> args, std::string input = "") {
  TestContext t;
  std::string out;
  const auto ran = t.loop.run(run_openssl(t.context(), std::move(args), std::move(input), &out));
  if (!ran && ran.error().code() == Code::kNotFound) {
    WARN("skipped: no openssl");
    return std::nullopt;
  }
  CHECK(test::says(ran) == "ok");
  return out;
}

WallTime at(const char* text) {
  WallTime time;
  REQUIRE(parse_time(text, &time));
  return time;
}

CertificateRequest everything() {
  CertificateRequest request;
  request.common_name = "system:node:kühl, \"quoted\"";
  request.organizations = {"system:nodes", "kayak:others"};
  request.dns_names = {"a.example", "*.b.example"};
  request.ip_addresses = {"10.43.0.1", "fd00::1", "::ffff:192.0.2.1"};
  request.server_auth = true;
  request.not_before = at("2026-01-02T03:04:05Z");
  request.not_after = at("2050-06-07T08:09:10Z");
  return request;
}

}  // namespace

TEST_CASE("what is written into a certificate is read from it") {
  const test::Pki pki("test-ca");
  const auto made = pki.issue(everything());
  auto info = parse_certificate_pem(made.certificate_pem);
  REQUIRE(test::says(info) == "ok");
  CHECK(info->common_name == everything().common_name);
  CHECK(info->organizations == everything().organizations);
  CHECK(info->dns_names == everything().dns_names);
  CHECK(info->ip_addresses == std::vector<std::string>{"10.43.0.1", "fd00::1", "192.0.2.1"});
  CHECK(format_time(info->not_before) == "2026-01-02T03:04:05Z");
  CHECK(format_time(info->not_after) == "2050-06-07T08:09:10Z");
  CHECK(info->server_auth);
  CHECK_FALSE(info->client_auth);
  CHECK_FALSE(info->is_ca);
  CHECK(info->public_key_sha256.size() == 64);

  auto ca = parse_certificate_pem(pki.ca().certificate_pem);
  REQUIRE(ca.ok());
  CHECK(ca->is_ca);
  CHECK(ca->common_name == "test-ca");
  CHECK_FALSE(ca->server_auth);
  CHECK(ca->public_key_sha256 != info->public_key_sha256);
}

TEST_CASE("openssl reads the same and trusts the chain") {
  const test::Pki pki("test-ca");
  const auto made = pki.issue(everything());
  const auto text =
      openssl({"x509", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus_space,sname"}, made.certificate_pem);
  if (!text) return;
  CAPTURE(*text);
  for (const char* expected :
       {"Version: 3", "Signature Algorithm: ecdsa-with-SHA256", "Issuer: CN=test-ca",
        "Not Before: Jan  2 03:04:05 2026 GMT", "Not After : Jun  7 08:09:10 2050 GMT",
        "O=system:nodes, O=kayak:others, CN=system:node:", "prime256v1",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "DNS:a.example, DNS:*.b.example, IP Address:10.43.0.1, IP Address:FD00:0:0:0:0:0:0:1, IP Address:192.0.2.1"}) {
    CAPTURE(expected);
    CHECK(text->find(expected) != std::string::npos);
  }
  const auto ca_text = openssl({"x509", "-noout", "-text"}, pki.ca().certificate_pem);
  CAPTURE(*ca_text);
  CHECK(ca_text->find("Digital Signature, Certificate Sign, CRL Sign") != std::string::npos);
  CHECK(ca_text->find("CA:TRUE") != std::string::npos);

  test::Scratch dir;
  const std::string ca_file = dir.path() + "/ca.pem", leaf_file = dir.path() + "/leaf.pem";
  std::ofstream(ca_file) << pki.ca().certificate_pem;
  std::ofstream(leaf_file) << pki.server({"x.example"}, {}).certificate_pem;
  CHECK(openssl({"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca_file, leaf_file}) ==
        leaf_file + ": OK\n");
  std::ofstream(leaf_file) << pki.client("me", {}).certificate_pem;
  CHECK(openssl({"verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca_file, leaf_file}) ==
        leaf_file + ": OK\n");
}

TEST_CASE("a certificate made elsewhere is read, and can issue") {
  test::Scratch dir;
  const std::string key_file = dir.path() + "/key.pem", certificate_file = dir.path() + "/crt.pem";
  const auto made = openssl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key_file, "-out",
                             certificate_file, "-subj", "/O=first+CN=odd/CN=last", "-days", "3", "-addext",
                             "subjectAltName=DNS:one.example,email:me@one.example,IP:192.0.2.7,URI:spiffe://x"});
  if (!made) return;
  CAPTURE(*made);
  const auto slurp = [](const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  auto info = parse_certificate_pem(slurp(certificate_file));
  REQUIRE(test::says(info) == "ok");
  CHECK(info->common_name == "last");
  CHECK(info->organizations == std::vector<std::string>{"first"});
  CHECK(info->dns_names == std::vector<std::string>{"one.example"});
  CHECK(info->ip_addresses == std::vector<std::string>{"192.0.2.7"});
  CHECK(info->is_ca);
  std::string body, public_key;
  const std::string public_pem = *openssl({"x509", "-noout", "-pubkey"}, slurp(certificate_file));
  for (const std::string_view line : split(public_pem, '\n')) {
    if (!line.starts_with('-')) body += line;
  }
  REQUIRE(base64_decode(body, &public_key));
  CHECK(info->public_key_sha256 == hex_encode(sha256(public_key)));
  SystemRandom random;
  auto key = generate_key_pem(random);
  auto issued = issue_certificate_pem(random, everything(), *key, slurp(certificate_file), slurp(key_file));
  REQUIRE(test::says(issued) == "ok");
  std::ofstream(dir.path() + "/leaf.pem") << *issued;
  CHECK(openssl({"verify", "-CAfile", certificate_file, dir.path() + "/leaf.pem"}) == dir.path() + "/leaf.pem: OK\n");
}

TEST_CASE("serial numbers and keys differ, RSA keys are keys") {
  const test::Pki pki("test-ca");
  std::set<std::string> seen;
  for (int i = 0; i < 20; ++i) seen.insert(pki.client("same", {}).certificate_pem);
  CHECK(seen.size() == 20);
  SystemRandom random;
  auto rsa = generate_rsa_key_pem(random);
  REQUIRE(test::says(rsa) == "ok");
  CHECK(rsa->starts_with("-----BEGIN RSA PRIVATE KEY-----"));
  CHECK(test::says(generate_rsa_key_pem(random, 1024)) == "Invalid: an RSA key of 1024 bits is not made");
  const auto checked = openssl({"rsa", "-check", "-noout"}, *rsa);
  if (checked) CHECK(*checked == "RSA key ok\n");
}

TEST_CASE("requests that make no sense are refused") {
  const test::Pki pki("test-ca"), other("other");
  SystemRandom random;
  const std::string key = *generate_key_pem(random);
  auto issue = [&](CertificateRequest request, const std::string& key_pem, const test::Identity& issuer) {
    return test::says(issue_certificate_pem(random, request, key_pem, issuer.certificate_pem, issuer.key_pem));
  };
  CertificateRequest bad = everything();
  bad.ip_addresses = {"a.example"};
  CHECK(issue(bad, key, pki.ca()) == "Invalid: \"a.example\" is not an IP address");
  bad = everything();
  bad.dns_names = {std::string("a\0b", 3)};
  CHECK(issue(bad, key, pki.ca()).starts_with("Invalid: "));
  bad = everything();
  std::swap(bad.not_before, bad.not_after);
  CHECK(issue(bad, key, pki.ca()).starts_with("Invalid: a certificate's times"));
  CHECK(issue(everything(), "no key", pki.ca()).starts_with("Invalid: reading a private key"));
  CHECK(issue(everything(), key, pki.client("no ca", {})) == "Invalid: the issuer \"no ca\" is not a CA");
  CHECK(issue(everything(), key, test::Identity{pki.ca().certificate_pem, other.ca().key_pem}) ==
        "Invalid: the issuer's key is not that of its certificate");
  CHECK(issue(everything(), key, test::Identity{"garbage", pki.ca().key_pem}).starts_with("Invalid: the issuer: "));
}

TEST_CASE("a server's name is matched against SANs alone") {
  struct Row {
    std::vector<std::string> dns, ips;
    std::string name, error;
  };
  const std::vector<std::string> none;
  const std::vector<Row> rows = {
      {{"a.example"}, none, "a.example", ""},
      {{"a.example"}, none, "A.Example.", ""},
      {{"A.EXAMPLE"}, none, "a.example", ""},
      {{"a.example", "b.example"}, none, "b.example", ""},
      {{"a.example"}, none, "b.example", "x509: certificate is valid for a.example, not b.example"},
      {{"a.example"}, none, "x.a.example", "x509: certificate is valid for a.example, not x.a.example"},
      {{"*.example"}, none, "a.example", ""},
      {{"*.example"}, none, "example", "x509: certificate is valid for *.example, not example"},
      {{"*.example"}, none, "a.b.example", "x509: certificate is valid for *.example, not a.b.example"},
      {{"a.*.example"}, none, "a.b.example", "x509: certificate is valid for a.*.example, not a.b.example"},
      {{"f*.example"}, none, "foo.example", "x509: certificate is valid for f*.example, not foo.example"},
      {{"*"}, none, "example", "x509: certificate is valid for *, not example"},
      {{"*.example"}, none, ".example", "x509: certificate is valid for *.example, not .example"},
      // The common name is no name, and no SAN means no server.
      {none, none, "kayak", "x509: certificate is not valid for any names, but wanted to match kayak"},
      {none, {"10.0.0.1"}, "kayak", "x509: certificate is not valid for any names, but wanted to match kayak"},
      {none, {"10.0.0.1"}, "10.0.0.1", ""},
      {none, {"10.0.0.1", "fd00::1"}, "fd00:0::1", ""},
      {none, {"fd00::1"}, "[fd00::1]", ""},
      {none, {"10.0.0.1"}, "::ffff:10.0.0.1", ""},
      {none, {"10.0.0.1"}, "10.0.0.2", "x509: certificate is valid for 10.0.0.1, not 10.0.0.2"},
      // An IP written as a dNSName matches nothing.
      {{"10.0.0.1"},
       none,
       "10.0.0.1",
       "x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs"},
      {{"*.0.0.1"},
       none,
       "10.0.0.1",
       "x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs"},
  };
  const test::Pki pki("test-ca");
  for (const Row& row : rows) {
    CAPTURE(row.name, join(row.dns, ","), join(row.ips, ","));
    auto info = parse_certificate_pem(pki.server(row.dns, row.ips).certificate_pem);
    REQUIRE(test::says(info) == "ok");
    const auto checked = check_server_name(*info, row.name);
    CHECK(test::says(checked) == (row.error.empty() ? "ok" : "Unauthorized: " + row.error));
  }
}

TEST_CASE("what is no certificate is refused") {
  const test::Pki pki("test-ca");
  const std::string good = pki.ca().certificate_pem;
  std::string cut = good;
  cut.replace(cut.size() / 2, 1, cut[cut.size() / 2] == 'A' ? "B" : "A");
  for (const std::string& bad : {std::string(), std::string("x"), good.substr(0, good.size() / 2), pki.ca().key_pem}) {
    CAPTURE(bad);
    CHECK(test::says(parse_certificate_pem(bad)).starts_with("Invalid: reading a certificate"));
  }
  CHECK(test::says(parse_certificate_pem(std::string(2 << 20, 'x'))) ==
        "TooLarge: the certificate is larger than 1 MiB");
}

TEST_CASE("DER lengths are read strictly") {
  struct Row {
    std::string bytes;
    bool good;
  };
  const auto text = [](std::initializer_list<int> values) {
    std::string out;
    for (const int v : values) out += static_cast<char>(v);
    return out;
  };
  for (const Row& row :
       {Row{text({4, 0}), true}, Row{text({4, 1, 7}), true}, Row{text({4}), false}, Row{"", false},
        Row{text({4, 2, 7}), false}, Row{text({4, 0x81, 1, 7}), false}, Row{text({4, 0x80, 0, 0}), false},
        Row{text({4, 0x82, 0, 0x80}) + std::string(128, 'x'), false},
        Row{text({4, 0x81, 0x80}) + std::string(128, 'x'), true}, Row{text({4, 0x84, 0xff, 0xff, 0xff, 0xff}), false},
        Row{text({0x1f, 1, 7}), false}}) {
    CAPTURE(hex_encode(row.bytes));
    der::Reader reader{row.bytes};
    std::uint8_t tag = 0;
    std::string_view content;
    CHECK(reader.next(&tag, &content) == row.good);
  }
  for (const std::size_t size : {0u, 1u, 127u, 128u, 255u, 256u, 70000u}) {
    const std::string written = der::element(der::kOctetString, std::string(size, 'x'));
    der::Reader reader{written};
    std::string_view content;
    CHECK(reader.take(der::kOctetString, &content));
    CHECK(content.size() == size);
    CHECK(reader.empty());
  }
  CHECK(hex_encode(der::oid("1.2.840.113549.1.1.11")) == "06092a864886f70d01010b");
}

TEST_CASE("SHA-256 in one piece and in many") {
  CHECK(hex_encode(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex_encode(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  for (const char c : std::string("abc")) hash.update(std::string_view(&c, 1));
  Sha256 moved(std::move(hash));
  CHECK(moved.finish() == sha256("abc"));
}

TEST_CASE("a certificate for the key of a request") {
  const test::Pki pki("test-ca");
  SystemRandom random;
  const auto key = generate_key_pem(random);
  REQUIRE(key.ok());
  const auto request = make_certificate_request(random, "kayak-peer", *key);
  REQUIRE(test::says(request) == "ok");
  CHECK(test::says(verify_certificate_request(*request)) == "ok");
  const auto public_key = requested_public_key(*request);
  REQUIRE(test::says(public_key) == "ok");
  CHECK(*public_key == *public_key_of(random, *key));

  CertificateRequest wanted;
  wanted.common_name = "kayak-peer";
  wanted.server_auth = wanted.client_auth = true;
  wanted.not_before = at("2026-01-02T03:04:05Z");
  wanted.not_after = at("2030-01-02T03:04:05Z");
  const auto made =
      issue_certificate_for_key_pem(random, wanted, *public_key, pki.ca().certificate_pem, pki.ca().key_pem);
  REQUIRE(test::says(made) == "ok");
  const auto info = parse_certificate_pem(*made);
  REQUIRE(info.ok());
  CHECK(info->public_key_sha256 == hex_encode(sha256(*public_key)));
  CHECK(info->server_auth);
  CHECK(info->client_auth);

  const std::string pem =
      cat("-----BEGIN CERTIFICATE REQUEST-----\n", base64_encode(*request), "\n-----END CERTIFICATE REQUEST-----\n");
  const auto text = openssl({"req", "-noout", "-verify", "-subject"}, pem);
  if (text) {
    CHECK(text->find("verify OK") != std::string::npos);
    CHECK(text->find("kayak-peer") != std::string::npos);
  }
  // One bit of what is signed.
  std::string changed = *request;
  changed[20] = static_cast<char>(changed[20] ^ 1);
  CHECK_FALSE(requested_public_key(changed).ok());
  CHECK_FALSE(requested_public_key(request->substr(1)).ok());
  CHECK_FALSE(requested_public_key("").ok());
}
