// member.cc: see member.h.
#include "store/member.h"

#include <algorithm>
#include <set>

#include "base/files.h"
#include "base/json_object.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::store {

namespace {

constexpr std::size_t kListBytes = MemberLimits::kMembers * MemberLimits::kRecordBytes;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Error corrupt(std::string_view what) { return Error(Code::kCorrupt, cat("the member's record ", what)); }

const char* role_name(MemberRecord::Role role) { return role == MemberRecord::Role::kWitness ? "witness" : "voter"; }

json::Value to_json(const MemberRecord& member) {
  json::Value value;
  value["name"] = member.name;
  json::Array addresses;
  for (const std::string& address : member.addresses) addresses.emplace_back(address);
  value["addresses"] = std::move(addresses);
  value["key"] = member.key;
  value["role"] = role_name(member.role);
  return value;
}

Result<json::Value> read_object(std::string_view text, std::size_t max_bytes) {
  Result<json::Value> object = json::read_object(text, max_bytes);
  return object ? std::move(object) : corrupt(object.error().message());
}

Result<MemberRecord> from_json(const json::Value& value) {
  for (const char* field : {"name", "key", "role"}) {
    const json::Value* found = value.find(field);
    if (!found || !found->is_string()) return corrupt(cat("has no text ", quote(field)));
  }
  MemberRecord member;
  member.name = value.find("name")->as_string();
  member.key = value.find("key")->as_string();
  member.id = member_id(member.key);
  const std::string& role = value.find("role")->as_string();
  if (role != "voter" && role != "witness") return corrupt(cat("has the role ", quote(role)));
  member.role = role == "witness" ? MemberRecord::Role::kWitness : MemberRecord::Role::kVoter;
  const json::Value* addresses = value.find("addresses");
  if (!addresses || !addresses->is_array()) return corrupt("has no list \"addresses\"");
  for (const json::Value& address : addresses->as_array()) {
    if (!address.is_string()) return corrupt("has an address that is no text");
    member.addresses.push_back(address.as_string());
  }
  if (auto fine = check_member(member); !fine) return corrupt(cat("is wrong: ", fine.error().message()));
  return member;
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

raft::NodeId member_id(std::string_view key) {
  if (key.size() != 64 || !is_hex(key)) return raft::kNobody;
  const raft::NodeId id = parse_member_id(key.substr(0, 16));
  return id == raft::kNobody ? 1 : id;
}

std::string member_id_text(raft::NodeId id) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(id >> shift));
  return hex_encode(bytes);
}

raft::NodeId parse_member_id(std::string_view text) {
  if (text.empty() || text.size() > 16 || !is_hex(text)) return raft::kNobody;
  raft::NodeId id = 0;
  for (const char c : text) id = id << 4 | static_cast<raft::NodeId>(c <= '9' ? c - '0' : c - 'a' + 10);
  return id;
}

Result<std::string> cluster_id(std::string_view peer_ca_pem) {
  Result<io::CertificateInfo> info = io::parse_certificate_pem(peer_ca_pem);
  if (!info) return info.error();
  return info->public_key_sha256.substr(0, 16);
}

Result<HostPort> parse_host_port(std::string_view text) {
  const auto wrong = [&text] { return Error(Code::kInvalid, cat(quote(text), " is not host:port")); };
  const std::size_t colon = text.rfind(':');
  std::int64_t port = 0;
  if (text.size() > MemberLimits::kAddressBytes || colon == std::string_view::npos) return wrong();
  const std::string_view digits = text.substr(colon + 1);
  std::string_view host = text.substr(0, colon);
  const bool number = !digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == digits.npos;
  if (!number || !parse_int64(digits, &port) || port < 1 || port > 65535) return wrong();
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // A colon inside a host is one of an IPv6 address, which stands in brackets so that its port can be told.
  if (host.empty() || (host.find(':') != host.npos) != bracketed) return wrong();
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == ':';
  });
  if (!plain) return wrong();
  return HostPort{std::string(host), static_cast<std::uint16_t>(port)};
}

Result<void> check_member(const MemberRecord& member) {
  if (member.name.empty() || member.name.size() > MemberLimits::kName || !printable(member.name)) {
    return Error(Code::kInvalid, "a member's name has 1 to 253 printable characters");
  }
  if (member.addresses.empty() || member.addresses.size() > MemberLimits::kAddresses) {
    return Error(Code::kInvalid, cat("a member has 1 to ", MemberLimits::kAddresses, " addresses"));
  }
  for (const std::string& address : member.addresses) {
    if (auto parsed = parse_host_port(address); !parsed) return parsed.error();
  }
  if (member_id(member.key) == raft::kNobody) return Error(Code::kInvalid, "a member's key is 64 hex digits");
  if (member.id != member_id(member.key)) return Error(Code::kInvalid, "the member's id is not that of its key");
  return Result<void>();
}

std::string member_key(raft::NodeId id) { return cat(kMemberPrefix, member_id_text(id)); }

std::string encode_member(const MemberRecord& member) { return json::write(to_json(member)); }

Result<MemberRecord> decode_member(std::string_view store_key, std::string_view value) {
  Result<json::Value> object = read_object(value, MemberLimits::kRecordBytes);
  if (!object) return object.error();
  Result<MemberRecord> member = from_json(*object);
  if (member && member_key(member->id) != store_key) return corrupt(cat("does not belong under ", quote(store_key)));
  return member;
}

const MemberRecord* MemberList::find(raft::NodeId id) const {
  const auto found =
      std::find_if(members.begin(), members.end(), [id](const MemberRecord& one) { return one.id == id; });
  return found == members.end() ? nullptr : &*found;
}

std::string encode_member_list(const MemberList& list) {
  json::Value value;
  value["cluster"] = list.cluster;
  json::Array members;
  for (const MemberRecord& member : list.members) members.push_back(to_json(member));
  value["members"] = std::move(members);
  if (list.term != 0) {
    value["term"] = static_cast<std::int64_t>(list.term);
    value["version"] = static_cast<std::int64_t>(list.version);
  }
  return json::write(value);
}

Result<MemberList> decode_member_list(std::string_view text) {
  Result<json::Value> object = read_object(text, kListBytes);
  if (!object) return object.error();
  const json::Value* cluster = object->find("cluster");
  const json::Value* members = object->find("members");
  if (!cluster || !cluster->is_string() || !members || !members->is_array()) {
    return Error(Code::kCorrupt, "the list of members needs \"cluster\" and \"members\"");
  }
  MemberList list;
  list.cluster = cluster->as_string();
  if (members->as_array().size() > MemberLimits::kMembers) {
    return Error(Code::kCorrupt, cat("the list has more than ", MemberLimits::kMembers, " members"));
  }
  std::set<raft::NodeId> ids;
  for (const json::Value& one : members->as_array()) {
    Result<MemberRecord> member = from_json(one);
    if (!member) return member.error();
    if (!ids.insert(member->id).second) return Error(Code::kCorrupt, "the list has a member twice");
    list.members.push_back(std::move(*member));
  }
  struct Stamp {
    const char* name;
    std::uint64_t* number;
  };
  for (const Stamp& stamp : {Stamp{"term", &list.term}, Stamp{"version", &list.version}}) {
    const json::Value* found = object->find(stamp.name);
    if (found == nullptr) continue;
    if (!found->is_int() || found->as_int() < 0) {
      return Error(Code::kCorrupt, cat("the list of members has a ", stamp.name, " that is no number"));
    }
    *stamp.number = static_cast<std::uint64_t>(found->as_int());
  }
  return list;
}

Result<MemberList> read_member_list(const std::string& path) {
  Result<std::string> text = read_file(path, kListBytes);
  if (!text) return text.error();
  Result<MemberList> list = decode_member_list(*text);
  if (!list) return list.error().while_doing(path);
  return list;
}

Result<void> write_member_list(const std::string& path, const MemberList& list) {
  return write_file_atomic(path, encode_member_list(list), 0600);
}

}  // namespace kayak::store
