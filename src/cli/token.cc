// token.cc: see token.h.
#include "cli/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::cli {

namespace {

constexpr std::string_view kPrefix = "K10";
constexpr std::string_view kUser = "server";
constexpr std::size_t kHashDigits = 64;
constexpr std::size_t kMaxOldTokens = 32;

bool is_hash(std::string_view text) {
  return text.size() == kHashDigits &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Error invalid(std::string_view what) { return Error(Code::kInvalid, cat("the token ", what)); }

Result<void> check_secret(std::string_view secret) {
  if (!std::all_of(secret.begin(), secret.end(), [](char c) { return c > ' ' && c < 0x7f; })) {
    return invalid("must consist of printable characters without blanks");
  }
  if (secret.size() < kMinSecretBytes) {
    return invalid(cat("has fewer than ", kMinSecretBytes,
                       " characters and could be guessed; make one with `openssl rand -hex 16`, or leave the first "
                       "server to make its own"));
  }
  return Result<void>();
}

// The link that k3s has beside the token.
Result<void> link_node_token(const std::string& server_dir) {
  const std::string path = server_dir + "/node-token";
  std::array<char, 16> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)) == "token") return Result<void>();
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  if (::symlink("token", fresh.c_str()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) {
    return error_from_errno(errno, path);
  }
  return Result<void>();
}

// On disk before the token that takes its place.
Result<void> keep_old(const std::string& server_dir, std::string_view ca_pem, const std::string& secret) {
  Result<std::vector<std::string>> secrets = read_old_secrets(server_dir);
  if (!secrets) return secrets.error();
  std::erase(*secrets, secret);
  secrets->insert(secrets->begin(), secret);
  if (secrets->size() > kMaxOldTokens) secrets->resize(kMaxOldTokens);
  std::string text;
  for (const std::string& one : *secrets) text += format_token(ca_pem, one) + "\n";
  return write_file_atomic(old_tokens_path(server_dir), text, 0600);
}

}  // namespace

Result<Token> parse_token(std::string_view text) {
  text = trim(text);
  if (text.empty()) return invalid("is empty");
  if (text.size() > kMaxTokenBytes) return invalid(cat("has more than ", kMaxTokenBytes, " characters"));
  Token token;
  std::string_view secret = text;
  if (text.starts_with(kPrefix)) {
    const std::string_view rest = text.substr(kPrefix.size());
    const std::string_view hash = rest.substr(0, rest.find("::"));
    // A bare secret may begin with K10, too; but half a token is more likely.
    if (hash.size() == rest.size() || !is_hash(hash)) {
      return invalid("begins with K10 but is not K10<64 hex digits>::server:<secret>; is it cut off?");
    }
    token.ca_hash = hash;
    const std::string_view credentials = rest.substr(hash.size() + 2);
    const std::size_t colon = credentials.find(':');
    if (colon == std::string_view::npos || credentials.substr(0, colon) != kUser) {
      return invalid("is not one of a server: K10<hash>::server:<secret> is wanted, from <data-dir>/server/token");
    }
    secret = credentials.substr(colon + 1);
  }
  if (auto fine = check_secret(secret); !fine) return fine.error();
  token.secret = secret;
  return token;
}

std::string ca_hash(std::string_view ca_pem) { return hex_encode(io::sha256(ca_pem)); }

std::string format_token(std::string_view ca_pem, std::string_view secret) {
  return cat(kPrefix, ca_hash(ca_pem), "::", kUser, ":", secret);
}

std::string make_secret(Random& random) {
  std::array<std::byte, 16> bytes;
  random.fill(bytes);
  return hex_encode(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string old_tokens_path(const std::string& server_dir) { return server_dir + "/old-tokens"; }

Result<std::vector<std::string>> read_old_secrets(const std::string& server_dir) {
  std::vector<std::string> secrets;
  const Result<std::string> text = read_file(old_tokens_path(server_dir), kMaxOldTokens * (kMaxTokenBytes + 1));
  if (!text && text.error().code() == Code::kNotFound) return secrets;
  if (!text) return text.error();
  for (const std::string_view line : split(*text, '\n')) {
    if (Result<Token> token = parse_token(line)) secrets.push_back(std::move(token->secret));
  }
  return secrets;
}

Result<Token> keep_token(Random& random, const std::string& server_dir, std::string_view ca_pem, std::string_view given,
                         bool* changed) {
  const std::string path = server_dir + "/token";
  Result<std::string> stored = read_file(path, kMaxTokenBytes + 2);
  if (!stored && stored.error().code() != Code::kNotFound) return stored.error();
  Token token;
  token.ca_hash = ca_hash(ca_pem);
  if (!trim(given).empty()) {
    Result<Token> parsed = parse_token(given);
    if (!parsed) return parsed.error();
    if (!parsed->ca_hash.empty() && parsed->ca_hash != token.ca_hash) {
      return Error(Code::kConflict, cat("the token is of another cluster: this server's CA (", server_dir,
                                        "/tls/server-ca.crt) has another hash than the token names"));
    }
    token.secret = parsed->secret;
  } else if (stored) {
    Result<Token> parsed = parse_token(*stored);
    if (!parsed) return parsed.error().while_doing(path);
    token.secret = parsed->secret;
  } else {
    token.secret = make_secret(random);
  }
  const Result<Token> before = stored ? parse_token(*stored) : Result<Token>(invalid("is missing"));
  if (before && before->secret != token.secret) {
    if (auto kept = keep_old(server_dir, ca_pem, before->secret); !kept) return kept.error();
    if (changed != nullptr) *changed = true;
  }
  const std::string text = format_token(ca_pem, token.secret) + "\n";
  struct stat info {};
  const bool private_file =
      ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 07777) == 0600;
  if (!stored || *stored != text || !private_file) {
    if (auto written = write_file_atomic(path, text, 0600); !written) return written.error();
  }
  if (auto linked = link_node_token(server_dir); !linked) return linked.error();
  return token;
}

}  // namespace kayak::cli
