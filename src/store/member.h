// member.h: one member of the group as the others know it: who it is, by its key, and where it is reached.
// Records are replicated as keys below kMemberPrefix; members.json beside the database is a copy of them, for a start
// at which the log is empty or cannot be read. Whether a member is a learner says the Raft membership alone.
// Values in, values out, but for the two functions of the cache file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/raft/types.h"

namespace kayak::store {

constexpr std::string_view kMemberPrefix = "/kayak/members/";
// The organization in the certificate of a witness: who has it never joins as anything else.
constexpr std::string_view kWitnessOrganization = "kayak:witness";

struct MemberRecord {
  enum class Role : std::uint8_t { kVoter, kWitness };  // a learner's is kVoter: it is on its way there
  raft::NodeId id = raft::kNobody;                      // of the key: member_id()
  std::string name;
  std::vector<std::string> addresses;  // "host:port" of the API port, the preferred one first
  std::string key;                     // SHA-256 over the DER SubjectPublicKeyInfo of its peer key, 64 hex digits
  Role role = Role::kVoter;
  bool operator==(const MemberRecord&) const = default;
};

struct MemberLimits {
  static constexpr std::size_t kName = 253;
  static constexpr std::size_t kAddresses = 8;
  static constexpr std::size_t kAddressBytes = 261;  // a DNS name and a port
  static constexpr std::size_t kRecordBytes = 8 * 1024;
  static constexpr std::size_t kMembers = raft::kMaxMembers;
  static constexpr std::size_t kReplaced = 16;  // ids that a server gave up before it was taken in
};

// The id that belongs to a key: its first 8 bytes, big endian; 1 in place of 0, which is nobody. `key` as in
// MemberRecord; 0 when it is no such text.
raft::NodeId member_id(std::string_view key);
// 16 lower-case hex digits, and back; 0 when `text` is not that (shorter ones, as etcdctl prints them, are taken).
std::string member_id_text(raft::NodeId id);
raft::NodeId parse_member_id(std::string_view text);

// A cluster's own name: the first 16 hex digits of its peer CA's key. Errors: Invalid (no certificate).
Result<std::string> cluster_id(std::string_view peer_ca_pem);

struct HostPort {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
// "host:port" or "[v6]:port". Errors: Invalid.
Result<HostPort> parse_host_port(std::string_view text);

// Whether it can stand among others. Errors: Invalid, with what is wrong.
Result<void> check_member(const MemberRecord& member);

std::string member_key(raft::NodeId id);  // in the store
std::string encode_member(const MemberRecord& member);
// `store_key` as it was read. Members of the JSON that this version does not know are skipped. Errors: Corrupt.
Result<MemberRecord> decode_member(std::string_view store_key, std::string_view value);

// The cache: {"cluster": "<cluster id>", "members": [...]}.
struct MemberList {
  std::string cluster;
  std::vector<MemberRecord> members;
  // Of the leader that told it to one without a log, and the how manyth it told in that term; 0: nobody vouches for it.
  raft::Term term = 0;
  std::uint64_t version = 0;
  bool operator==(const MemberList&) const = default;
  const MemberRecord* find(raft::NodeId id) const;  // null: it is not among them
};
std::string encode_member_list(const MemberList& list);
Result<MemberList> decode_member_list(std::string_view text);  // Errors: Corrupt
// Blocking. Errors: NotFound, Corrupt, Io.
Result<MemberList> read_member_list(const std::string& path);
Result<void> write_member_list(const std::string& path, const MemberList& list);  // Errors: Io, NoSpace

}  // namespace kayak::store
