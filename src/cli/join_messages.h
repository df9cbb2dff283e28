// join_messages.h: what a joining server and one of the cluster say to each other, and how each proves to know the
// token without sending it. Values in, values out.
//
//   POST /v1-kayak/server-bundle        Authorization: Kayak-Join <proof>      body: JoinRequest
//   200, application/octet-stream       32 bytes of nonce, then the JoinBundle, sealed
//
// From the secret comes a key K: PBKDF2 with the hash of the server CA, as each side sees it, for salt. The proof is
// HMAC(K, body); the bundle is sealed under HMAC(K, both nonces). This instead of k3s' basic auth over TLS, because a
// bare secret is used against a CA that nobody has vouched for: someone in the middle, who has to show a CA of his own,
// learns nothing that the real server would take, and cannot make a bundle that the joining one would take. What he can
// do is guess the secret at home, at PBKDF2's price; hence its least length (token.h). So the proof needs no nonce of
// the server: whoever repeats it gets bytes that he cannot open.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "store/member.h"

namespace kayak::cli {

constexpr std::string_view kBundlePath = "/v1-kayak/server-bundle";
constexpr std::string_view kCaCertsPath = "/cacerts";
constexpr std::string_view kJoinScheme = "Kayak-Join ";
constexpr std::size_t kJoinNonceBytes = 32;
constexpr std::size_t kMaxJoinRequestBytes = 16 * 1024;
constexpr std::size_t kMaxJoinBundleBytes = 1024 * 1024;

struct JoinRequest {
  std::string nonce;  // raw bytes, never used before
  std::string name;   // of the joining server, for the log
  bool witness = false;
  std::string certificate_request;  // DER PKCS #10 of its peer key: a witness', which gets no CA's key
  bool operator==(const JoinRequest&) const = default;
};
std::string encode_join_request(const JoinRequest& request);
Result<JoinRequest> decode_join_request(std::string_view text);  // Errors: BadRequest

struct JoinBundle {
  store::MemberList members;
  std::map<std::string, std::string> files;  // of server/tls by name: those of bundle_files() that there are
  bool operator==(const JoinBundle&) const = default;
};
std::string encode_join_bundle(const JoinBundle& bundle);
// A bundle for a witness, or for a server, has its files and no others. Errors: BadRequest.
Result<JoinBundle> decode_join_bundle(std::string_view text, bool witness);
// The files of server/tls that all servers of a cluster share; a witness gets certificates, of which one is its own.
std::vector<std::string> bundle_files(bool witness);

// What both sides make of the secret and the CA's hash. Deriving blocks (io::kSealRounds): on the pool, once.
class JoinKey {
 public:
  static JoinKey derive(std::string_view secret, std::string_view ca_hash);
  std::string prove(std::string_view body) const;  // hex
  bool proves(std::string_view body, std::string_view proof) const;
  // A response to the request that has `nonce`.
  std::string seal(Random& random, std::string_view nonce, std::string_view bundle) const;
  // Errors: Unauthorized (it was made with another secret or CA, or for another request), BadRequest (cut off).
  Result<std::string> open(std::string_view nonce, std::string_view response) const;

 private:
  std::string bundle_key(std::string_view client_nonce, std::string_view server_nonce) const;
  std::string key_;
};

}  // namespace kayak::cli
