// member_test.cc: records of members: what is written is read, what is wrong is refused.
#include "store/member.h"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "support/scratch.h"

namespace kayak::store {
namespace {

const std::string kKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

MemberRecord boat() {
  MemberRecord member;
  member.name = "boat";
  member.addresses = {"192.0.2.1:6443", "[2001:db8::1]:6443", "boat.example:7443"};
  member.key = kKey;
  member.id = member_id(kKey);
  return member;
}

TEST_CASE("a member's id is the beginning of its key, and never nobody") {
  struct Row {
    std::string key;
    raft::NodeId id;
  };
  for (const Row& row : {Row{kKey, 0x0011223344556677}, Row{std::string(64, '0'), 1}, Row{std::string(64, 'f'), ~0ULL},
                         Row{kKey.substr(1), 0}, Row{kKey + "0", 0}, Row{"", 0}, Row{std::string(64, 'g'), 0},
                         Row{std::string(64, 'F'), 0}}) {
    CAPTURE(row.key);
    CHECK(member_id(row.key) == row.id);
  }
  CHECK(member_id_text(0x0011223344556677) == "0011223344556677");
  CHECK(parse_member_id("0011223344556677") == 0x0011223344556677);
  CHECK(parse_member_id("8e9e05c52164694d") == 0x8e9e05c52164694d);
  CHECK(parse_member_id("1f") == 0x1f);
  for (const char* wrong : {"", "x", "00112233445566778", "0x12", "-1"}) CHECK(parse_member_id(wrong) == 0);
}

TEST_CASE("addresses of members") {
  struct Row {
    std::string text, host;  // host empty: refused
    std::uint16_t port;
  };
  for (const Row& row : {Row{"192.0.2.1:6443", "192.0.2.1", 6443}, Row{"[2001:db8::1]:1", "2001:db8::1", 1},
                         Row{"boat.example:65535", "boat.example", 65535}, Row{"boat", "", 0}, Row{"boat:", "", 0},
                         Row{"boat:0", "", 0}, Row{"boat:65536", "", 0}, Row{"boat:+1", "", 0}, Row{":6443", "", 0},
                         Row{"2001:db8::1:6443", "", 0}, Row{"[boat]:6443", "", 0}, Row{"bo at:1", "", 0},
                         Row{"https://boat:1", "", 0}, Row{std::string(300, 'a') + ":1", "", 0}}) {
    CAPTURE(row.text);
    const Result<HostPort> parsed = parse_host_port(row.text);
    CHECK(parsed.ok() == !row.host.empty());
    if (!parsed) continue;
    CHECK(parsed->host == row.host);
    CHECK(parsed->port == row.port);
  }
}

TEST_CASE("a record comes back as it was written") {
  MemberRecord member = boat();
  for (const MemberRecord::Role role : {MemberRecord::Role::kVoter, MemberRecord::Role::kWitness}) {
    member.role = role;
    const Result<MemberRecord> read = decode_member(member_key(member.id), encode_member(member));
    REQUIRE(read);
    CHECK(*read == member);
  }
  CHECK(member_key(member.id) == "/kayak/members/0011223344556677");
  // A later version may say more.
  std::string more = encode_member(member);
  more.insert(1, "\"region\":\"north\",");
  CHECK(decode_member(member_key(member.id), more));
}

TEST_CASE("records that cannot be right are refused") {
  const std::string good = encode_member(boat());
  const auto with = [&good](const std::string& old, const std::string& fresh) {
    std::string text = good;
    const std::size_t at = text.find(old);
    REQUIRE(at != std::string::npos);
    return text.replace(at, old.size(), fresh);
  };
  struct Row {
    std::string text, says;
  };
  for (const Row& row :
       {Row{"", "no JSON"}, Row{"[]", "no object"}, Row{"{}", "no text \"name\""}, Row{good + "x", "no JSON"},
        Row{with("\"boat\"", "7"), "no text \"name\""}, Row{with("\"boat\"", "\"\""), "name"},
        Row{with("\"boat\"", "\"bo at\""), "name"}, Row{with("voter", "captain"), "role"},
        Row{with("0011", "001"), "64 hex digits"}, Row{with("0011", "1011"), "does not belong"},
        Row{with("192.0.2.1:6443", "192.0.2.1"), "host:port"}, Row{with("\"role\"", "\"key\":\"a\",\"role\""), "twice"},
        Row{with("\"boat.example:7443\"", "7"), "no text"}, Row{std::string(9000, ' ') + good, "too large"}}) {
    CAPTURE(row.text, row.says);
    const Result<MemberRecord> read = decode_member(member_key(boat().id), row.text);
    REQUIRE_FALSE(read);
    CHECK(read.error().code() == Code::kCorrupt);
    CHECK(read.error().message().find(row.says) != std::string::npos);
  }
  MemberRecord crowded = boat();
  crowded.addresses.assign(9, "boat:1");
  CHECK_FALSE(check_member(crowded));
  crowded.addresses.clear();
  CHECK_FALSE(check_member(crowded));
}

TEST_CASE("the list of members beside the database") {
  const kayak::test::Scratch scratch;
  const std::string path = scratch.file("members.json");
  CHECK(read_member_list(path).error().code() == Code::kNotFound);
  MemberList list;
  list.cluster = "0123456789abcdef";
  list.members = {boat()};
  REQUIRE(write_member_list(path, list));
  const Result<MemberList> read = read_member_list(path);
  REQUIRE(read);
  CHECK(*read == list);
  list.term = 7;
  list.version = 3;
  CHECK(*decode_member_list(encode_member_list(list)) == list);
  CHECK_FALSE(decode_member_list("{\"cluster\":\"a\",\"members\":[],\"term\":-1}"));
  CHECK_FALSE(decode_member_list("{\"cluster\":\"a\",\"members\":[],\"version\":\"x\"}"));
  list.members.push_back(boat());
  CHECK(decode_member_list(encode_member_list(list)).error().message().find("twice") != std::string::npos);
  CHECK_FALSE(decode_member_list("{\"members\":[]}"));
  CHECK_FALSE(decode_member_list("{\"cluster\":\"a\",\"members\":{}}"));
  CHECK_FALSE(decode_member_list("{\"cluster\":\"a\",\"members\":[{}]}"));
}

}  // namespace
}  // namespace kayak::store
