// raft_wire_test.cc: Raft messages as bytes and back, and what is refused.
#include <catch2/catch.hpp>

#include "store/raft/wire.h"
#include "store/support_raft.h"

namespace kayak::store::raft::test {
namespace {

struct TextCodec final : PayloadCodec {
  void encode(const Payload& payload, std::string* out) const override {
    out->append(words(Entry{.payload = PayloadRef(PayloadRef(), &payload)}));
  }
  Result<PayloadRef> decode(std::string_view bytes) const override {
    if (bytes == "bad") return Error(Code::kCorrupt, "a bad payload");
    return text(std::string(bytes));
  }
};
const TextCodec kCodec;

TEST_CASE("every message comes back as it was") {
  const auto group = std::make_shared<const Membership>(Membership{{1, 2}, {300}, 9});
  const std::vector<Entry> entries = {
      {6, 3, text("words"), nullptr}, {7, 3, text(""), nullptr}, {8, 4, nullptr, nullptr}, {9, 4, nullptr, group}};
  const std::vector<Body> bodies = {RequestVote{5, 3, true, false},
                                    RequestVote{UINT64_MAX, 3, false, true},
                                    RequestVoteReply{true, false},
                                    RequestVoteReply{false, true},
                                    AppendEntries{5, 3, entries, 4, 17},
                                    AppendEntries{},
                                    AppendEntriesReply{true, 5, 4, 2, 17},
                                    Heartbeat{4, 17},
                                    HeartbeatReply{17},
                                    InstallSnapshot{{77, 40, 5, group, 33}},
                                    InstallSnapshotReply{77},
                                    RecordInSync{{5, 2, 40, 4, {1, 2}}},
                                    RecordInSyncReply{2},
                                    TimeoutNow{},
                                    ReadIndex{1234567},
                                    ReadIndexReply{1234567, 40}};
  for (const Body& body : bodies) {
    CAPTURE(body.index());
    const Message message{1, 2, 300, body};
    const std::string bytes = encode(message, kCodec);
    const Result<Message> back = decode(bytes, kCodec);
    REQUIRE(back);
    CHECK(back->from == 1);
    CHECK(back->to == 2);
    CHECK(back->term == 300);
    CHECK(back->body.index() == body.index());
    CHECK(encode(*back, kCodec) == bytes);
  }
  const Result<Message> back = decode(encode({1, 2, 4, bodies[4]}, kCodec), kCodec);
  REQUIRE(back);
  const auto& request = std::get<AppendEntries>(back->body);
  REQUIRE(request.entries.size() == 4);
  CHECK(request.commit == 4);
  CHECK(words(request.entries[0]) == "words");
  CHECK(request.entries[1].payload);
  CHECK_FALSE(request.entries[2].payload);
  CHECK_FALSE(request.entries[2].membership);
  REQUIRE(request.entries[3].membership);
  CHECK(*request.entries[3].membership == *group);
  const Result<Message> record = decode(encode({1, 2, 4, bodies[11]}, kCodec), kCodec);
  REQUIRE(record);
  CHECK(std::get<RecordInSync>(record->body).record == WitnessRecord{5, 2, 40, 4, {1, 2}});
}

TEST_CASE("the bytes are protobuf's") {
  // from 1, to 2, term 300, field 8 (Heartbeat): commit 4, read_round 17.
  const std::string_view expected("\x08\x01\x10\x02\x18\xac\x02\x42\x04\x08\x04\x10\x11", 13);
  CHECK(encode({1, 2, 300, Heartbeat{4, 17}}, kCodec) == expected);
}

TEST_CASE("fields of a later version are skipped") {
  std::string bytes = encode({1, 2, 3, Heartbeat{4, 17}}, kCodec);
  for (const std::string_view field : {std::string_view("\xf8\x07\x05", 3), std::string_view("\xfa\x07\x02hi", 5),
                                       std::string_view("\xfd\x07\x01\x02\x03\x04", 6),
                                       std::string_view("\xf9\x07\x01\x02\x03\x04\x05\x06\x07\x08", 10)}) {
    bytes.append(field);
  }
  const Result<Message> message = decode(bytes, kCodec);
  REQUIRE(message);
  CHECK(std::get<Heartbeat>(message->body).read_round == 17);
}

TEST_CASE("what is no message is refused") {
  using namespace std::string_view_literals;
  const WireLimits small{.message_bytes = 200, .entries = 2, .members = 3};
  AppendEntries three;
  three.entries = log_of({1, 1, 1});
  three.entries.back().payload = text("x");
  const auto crowd = std::make_shared<const Membership>(Membership{{1, 2, 3, 4}, {}, 0});
  struct Row {
    const char* what;
    std::string bytes;
    Code code;
  };
  const Row rows[] = {
      {"nothing", "", Code::kBadRequest},
      {"no body", std::string("\x08\x01\x10\x02"sv), Code::kBadRequest},
      {"an unknown body", std::string("\x08\x01\x9a\x01\x00"sv), Code::kBadRequest},
      {"cut in a number", std::string("\x08\x80"sv), Code::kBadRequest},
      {"cut in a body", std::string("\x42\x04\x08\x04"sv), Code::kBadRequest},
      {"a number beyond 64 bits", std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x42\x00"sv),
       Code::kBadRequest},
      {"a number without end", std::string("\x08") + std::string(11, '\x80'), Code::kBadRequest},
      {"a length beyond the end", std::string("\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv), Code::kBadRequest},
      {"a group", std::string("\x0b\x0c\x42\x00"sv), Code::kBadRequest},
      {"field 0", std::string("\x00\x01\x42\x00"sv), Code::kBadRequest},
      {"a number where bytes belong", std::string("\x40\x01"sv), Code::kBadRequest},
      {"bytes where a number belongs", std::string("\x0a\x00\x42\x00"sv), Code::kBadRequest},
      {"too long", encode({1, 2, 3, AppendEntries{1, 1, {{2, 1, text(std::string(300, 'x')), nullptr}}, 0, 0}}, kCodec),
       Code::kTooLarge},
      {"too many entries", encode({1, 2, 3, three}, kCodec), Code::kTooLarge},
      {"too many members", encode({1, 2, 3, InstallSnapshot{{1, 1, 1, crowd, 0}}}, kCodec), Code::kTooLarge},
      {"a payload that its owner refuses",
       encode({1, 2, 3, AppendEntries{1, 1, {{2, 1, text("bad"), nullptr}}, 0, 0}}, kCodec), Code::kCorrupt},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Result<Message> message = decode(row.bytes, kCodec, small);
    REQUIRE_FALSE(message);
    CHECK(message.error().code() == row.code);
  }
}

}  // namespace
}  // namespace kayak::store::raft::test
