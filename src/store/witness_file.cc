// witness_file.cc: see witness_file.h.
#include "store/witness_file.h"

#include "base/endian.h"
#include "base/files.h"
#include "base/protobuf_wire.h"
#include "base/strings.h"
#include "store/checksum.h"

namespace kayak::store {

namespace {

constexpr std::string_view kMagic = "KWIT";
constexpr char kVersion = 1;
constexpr std::size_t kHeadBytes = 4 + 1 + 4;
constexpr std::size_t kMaxBytes = 4096;

enum Field : unsigned { kSelf = 1, kTerm, kVote, kRecord, kLost };
enum RecordField : unsigned { kRecordTerm = 1, kRecordVersion, kRecordIndex, kRecordIndexTerm, kInSync };

Error corrupt(std::string_view what) { return Error(Code::kCorrupt, cat("the state of the witness ", what)); }

std::string encode_record(const raft::WitnessRecord& record) {
  std::string out;
  ProtobufWriter writer(&out);
  writer.number(kRecordTerm, record.term);
  writer.number(kRecordVersion, record.version);
  writer.number(kRecordIndex, record.index);
  writer.number(kRecordIndexTerm, record.index_term);
  for (const raft::NodeId node : record.in_sync) writer.number(kInSync, node);
  return out;
}

Result<raft::WitnessRecord> decode_record(std::string_view bytes) {
  raft::WitnessRecord record;
  for (ProtobufReader reader(bytes); !reader.at_end();) {
    if (!reader.next() || reader.type() != ProtobufType::kVarint) return corrupt("has a malformed record");
    switch (reader.field()) {
      case kRecordTerm:
        record.term = reader.number();
        break;
      case kRecordVersion:
        record.version = reader.number();
        break;
      case kRecordIndex:
        record.index = reader.number();
        break;
      case kRecordIndexTerm:
        record.index_term = reader.number();
        break;
      case kInSync:
        if (record.in_sync.size() >= raft::kMaxMembers) return corrupt("names too many servers");
        record.in_sync.push_back(reader.number());
        break;
      default:
        return corrupt("has a field that is not known");
    }
  }
  return record;
}

}  // namespace

std::string encode_witness_state(const WitnessState& state) {
  std::string body;
  ProtobufWriter writer(&body);
  writer.number(kSelf, state.self);
  writer.number(kTerm, state.hard.term);
  writer.number(kVote, state.hard.vote);
  if (state.record) writer.bytes(kRecord, encode_record(*state.record));
  if (state.lost) writer.number(kLost, 1);
  std::string out(kMagic);
  out.push_back(kVersion);
  put_big32(&out, crc32c(0, body));
  return out + body;
}

Result<WitnessState> decode_witness_state(std::string_view bytes) {
  if (bytes.size() < kHeadBytes || !bytes.starts_with(kMagic)) return corrupt("is cut off, or none");
  if (bytes[kMagic.size()] != kVersion) {
    return Error(Code::kInvalid, "the state of the witness was written by another version of Kayak");
  }
  const std::uint32_t crc = big32(bytes, kMagic.size() + 1);
  const std::string_view body = bytes.substr(kHeadBytes);
  if (crc32c(0, body) != crc) return corrupt("is damaged: its checksum is wrong");
  WitnessState state;
  for (ProtobufReader reader(body); !reader.at_end();) {
    if (!reader.next()) return corrupt("is malformed");
    const bool number = reader.type() == ProtobufType::kVarint;
    if (number && reader.field() == kSelf) {
      state.self = reader.number();
    } else if (number && reader.field() == kTerm) {
      state.hard.term = reader.number();
    } else if (number && reader.field() == kVote) {
      state.hard.vote = reader.number();
    } else if (number && reader.field() == kLost) {
      state.lost = reader.number() != 0;
    } else if (reader.field() == kRecord && reader.type() == ProtobufType::kBytes) {
      Result<raft::WitnessRecord> record = decode_record(reader.bytes());
      if (!record) return record.error();
      state.record = std::move(*record);
    } else {
      return corrupt("has a field that is not known");
    }
  }
  if (state.self == raft::kNobody) return corrupt("does not say whose it is");
  return state;
}

Result<WitnessState> read_witness_state(const std::string& path) {
  Result<std::string> bytes = read_file(path, kMaxBytes);
  if (!bytes) return bytes.error().code() == Code::kTooLarge ? corrupt("is too large") : bytes.error();
  Result<WitnessState> state = decode_witness_state(*bytes);
  if (!state) return state.error().while_doing(path);
  return state;
}

Result<void> write_witness_state(const std::string& path, const WitnessState& state) {
  return write_file_atomic(path, encode_witness_state(state), 0600);
}

}  // namespace kayak::store
