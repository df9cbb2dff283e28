// heartbeat_wire.cc: see heartbeat_wire.h.
#include "api/heartbeat_wire.h"

#include "api/heartbeat.h"
#include "base/protobuf_wire.h"

namespace kayak::api {

namespace {

Error no_batch() { return Error(Code::kBadRequest, "not a batch of heartbeats"); }

Result<Heartbeat> decode_beat(std::string_view bytes) {
  std::string_view group, version, resource;
  Heartbeat beat;
  ProtobufReader in(bytes);
  while (!in.at_end()) {
    if (!in.next()) return no_batch();
    if (in.field() == 6 && in.type() == ProtobufType::kVarint)
      beat.revision = static_cast<store::Revision>(in.number());
    if (in.type() != ProtobufType::kBytes) continue;
    switch (in.field()) {
      case 1:
        group = in.bytes();
        break;
      case 2:
        version = in.bytes();
        break;
      case 3:
        resource = in.bytes();
        break;
      case 4:
        beat.namespace_ = in.bytes();
        break;
      case 5:
        beat.name = in.bytes();
        break;
      case 7:
        beat.text = std::make_shared<const std::string>(in.bytes());
        break;
      default:
        break;
    }
  }
  beat.kind = find_kind(group, version, resource);
  return beat;
}

}  // namespace

std::string encode_heartbeats(const std::vector<Heartbeat>& heartbeats) {
  std::string out, inside;
  ProtobufWriter batch(&out);
  for (const Heartbeat& heartbeat : heartbeats) {
    inside.clear();
    ProtobufWriter beat(&inside);
    beat.bytes(1, heartbeat.kind->group);
    beat.bytes(2, heartbeat.kind->version);
    beat.bytes(3, heartbeat.kind->plural);
    beat.bytes(4, heartbeat.namespace_);
    beat.bytes(5, heartbeat.name);
    beat.number(6, static_cast<std::uint64_t>(heartbeat.revision));
    beat.bytes(7, *heartbeat.text);
    batch.bytes(1, inside);
  }
  return out;
}

Result<std::vector<Heartbeat>> decode_heartbeats(std::string_view bytes) {
  if (bytes.size() > kMaxHeartbeatBatchBytes) return Error(Code::kTooLarge, "a batch of heartbeats of over 16 MiB");
  std::vector<Heartbeat> beats;
  ProtobufReader in(bytes);
  while (!in.at_end()) {
    if (!in.next()) return no_batch();
    if (in.field() != 1 || in.type() != ProtobufType::kBytes) continue;
    Result<Heartbeat> beat = decode_beat(in.bytes());
    if (!beat) return beat.error();
    const bool usable = beat->kind != nullptr && beat->text && !beat->kind->storage_prefix.empty() &&
                        may_have_heartbeats(storage_key(*beat->kind, beat->namespace_, beat->name));
    if (usable) beats.push_back(std::move(*beat));
  }
  return beats;
}

bool accept_heartbeat(WatchCache& cache, const Heartbeat& heartbeat) {
  const ObjectRef shown = cache.get(*heartbeat.kind, heartbeat.namespace_, heartbeat.name);
  if (!shown || shown->revision() != heartbeat.revision) return false;
  const Result<ObjectRef> sent = Object::from_stored(*heartbeat.kind, heartbeat.text, heartbeat.revision);
  if (!sent) return false;
  const json::Document before = shown->document(), after = (*sent)->document();
  const bool is_one = before && after && difference_between(*heartbeat.kind, *before, *after) == Difference::kHeartbeat;
  return is_one && cache.take_heartbeat(heartbeat) != nullptr;
}

}  // namespace kayak::api
