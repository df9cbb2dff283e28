// etcd_server_test.cc: the services of etcd's API on a store: answers, codes and messages as etcd has them.
#include <malloc.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "base/strings.h"
#include "io/grpc_server.h"
#include "io/task.h"
#include "io/tls.h"
#include "store/etcd/messages.h"
#include "store/etcd/server.h"
#include "store/snapshot_stream.h"
#include "store/support_etcd_call.h"
#include "store/support_store.h"

namespace kayak::store::etcd {
namespace {

using store::test::Call;
using store::test::Driver;
using store::test::framed;
using store::test::options_in;
using store::test::run_call;
using store::test::TempFolder;
using Grpc = io::GrpcStatus::Code;

struct Fixture {
  TempFolder folder;
  Driver d;
  std::unique_ptr<Server> server;
  static SqliteStoreOptions member_in(const TempFolder& folder) {
    SqliteStoreOptions options = options_in(folder);
    options.member_id = 8;
    return options;
  }
  explicit Fixture(SqliteStoreOptions (*options_of)(const TempFolder& folder) = member_in,
                   std::string_view protected_prefix = "")
      : d(options_of(folder)) {
    REQUIRE(d.open());
    ServerOptions options;
    options.name = "one";
    options.client_urls = {"unix:///etcd.sock"};
    options.cluster_id = 7;
    options.member_id = 8;
    options.protected_prefix = protected_prefix;
    server = Server::create(d.store(), options);
  }

  // The status as "code message", "" when it is OK.
  std::string run(Call* call) { return run_call(d.harness, server->http_handler(), call); }
  template <typename A, typename Q>
  std::string ask(std::string_view path, const Q& request, A* answer) {
    Call call(path);
    std::optional<std::string> bytes;
    std::string status = run_call(d.harness, server->http_handler(), &call, encode(request), &bytes);
    if (!bytes) return status;
    Result<A> decoded = decode<A>(*bytes);
    REQUIRE(decoded);
    *answer = std::move(*decoded);
    return status;
  }
  std::string range(const RangeRequest& request, RangeResponse* answer = nullptr) {
    RangeResponse response;
    const std::string status = ask("/etcdserverpb.KV/Range", request, &response);
    if (answer != nullptr) *answer = response;
    if (!status.empty()) return status;
    std::string text;
    for (const KeyValue& kv : response.kvs) text += cat(kv.key, "=", kv.value ? *kv.value : "", " ");
    return cat(text, response.more ? "more " : "", "of ", response.count);
  }
  std::string put(const PutRequest& request) {
    PutResponse response;
    const std::string status = ask("/etcdserverpb.KV/Put", request, &response);
    if (!status.empty()) return status;
    return cat("@", response.header.revision, response.prev_kv.empty() ? "" : " was ",
               response.prev_kv.empty() ? "" : *response.prev_kv.front().value);
  }
  std::string compact(Revision revision) {
    CompactionRequest request;
    request.revision = revision;
    CompactionResponse response;
    return ask("/etcdserverpb.KV/Compact", request, &response);
  }
};

PutRequest put_of(std::string_view key, std::string_view value) {
  PutRequest put;
  put.key = key;
  put.value = std::make_shared<const std::string>(value);
  return put;
}

RangeRequest range_of(std::string_view key, std::string_view end = "") {
  RangeRequest range;
  range.key = key;
  range.range_end = end;
  return range;
}

TEST_CASE("etcd: put, range and delete") {
  Fixture f;
  CHECK(f.put(put_of("a", "3")) == "@2");
  CHECK(f.put(put_of("b", "1")) == "@3");
  CHECK(f.put(put_of("c", "2")) == "@4");
  PutRequest again = put_of("a", "4");
  again.prev_kv = true;
  CHECK(f.put(again) == "@5 was 3");

  RangeResponse answer;
  CHECK(f.range(range_of("a"), &answer) == "a=4 of 1");
  CHECK(answer.header.cluster_id == 7);
  CHECK(answer.header.member_id == 8);
  CHECK(answer.header.revision == 5);
  CHECK(answer.kvs.front().create_revision == 2);
  CHECK(answer.kvs.front().version == 2);
  CHECK(f.range(range_of("a", "c")) == "a=4 b=1 of 2");
  CHECK(f.range(range_of("b", std::string(1, '\0'))) == "b=1 c=2 of 2");
  CHECK(f.range(range_of("nothing")) == "of 0");
  RangeRequest all = range_of("a", "z");
  all.limit = 2;
  CHECK(f.range(all) == "a=4 b=1 more of 3");
  all.sort_order = RangeRequest::SortOrder::kDescend;
  CHECK(f.range(all) == "c=2 b=1 more of 3");
  all.sort_order = RangeRequest::SortOrder::kNone;
  all.sort_target = RangeRequest::SortTarget::kValue;
  all.keys_only = true;
  CHECK(f.range(all) == "b= c= more of 3");
  all = range_of("a", "z");
  all.min_mod_revision = 4;
  CHECK(f.range(all) == "a=4 c=2 of 3");
  all.max_create_revision = 3;
  CHECK(f.range(all) == "a=4 of 3");
  all = range_of("a", "z");
  all.count_only = true;
  CHECK(f.range(all) == "of 3");
  all = range_of("a", "z");
  all.revision = 2;
  CHECK(f.range(all) == "a=3 of 1");

  DeleteRangeRequest doomed{"a", "c", true};
  DeleteRangeResponse gone;
  CHECK(f.ask("/etcdserverpb.KV/DeleteRange", doomed, &gone).empty());
  CHECK(gone.deleted == 2);
  CHECK(gone.header.revision == 6);
  CHECK(store::test::text(gone.prev_kvs) == "a=4 b=1");
}

TEST_CASE("etcd: a put may keep the value") {
  Fixture f;
  PutRequest keep;
  keep.key = "a";
  keep.ignore_value = keep.prev_kv = true;
  CHECK(f.put(keep) == "3 etcdserver: key not found");
  CHECK(f.put(put_of("a", "old")) == "@2");
  CHECK(f.put(keep) == "@3 was old");
  CHECK(f.range(range_of("a")) == "a=old of 1");
  PutRequest lease = put_of("a", "new");
  lease.ignore_lease = true;
  CHECK(f.put(lease) == "@4");
}

TEST_CASE("etcd: a transaction") {
  Fixture f;
  CHECK(f.put(put_of("a", "1")) == "@2");
  Compare compare;
  compare.key = "a";
  compare.target = Compare::Target::kValue;
  compare.value = "1";
  TxnRequest txn;
  txn.compare.push_back(compare);
  txn.success = {RequestOp{put_of("b", "2")}, RequestOp{range_of("a", "z")}};
  txn.failure = {RequestOp{DeleteRangeRequest{"a", "", true}}};
  TxnResponse done;
  CHECK(f.ask("/etcdserverpb.KV/Txn", txn, &done).empty());
  CHECK(done.succeeded);
  CHECK(done.header.revision == 3);
  REQUIRE(done.responses.size() == 2);
  CHECK(store::test::text(std::get<RangeResponse>(done.responses[1].response).kvs) == "a=1 b=2");
  txn.compare[0].result = Compare::Result::kNotEqual;
  CHECK(f.ask("/etcdserverpb.KV/Txn", txn, &done).empty());
  CHECK_FALSE(done.succeeded);
  REQUIRE(done.responses.size() == 1);
  CHECK(store::test::text(std::get<DeleteRangeResponse>(done.responses[0].response).prev_kvs) == "a=1");
}

TEST_CASE("etcd: a transaction in a transaction, and a compare over a range") {
  Fixture f;
  CHECK(f.put(put_of("a1", "1")) == "@2");
  CHECK(f.put(put_of("a2", "1")) == "@3");
  Compare compare;
  compare.key = "a";
  compare.range_end = "b";
  compare.target = Compare::Target::kValue;
  compare.value = "1";
  TxnRequest inner;
  inner.compare.push_back(compare);
  PutRequest keep = put_of("a2", "");
  keep.ignore_value = keep.prev_kv = true;
  inner.success = {RequestOp{put_of("b", "2")}, RequestOp{keep}};
  inner.failure = {RequestOp{range_of("b")}};
  TxnRequest outer;
  outer.success = {RequestOp{inner}, RequestOp{range_of("a", "z")}};
  TxnResponse done;
  CHECK(f.ask("/etcdserverpb.KV/Txn", outer, &done).empty());
  CHECK(done.header.revision == 4);
  REQUIRE(done.responses.size() == 2);
  const auto& first = std::get<TxnResponse>(done.responses[0].response);
  CHECK(first.succeeded);
  CHECK(first.header.revision == 4);
  REQUIRE(first.responses.size() == 2);
  CHECK(store::test::text(std::get<PutResponse>(first.responses[1].response).prev_kv) == "a2=1");
  CHECK(store::test::text(std::get<RangeResponse>(done.responses[1].response).kvs) == "a1=1 a2=1 b=2");
  CHECK(f.put(put_of("a1", "2")) == "@5");
  CHECK(f.ask("/etcdserverpb.KV/Txn", outer, &done).empty());
  const auto& second = std::get<TxnResponse>(done.responses[0].response);
  CHECK_FALSE(second.succeeded);
  REQUIRE(second.responses.size() == 1);
  CHECK(store::test::text(std::get<RangeResponse>(second.responses[0].response).kvs) == "b=2");
}

TEST_CASE("etcd: leases") {
  Fixture f;
  struct Grant {
    std::int64_t id, ttl;
    std::string answer;
  };
  for (const Grant& row : {Grant{5, 60, "5 60"}, Grant{5, 60, "9 etcdserver: lease already exists"},
                           Grant{-6, 1, "-6 2"}, Grant{7, 9'000'000'001, "11 etcdserver: too large lease TTL"}}) {
    CAPTURE(row.id, row.ttl);
    LeaseGrantResponse granted;
    const std::string status = f.ask("/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest{row.ttl, row.id}, &granted);
    CHECK((status.empty() ? cat(granted.id, " ", granted.ttl) : status) == row.answer);
  }
  PutRequest put = put_of("b", "1");
  put.lease = 5;
  CHECK(f.put(put) == "@2");
  put.key = "a";
  CHECK(f.put(put) == "@3");
  put.lease = 99;
  CHECK(f.put(put) == "5 etcdserver: requested lease not found");

  LeaseTimeToLiveResponse left;
  CHECK(f.ask("/etcdserverpb.Lease/LeaseTimeToLive", LeaseTimeToLiveRequest{5, true}, &left).empty());
  CHECK(left.granted_ttl == 60);
  CHECK((left.ttl == 60 || left.ttl == 59));
  CHECK(left.keys == std::vector<std::string>{"a", "b"});
  CHECK(f.ask("/etcdserverpb.Lease/LeaseTimeToLive", LeaseTimeToLiveRequest{5, false}, &left).empty());
  CHECK(left.keys.empty());
  CHECK(f.ask("/etcdserverpb.Lease/LeaseTimeToLive", LeaseTimeToLiveRequest{99, true}, &left).empty());
  CHECK(left.id == 99);
  CHECK(left.ttl == -1);
  CHECK(left.granted_ttl == 0);
  LeaseLeasesResponse all;
  CHECK(f.ask("/etcdserverpb.Lease/LeaseLeases", Empty(), &all).empty());
  REQUIRE(all.leases.size() == 2);
  CHECK(all.leases[0].id == -6);  // the next to end first
  CHECK(all.leases[1].id == 5);

  LeaseRevokeResponse revoked;
  CHECK(f.ask("/etcdserverpb.Lease/LeaseRevoke", LeaseRevokeRequest{5}, &revoked).empty());
  CHECK(revoked.header.revision == 4);
  CHECK(f.range(range_of("a", "z")) == "of 0");
  CHECK(f.ask("/etcdserverpb.Lease/LeaseRevoke", LeaseRevokeRequest{5}, &revoked) ==
        "5 etcdserver: requested lease not found");
}

TEST_CASE("etcd: a stream keeps leases alive") {
  Fixture f;
  LeaseGrantResponse granted;
  REQUIRE(f.ask("/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest{60, 5}, &granted).empty());
  struct Row {
    const char* what;
    std::vector<std::string> messages;
    std::string answers, status;
  };
  const Row rows[] = {
      {"one that is there, one that is not",
       {framed(encode(LeaseKeepAliveRequest{5})), framed(encode(LeaseKeepAliveRequest{6})),
        framed(encode(LeaseKeepAliveRequest{5}))},
       "5:60 6:0 5:60 ",
       ""},
      {"none", {}, "", ""},
      {"no such message", {framed("\x0a\x01x")}, "", "3 etcdserver: an etcd message: a field of another type"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Call call("/etcdserverpb.Lease/LeaseKeepAlive");
    for (const std::string& message : row.messages) call.in.push(message);
    call.in.close();
    CHECK(f.run(&call) == row.status);
    std::string answers;
    while (const std::optional<std::string> bytes = call.out.try_pop()) {
      const Result<LeaseKeepAliveResponse> answer = decode<LeaseKeepAliveResponse>(*bytes);
      REQUIRE(answer);
      answers += cat(answer->id, ":", answer->ttl, " ");
    }
    CHECK(answers == row.answers);
  }
  Call open("/etcdserverpb.Lease/LeaseKeepAlive");
  const io::HttpHandler handler = f.server->http_handler();
  io::TaskScope scope;
  scope.spawn(handler(open));
  open.stop.stop();
  REQUIRE(f.d.harness.wait(scope.join()));
  CHECK(cat(open.status, " ", open.message) == "14 etcdserver: server stopped");
}

TEST_CASE("etcd: what is refused, as etcd words it") {
  Fixture f;
  REQUIRE(f.put(put_of("a", "1")) == "@2");
  REQUIRE(f.put(put_of("a", "2")) == "@3");
  REQUIRE(f.put(put_of("a", "3")) == "@4");
  REQUIRE(f.compact(3).empty());
  CHECK(f.compact(3) == "11 etcdserver: mvcc: required revision has been compacted");
  CHECK(f.compact(99) == "11 etcdserver: mvcc: required revision is a future revision");
  RangeRequest range = range_of("a");
  range.revision = 2;
  CHECK(f.range(range) == "11 etcdserver: mvcc: required revision has been compacted");
  range.revision = 3;
  CHECK(f.range(range) == "a=2 of 1");
  range.revision = 99;
  CHECK(f.range(range) == "11 etcdserver: mvcc: required revision is a future revision");
  CHECK(f.range(RangeRequest()) == "3 etcdserver: key is not provided");
  range = range_of("a");
  range.sort_target = static_cast<RangeRequest::SortTarget>(9);
  CHECK(f.range(range) == "3 etcdserver: invalid sort option");
  CHECK(f.put(PutRequest()) == "3 etcdserver: key is not provided");
  PutRequest put = put_of("a", "1");
  put.ignore_value = true;
  CHECK(f.put(put) == "3 etcdserver: value is provided");
  put = put_of("a", "1");
  put.lease = 5;
  CHECK(f.put(put) == "5 etcdserver: requested lease not found");
  put.ignore_lease = true;
  CHECK(f.put(put) == "3 etcdserver: lease is provided");
  CHECK(f.put(put_of("a", std::string(1600 * 1024, 'x'))) == "3 etcdserver: request is too large");
  CHECK(f.put(put_of("a", std::string(3 * 1024 * 1024, 'x'))).starts_with("8 grpc: received message larger than max"));

  struct Row {
    std::vector<RequestOp> ops;
    std::string status;
  };
  TxnRequest twice;
  twice.success = {RequestOp{put_of("b", "1")}};
  TxnRequest long_one;
  long_one.success = std::vector<RequestOp>(128, RequestOp{range_of("a")});
  TxnRequest empty;
  empty.success = {RequestOp{}};
  const Row rows[] = {
      {{RequestOp{put_of("b", "1")}, RequestOp{put_of("b", "2")}}, "3 etcdserver: duplicate key given in txn request"},
      {{RequestOp{put_of("b", "1")}, RequestOp{twice}}, "3 etcdserver: duplicate key given in txn request"},
      {{RequestOp{long_one}}, "3 etcdserver: too many operations in txn request"},
      {{RequestOp{empty}}, "3 etcdserver: key not found"},
      {{RequestOp{put_of("b", "1")}, RequestOp{DeleteRangeRequest{"a", "c", false}}},
       "3 etcdserver: duplicate key given in txn request"},
      {{RequestOp{put_of("", "1")}}, "3 etcdserver: key is not provided"},
      {std::vector<RequestOp>(129, RequestOp{range_of("a")}), "3 etcdserver: too many operations in txn request"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status);
    TxnRequest txn;
    txn.success = row.ops;
    TxnResponse done;
    CHECK(f.ask("/etcdserverpb.KV/Txn", txn, &done) == row.status);
  }
  CHECK(f.range(range_of("b")) == "of 0");
}

TEST_CASE("etcd: what a server keeps for itself is read here, not written") {
  Fixture f(Fixture::member_in, "/kept/");
  const std::string all(1, '\0');
  const auto erase = [](std::string_view key, std::string_view end) {
    DeleteRangeRequest erase;
    erase.key = key;
    erase.range_end = end;
    return erase;
  };
  const auto inside = [](const auto& request) {
    TxnRequest txn, outer;
    txn.failure.push_back(RequestOp{request});
    outer.success.push_back(RequestOp{txn});
    return outer;
  };
  struct Row {
    std::string key, end;
    bool allowed;
  };
  for (const Row& row : {Row{"/kept/", "", false}, Row{"/kept/a", "", false}, Row{"/kept/a", "/kept/b", false},
                         Row{"/kept", "/kept0", false}, Row{"/a", "/kept/a", false}, Row{"/kept/z", "/z", false},
                         Row{all, all, false}, Row{"/kept/z", all, false}, Row{"/kept", "", true},
                         Row{"/a", "/kept/", true}, Row{"/kept0", "/z", true}, Row{"/kept0", all, true}}) {
    CAPTURE(row.key, row.end);
    const std::string wanted = row.allowed ? "" : "7 etcdserver: permission denied";
    const auto begins = [&wanted](const std::string& status) {
      CAPTURE(status);
      CHECK((wanted.empty() ? status.empty() : status.starts_with(wanted)));
    };
    DeleteRangeResponse erased;
    begins(f.ask("/etcdserverpb.KV/DeleteRange", erase(row.key, row.end), &erased));
    TxnResponse done;
    begins(f.ask("/etcdserverpb.KV/Txn", inside(erase(row.key, row.end)), &done));
    if (!row.end.empty()) continue;
    PutResponse put;
    begins(f.ask("/etcdserverpb.KV/Put", put_of(row.key, "1"), &put));
    begins(f.ask("/etcdserverpb.KV/Txn", inside(put_of(row.key, "1")), &done));
  }
  CHECK(f.range(range_of("/kept/", "/kept0")) == "of 0");
}

TEST_CASE("etcd: status, hash, members") {
  Fixture f;
  REQUIRE(f.put(put_of("a", "1")) == "@2");
  StatusResponse status;
  CHECK(f.ask("/etcdserverpb.Maintenance/Status", Empty(), &status).empty());
  CHECK(status.leader == f.d.store().leadership().self);
  CHECK(status.db_size > 0);
  CHECK(status.raft_index >= 2);  // the write and what made the group
  CHECK(status.raft_applied_index == f.d.store().stats().applied);
  CHECK(status.raft_term == f.d.store().leadership().term);
  CHECK(status.raft_term > 0);
  CHECK(status.version.starts_with("3.5."));
  HashKvResponse first, second;
  CHECK(f.ask("/etcdserverpb.Maintenance/HashKV", HashKvRequest(), &first).empty());
  CHECK(first.hash_revision == 2);
  REQUIRE(f.put(put_of("a", "2")) == "@3");
  CHECK(f.ask("/etcdserverpb.Maintenance/HashKV", HashKvRequest(), &second).empty());
  CHECK(second.hash != first.hash);
  CHECK(f.ask("/etcdserverpb.Maintenance/HashKV", HashKvRequest{2}, &second).empty());
  CHECK(second.hash == first.hash);
  MemberListResponse members;
  CHECK(f.ask("/etcdserverpb.Cluster/MemberList", Empty(), &members).empty());
  REQUIRE(members.members.size() == 1);
  CHECK(members.members[0].name == "one");
  CHECK(members.members[0].client_urls == std::vector<std::string>{"unix:///etcd.sock"});
  HeaderResponse header;
  CHECK(f.ask("/etcdserverpb.Maintenance/Defragment", Empty(), &header).empty());
  CHECK(header.header.revision == 3);
  CHECK(f.ask("/etcdserverpb.Maintenance/Alarm", AlarmRequest(), &header).empty());
}

TEST_CASE("etcd: a defragmentation makes the file smaller; a second one is refused meanwhile") {
  Fixture f;
  for (int i = 0; i < 40; ++i) REQUIRE(f.put(put_of(cat("key-", i), std::string(100'000, 'v'))).starts_with("@"));
  REQUIRE(f.d.remove("key-", "key.").ok());
  REQUIRE(f.put(put_of("after", "1")).starts_with("@"));
  REQUIRE(f.d.compact(f.d.store().revision()).ok());
  f.d.finish_sweep();
  const auto status = [&f] {
    StatusResponse answer;
    CHECK(f.ask("/etcdserverpb.Maintenance/Status", Empty(), &answer).empty());
    return answer;
  };
  CHECK(status().db_size > 4'000'000);
  io::StopSource gone;
  gone.stop();
  CHECK_FALSE(f.d.harness.wait(f.d.store().defragment(gone.token())).ok());  // has begun
  HeaderResponse header;
  CHECK(f.ask("/etcdserverpb.Maintenance/Defragment", Empty(), &header) ==
        cat(static_cast<int>(Grpc::kFailedPrecondition),
            " etcdserver: this server's store is being defragmented already"));
  std::string again = "not tried";
  for (int i = 0; i < 2000 && !again.empty(); ++i) {
    f.d.harness.run_for(std::chrono::milliseconds(1));
    again = f.ask("/etcdserverpb.Maintenance/Defragment", Empty(), &header);
  }
  CHECK(again == "");
  CHECK(header.header.revision == f.d.store().revision());
  CHECK(status().db_size < 200'000);
  CHECK(status().db_size == status().db_size_in_use);
}

TEST_CASE("etcd: a snapshot is our stream, filled up and ended as etcd's") {
  Fixture f;
  for (int i = 0; i < 5; ++i) REQUIRE(f.put(put_of(cat("key-", i), std::string(100'000, 'v'))).starts_with("@"));
  Call call("/etcdserverpb.Maintenance/Snapshot");
  call.in.push(framed(""));
  call.in.close();
  REQUIRE(f.run(&call).empty());
  std::string bytes;
  std::uint64_t remaining = 1;
  int messages = 0;
  for (auto message = call.out.try_pop(); message; message = call.out.try_pop()) {
    const Result<SnapshotResponse> response = decode<SnapshotResponse>(*message);
    REQUIRE(response);
    REQUIRE(remaining > 0);
    CHECK(response->header.revision == 6);
    remaining = response->remaining_bytes;
    bytes += response->blob;
    ++messages;
  }
  CHECK(messages > 4);
  CHECK(remaining == 0);
  REQUIRE(bytes.size() % 512 == 32);
  const std::string body = bytes.substr(0, bytes.size() - 32);
  CHECK(io::sha256(body) == bytes.substr(body.size()));
  SnapshotReader reader(SnapshotReader::Sink{});
  const auto used = reader.feed(body);
  REQUIRE(used);
  REQUIRE(reader.finish());
  CHECK(reader.head()->keys == 5);
  CHECK(body.find_first_not_of('\0', *used) == std::string::npos);
}

TEST_CASE("etcd: calls that are none") {
  Fixture f;
  struct Row {
    const char* path;
    std::string body;
    std::string status;
  };
  const Row rows[] = {
      {"/etcdserverpb.Auth/AuthEnable", framed(""), "12 unknown service etcdserverpb.Auth"},
      {"/etcdserverpb.KV/Nothing", framed(""), "12 unknown method Nothing for service etcdserverpb.KV"},
      {"/", framed(""), "12 unknown service "},
      {"/etcdserverpb.KV/Range", "", "13 the request has no message"},
      {"/etcdserverpb.KV/Range", framed("abc").substr(0, 6), "13 grpc: the last message is cut off"},
      {"/etcdserverpb.KV/Range", std::string("\1\0\0\0\0", 5), "12 grpc: compressed messages are not supported"},
      {"/etcdserverpb.KV/Range", framed("\x08\x01"), "3 an etcd message: a field of another type"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path, row.status);
    Call call(row.path);
    for (const char c : row.body) call.in.push(std::string(1, c));  // in the smallest pieces
    call.in.close();
    CHECK(f.run(&call) == row.status);
  }
  Call plain("/etcdserverpb.KV/Range");
  plain.request().headers.set("content-type", "application/json");
  f.run(&plain);
  CHECK(plain.http_status == 415);
}

WatchCreateRequest watch_of(std::string_view key, Revision start) {
  WatchCreateRequest request;
  request.key = key;
  request.start_revision = start;
  return request;
}

// A Watch call; what it answers as text.
struct Session {
  Fixture& f;
  Call call{"/etcdserverpb.Watch/Watch"};
  io::HttpHandler handler;
  io::TaskScope scope;
  explicit Session(Fixture& fixture) : f(fixture), handler(f.server->http_handler()) { scope.spawn(handler(call)); }
  ~Session() { end(); }
  std::string end() {
    if (!call.in.closed()) call.in.close();
    call.stop.stop();
    (void)f.d.harness.wait(scope.join());
    return cat(call.status, call.message.empty() ? "" : " ", call.message);
  }
  template <typename... M>
  void send(M... requests) {  // in one piece
    std::string bytes;
    const auto add = [&bytes](auto request) {
      WatchRequest message;
      message.request = std::move(request);
      bytes += framed(encode(message));
    };
    (add(std::move(requests)), ...);
    call.in.push(std::move(bytes));
  }
  void create(std::string_view key, std::string_view end, Revision start, bool progress = false) {
    WatchCreateRequest request;
    request.key = key;
    request.range_end = end;
    request.start_revision = start;
    request.progress_notify = progress;
    request.prev_kv = true;
    send(request);
  }
  std::string next() {
    const io::Deadline patience(f.d.harness.loop, std::chrono::seconds(20));
    const std::optional<std::string> bytes = f.d.harness.wait(call.out.pop(patience.token()));
    if (!bytes) return patience.expired() ? "nothing" : "ended";
    const Result<WatchResponse> response = decode<WatchResponse>(*bytes);
    REQUIRE(response);
    std::string text =
        cat(response->watch_id, response->created ? " created" : "", response->canceled ? " canceled" : "");
    if (response->compact_revision != 0) text += cat(" compacted ", response->compact_revision);
    if (!response->cancel_reason.empty()) text += cat(" ", response->cancel_reason);
    for (const WatchEvent& event : response->events) {
      const bool put = event.type == WatchEvent::Type::kPut;
      text += cat(put ? " put " : " del ", event.kv.key, put ? "=" : "", put ? *event.kv.value : "");
      if (event.previous) text += cat("(was ", *event.previous->value, ")");
    }
    return cat(text, " @", response->header.revision);
  }
};

TEST_CASE("etcd: watches on one stream") {
  Fixture f;
  REQUIRE(f.put(put_of("a", "1")) == "@2");
  REQUIRE(f.put(put_of("b", "1")) == "@3");
  Session s(f);
  s.create("a", "", 2);
  CHECK(s.next() == "0 created @3");
  CHECK(s.next() == "0 put a=1 @3");
  s.create("b", "c", 0);
  CHECK(s.next() == "1 created @3");
  REQUIRE(f.put(put_of("b", "2")) == "@4");
  CHECK(s.next() == "1 put b=2(was 1) @4");
  DeleteRangeResponse gone;
  REQUIRE(f.ask("/etcdserverpb.KV/DeleteRange", DeleteRangeRequest{"a", "", false}, &gone).empty());
  CHECK(s.next() == "0 del a(was 1) @5");
  s.send(WatchProgressRequest());
  CHECK(s.next() == "-1 @5");
  s.send(WatchCancelRequest{1});
  CHECK(s.next() == "1 canceled @5");
  REQUIRE(f.put(put_of("b", "3")) == "@6");
  s.send(WatchCancelRequest{77});  // not there: no answer
  s.send(WatchProgressRequest());
  CHECK(s.next() == "-1 @6");
  s.call.in.close();  // a client that has said all is told of events nevertheless
  REQUIRE(f.put(put_of("a", "2")) == "@7");
  CHECK(s.next() == "0 put a=2 @7");
  CHECK(s.end() == "14 etcdserver: server stopped");
}

TEST_CASE("etcd: progress notes come to those who asked for them, after writes elsewhere") {
  Fixture f;
  Session s(f);
  s.create("a", "", 0, true);
  s.create("b", "", 0, false);
  CHECK(s.next() == "0 created @1");
  CHECK(s.next() == "1 created @1");
  REQUIRE(f.put(put_of("z", "1")) == "@2");
  CHECK(s.next() == "0 @2");
  REQUIRE(f.put(put_of("b", "1")) == "@3");
  CHECK(s.next() == "1 put b=1 @3");
}

// What is not in memory takes a watch some turns: it lags.
SqliteStoreOptions without_memory(const TempFolder& folder) {
  SqliteStoreOptions options = Fixture::member_in(folder);
  options.history_bytes = 0;
  return options;
}

TEST_CASE("etcd: progress does not wait for a write, though a watch of a quiet past began after the question") {
  Fixture f(without_memory);
  REQUIRE(f.put(put_of("a", "1")) == "@2");
  REQUIRE(f.put(put_of("z", "1")) == "@3");
  Session s(f);
  s.send(watch_of("a", 2), WatchProgressRequest(), watch_of("quiet", 2));
  std::vector<std::string> answers;
  for (int i = 0; i < 4; ++i) answers.push_back(s.next());
  CHECK(answers == std::vector<std::string>{"0 created @3", "1 created @3", "0 put a=1 @3", "-1 @3"});
}

TEST_CASE("etcd: progress does not wait for a write, though the rest of a long past is quiet") {
  Fixture f(without_memory);
  REQUIRE(f.put(put_of("a", "1")) == "@2");
  for (int i = 0; i < 30; ++i) {
    store::TxnRequest request;
    for (int key = 0; key < 100; ++key) request.success.push_back(store::test::put_op(cat("z", key), "1"));
    REQUIRE(f.d.txn(request));
  }
  Session s(f);
  s.send(watch_of("a", 2), WatchProgressRequest());
  CHECK(s.next() == "0 created @32");
  CHECK(s.next() == "0 put a=1 @32");
  CHECK(s.next() == "-1 @32");
}

TEST_CASE("etcd: a client that reads slowly does not cost more for having many watches") {
  constexpr int kWatches = 100, kPuts = 20;
  Fixture f(without_memory);
  for (int i = 0; i < kPuts; ++i) REQUIRE(f.put(put_of(cat("a", i), std::string(100'000, 'x'))) == cat("@", i + 2));
  Session s(f);
  s.call.most = 1000;
  for (int i = 0; i < kWatches; ++i) s.create("a", "b", 2);
  const std::size_t before = mallinfo2().uordblks;
  f.d.harness.run_for(std::chrono::milliseconds(300));
  CHECK(mallinfo2().uordblks < before + 15'000'000);
  // Each is told everything nevertheless, as soon as the client reads.
  s.call.most = SIZE_MAX;
  s.call.takes_again.set();
  std::map<std::string, int> told;
  for (int events = 0; events < kWatches * kPuts;) {
    const std::string answer = s.next();
    REQUIRE(answer != "nothing");
    for (std::size_t at = answer.find(" put "); at != std::string::npos; at = answer.find(" put ", at + 1)) {
      ++told[answer.substr(0, answer.find(' '))];
      ++events;
    }
  }
  CHECK(told.size() == kWatches);
  CHECK(std::all_of(told.begin(), told.end(), [](const auto& one) { return one.second == kPuts; }));
  CHECK(s.end() == "14 etcdserver: server stopped");
}

TEST_CASE("etcd: watches that cannot be") {
  Fixture f;
  REQUIRE(f.put(put_of("a", "1")) == "@2");
  REQUIRE(f.put(put_of("a", "2")) == "@3");
  REQUIRE(f.put(put_of("a", "3")) == "@4");
  REQUIRE(f.compact(3).empty());
  const Revision now = f.d.store().revision();
  Session s(f);
  s.create("a", "", 2);
  CHECK(s.next() == cat("0 created @", now));
  CHECK(s.next() == cat("0 canceled compacted 3 @", now));
  s.create("a", "", 3);
  CHECK(s.next() == cat("1 created @", now));
  CHECK(s.next() == cat("1 put a=2(was 1) put a=3(was 2) @", now));
  s.create("b", "a", 0);
  CHECK(s.next() == cat("-1 created canceled mvcc: watcher range is empty @", now));
  WatchCreateRequest same;
  same.key = "a";
  same.watch_id = 1;
  s.send(same);
  CHECK(s.next() == cat("-1 created canceled mvcc: duplicate watch ID provided on the WatchStream @", now));
  same.watch_id = 40;
  same.filters = {WatchCreateRequest::kNoPut};
  s.send(same);
  CHECK(s.next() == cat("40 created @", now));
}

TEST_CASE("etcd: a stream ends with its client, its server or its sense") {
  Fixture f;
  {
    Session s(f);
    s.create("a", "", 0);
    CHECK(s.next() == "0 created @1");
    s.call.stop.stop();
    CHECK(s.end() == "14 etcdserver: server stopped");
  }
  Session s(f);
  s.call.in.push(framed("\x08\x01"));
  CHECK(s.next() == "ended");
  CHECK(s.end() == "3 etcdserver: an etcd message: a field of another type");
}

TEST_CASE("gRPC: status messages are percent-encoded") {
  CHECK(io::encode_grpc_message("100% fine\n\xc3\xa4") == "100%25 fine%0A%C3%A4");
}

}  // namespace
}  // namespace kayak::store::etcd
