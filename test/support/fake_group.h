// fake_group.h: what one server sees of its group, as a test wants it: a store without data that leads or follows as it
// is told, and a transport that nothing leaves.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/embedded.h"
#include "support/fake_leadership.h"

namespace kayak::test {

class FakeGroupStore final : public store::EmbeddedStore {
 public:
  void set(store::Leadership leadership) { leadership_.set(leadership); }
  store::Leadership leadership() const override { return leadership_.get(); }
  Task<bool> leadership_changed(store::Leadership known, StopToken stop) override {
    return leadership_.changed(known, std::move(stop));
  }
  std::vector<store::Member> members() const override { return list; }
  store::Store& here() override { return *this; }

  Task<Result<store::RangeResponse>> range(store::RangeRequest, StopToken) override { co_return none(); }
  Task<Result<store::TxnResponse>> txn(store::TxnRequest, StopToken) override { co_return none(); }
  Result<std::unique_ptr<store::Watch>> watch(store::WatchRequest) override { return none(); }
  Task<Result<void>> compact(store::Revision, StopToken) override { co_return none(); }
  store::Revision revision() const override { return 0; }
  store::Revision compacted() const override { return 0; }
  store::Stats stats() const override { return store::Stats(); }
  Task<void> close() override { co_return; }
  void receive(store::raft::Message) override {}
  void peer_unreachable(store::raft::NodeId) override {}
  void stand_aside() override { ++stood_aside; }
  Task<void> hand_over() override { co_return; }
  Task<Result<void>> add_learner(store::MemberRecord, StopToken) override { co_return none(); }
  Task<Result<void>> add_witness(store::MemberRecord, StopToken) override { co_return none(); }
  Task<Result<void>> promote(store::raft::NodeId, StopToken) override { co_return none(); }
  Task<Result<void>> remove(store::raft::NodeId, StopToken) override { co_return none(); }
  Task<Result<void>> update_addresses(store::raft::NodeId, std::vector<std::string>, StopToken) override {
    co_return none();
  }
  Task<Result<void>> transfer_leadership(store::raft::NodeId, StopToken) override { co_return none(); }

  std::vector<store::Member> list;
  int stood_aside = 0;

 private:
  static Error none() { return Error(Code::kUnavailable, "a store without data"); }
  FakeLeadership leadership_;
};

class FakeTransport final : public store::Transport {
 public:
  using Connection = Result<std::shared_ptr<io::Http2Client>>;
  // Whoever asks for a connection to a member.
  std::function<Task<Connection>(store::raft::NodeId to, StopToken stop)> on_client;

  Task<Connection> client(store::raft::NodeId to, StopToken stop) override { return on_client(to, std::move(stop)); }
  void set_peers(std::vector<store::PeerInfo>) override {}
  void heard_at(store::raft::NodeId, const std::vector<std::string>&) override {}
  std::vector<std::string> addresses_of(store::raft::NodeId) const override { return {}; }
  void replace_certificate(std::string, std::string) override {}
  void send(store::raft::Message) override {}
  io::GrpcRouter& router() override { return router_; }
  void open_to_strangers(std::string) override {}
  std::optional<store::raft::NodeId> caller(const io::HttpRequest&) const override { return std::nullopt; }
  io::GrpcRequest request(store::raft::NodeId, std::string_view) const override { return io::GrpcRequest(); }
  void serve_snapshots(store::PeerSnapshotSource) override {}
  Task<Result<void>> fetch_snapshot(store::raft::NodeId, store::raft::SnapshotId, store::PeerSnapshotSink,
                                    StopToken) override {
    co_return Error(Code::kUnavailable, "nothing leaves this transport");
  }
  io::HttpHandler http_handler() override { return nullptr; }
  io::TlsRealm realm() const override { return io::TlsRealm(); }
  Task<Result<void>> run(StopToken) override { co_return Result<void>(); }

 private:
  io::GrpcRouter router_{1024 * 1024};
};

}  // namespace kayak::test
