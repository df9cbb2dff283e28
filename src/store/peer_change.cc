// peer_change.cc: see peer_change.h.
#include "store/peer_change.h"

#include <algorithm>

#include "base/protobuf_wire.h"
#include "base/strings.h"

namespace kayak::store {

namespace {

enum ChangeField : unsigned { kVerb = 1, kId, kMemberKey, kMemberValue, kReplaces, kAddress, kForwarded, kReturns };
enum ChangedField : unsigned { kCode = 1, kMessage, kMembers };

constexpr std::size_t kMaxBytes = MemberLimits::kMembers * MemberLimits::kRecordBytes + 64 * 1024;
constexpr std::size_t kMaxMessage = 1024;

struct CodeName {
  Code code;
  std::string_view name;
};
constexpr CodeName kCodes[] = {
    {Code::kInternal, "Internal"},   {Code::kUnavailable, "Unavailable"}, {Code::kConflict, "Conflict"},
    {Code::kInvalid, "Invalid"},     {Code::kNotFound, "NotFound"},       {Code::kAlreadyExists, "AlreadyExists"},
    {Code::kForbidden, "Forbidden"}, {Code::kTimeout, "Timeout"},
};

Error malformed(std::string_view what) { return Error(Code::kBadRequest, cat("a peer's message ", what)); }

}  // namespace

std::string encode_peer_change(const PeerChange& change) {
  std::string out;
  ProtobufWriter writer(&out);
  writer.number(kVerb, static_cast<std::uint64_t>(change.verb));
  if (change.id != raft::kNobody) writer.number(kId, change.id);
  if (change.member) {
    writer.bytes(kMemberKey, member_key(change.member->id));
    writer.bytes(kMemberValue, encode_member(*change.member));
  }
  for (const raft::NodeId id : change.replaces) writer.number(kReplaces, id);
  for (const std::string& address : change.addresses) writer.bytes(kAddress, address);
  if (change.forwarded) writer.number(kForwarded, 1);
  if (change.returns) writer.number(kReturns, 1);
  return out;
}

Result<PeerChange> decode_peer_change(std::string_view bytes) {
  if (bytes.size() > kMaxBytes) return malformed("is too large");
  PeerChange change;
  std::uint64_t verb = 0;
  std::string_view key, value;
  for (ProtobufReader reader(bytes); !reader.at_end();) {
    if (!reader.next()) return malformed("is cut off");
    const bool number = reader.type() == ProtobufType::kVarint, text = reader.type() == ProtobufType::kBytes;
    if (number && reader.field() == kVerb) verb = reader.number();
    if (number && reader.field() == kId) change.id = reader.number();
    if (text && reader.field() == kMemberKey) key = reader.bytes();
    if (text && reader.field() == kMemberValue) value = reader.bytes();
    if (number && reader.field() == kReplaces) {
      if (change.replaces.size() >= MemberLimits::kReplaced) return malformed("replaces too many");
      change.replaces.push_back(reader.number());
    }
    if (number && reader.field() == kForwarded) change.forwarded = reader.number() != 0;
    if (number && reader.field() == kReturns) change.returns = reader.number() != 0;
    if (text && reader.field() == kAddress) {
      if (change.addresses.size() >= MemberLimits::kAddresses) return malformed("has too many addresses");
      if (auto parsed = parse_host_port(reader.bytes()); !parsed) return malformed(parsed.error().message());
      change.addresses.emplace_back(reader.bytes());
    }
  }
  if (verb < 1 || verb > static_cast<std::uint64_t>(PeerChange::Verb::kLead))
    return malformed("wants what is not known");
  change.verb = static_cast<PeerChange::Verb>(verb);
  if (change.verb == PeerChange::Verb::kJoin) {
    Result<MemberRecord> member = decode_member(key, value);
    if (!member) return malformed(member.error().message());
    change.member = std::move(*member);
  } else if (change.id == raft::kNobody) {
    return malformed("does not say of whom");
  }
  if (change.verb == PeerChange::Verb::kAddresses && change.addresses.empty()) return malformed("has no address");
  return change;
}

std::string encode_peer_changed(const PeerChanged& answer) {
  std::string out;
  ProtobufWriter writer(&out);
  if (answer.error) {
    const auto* found = std::find_if(std::begin(kCodes), std::end(kCodes),
                                     [&](const CodeName& one) { return one.code == answer.error->code(); });
    writer.bytes(kCode, found == std::end(kCodes) ? kCodes[0].name : found->name);
    writer.bytes(kMessage, std::string_view(answer.error->message()).substr(0, kMaxMessage));
  } else {
    writer.bytes(kMembers, encode_member_list(answer.members));
  }
  return out;
}

Result<PeerChanged> decode_peer_changed(std::string_view bytes) {
  if (bytes.size() > kMaxBytes) return malformed("is too large");
  std::string_view code, message, members;
  for (ProtobufReader reader(bytes); !reader.at_end();) {
    if (!reader.next()) return malformed("is cut off");
    if (reader.type() != ProtobufType::kBytes) continue;
    if (reader.field() == kCode) code = reader.bytes();
    if (reader.field() == kMessage) message = reader.bytes().substr(0, kMaxMessage);
    if (reader.field() == kMembers) members = reader.bytes();
  }
  PeerChanged answer;
  if (!code.empty()) {
    const auto* found =
        std::find_if(std::begin(kCodes), std::end(kCodes), [&](const CodeName& one) { return one.name == code; });
    answer.error = Error(found == std::end(kCodes) ? Code::kInternal : found->code, std::string(message));
    return answer;
  }
  Result<MemberList> list = decode_member_list(members);
  if (!list) return malformed(list.error().message());
  answer.members = std::move(*list);
  return answer;
}

Result<MemberList> members_after(const Result<std::string>& answer) {
  if (!answer) return answer.error();
  Result<PeerChanged> changed = decode_peer_changed(*answer);
  if (!changed) return changed.error();
  if (changed->error) return *changed->error;
  return std::move(changed->members);
}

}  // namespace kayak::store
