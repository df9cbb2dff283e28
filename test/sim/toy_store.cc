// toy_store.cc: see toy_store.h.
#include "sim/toy_store.h"

#include <cstring>

namespace kayak::sim {

namespace {

struct Effect final : raft::Payload {
  bool writes = false;  // a failed compare changes nothing, but has its place in the log
  std::uint32_t key = 0;
  std::uint64_t value = 0;
  std::size_t bytes() const override { return 20; }
};

struct EffectCodec final : raft::PayloadCodec {
  void encode(const raft::Payload& payload, std::string* out) const override {
    const auto& effect = static_cast<const Effect&>(payload);
    const std::uint64_t words[] = {effect.writes, effect.key, effect.value};
    out->append(reinterpret_cast<const char*>(words), sizeof words);
  }
  Result<raft::PayloadRef> decode(std::string_view bytes) const override {
    std::uint64_t words[3];
    if (bytes.size() != sizeof words) return Error(Code::kCorrupt, "no effect");
    std::memcpy(words, bytes.data(), sizeof words);
    auto effect = std::make_shared<Effect>();
    effect->writes = words[0] != 0;
    effect->key = static_cast<std::uint32_t>(words[1]);
    effect->value = words[2];
    return raft::PayloadRef(std::move(effect));
  }
};

struct Registers final : StateMachine::Image {
  std::vector<std::uint64_t> values;
  std::uint64_t digest = 0;
};

std::uint64_t mix(std::uint64_t digest, std::uint64_t value) {
  digest = (digest ^ value) * 0x9E3779B97F4A7C15ULL;
  return digest ^ (digest >> 29);
}

}  // namespace

StateMachine::Proposal ToyStore::evaluate(const Command& command, raft::LogIndex, raft::Term) {
  auto effect = std::make_shared<Effect>();
  effect->key = command.key;
  effect->value = command.value;
  const auto in_flight = proposed_.find(command.key);
  const std::uint64_t now = in_flight != proposed_.end() ? in_flight->second.value : value_of(command.key);
  Answer answer;
  answer.value = now;
  answer.swapped = command.type != Command::Type::kCompareAndSwap || now == command.expected;
  effect->writes = answer.swapped;
  if (effect->writes) {
    Proposed& proposed = proposed_[command.key];
    proposed.value = command.value;
    ++proposed.times;
  }
  return {std::move(effect), answer};
}

const raft::PayloadCodec& ToyStore::payloads() const {
  static const EffectCodec codec;
  return codec;
}

void ToyStore::apply(const raft::Entry& entry) {
  digest_ = mix(mix(digest_, entry.index), entry.term);
  const auto* effect = static_cast<const Effect*>(entry.payload.get());
  if (!effect || !effect->writes) return;
  if (values_.size() <= effect->key) values_.resize(effect->key + 1);
  values_[effect->key] = effect->value;
  digest_ = mix(mix(digest_, effect->key), effect->value);
  const auto in_flight = proposed_.find(effect->key);
  if (in_flight != proposed_.end() && --in_flight->second.times == 0) proposed_.erase(in_flight);
}

StateMachine::ImageRef ToyStore::image() const {
  auto registers = std::make_shared<Registers>();
  registers->values = values_;
  registers->digest = digest_;
  return registers;
}

void ToyStore::restore(const ImageRef& image) {
  const auto* registers = static_cast<const Registers*>(image.get());
  values_ = registers ? registers->values : std::vector<std::uint64_t>();
  digest_ = registers ? registers->digest : 0;
  proposed_.clear();
}

}  // namespace kayak::sim
