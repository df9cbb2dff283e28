// maintenance.cc: etcd's Maintenance service, as far as it makes sense for this store. MoveLeader is in cluster.cc.
// Source: etcd v3.5 API.
#include "store/checksum.h"
#include "store/etcd/service.h"

namespace kayak::store::etcd {

namespace {

// The API that is spoken: clients decide by it which calls they may make.
constexpr std::string_view kApiVersion = "3.5.21";
constexpr std::int64_t kHashPage = 500;

Task<Result<StatusResponse>> status(const Backend& backend, Empty, StopToken) {
  const Stats stats = backend.store.stats();
  StatusResponse out;
  out.header = backend.header(stats.revision);
  out.version = kApiVersion;
  out.db_size = static_cast<std::int64_t>(stats.database_bytes);
  out.db_size_in_use = static_cast<std::int64_t>(stats.database_bytes - stats.free_bytes);
  const Leadership leadership = backend.store.leadership();
  // A store that is alone has no numbers for members: whoever leads it is this one.
  out.leader = leadership.leader == 0 && leadership.leads ? backend.options.member_id : leadership.leader;
  out.raft_term = leadership.term;
  out.raft_index = out.raft_applied_index = stats.applied;
  co_return out;
}

void add_to_hash(const std::vector<KeyValue>& kvs, std::uint32_t* crc) {
  std::string head;
  for (const KeyValue& kv : kvs) {
    head = kv.key;
    for (const std::int64_t number : {kv.create_revision, kv.mod_revision, kv.version, kv.lease}) {
      head.push_back('\0');
      head.append(std::to_string(number));
    }
    head.push_back('\0');
    *crc = crc32c(crc32c(*crc, head), *kv.value);
  }
}

// Of all pairs as they are at the revision: servers of one group have the same.
Task<Result<HashKvResponse>> hash_kv(const Backend& backend, HashKvRequest request, StopToken stop) {
  store::RangeRequest page;
  page.key = page.range_end = std::string(1, '\0');
  page.limit = kHashPage;
  page.serializable = true;  // of this member
  page.revision = request.revision > 0 ? request.revision : backend.store.revision();
  HashKvResponse out;
  out.hash_revision = page.revision;
  for (;;) {
    auto found = co_await backend.store.range(page, stop);
    if (!found) co_return found.error();
    add_to_hash(found->kvs, &out.hash);
    if (!found->more || found->kvs.empty()) break;
    page.key = found->kvs.back().key + '\0';
  }
  out.header = backend.header();
  out.compact_revision = backend.store.compacted() + 1;
  co_return out;
}

// What compaction frees is taken by what is written next, so nobody has to; who wants the file smaller asks for it.
Task<Result<HeaderResponse>> defragment(const Backend& backend, Empty, StopToken stop) {
  const Result<void> done = co_await backend.store.defragment(stop);
  if (!done) co_return done.error();
  HeaderResponse out;
  out.header = backend.header();
  co_return out;
}

// There is no state of alarm: a full disk is reported by each write that meets it.
Task<Result<HeaderResponse>> alarm(const Backend& backend, AlarmRequest request, StopToken) {
  if (request.action == AlarmRequest::Action::kActivate) {
    co_return Error(Code::kMethodNotAllowed, "alarms cannot be raised");
  }
  HeaderResponse out;
  out.header = backend.header();
  co_return out;
}

}  // namespace

void add_maintenance(const Backend& backend, io::GrpcRouter* router) {
  constexpr std::string_view kService = "etcdserverpb.Maintenance";
  router->add(kService, "Status", unary(backend, status));
  router->add(kService, "HashKV", unary(backend, hash_kv));
  router->add(kService, "Defragment", unary(backend, defragment));
  router->add(kService, "Alarm", unary(backend, alarm));
}

}  // namespace kayak::store::etcd
