// reference.cc: see reference.h. Hand-written for the grammar, without regular expressions.
#include "agent/images/reference.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::agent {

namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_tag_char(char c) { return is_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-'; }

// One path component: alphanumerics joined by ".", "_", "__" or any number of "-".
bool valid_component(std::string_view part) {
  if (part.empty() || !is_alnum(part.front()) || !is_alnum(part.back())) return false;
  for (std::size_t i = 0; i < part.size();) {
    if (is_alnum(part[i])) {
      ++i;
      continue;
    }
    const std::size_t start = i;
    while (i < part.size() && !is_alnum(part[i])) ++i;
    const std::string_view joint = part.substr(start, i - start);
    const bool dashes = joint.find_first_not_of('-') == std::string_view::npos;
    if (!dashes && joint != "." && joint != "_" && joint != "__") return false;
  }
  return true;
}

bool valid_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > 128 || tag.front() == '.' || tag.front() == '-') return false;
  return std::all_of(tag.begin(), tag.end(), is_tag_char);
}

// host, host:port, [v6]:port
bool valid_registry(std::string_view host) {
  if (host.empty() || host.size() > 255) return false;
  std::string_view name = host;
  const std::size_t colon = host.rfind(':');
  if (host.front() == '[') {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    const std::string_view inside = host.substr(1, close - 1);
    if (inside.empty() || inside.find_first_not_of("0123456789abcdefABCDEF:") != std::string_view::npos) return false;
    const std::string_view rest = host.substr(close + 1);
    return rest.empty() || (rest.front() == ':' && rest.size() > 1 &&
                            rest.substr(1).find_first_not_of("0123456789") == std::string_view::npos);
  }
  if (colon != std::string_view::npos) {
    const std::string_view port = host.substr(colon + 1);
    if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string_view::npos) return false;
    name = host.substr(0, colon);
  }
  for (std::string_view label : split(name, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    const bool ok = std::all_of(label.begin(), label.end(),
                                [](char c) { return is_alnum(c) || (c >= 'A' && c <= 'Z') || c == '-'; });
    if (!ok) return false;
  }
  return true;
}

Error refuse(std::string_view text, std::string_view why) {
  return Error(Code::kInvalid, cat("couldn't parse image name ", quote(text.substr(0, 300)), ": ", why));
}

}  // namespace

bool valid_digest(std::string_view digest) {
  constexpr std::string_view kPrefix = "sha256:";
  if (digest.size() != kPrefix.size() + 64 || digest.substr(0, kPrefix.size()) != kPrefix) return false;
  return digest.substr(kPrefix.size()).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<Reference> Reference::parse(std::string_view text) {
  if (text.empty() || text.size() > 1024) return refuse(text, "invalid reference format");
  Reference result;
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    result.digest = std::string(rest.substr(at + 1));
    if (!valid_digest(result.digest)) return refuse(text, "invalid digest, want sha256: and 64 hexadecimal digits");
    rest = rest.substr(0, at);
  }
  const std::size_t slash = rest.find('/');
  const std::string_view first = slash == std::string_view::npos ? std::string_view() : rest.substr(0, slash);
  const bool has_registry = !first.empty() && (first.find_first_of(".:") != std::string_view::npos ||
                                               first == "localhost" || to_lower(first) != first);
  if (has_registry) {
    if (!valid_registry(first)) return refuse(text, "invalid registry host");
    result.registry = std::string(first == "index.docker.io" ? "docker.io" : first);
    rest = rest.substr(slash + 1);
  } else {
    result.registry = "docker.io";
  }
  const std::size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos && rest.find('/', colon) == std::string_view::npos) {
    result.tag = std::string(rest.substr(colon + 1));
    if (!valid_tag(result.tag)) return refuse(text, "invalid tag");
    rest = rest.substr(0, colon);
  }
  for (std::string_view part : split(rest, '/')) {
    if (part.empty() || to_lower(part) != part) {
      return refuse(text, part.empty()
                              ? "invalid reference format"
                              : cat("invalid reference format: repository name (", rest, ") must be lowercase"));
    }
    if (!valid_component(part)) return refuse(text, "invalid reference format");
  }
  result.repository = std::string(rest);
  if (result.registry == "docker.io" && rest.find('/') == std::string_view::npos) {
    result.repository = cat("library/", rest);
  }
  if (result.repository.size() > 255) return refuse(text, "repository name must not be more than 255 characters");
  if (result.tag.empty() && result.digest.empty()) result.tag = "latest";
  return result;
}

std::string Reference::name() const { return cat(registry, "/", repository); }
std::string Reference::with_tag() const { return tag.empty() ? "" : cat(name(), ":", tag); }
std::string Reference::to_string() const {
  return cat(name(), tag.empty() ? "" : ":", tag, digest.empty() ? "" : "@", digest);
}

}  // namespace kayak::agent
