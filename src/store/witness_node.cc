// witness_node.cc: see witness_node.h.
#include "store/witness_node.h"

#include "base/strings.h"

namespace kayak::store {

namespace {

constexpr Duration kFullDiskPause = std::chrono::seconds(1);

class NoPayloads final : public raft::PayloadCodec {
 public:
  void encode(const raft::Payload&, std::string*) const override { ASSERT(false); }
  Result<raft::PayloadRef> decode(std::string_view) const override {
    return Error(Code::kBadRequest, "a witness takes no entries");
  }
};

}  // namespace

const raft::PayloadCodec& no_payloads() {
  static const NoPayloads codec;
  return codec;
}

WitnessNode::WitnessNode(Context context, Options options)
    : context_(std::move(context)), options_(std::move(options)) {
  raft::Options raft_options;
  raft_options.id = options_.state.self;
  raft_options.witness = true;
  raft_options.election_timeout = options_.election_timeout;
  raft::Restored restored;
  restored.hard = options_.state.hard;
  restored.hard.commit = 0;
  restored.record = options_.state.record;
  wanted_ = options_.state;
  core_ = std::make_unique<raft::RaftCore>(raft_options, std::move(restored), context_.random, context_.clock.now());
}

WitnessNode::~WitnessNode() = default;

void WitnessNode::receive(raft::Message message) {
  if (stopped_ || wanted_.lost) return;
  core_->advance(context_.clock.now());
  core_->step(std::move(message));
  settle();
}

void WitnessNode::settle() {
  raft::Output output = core_->take_output();
  if (output.lost) {  // whatever else it would do or say
    wanted_.lost = true;
    work_.set();
    return;
  }
  for (raft::Message& message : output.messages) options_.send(std::move(message));
  if (!output.append) return;
  // Each one is all that is kept, so the newest stands for those before it.
  wanted_.hard = output.append->hard;
  wanted_.hard.commit = 0;
  if (output.append->record) wanted_.record = std::move(output.append->record);
  wanted_number_ = output.append->number;
  work_.set();
}

Task<Result<void>> WitnessNode::run(StopToken stop) {
  Result<void> result;
  for (;;) {
    if (wanted_number_ == written_number_ && !wanted_.lost) {
      work_.reset();
      const bool woken = co_await work_.wait(stop);
      if (!woken) break;
      continue;
    }
    const std::uint64_t number = wanted_number_;
    auto write = [path = options_.path, state = wanted_] { return write_witness_state(path, state); };
    const Instant start = context_.clock.now();
    result = co_await context_.loop.offload(std::move(write));
    if (!result && result.error().code() == Code::kNoSpace) {
      context_.log.warn("the disk is full: the witness cannot vote", {{"error", result.error().message()}});
      const Result<void> slept = co_await context_.loop.sleep(kFullDiskPause, stop);
      if (!slept) break;
      continue;
    }
    if (!result) break;
    if (wanted_.lost) {
      stopped_ = true;
      co_return Error(Code::kCorrupt,
                      "the leader names a record of who is in sync that is newer than the one here: the "
                      "disk has lost what this witness had written and said");
    }
    written_number_ = number;
    core_->advance(context_.clock.now());
    core_->fsync_took(context_.clock.now() - start);
    core_->appended(number);
    settle();
  }
  stopped_ = true;
  if (!result && result.error().code() != Code::kNoSpace) co_return result.error().while_doing("writing the vote");
  co_return Result<void>();
}

}  // namespace kayak::store
