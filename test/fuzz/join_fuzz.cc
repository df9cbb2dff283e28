// fuzz-deps: kayak_fuzz_join
// join_fuzz.cc: tokens, and what a joining server and the cluster say to each other: what is accepted says the same
// when it is written again, and no file is named that a bundle may not have.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "cli/join_messages.h"
#include "cli/token.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kayak;
  using namespace kayak::cli;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const Result<Token> token = parse_token(text)) {
    ASSERT(token->secret.size() >= kMinSecretBytes);
    ASSERT(token->ca_hash.empty() || token->ca_hash.size() == 64);
  }
  if (const Result<JoinRequest> request = decode_join_request(text)) {
    ASSERT(*decode_join_request(encode_join_request(*request)) == *request);
  }
  for (const bool witness : {false, true}) {
    const Result<JoinBundle> bundle = decode_join_bundle(text, witness);
    if (!bundle) continue;
    ASSERT(*decode_join_bundle(encode_join_bundle(*bundle), witness) == *bundle);
    const auto allowed = bundle_files(witness);
    for (const auto& [name, content] : bundle->files) {
      ASSERT(std::find(allowed.begin(), allowed.end(), name) != allowed.end());
    }
  }
  return 0;
}
