// peer_change_test.cc: what servers ask each other about the group, as bytes and back, and what is refused.
#include "store/peer_change.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

namespace kayak::store {
namespace {

using Verb = PeerChange::Verb;

MemberRecord boat() {
  MemberRecord member;
  member.name = "boat";
  member.addresses = {"192.0.2.1:6443"};
  member.key = std::string(64, 'a');
  member.id = member_id(member.key);
  return member;
}

PeerChange of(Verb verb) {
  PeerChange change;
  change.verb = verb;
  if (verb == Verb::kJoin) {
    change.member = boat();
  } else {
    change.id = 7;
  }
  if (verb == Verb::kAddresses) change.addresses = {"boat:1", "[2001:db8::1]:2"};
  return change;
}

TEST_CASE("changes come back as they were written") {
  for (const Verb verb : {Verb::kJoin, Verb::kPromote, Verb::kRemove, Verb::kAddresses, Verb::kLead}) {
    CAPTURE(static_cast<int>(verb));
    PeerChange change = of(verb);
    CHECK(*decode_peer_change(encode_peer_change(change)) == change);
    change.forwarded = change.returns = true;
    if (verb == Verb::kJoin) change.replaces = {0xffffffffffffffff, 5};
    CHECK(*decode_peer_change(encode_peer_change(change)) == change);
  }
  // What a later version adds is skipped.
  CHECK(*decode_peer_change(encode_peer_change(of(Verb::kPromote)) + "\x78\x01") == of(Verb::kPromote));
}

TEST_CASE("changes that make no sense are refused") {
  PeerChange no_member = of(Verb::kPromote), no_id = of(Verb::kJoin), no_address = of(Verb::kRemove);
  no_member.verb = Verb::kJoin;
  no_id.verb = Verb::kPromote;
  no_address.verb = Verb::kAddresses;
  PeerChange wrong_address = of(Verb::kAddresses), crowded = of(Verb::kAddresses), wrong_name = of(Verb::kJoin);
  wrong_address.addresses = {"nowhere"};
  crowded.addresses.assign(9, "boat:1");
  wrong_name.member->name = "bo at";
  PeerChange many = of(Verb::kJoin);
  many.replaces.assign(17, 5);
  for (const PeerChange& change : {no_member, no_id, no_address, wrong_address, crowded, wrong_name, many}) {
    CHECK_FALSE(decode_peer_change(encode_peer_change(change)));
  }
  for (const std::string& bytes : {std::string(), std::string("\x08\x09\x10\x01"), std::string("\x08"),
                                   encode_peer_change(of(Verb::kJoin)).substr(0, 20), std::string("\x10\x01")}) {
    const Result<PeerChange> change = decode_peer_change(bytes);
    REQUIRE_FALSE(change);
    CHECK(change.error().code() == Code::kBadRequest);
  }
}

TEST_CASE("answers carry the members, or why not") {
  PeerChanged good;
  good.members.cluster = "0123456789abcdef";
  good.members.members = {boat()};
  const Result<PeerChanged> read = decode_peer_changed(encode_peer_changed(good));
  REQUIRE(read);
  CHECK_FALSE(read->error);
  CHECK(read->members == good.members);
  for (const Code code : {Code::kUnavailable, Code::kConflict, Code::kInvalid, Code::kNotFound, Code::kAlreadyExists,
                          Code::kForbidden, Code::kTimeout, Code::kInternal}) {
    PeerChanged bad;
    bad.error = Error(code, "because");
    const Result<PeerChanged> again = decode_peer_changed(encode_peer_changed(bad));
    REQUIRE(again);
    REQUIRE(again->error);
    CHECK(again->error->code() == code);
    CHECK(again->error->message() == "because");
  }
  CHECK_FALSE(decode_peer_changed(""));
  CHECK_FALSE(decode_peer_changed("\x1a\x02{}"));
}

}  // namespace
}  // namespace kayak::store
