// registries.cc: see registries.h.
#include "agent/images/registries.h"

#include <algorithm>
#include <regex>

#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"
#include "io/http.h"

namespace kayak::agent {

namespace {

// One line, whatever line ends a key of the file holds.
Error bad(std::string what) {
  std::replace_if(
      what.begin(), what.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return Error(Code::kBadRequest, cat("registries.yaml: ", what));
}

Result<std::string> text_at(const json::Value& object, std::string_view key, const std::string& where) {
  const json::Value* value = object.find(key);
  if (!value || value->is_null()) return std::string();
  if (!value->is_string()) return bad(cat(where, ".", key, " must be text"));
  return value->as_string();
}

// Refuses keys that nobody would act on: a mistyped "insecure_skip_verify" must not pass as if it worked.
Result<void> only(const json::Value& object, std::initializer_list<std::string_view> known, const std::string& where) {
  if (!object.is_object()) return bad(cat(where, " must be a map"));
  for (const auto& [key, unused] : object.as_object()) {
    bool found = false;
    for (std::string_view k : known) found = found || k == key;
    if (!found) return bad(cat("unknown key ", where.empty() ? "" : where + ".", key));
  }
  return Result<void>();
}

}  // namespace

std::string RegistryEndpoint::to_string() const {
  return cat(https ? "https://" : "http://", host, ":", port, path_prefix);
}

Result<Registries> Registries::parse(std::string_view yaml_text) {
  Registries result;
  if (trim(yaml_text).empty()) return result;
  Result<json::Value> document = yaml::read(yaml_text);
  if (!document) return bad(document.error().message());
  if (document->is_null()) return result;
  if (auto ok = only(*document, {"mirrors", "configs"}, ""); !ok) return ok.error();
  if (const json::Value* mirrors = document->find("mirrors"); mirrors && mirrors->is_object()) {
    for (const auto& [host, value] : mirrors->as_object()) {
      const std::string where = cat("mirrors.", host);
      Mirror mirror;
      if (!value.is_null()) {
        if (auto ok = only(value, {"endpoint", "rewrite"}, where); !ok) return ok.error();
        if (const json::Value* list = value.find("endpoint")) {
          if (!list->is_array()) return bad(cat(where, ".endpoint must be a list of URLs"));
          for (const json::Value& url : list->as_array()) {
            if (!url.is_string() || !io::parse_url(url.as_string()))
              return bad(cat(where, ".endpoint must be a list of URLs"));
            mirror.endpoints.push_back(url.as_string());
          }
        }
        if (const json::Value* rewrites = value.find("rewrite"); rewrites && rewrites->is_object()) {
          for (const auto& [pattern, replacement] : rewrites->as_object()) {
            try {
              std::regex check(pattern);
            } catch (const std::regex_error&) {
              return bad(cat(where, ".rewrite has an invalid pattern ", quote(pattern)));
            }
            mirror.rewrites.emplace_back(pattern, std::string(replacement.string_or()));
          }
        }
      }
      result.mirrors_[host] = std::move(mirror);
    }
  }
  if (const json::Value* configs = document->find("configs"); configs && configs->is_object()) {
    for (const auto& [host, value] : configs->as_object()) {
      const std::string where = cat("configs.", host);
      if (auto ok = only(value, {"auth", "tls"}, where); !ok) return ok.error();
      Config config;
      if (const json::Value* auth = value.find("auth")) {
        if (auto ok = only(*auth, {"username", "password"}, where + ".auth"); !ok) return ok.error();
        Result<std::string> username = text_at(*auth, "username", where + ".auth");
        Result<std::string> password = text_at(*auth, "password", where + ".auth");
        if (!username) return username.error();
        if (!password) return password.error();
        config.credentials = Credentials{*username, *password};
      }
      if (const json::Value* tls = value.find("tls")) {
        if (auto ok = only(*tls, {"ca_file", "cert_file", "key_file"}, where + ".tls"); !ok) return ok.error();
        struct Row {
          const char* key;
          std::string* target;
        };
        for (const Row& row : {Row{"ca_file", &config.ca_file}, Row{"cert_file", &config.cert_file},
                               Row{"key_file", &config.key_file}}) {
          Result<std::string> path = text_at(*tls, row.key, where + ".tls");
          if (!path) return path.error();
          *row.target = *path;
        }
      }
      result.configs_[host] = std::move(config);
    }
  }
  return result;
}

Result<RegistryEndpoint> Registries::endpoint(const std::string& url, const Reference& reference,
                                              const Mirror* mirror) const {
  Result<io::Url> parsed = io::parse_url(url);
  if (!parsed) return parsed.error();
  RegistryEndpoint endpoint;
  endpoint.https = parsed->scheme == "https";
  endpoint.host = parsed->host;
  endpoint.port = parsed->port;
  endpoint.path_prefix = parsed->path == "/" ? "" : parsed->path;
  while (!endpoint.path_prefix.empty() && endpoint.path_prefix.back() == '/') endpoint.path_prefix.pop_back();
  endpoint.repository = reference.repository;
  if (mirror) {
    for (const auto& [pattern, replacement] : mirror->rewrites) {
      const std::regex expression(pattern);
      if (!std::regex_search(endpoint.repository, expression)) continue;
      endpoint.repository = std::regex_replace(endpoint.repository, expression, replacement);
      break;
    }
  }
  // A configuration is found under the URL's host with its port, or under the registry's own name.
  const std::string with_port = cat(parsed->host, ":", parsed->port);
  auto config = configs_.find(with_port);
  if (config == configs_.end()) config = configs_.find(parsed->host);
  if (config == configs_.end() && !mirror) config = configs_.find(reference.registry);
  if (config == configs_.end()) return endpoint;
  endpoint.credentials = config->second.credentials;
  struct Row {
    const std::string* path;
    std::string* target;
  };
  for (const Row& row : {Row{&config->second.ca_file, &endpoint.tls.ca_pem},
                         Row{&config->second.cert_file, &endpoint.tls.certificate_pem},
                         Row{&config->second.key_file, &endpoint.tls.key_pem}}) {
    if (row.path->empty()) continue;
    Result<std::string> text = read_file(*row.path, 1 << 20);
    if (!text) return text.error().while_doing("registries.yaml");
    *row.target = std::move(*text);
  }
  return endpoint;
}

Result<std::vector<RegistryEndpoint>> Registries::endpoints(const Reference& reference) const {
  std::vector<RegistryEndpoint> result;
  auto mirror = mirrors_.find(reference.registry);
  if (mirror == mirrors_.end()) mirror = mirrors_.find("*");
  if (mirror != mirrors_.end()) {
    for (const std::string& url : mirror->second.endpoints) {
      Result<RegistryEndpoint> one = endpoint(url, reference, &mirror->second);
      if (!one) return one.error();
      result.push_back(std::move(*one));
    }
  }
  const std::string own = reference.registry == "docker.io" ? "registry-1.docker.io" : reference.registry;
  Result<RegistryEndpoint> one = endpoint(cat("https://", own), reference, nullptr);
  if (!one) return one.error();
  // A mirror list that names the registry itself (by HTTP, say) has replaced it.
  for (const RegistryEndpoint& listed : result) {
    if (listed.host == one->host && cat(listed.host, ":", listed.port) == own) return result;
  }
  result.push_back(std::move(*one));
  return result;
}

}  // namespace kayak::agent
