// fuzz-deps: kayak_store
// raft_wire_fuzz.cc: what a peer sends as a Raft message: what is accepted says the same when it is written again.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "store/raft/wire.h"

namespace {

using namespace kayak;
using namespace kayak::store;

struct Text final : raft::Payload {
  std::string text;
  std::size_t bytes() const override { return text.size(); }
};
struct TextCodec final : raft::PayloadCodec {
  void encode(const raft::Payload& payload, std::string* out) const override {
    out->append(static_cast<const Text&>(payload).text);
  }
  Result<raft::PayloadRef> decode(std::string_view bytes) const override {
    auto text = std::make_shared<Text>();
    text->text = bytes;
    return raft::PayloadRef(std::move(text));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const TextCodec codec;
  const raft::WireLimits limits{.message_bytes = 4096, .entries = 16, .members = 8};
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result<raft::Message> message = raft::decode(bytes, codec, limits);
  if (!message) return 0;
  const std::string again = raft::encode(*message, codec);
  const Result<raft::Message> twice = raft::decode(again, codec);
  ASSERT(twice);
  ASSERT(twice->body.index() == message->body.index());
  ASSERT(raft::encode(*twice, codec) == again);
  return 0;
}
