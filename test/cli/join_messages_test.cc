// join_messages_test.cc: what a joining server and the cluster say to each other; who does not know the token, or sees
// another CA, can neither ask nor answer.
#include "cli/join_messages.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

namespace kayak::cli {
namespace {

JoinRequest request_of(bool witness) {
  JoinRequest request;
  request.nonce = std::string(kJoinNonceBytes, 'n');
  request.name = "second";
  request.witness = witness;
  if (witness) request.certificate_request = std::string("\x30\x00", 2);
  return request;
}

JoinBundle bundle_of(bool witness) {
  JoinBundle bundle;
  bundle.members.cluster = "0123456789abcdef";
  store::MemberRecord member;
  member.name = "first";
  member.addresses = {"192.0.2.1:6443"};
  member.key = std::string(64, 'a');
  member.id = store::member_id(member.key);
  bundle.members.members = {member};
  for (const std::string& name : bundle_files(witness)) bundle.files[name] = "content of " + name;
  return bundle;
}

std::string with(std::string text, const std::string& old, const std::string& fresh) {
  const std::size_t at = text.find(old);
  REQUIRE(at != std::string::npos);
  return text.replace(at, old.size(), fresh);
}

TEST_CASE("requests and bundles come back as they were written") {
  for (const bool witness : {false, true}) {
    CAPTURE(witness);
    const Result<JoinRequest> request = decode_join_request(encode_join_request(request_of(witness)));
    REQUIRE(request);
    CHECK(*request == request_of(witness));
    const Result<JoinBundle> bundle = decode_join_bundle(encode_join_bundle(bundle_of(witness)), witness);
    REQUIRE(bundle);
    CHECK(*bundle == bundle_of(witness));
  }
}

TEST_CASE("a witness is given no CA's key") {
  for (const std::string& name : bundle_files(true)) CHECK(name.ends_with(".crt"));
  CHECK_FALSE(decode_join_bundle(encode_join_bundle(bundle_of(true)), false));
}

TEST_CASE("requests that are refused") {
  const std::string good = encode_join_request(request_of(false)), witness = encode_join_request(request_of(true));
  struct Row {
    std::string text, says;
  };
  for (const Row& row :
       {Row{"", "no JSON"}, Row{"[]", "no object"}, Row{"{}", "\"nonce\""}, Row{good + good, "no JSON"},
        Row{with(good, "6e6e", "6e"), "nonce"}, Row{with(good, "6e6e", "zz6e"), "nonce"},
        Row{with(good, "\"second\"", "\"\""), "name"}, Row{with(good, "\"second\"", "\"two words\""), "name"},
        Row{with(good, "\"second\"", cat("\"", std::string(300, 'x'), "\"")), "name"},
        Row{with(good, "\"server\"", "\"king\""), "role"}, Row{with(good, "\"name\"", "\"nonce\""), "twice"},
        Row{with(witness, "MAA=", ""), "certificate request"}, Row{with(witness, "MAA=", "*"), "certificate request"},
        Row{good + std::string(kMaxJoinRequestBytes, ' '), "too large"}}) {
    CAPTURE(row.text);
    const Result<JoinRequest> request = decode_join_request(row.text);
    REQUIRE_FALSE(request);
    CHECK(request.error().message().find(row.says) != std::string::npos);
  }
}

TEST_CASE("bundles that are refused, and files that are left out") {
  const std::string good = encode_join_bundle(bundle_of(false));
  CHECK_FALSE(decode_join_bundle("", false));
  CHECK_FALSE(decode_join_bundle("{}", false));
  CHECK_FALSE(decode_join_bundle(with(good, "peer-ca.key", "peer-ca.kez"), false));
  CHECK_FALSE(decode_join_bundle(with(good, "\"content of peer-ca.key\"", "7"), false));
  CHECK_FALSE(decode_join_bundle(with(good, "192.0.2.1:6443", "nowhere"), false));
  const Result<JoinBundle> more =
      decode_join_bundle(with(good, "\"files\":{", "\"files\":{\"../../passwd\":\"x\","), false);
  REQUIRE(more);
  CHECK(*more == bundle_of(false));
}

TEST_CASE("who knows the token, and of which CA") {
  SeededRandom random(3);
  const std::string secret = "0123456789abcdef", hash(64, 'a');
  const JoinKey key = JoinKey::derive(secret, hash);
  const JoinKey wrong_secret = JoinKey::derive("0123456789abcdeg", hash);
  const JoinKey wrong_ca = JoinKey::derive(secret, std::string(64, 'b'));
  const std::string body = encode_join_request(request_of(false)), nonce = request_of(false).nonce;

  CHECK(key.proves(body, key.prove(body)));
  CHECK_FALSE(key.proves(body + " ", key.prove(body)));
  CHECK_FALSE(key.proves(body, ""));
  CHECK_FALSE(key.proves(body, wrong_secret.prove(body)));
  CHECK_FALSE(key.proves(body, wrong_ca.prove(body)));

  const std::string answer = key.seal(random, nonce, "the keys");
  CHECK(answer.find("the keys") == std::string::npos);
  CHECK(key.seal(random, nonce, "the keys") != answer);
  REQUIRE(key.open(nonce, answer));
  CHECK(*key.open(nonce, answer) == "the keys");
  std::string changed = answer;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  for (const Result<std::string>& opened :
       {key.open(nonce, changed), key.open(std::string(kJoinNonceBytes, 'm'), answer), wrong_secret.open(nonce, answer),
        wrong_ca.open(nonce, answer)}) {
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == Code::kUnauthorized);
  }
  CHECK_FALSE(key.open(nonce, answer.substr(0, kJoinNonceBytes)));
  CHECK_FALSE(key.open(nonce, ""));
}

}  // namespace
}  // namespace kayak::cli
