// etcd_messages_test.cc: etcd's messages as bytes and back, and what is refused.
#include <catch2/catch.hpp>

#include "store/etcd/messages.h"

namespace kayak::store::etcd {
namespace {

using namespace std::string_view_literals;

Bytes value(std::string_view text) { return std::make_shared<const std::string>(text); }

// The bytes of the message read back and written again.
template <typename M>
std::string again(const M& message) {
  const Result<M> back = decode<M>(encode(message));
  REQUIRE(back);
  return encode(*back);
}

TEST_CASE("etcd: the bytes are protobuf's") {
  RangeRequest range;
  range.key = "a";
  range.range_end = "b";
  range.limit = 300;
  range.sort_order = RangeRequest::SortOrder::kDescend;
  range.keys_only = true;
  CHECK(encode(range) ==
        "\x0a\x01"
        "a"
        "\x12\x01"
        "b"
        "\x18\xac\x02\x28\x02\x40\x01"sv);
  PutRequest put;
  put.key = "k";
  put.value = value("v");
  put.lease = -1;
  CHECK(encode(put) == "\x0a\x01k\x12\x01v\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv);
  Compare compare;
  compare.key = "k";
  compare.target = Compare::Target::kMod;
  compare.mod_revision = 5;
  compare.range_end = "l";
  TxnRequest txn;
  txn.compare.push_back(compare);
  txn.success.push_back(RequestOp{put});
  txn.failure.push_back(RequestOp{DeleteRangeRequest{"k", "", true}});
  CHECK(encode(txn).starts_with("\x0a\x0b\x10\x02\x1a\x01k\x30\x05\x82\x04\x01l\x12"sv));
  WatchResponse response;
  response.header = ResponseHeader{1, 2, 3, 4};
  response.created = true;
  CHECK(encode(response) == "\x0a\x08\x08\x01\x10\x02\x18\x03\x20\x04\x18\x01"sv);
}

TEST_CASE("etcd: messages come back as they were") {
  KeyValue kv{"k", value("v"), 3, 4, 2, 0};
  const ResponseHeader header{7, 8, 9, 1};
  RangeResponse range{header, {kv, kv}, true, 17};
  CHECK(again(range) == encode(range));
  const Result<RangeResponse> back = decode<RangeResponse>(encode(range));
  REQUIRE(back);
  REQUIRE(back->kvs.size() == 2);
  CHECK(*back->kvs[1].value == "v");
  CHECK(back->kvs[1].mod_revision == 4);
  CHECK(back->count == 17);

  TxnResponse txn{header, true, {}};
  txn.responses.push_back(ResponseOp{range});
  txn.responses.push_back(ResponseOp{PutResponse{header, {kv}}});
  txn.responses.push_back(ResponseOp{DeleteRangeResponse{header, 1, {kv}}});
  CHECK(again(txn) == encode(txn));
  const Result<TxnResponse> txn_back = decode<TxnResponse>(encode(txn));
  REQUIRE(txn_back);
  CHECK(std::get<DeleteRangeResponse>(txn_back->responses[2].response).deleted == 1);

  TxnRequest inner;
  inner.success.push_back(RequestOp{RangeRequest{"a"}});
  TxnRequest outer;
  outer.failure = {RequestOp{inner}, RequestOp{DeleteRangeRequest{"b", "", false}}};
  CHECK(encode(outer) ==
        "\x1a\x09\x22\x07\x12\x05\x0a\x03\x0a\x01"
        "a\x1a\x05\x1a\x03\x0a\x01"
        "b"sv);
  CHECK(again(outer) == encode(outer));
  TxnResponse around{header, false, {ResponseOp{txn}}};
  CHECK(again(around) == encode(around));
  const Result<TxnResponse> around_back = decode<TxnResponse>(encode(around));
  REQUIRE(around_back);
  CHECK(std::get<TxnResponse>(around_back->responses[0].response).responses.size() == 3);

  CHECK(encode(LeaseGrantRequest{60, 5}) == "\x08\x3c\x10\x05"sv);
  CHECK(encode(LeaseTimeToLiveResponse{{}, 5, -1, 60, {"a", "b"}}) ==
        "\x0a\x00\x10\x05\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x20\x3c\x2a\x01"
        "a\x2a\x01"
        "b"sv);
  const LeaseLeasesResponse leases{header, {LeaseStatus{1}, LeaseStatus{-2}}};
  CHECK(decode<LeaseLeasesResponse>(encode(leases))->leases.at(1).id == -2);
  CHECK(decode<LeaseKeepAliveResponse>(encode(LeaseKeepAliveResponse{header, 5, 60}))->ttl == 60);
  CHECK(decode<LeaseRevokeRequest>(encode(LeaseRevokeRequest{-5}))->id == -5);

  WatchRequest watch;
  WatchCreateRequest create;
  create.key = "a";
  create.filters = {WatchCreateRequest::kNoDelete};
  create.watch_id = -5;
  watch.request = create;
  const Result<WatchRequest> watch_back = decode<WatchRequest>(encode(watch));
  REQUIRE(watch_back);
  CHECK(std::get<WatchCreateRequest>(watch_back->request).filters == std::vector<std::uint64_t>{1});
  CHECK(std::get<WatchCreateRequest>(watch_back->request).watch_id == -5);
  watch.request = WatchProgressRequest();
  CHECK(encode(watch) == "\x1a\x00"sv);
  CHECK(std::holds_alternative<WatchProgressRequest>(decode<WatchRequest>("\x1a\x00"sv)->request));

  WatchResponse events;
  events.events.resize(2);
  events.events[0].kv = kv;
  events.events[0].previous = kv;
  events.events[1].type = WatchEvent::Type::kDelete;
  events.events[1].kv.key = "k";
  const Result<WatchResponse> events_back = decode<WatchResponse>(encode(events));
  REQUIRE(events_back);
  REQUIRE(events_back->events.size() == 2);
  CHECK(events_back->events[0].previous->version == 2);
  CHECK(events_back->events[1].type == WatchEvent::Type::kDelete);
  CHECK_FALSE(events_back->events[1].previous);

  MemberListResponse members{header, {Member{8, "one", {}, {"unix:///x"}, false}}};
  CHECK(again(members) == encode(members));
}

TEST_CASE("etcd: what is no message is refused") {
  MessageLimits small;
  small.elements = 3;
  TxnRequest four;
  four.compare.resize(2);
  four.success.resize(2);
  struct Row {
    const char* what;
    std::string bytes;
    bool fits;
    Code code = Code::kBadRequest;
  };
  const Row rows[] = {
      {"nothing at all", "", true},
      {"a field of a later version", std::string("\xf8\x07\x05"sv), true},
      {"a nested transaction of no known fields", std::string("\x12\x04\x22\x02\xff\xff"sv), false},
      {"cut in a number", std::string("\x10\x80"sv), false},
      {"a length beyond the end", std::string("\x0a\x05\x00"sv), false},
      {"a number where a message belongs", std::string("\x08\x01"sv), false},
      {"a group", std::string("\x0b\x0c"sv), false},
      {"an operation of an unknown kind", std::string("\x12\x03\x3a\x01x"sv), true},
      {"three elements", std::string("\x0a\x00\x12\x00\x1a\x00"sv), true},
      {"four elements", encode(four), false, Code::kTooLarge},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Result<TxnRequest> message = decode<TxnRequest>(row.bytes, small);
    CHECK(message.ok() == row.fits);
    if (!message) CHECK(message.error().code() == row.code);
  }
}

TEST_CASE("etcd: messages in messages have a bound") {
  for (const int depth : {128, 149, 150, 4000}) {
    CAPTURE(depth);
    std::string bytes;
    for (int i = 0; i < depth; ++i) {
      // A transaction as an operation of another one.
      for (const char field : {'\x22', '\x12'}) {
        std::string head(1, field);
        for (std::size_t size = bytes.size();; size >>= 7) {
          head.push_back(static_cast<char>(size < 128 ? size : (size & 127) | 128));
          if (size < 128) break;
        }
        bytes.insert(0, head);
      }
    }
    const Result<TxnRequest> message = decode<TxnRequest>(bytes);
    CHECK(message.ok() == (depth < 150));
    if (!message) CHECK(message.error().code() == Code::kTooLarge);
  }
}

TEST_CASE("etcd: a message cut anywhere is read or refused, never more") {
  KeyValue kv{"key", value("value"), 3, 4, 2, 0};
  const std::string bytes = encode(RangeResponse{ResponseHeader{1, 2, 3, 4}, {kv}, true, 1});
  for (std::size_t size = 1; size < bytes.size(); ++size) {  // 0 is a message without a header
    const Result<RangeResponse> part = decode<RangeResponse>(std::string_view(bytes).substr(0, size));
    if (part) CHECK(encode(*part).size() == size);
  }
}

}  // namespace
}  // namespace kayak::store::etcd
