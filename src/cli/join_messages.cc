// join_messages.cc: see join_messages.h.
#include "cli/join_messages.h"

#include <algorithm>
#include <array>

#include "base/json_object.h"
#include "base/strings.h"
#include "io/seal.h"

namespace kayak::cli {

namespace {

constexpr std::string_view kSalt = "kayak join 1\n";
constexpr std::string_view kProofLabel = "request\n";
constexpr std::string_view kBundleLabel = "bundle\n";

Error malformed(std::string_view what) { return Error(Code::kBadRequest, cat("the message ", what)); }

Result<json::Value> read_object(std::string_view text, std::size_t max_bytes) {
  Result<json::Value> object = json::read_object(text, max_bytes);
  return object ? std::move(object) : malformed(object.error().message());
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= store::MemberLimits::kName &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

std::string encode_join_request(const JoinRequest& request) {
  json::Value value;
  value["nonce"] = hex_encode(request.nonce);
  value["name"] = request.name;
  value["role"] = request.witness ? "witness" : "server";
  if (request.witness) value["certificateRequest"] = base64_encode(request.certificate_request);
  return json::write(value);
}

Result<JoinRequest> decode_join_request(std::string_view text) {
  Result<json::Value> value = read_object(text, kMaxJoinRequestBytes);
  if (!value) return value.error();
  for (const char* field : {"nonce", "name", "role"}) {
    const json::Value* found = value->find(field);
    if (!found || !found->is_string()) return malformed(cat("has no text ", quote(field)));
  }
  JoinRequest request;
  const bool hex = hex_decode(value->find("nonce")->as_string(), &request.nonce);
  if (!hex || request.nonce.size() != kJoinNonceBytes) return malformed("has a wrong nonce");
  request.name = value->find("name")->as_string();
  if (!is_name(request.name)) return malformed("has a wrong name");
  const std::string& role = value->find("role")->as_string();
  if (role != "server" && role != "witness") return malformed("has a role that is not known here");
  request.witness = role == "witness";
  const json::Value* key = value->find("certificateRequest");
  if (!request.witness) return request;
  const bool base64 = key && key->is_string() && base64_decode(key->as_string(), &request.certificate_request);
  if (!base64 || request.certificate_request.empty()) return malformed("has no certificate request");
  return request;
}

std::vector<std::string> bundle_files(bool witness) {
  if (witness)
    return {"server-ca.crt", "client-ca.crt", "front-proxy-ca.crt", "peer-ca.crt", "etcd-client-ca.crt", "peer.crt"};
  std::vector<std::string> files = {"service-account.key"};
  for (const char* name : {"server-ca", "client-ca", "front-proxy-ca", "peer-ca", "etcd-client-ca"}) {
    files.push_back(cat(name, ".crt"));
    files.push_back(cat(name, ".key"));
  }
  return files;
}

std::string encode_join_bundle(const JoinBundle& bundle) {
  json::Value value;
  value["members"] = store::encode_member_list(bundle.members);
  json::Object files;
  for (const auto& [name, content] : bundle.files) files.set(name, content);
  value["files"] = std::move(files);
  return json::write(value);
}

Result<JoinBundle> decode_join_bundle(std::string_view text, bool witness) {
  Result<json::Value> value = read_object(text, kMaxJoinBundleBytes);
  if (!value) return value.error();
  const json::Value* members = value->find("members");
  const json::Value* files = value->find("files");
  if (!members || !members->is_string() || !files || !files->is_object()) {
    return malformed("needs \"members\" and \"files\"");
  }
  Result<store::MemberList> list = store::decode_member_list(members->as_string());
  if (!list) return malformed(cat("has a wrong list of members: ", list.error().message()));
  JoinBundle bundle;
  bundle.members = std::move(*list);
  const std::vector<std::string> wanted = bundle_files(witness);
  for (const auto& [name, content] : files->as_object()) {
    // A name is a path below server/tls: nothing but what is expected there is taken.
    if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
    if (!content.is_string()) return malformed(cat("has no text for ", quote(name)));
    bundle.files[name] = content.as_string();
  }
  if (bundle.files.size() != wanted.size()) return malformed("lacks some of the files");
  return bundle;
}

JoinKey JoinKey::derive(std::string_view secret, std::string_view ca_hash) {
  JoinKey key;
  key.key_ = io::derive_key(secret, cat(kSalt, ca_hash), io::kSealRounds);
  return key;
}

std::string JoinKey::prove(std::string_view body) const {
  return hex_encode(io::hmac_sha256(key_, cat(kProofLabel, body)));
}

bool JoinKey::proves(std::string_view body, std::string_view proof) const {
  return io::equal_secrets(prove(body), proof);
}

std::string JoinKey::bundle_key(std::string_view client_nonce, std::string_view server_nonce) const {
  return io::hmac_sha256(key_, cat(kBundleLabel, client_nonce, server_nonce));
}

std::string JoinKey::seal(Random& random, std::string_view nonce, std::string_view bundle) const {
  std::array<std::byte, kJoinNonceBytes> bytes;
  random.fill(bytes);
  const std::string own(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  // The key is used once: its nonces are new.
  const io::SealKey key(bundle_key(nonce, own));
  return own + key.seal(0, bundle, "");
}

Result<std::string> JoinKey::open(std::string_view nonce, std::string_view response) const {
  if (response.size() < kJoinNonceBytes + io::kSealTagBytes) return malformed("is cut off");
  const io::SealKey key(bundle_key(nonce, response.substr(0, kJoinNonceBytes)));
  Result<std::string> bundle = key.open(0, response.substr(kJoinNonceBytes), "");
  if (!bundle) {
    return Error(Code::kUnauthorized,
                 "the server's answer was not made with this token: it does not know the token, or "
                 "somebody stands between");
  }
  return bundle;
}

}  // namespace kayak::cli
