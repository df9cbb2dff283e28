// snapshot.cc: etcd's Maintenance.Snapshot: the state of the store as a stream, in our own format (snapshot_stream.h).
// As etcd's ends, so does ours: it is filled up with zeros to a multiple of 512 bytes, and the SHA-256 of all of that
// follows; etcdctl takes nothing else for a snapshot.
// Source: etcd v3.5 (v3rpc/maintenance.go, clientv3/snapshot).
#include <algorithm>

#include "io/tls.h"
#include "store/etcd/service.h"

namespace kayak::store::etcd {

namespace {

constexpr std::size_t kBlock = 512;

class SnapshotCall {
 public:
  SnapshotCall(const Backend& backend, io::GrpcCall& call) : backend_(backend), call_(call) {}

  Task<io::GrpcStatus> run() {
    const StopToken gone = call_.gone();
    Result<std::optional<std::string>> request = co_await call_.read(gone);
    if (!request) co_return status_of(request.error());
    Result<void> sent = co_await send(gone);
    if (!sent) co_return status_of(sent.error());
    co_return io::GrpcStatus();
  }

 private:
  Task<Result<void>> send(StopToken gone) {
    Result<std::unique_ptr<StateStream>> stream = backend_.store.snapshot();
    if (!stream) co_return stream.error();
    response_.header = backend_.header((*stream)->revision());
    expected_ = std::max<std::uint64_t>(backend_.store.stats().database_bytes, 1);
    Result<void> opened = co_await call_.open();
    if (!opened) co_return opened;
    for (;;) {
      Result<std::optional<std::string>> slice = co_await (*stream)->next(gone);
      if (!slice) co_return slice.error();
      if (!*slice) break;
      Result<void> written = co_await write(std::move(**slice));
      if (!written) co_return written;
    }
    Result<void> filled = co_await write(std::string((kBlock - sent_ % kBlock) % kBlock, '\0'));
    if (!filled) co_return filled;
    expected_ = 0;
    std::string digest = sha_.finish();
    co_return co_await write(std::move(digest));
  }

  Task<Result<void>> write(std::string blob) {
    sent_ += blob.size();
    if (expected_ > 0) sha_.update(blob);
    // etcd's clients go on until this is 0.
    response_.remaining_bytes = expected_ == 0 ? 0 : std::max<std::uint64_t>(expected_, sent_ + 1) - sent_;
    response_.blob = std::move(blob);
    std::string bytes = encode(response_);
    co_return co_await call_.write(std::move(bytes));
  }

  const Backend& backend_;
  io::GrpcCall& call_;
  SnapshotResponse response_;
  io::Sha256 sha_;
  std::uint64_t sent_ = 0;
  std::uint64_t expected_ = 0;  // bytes in all, roughly; 0: only the digest is left
};

Task<io::GrpcStatus> snapshot(const Backend& backend, io::GrpcCall& call) {
  SnapshotCall run(backend, call);
  co_return co_await run.run();
}

}  // namespace

void add_snapshot(const Backend& backend, io::GrpcRouter* router) {
  router->add("etcdserverpb.Maintenance", "Snapshot",
              [&backend](io::GrpcCall& call) { return snapshot(backend, call); });
}

}  // namespace kayak::store::etcd
