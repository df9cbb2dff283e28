// token.h: the secret that lets servers and nodes in, in k3s' form: K10<hash>::server:<secret>, or the secret alone.
// The hash is SHA-256 over the PEM bundle that /cacerts serves (the server CA's certificate), so that who holds the
// whole form needs to trust nobody on first use. Nothing here puts a secret into a message or a log.
// Source: k3s docs, "token" (format).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"

namespace kayak::cli {

struct Token {
  std::string ca_hash;  // 64 lower-case hex digits; empty: a bare secret
  std::string secret;
  bool operator==(const Token&) const = default;
};

// A shorter one could be guessed by someone who has a snapshot in hand, or who has talked a server into joining him.
constexpr std::size_t kMinSecretBytes = 16;
constexpr std::size_t kMaxTokenBytes = 1024;

// Blanks around it are dropped. Errors: Invalid, with what is wrong and what to do, never with the token.
Result<Token> parse_token(std::string_view text);
// What hash a bundle of CA certificates has in a token.
std::string ca_hash(std::string_view ca_pem);
std::string format_token(std::string_view ca_pem, std::string_view secret);
std::string make_secret(Random& random);  // 128 bits as 32 hex digits

// The token of a server whose CA is `ca_pem`: `given` (empty: none), else the one in <server_dir>/token, else a new
// one. It then stands there whole (mode 0600), and node-token beside it is a link to it, as k3s has it.
// One that `given` takes the place of is kept in old-tokens (mode 0600): snapshots that it encrypted open with nothing
// else. `changed` (may be null) says that this happened now.
// Blocking. Errors: Invalid (`given` or the file is no token), Conflict (`given` is of another cluster), Io, NoSpace.
Result<Token> keep_token(Random& random, const std::string& server_dir, std::string_view ca_pem, std::string_view given,
                         bool* changed = nullptr);
std::string old_tokens_path(const std::string& server_dir);
// The secrets there, newest first; what is no token is passed over. Blocking. Errors: Io.
Result<std::vector<std::string>> read_old_secrets(const std::string& server_dir);

}  // namespace kayak::cli
