// toy_store.h: a handful of registers. As the real store does, the leader evaluates and entries carry effects alone.
#pragma once

#include <map>
#include <vector>

#include "sim/state_machine.h"

namespace kayak::sim {

class ToyStore final : public StateMachine {
 public:
  Proposal evaluate(const Command& command, raft::LogIndex index, raft::Term term) override;
  void forget_proposals() override { proposed_.clear(); }
  void apply(const raft::Entry& entry) override;
  Answer read(const Command& command) override { return {.value = value_of(command.key)}; }
  ImageRef image() const override;
  void restore(const ImageRef& image) override;
  const raft::PayloadCodec& payloads() const override;
  std::uint64_t digest() const override { return digest_; }

 private:
  struct Proposed {
    std::uint64_t value;
    std::size_t times;  // in flight: the newest counts until the last of them is applied
  };
  std::uint64_t value_of(std::uint32_t key) const { return key < values_.size() ? values_[key] : 0; }

  std::vector<std::uint64_t> values_;
  std::uint64_t digest_ = 0;  // of all entries so far
  std::map<std::uint32_t, Proposed> proposed_;
};

}  // namespace kayak::sim
