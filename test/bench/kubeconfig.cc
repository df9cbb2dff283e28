// kubeconfig.cc: see kubeconfig.h.
#include "bench/kubeconfig.h"

#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"

namespace kayak::bench {

namespace {

std::string decoded(const json::Value* holder, std::string_view key) {
  const json::Value* value = holder ? holder->find(key) : nullptr;
  std::string bytes;
  if (value) base64_decode(value->string_or(), &bytes);
  return bytes;
}

// `member` of the first item of the list `list`.
const json::Value* first(const json::Value& config, std::string_view list, std::string_view member) {
  const json::Value* items = config.find(list);
  if (!items || !items->is_array() || items->as_array().empty()) return nullptr;
  return items->as_array().front().find(member);
}

}  // namespace

Result<io::HttpTarget> target_of_kubeconfig(const std::string& path, bool with_certificate) {
  Result<std::string> text = read_file(path);
  if (!text) return text.error();
  Result<json::Value> config = yaml::read(*text);
  if (!config) return config.error().while_doing(path);
  const json::Value* cluster = first(*config, "clusters", "cluster");
  const json::Value* user = first(*config, "users", "user");
  const json::Value* server = cluster ? cluster->find("server") : nullptr;
  Result<io::Url> url = io::parse_url(server ? server->string_or() : std::string_view());
  if (!url) return url.error().while_doing(path);
  io::HttpTarget target;
  target.host = url->host;
  target.port = url->port;
  target.tls.emplace(io::TlsClientOptions{
      io::TlsServerIdentity::name(url->host, decoded(cluster, "certificate-authority-data")), "", "", {}});
  if (with_certificate) {
    target.tls->certificate_pem = decoded(user, "client-certificate-data");
    target.tls->key_pem = decoded(user, "client-key-data");
  }
  return target;
}

}  // namespace kayak::bench
