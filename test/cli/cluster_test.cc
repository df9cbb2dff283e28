// cluster_test.cc: whom a server asks to be taken in, or to hear where it is now.
#include "cli/cluster.h"

#include <catch2/catch.hpp>

using namespace kayak;
using namespace kayak::cli;

namespace {

store::MemberRecord member(store::raft::NodeId id, std::vector<std::string> addresses,
                           store::MemberRecord::Role role = store::MemberRecord::Role::kVoter) {
  store::MemberRecord record;
  record.id = id;
  record.addresses = std::move(addresses);
  record.role = role;
  return record;
}

}  // namespace

TEST_CASE(
    "who announces itself asks the named server first, then the servers it knows, but neither itself nor witnesses") {
  const store::MemberRecord self = member(1, {"192.0.2.1:6443", "192.0.2.1:7443"});
  const store::MemberRecord other = member(2, {"192.0.2.2:6443", "[2001:db8::2]:6443"});
  const store::MemberRecord witness = member(3, {"192.0.2.3:6443"}, store::MemberRecord::Role::kWitness);
  struct Row {
    const char* what;
    std::vector<store::MemberRecord> known;
    std::string server;
    std::vector<std::string> addresses;
    bool returns;
  };
  for (const Row& row : {
           Row{"nobody is known", {}, "https://192.0.2.9:6443", {"192.0.2.9:6443"}, false},
           Row{"none is named", {other, witness}, "", {"192.0.2.2:6443", "[2001:db8::2]:6443"}, false},
           Row{"it was a member",
               {self, other},
               "https://192.0.2.9:6443",
               {"192.0.2.9:6443", "192.0.2.2:6443", "[2001:db8::2]:6443"},
               true},
           Row{"one that is known is named",
               {other},
               "https://[2001:db8::2]:6443",
               {"[2001:db8::2]:6443", "192.0.2.2:6443"},
               false},
           Row{"it is named itself",
               {other},
               "https://192.0.2.1:7443",
               {"192.0.2.2:6443", "[2001:db8::2]:6443"},
               false},
       }) {
    CAPTURE(row.what);
    store::MemberList known;
    known.cluster = "00000000000000aa";
    known.members = row.known;
    const store::Announcement announcement = announcement_of(self, known, row.server);
    CHECK(announcement.addresses == row.addresses);
    CHECK(announcement.returns == row.returns);
    CHECK(announcement.cluster == known.cluster);
    CHECK(announcement.self == self);
  }
}
