// heartbeat_exchange.cc: see heartbeat_exchange.h.
#include "cli/heartbeat_exchange.h"

#include <set>

#include "api/heartbeat_wire.h"
#include "base/strings.h"

namespace kayak::cli {

namespace {
using namespace std::chrono_literals;
using Grpc = io::GrpcStatus::Code;

// Others see a heartbeat within a second: this and the way there.
constexpr Duration kGather = 400ms;
constexpr Duration kCallTimeout = 2s;
constexpr std::size_t kBatchBytes = 1024 * 1024;
constexpr std::string_view kOffer = "/kayak.Peer/OfferHeartbeat", kBatch = "/kayak.Peer/Heartbeats";
}  // namespace

HeartbeatExchange::HeartbeatExchange(Context context, store::EmbeddedStore& store, store::Transport& transport)
    : context_(std::move(context)), store_(store), transport_(transport) {
  auto offered = [this](io::GrpcCall& call) { return take_offer(call); };
  auto batch = [this](io::GrpcCall& call) { return take_batch(call); };
  transport_.router().add("kayak.Peer", "OfferHeartbeat", offered, api::kMaxHeartbeatBatchBytes);
  transport_.router().add("kayak.Peer", "Heartbeats", batch, api::kMaxHeartbeatBatchBytes);
}

void HeartbeatExchange::attach(api::ApiServer& api) {
  api_ = &api;
  observer_ = api.cache().on_heartbeat([this](const api::ObjectRef&, const api::ObjectRef& now) { noticed(now); });
}

bool HeartbeatExchange::leads() const { return store_.leadership().leads; }

Task<bool> HeartbeatExchange::offer(api::Heartbeat heartbeat, StopToken stop) {
  const store::Leadership leadership = store_.leadership();
  if (leadership.leads) co_return true;
  if (leadership.leader == store::raft::kNobody) co_return false;
  const io::Deadline deadline(context_.loop, kCallTimeout, stop);
  auto client = co_await transport_.client(leadership.leader, deadline.token());
  if (!client) co_return false;
  io::GrpcRequest request = transport_.request(leadership.leader, kOffer);
  request.timeout = kCallTimeout;
  std::vector<api::Heartbeat> one;
  one.push_back(std::move(heartbeat));
  std::string bytes = api::encode_heartbeats(one);
  Result<std::string> answer = co_await io::grpc_unary(**client, std::move(request), std::move(bytes), stop);
  co_return answer&&* answer == "1";
}

Task<Result<std::string>> HeartbeatExchange::read(io::GrpcCall& call) {
  Result<std::optional<std::string>> bytes = co_await call.read(call.gone());
  if (!bytes) co_return bytes.error();
  if (!*bytes) co_return Error(Code::kBadRequest, "the request has no message");
  co_return std::move(**bytes);
}

Task<io::GrpcStatus> HeartbeatExchange::take_offer(io::GrpcCall& call) {
  Result<std::string> bytes = co_await read(call);
  if (!bytes) co_return io::GrpcStatus{Grpc::kInvalidArgument, bytes.error().message()};
  const Result<std::vector<api::Heartbeat>> beats = api::decode_heartbeats(*bytes);
  if (!beats) co_return io::GrpcStatus{Grpc::kInvalidArgument, beats.error().message()};
  bool taken = api_ != nullptr && store_.leadership().leads && beats->size() == 1;
  if (taken) taken = api::accept_heartbeat(api_->cache(), beats->front());
  call.answer(taken ? "1" : "0");
  co_return io::GrpcStatus();
}

Task<io::GrpcStatus> HeartbeatExchange::take_batch(io::GrpcCall& call) {
  Result<std::string> bytes = co_await read(call);
  if (!bytes) co_return io::GrpcStatus{Grpc::kInvalidArgument, bytes.error().message()};
  const Result<std::vector<api::Heartbeat>> beats = api::decode_heartbeats(*bytes);
  if (!beats) co_return io::GrpcStatus{Grpc::kInvalidArgument, beats.error().message()};
  // What stands at another revision here is older or newer than this: the log tells.
  if (api_ != nullptr && !store_.leadership().leads) {
    for (const api::Heartbeat& beat : *beats) (void)api::accept_heartbeat(api_->cache(), beat);
  }
  call.answer(std::string());
  co_return io::GrpcStatus();
}

void HeartbeatExchange::noticed(const api::ObjectRef& now) {
  if (!store_.leadership().leads) return;
  api::Heartbeat beat;
  beat.kind = &now->kind();
  beat.namespace_ = now->namespace_();
  beat.name = now->name();
  beat.revision = now->revision();
  beat.text = now->text();
  waiting_[api::storage_key(*beat.kind, beat.namespace_, beat.name)] = std::move(beat);
  work_.set();
}

Task<Result<void>> HeartbeatExchange::run(StopToken stop) {
  io::TaskScope senders(stop);
  while (!stop.stopped()) {
    const bool some = co_await work_.wait(stop);
    if (!some) break;
    const Result<void> slept = co_await context_.loop.sleep(kGather, stop);
    if (!slept) break;
    work_.reset();
    const std::map<std::string, api::Heartbeat> taken = std::exchange(waiting_, {});
    const store::Leadership leadership = store_.leadership();
    std::set<store::raft::NodeId> others;
    for (const store::Member& member : store_.members()) {
      const bool other = member.id != leadership.self && member.role != store::Member::Role::kWitness;
      if (other && leadership.leads) others.insert(member.id);
    }
    for (auto& [id, lane] : lanes_) {
      if (others.count(id) == 0) lane.waiting.clear();
    }
    for (const store::raft::NodeId to : others) {
      Lane& lane = lanes_[to];
      for (const auto& [key, beat] : taken) lane.waiting.insert_or_assign(key, beat);
      if (!lane.sending) senders.spawn(send_waiting(to, senders.token()));
    }
    std::erase_if(lanes_, [](const auto& one) { return one.second.waiting.empty() && !one.second.sending; });
  }
  senders.stop();
  (void)co_await senders.join();
  co_return Result<void>();
}

Task<Result<void>> HeartbeatExchange::send_waiting(store::raft::NodeId to, StopToken stop) {
  Lane& lane = lanes_[to];  // stays while `sending` is set
  lane.sending = true;
  while (!lane.waiting.empty() && !stop.stopped()) {
    const std::map<std::string, api::Heartbeat> taken = std::exchange(lane.waiting, {});
    std::vector<api::Heartbeat> batch;
    std::size_t bytes = 0, left = taken.size();
    for (const auto& [key, beat] : taken) {
      batch.push_back(beat);
      bytes += beat.text->size();
      if (--left > 0 && bytes < kBatchBytes) continue;
      std::string encoded = api::encode_heartbeats(batch);
      batch.clear();
      bytes = 0;
      co_await send(to, std::move(encoded), stop);
    }
  }
  lane.sending = false;
  co_return Result<void>();
}

// Whoever does not get it shows what it has.
Task<void> HeartbeatExchange::send(store::raft::NodeId to, std::string batch, StopToken stop) {
  const io::Deadline deadline(context_.loop, kCallTimeout, stop);
  auto client = co_await transport_.client(to, deadline.token());
  if (!client) co_return;
  io::GrpcRequest request = transport_.request(to, kBatch);
  request.timeout = kCallTimeout;
  (void)co_await io::grpc_unary(**client, std::move(request), std::move(batch), stop);
}

}  // namespace kayak::cli
