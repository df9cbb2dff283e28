// wire.cc: see wire.h. Each struct lists its fields once, for both directions.
#include "store/raft/wire.h"

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/protobuf_wire.h"

namespace kayak::store::raft {

namespace {

template <typename M, typename T>
concept Is = std::same_as<std::remove_const_t<M>, T>;

// The fields. V is the Writer or the Reader below.

template <typename V, Is<Membership> M>
void fields(V& v, M& m) {
  v.numbers(1, m.voters);
  v.numbers(2, m.learners);
  v.number(3, m.witness);
}
template <typename V, Is<Entry> M>
void fields(V& v, M& m) {
  v.number(1, m.index);
  v.number(2, m.term);
  v.payload(3, m.payload);
  v.membership(4, m.membership);
}
template <typename V, Is<WitnessRecord> M>
void fields(V& v, M& m) {
  v.number(1, m.term);
  v.number(2, m.version);
  v.number(3, m.index);
  v.number(4, m.index_term);
  v.numbers(5, m.in_sync);
}
template <typename V, Is<SnapshotMeta> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.number(2, m.index);
  v.number(3, m.term);
  v.membership(4, m.membership);
  v.number(5, m.membership_index);
}
template <typename V, Is<RequestVote> M>
void fields(V& v, M& m) {
  v.number(1, m.last_index);
  v.number(2, m.last_term);
  v.flag(3, m.pre_vote);
  v.flag(4, m.transfer);
}
template <typename V, Is<RequestVoteReply> M>
void fields(V& v, M& m) {
  v.flag(1, m.pre_vote);
  v.flag(2, m.granted);
}
template <typename V, Is<AppendEntries> M>
void fields(V& v, M& m) {
  v.number(1, m.prev_index);
  v.number(2, m.prev_term);
  v.entries(3, m.entries);
  v.number(4, m.commit);
  v.number(5, m.read_round);
}
template <typename V, Is<AppendEntriesReply> M>
void fields(V& v, M& m) {
  v.flag(1, m.rejected);
  v.number(2, m.index);
  v.number(3, m.hint_index);
  v.number(4, m.hint_term);
  v.number(5, m.read_round);
}
template <typename V, Is<Heartbeat> M>
void fields(V& v, M& m) {
  v.number(1, m.commit);
  v.number(2, m.read_round);
}
template <typename V, Is<HeartbeatReply> M>
void fields(V& v, M& m) {
  v.number(1, m.read_round);
}
template <typename V, Is<InstallSnapshot> M>
void fields(V& v, M& m) {
  v.message(1, m.snapshot);
}
template <typename V, Is<InstallSnapshotReply> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, Is<RecordInSync> M>
void fields(V& v, M& m) {
  v.message(1, m.record);
}
template <typename V, Is<RecordInSyncReply> M>
void fields(V& v, M& m) {
  v.number(1, m.version);
}
template <typename V, Is<TimeoutNow> M>
void fields(V&, M&) {}
template <typename V, Is<ReadIndex> M>
void fields(V& v, M& m) {
  v.number(1, m.batch);
}
template <typename V, Is<ReadIndexReply> M>
void fields(V& v, M& m) {
  v.number(1, m.batch);
  v.number(2, m.index);
}
template <typename V, Is<Message> M>
void fields(V& v, M& m) {
  v.number(1, m.from);
  v.number(2, m.to);
  v.number(3, m.term);
  v.body(4, m.body);
}

class Writer {
 public:
  Writer(const PayloadCodec& payloads, std::string* out) : payloads_(payloads), out_(out) {}

  void number(unsigned field, std::uint64_t value) {
    if (value != 0) out_.number(field, value);
  }
  void flag(unsigned field, bool value) { number(field, value ? 1 : 0); }
  void numbers(unsigned field, const std::vector<NodeId>& values) {
    std::string packed;
    ProtobufWriter inner(&packed);
    for (const NodeId value : values) inner.varint(value);
    if (!packed.empty()) out_.bytes(field, packed);
  }
  template <typename M>
  void message(unsigned field, const M& value) {
    std::string inside;
    Writer inner(payloads_, &inside);
    fields(inner, value);
    out_.bytes(field, inside);
  }
  // Written even when they are empty: null means something else.
  void membership(unsigned field, const MembershipRef& value) {
    if (value) message(field, *value);
  }
  void payload(unsigned field, const PayloadRef& value) {
    if (!value) return;
    std::string inside;
    payloads_.encode(*value, &inside);
    out_.bytes(field, inside);
  }
  void entries(unsigned field, const std::vector<Entry>& values) {
    for (const Entry& entry : values) message(field, entry);
  }
  void body(unsigned first, const Body& value) {
    std::visit([&](const auto& inside) { message(first + static_cast<unsigned>(value.index()), inside); }, value);
  }

 private:
  const PayloadCodec& payloads_;
  ProtobufWriter out_;
};

// What is common to all Readers of one message.
struct Reading {
  const PayloadCodec& payloads;
  const WireLimits& limits;
  std::size_t entries = 0;
  std::optional<Error> error;  // the first
};

// Offers one field at a time to fields(), which takes the one that it is.
class Reader {
 public:
  Reader(Reading& reading, std::string_view in) : reading_(reading), in_(in) {}

  // Unknown fields are skipped. False when reading_.error is set.
  template <typename M>
  bool read(M* out) {
    while (!in_.at_end() && !reading_.error) {
      if (!in_.next()) return fail("a field is cut off or malformed");
      fields(*this, *out);
    }
    return !reading_.error;
  }

  void number(unsigned field, std::uint64_t& out) {
    if (is(field, ProtobufType::kVarint)) out = in_.number();
  }
  void flag(unsigned field, bool& out) {
    if (is(field, ProtobufType::kVarint)) out = in_.number() != 0;
  }
  void numbers(unsigned field, std::vector<NodeId>& out) {
    if (in_.field() == field && in_.type() == ProtobufType::kVarint) return add(in_.number(), &out);
    if (!is(field, ProtobufType::kBytes)) return;
    std::string_view rest = in_.bytes();
    while (!rest.empty() && !reading_.error) {
      std::uint64_t value = 0;
      if (!ProtobufReader::take_varint(&rest, &value)) return void(fail("a list is cut off"));
      add(value, &out);
    }
  }
  template <typename M>
  void message(unsigned field, M& out) {
    if (is(field, ProtobufType::kBytes)) Reader(reading_, in_.bytes()).read(&out);
  }
  void membership(unsigned field, MembershipRef& out) {
    if (!is(field, ProtobufType::kBytes)) return;
    Membership group;
    if (Reader(reading_, in_.bytes()).read(&group)) out = std::make_shared<const Membership>(std::move(group));
  }
  void payload(unsigned field, PayloadRef& out) {
    if (!is(field, ProtobufType::kBytes)) return;
    Result<PayloadRef> payload = reading_.payloads.decode(in_.bytes());
    if (payload) out = std::move(*payload);
    if (!payload) reading_.error = payload.error();
  }
  void entries(unsigned field, std::vector<Entry>& out) {
    if (!is(field, ProtobufType::kBytes)) return;
    if (++reading_.entries > reading_.limits.entries) {
      reading_.error = Error(Code::kTooLarge, "a message with too many entries");
      return;
    }
    Reader(reading_, in_.bytes()).read(&out.emplace_back());
  }
  void body(unsigned first, Body& out) {
    if (in_.field() < first || in_.field() >= first + std::variant_size_v<Body>) return;
    if (!is(in_.field(), ProtobufType::kBytes)) return;
    emplace(in_.field() - first, &out, std::make_index_sequence<std::variant_size_v<Body>>());
    has_body_ = true;
    std::visit([&](auto& inside) { Reader(reading_, in_.bytes()).read(&inside); }, out);
  }
  bool has_body() const { return has_body_; }

 private:
  bool fail(const char* what) {
    if (!reading_.error) reading_.error = Error(Code::kBadRequest, std::string("a Raft message: ") + what);
    return false;
  }
  bool is(unsigned field, ProtobufType type) {
    if (in_.field() != field) return false;
    return in_.type() == type || fail("a field of another type");
  }
  void add(std::uint64_t value, std::vector<NodeId>* out) {
    if (out->size() < reading_.limits.members) return out->push_back(value);
    reading_.error = Error(Code::kTooLarge, "a message with too many members");
  }
  template <std::size_t... I>
  static void emplace(std::size_t index, Body* out, std::index_sequence<I...>) {
    ((index == I ? static_cast<void>(out->emplace<I>()) : static_cast<void>(0)), ...);
  }

  Reading& reading_;
  ProtobufReader in_;
  bool has_body_ = false;
};

}  // namespace

std::string encode(const Message& message, const PayloadCodec& payloads) {
  std::string out;
  Writer writer(payloads, &out);
  fields(writer, message);
  return out;
}

Result<Message> decode(std::string_view bytes, const PayloadCodec& payloads, const WireLimits& limits) {
  if (bytes.size() > limits.message_bytes) return Error(Code::kTooLarge, "an oversized Raft message");
  Reading reading{payloads, limits, 0, std::nullopt};
  Message message;
  Reader reader(reading, bytes);
  if (!reader.read(&message)) return *reading.error;
  if (!reader.has_body()) return Error(Code::kBadRequest, "a Raft message without a body that this version knows");
  return message;
}

}  // namespace kayak::store::raft
