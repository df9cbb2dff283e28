// messages.cc: see messages.h. Each struct lists its fields once, for both directions.
#include "store/etcd/messages.h"

#include <concepts>
#include <optional>
#include <type_traits>

#include "base/protobuf_wire.h"

namespace kayak::store::etcd {

namespace {

template <typename M, typename T>
concept Is = std::same_as<std::remove_const_t<M>, T>;

// The fields. V is the Writer or the Reader below.

template <typename V, Is<ResponseHeader> M>
void fields(V& v, M& m) {
  v.number(1, m.cluster_id);
  v.number(2, m.member_id);
  v.number(3, m.revision);
  v.number(4, m.raft_term);
}
template <typename V, Is<KeyValue> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.number(2, m.create_revision);
  v.number(3, m.mod_revision);
  v.number(4, m.version);
  v.value(5, m.value);
  v.number(6, m.lease);
}
template <typename V, Is<RangeRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.text(2, m.range_end);
  v.number(3, m.limit);
  v.number(4, m.revision);
  v.number(5, m.sort_order);
  v.number(6, m.sort_target);
  v.number(7, m.serializable);
  v.number(8, m.keys_only);
  v.number(9, m.count_only);
  v.number(10, m.min_mod_revision);
  v.number(11, m.max_mod_revision);
  v.number(12, m.min_create_revision);
  v.number(13, m.max_create_revision);
}
template <typename V, Is<RangeResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.kvs);
  v.number(3, m.more);
  v.number(4, m.count);
}
template <typename V, Is<PutRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.value(2, m.value);
  v.number(3, m.lease);
  v.number(4, m.prev_kv);
  v.number(5, m.ignore_value);
  v.number(6, m.ignore_lease);
}
template <typename V, Is<PutResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.prev_kv);
}
template <typename V, Is<DeleteRangeRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.text(2, m.range_end);
  v.number(3, m.prev_kv);
}
template <typename V, Is<DeleteRangeResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.deleted);
  v.messages(3, m.prev_kvs);
}
template <typename V, Is<RequestOp> M>
void fields(V& v, M& m) {
  v.one_of(1, m.request);
}
template <typename V, Is<ResponseOp> M>
void fields(V& v, M& m) {
  v.one_of(1, m.response);
}
template <typename V, Is<Compare> M>
void fields(V& v, M& m) {
  v.number(1, m.result);
  v.number(2, m.target);
  v.text(3, m.key);
  v.number(4, m.version);
  v.number(5, m.create_revision);
  v.number(6, m.mod_revision);
  v.text(7, m.value);
  v.number(8, m.lease);
  v.text(64, m.range_end);
}
template <typename V, Is<TxnRequest> M>
void fields(V& v, M& m) {
  v.messages(1, m.compare);
  v.messages(2, m.success);
  v.messages(3, m.failure);
}
template <typename V, Is<TxnResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.succeeded);
  v.messages(3, m.responses);
}
template <typename V, Is<CompactionRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.revision);
  v.number(2, m.physical);
}
template <typename V, Is<CompactionResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
}
template <typename V, Is<WatchCreateRequest> M>
void fields(V& v, M& m) {
  v.text(1, m.key);
  v.text(2, m.range_end);
  v.number(3, m.start_revision);
  v.number(4, m.progress_notify);
  v.numbers(5, m.filters);
  v.number(6, m.prev_kv);
  v.number(7, m.watch_id);
  v.number(8, m.fragment);
}
template <typename V, Is<WatchCancelRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.watch_id);
}
template <typename V, Is<WatchProgressRequest> M>
void fields(V&, M&) {}
template <typename V, Is<WatchRequest> M>
void fields(V& v, M& m) {
  v.one_of(1, m.request);
}
template <typename V, Is<WatchEvent> M>
void fields(V& v, M& m) {
  v.number(1, m.type);
  v.message(2, m.kv);
  v.optional(3, m.previous);
}
template <typename V, Is<WatchResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.watch_id);
  v.number(3, m.created);
  v.number(4, m.canceled);
  v.number(5, m.compact_revision);
  v.text(6, m.cancel_reason);
  v.number(7, m.fragment);
  v.messages(11, m.events);
}
template <typename V, Is<LeaseGrantRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.ttl);
  v.number(2, m.id);
}
template <typename V, Is<LeaseGrantResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.id);
  v.number(3, m.ttl);
  v.text(4, m.error);
}
template <typename V, Is<LeaseRevokeRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, Is<LeaseRevokeResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
}
template <typename V, Is<LeaseKeepAliveRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, Is<LeaseKeepAliveResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.id);
  v.number(3, m.ttl);
}
template <typename V, Is<LeaseTimeToLiveRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.number(2, m.keys);
}
template <typename V, Is<LeaseTimeToLiveResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.id);
  v.number(3, m.ttl);
  v.number(4, m.granted_ttl);
  v.texts(5, m.keys);
}
template <typename V, Is<LeaseStatus> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, Is<LeaseLeasesResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.leases);
}
template <typename V, Is<Empty> M>
void fields(V&, M&) {}
template <typename V, Is<HeaderResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
}
template <typename V, Is<Member> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.text(2, m.name);
  v.texts(3, m.peer_urls);
  v.texts(4, m.client_urls);
  v.number(5, m.is_learner);
  v.number(1000, m.witness);
}
template <typename V, Is<MemberListResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.messages(2, m.members);
}
template <typename V, Is<MemberAddRequest> M>
void fields(V& v, M& m) {
  v.texts(1, m.peer_urls);
  v.number(2, m.is_learner);
}
template <typename V, Is<MemberAddResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.message(2, m.member);
  v.messages(3, m.members);
}
template <typename V, Is<MemberIdRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
}
template <typename V, Is<MemberUpdateRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.id);
  v.texts(2, m.peer_urls);
}
template <typename V, Is<AlarmRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.action);
  v.number(2, m.member_id);
  v.number(3, m.alarm);
}
template <typename V, Is<StatusResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.text(2, m.version);
  v.number(3, m.db_size);
  v.number(4, m.leader);
  v.number(5, m.raft_index);
  v.number(6, m.raft_term);
  v.number(7, m.raft_applied_index);
  v.number(9, m.db_size_in_use);
  v.number(10, m.is_learner);
}
template <typename V, Is<HashKvRequest> M>
void fields(V& v, M& m) {
  v.number(1, m.revision);
}
template <typename V, Is<HashKvResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.hash);
  v.number(3, m.compact_revision);
  v.number(4, m.hash_revision);
}

template <typename V, Is<SnapshotResponse> M>
void fields(V& v, M& m) {
  v.message(1, m.header);
  v.number(2, m.remaining_bytes);
  v.text(3, m.blob);
}

class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  // Numbers, flags and enumerations; negative ones take their 64-bit form.
  template <typename T>
  void number(unsigned field, T value) {
    const auto wide = static_cast<std::uint64_t>(value);
    if (wide != 0) out_.number(field, wide);
  }
  void numbers(unsigned field, const std::vector<std::uint64_t>& values) {
    std::string packed;
    ProtobufWriter inner(&packed);
    for (const std::uint64_t value : values) inner.varint(value);
    if (!packed.empty()) out_.bytes(field, packed);
  }
  void text(unsigned field, const std::string& value) {
    if (!value.empty()) out_.bytes(field, value);
  }
  void texts(unsigned field, const std::vector<std::string>& values) {
    for (const std::string& value : values) out_.bytes(field, value);
  }
  void value(unsigned field, const Bytes& value) {
    if (value && !value->empty()) out_.bytes(field, *value);
  }
  template <typename M>
  void message(unsigned field, const M& value) {
    out_.bytes(field, encode(value));
  }
  template <typename M>
  void messages(unsigned field, const std::vector<M>& values) {
    for (const M& value : values) message(field, value);
  }
  template <typename M>
  void optional(unsigned field, const std::optional<M>& value) {
    if (value) message(field, *value);
  }
  // The alternatives after the first, which is none, have the fields from `first` on.
  template <typename... M>
  void one_of(unsigned first, const std::variant<std::monostate, M...>& value) {
    const unsigned field = first + static_cast<unsigned>(value.index()) - 1;
    auto write = [&](const auto& inside) {
      if constexpr (!std::is_same_v<std::decay_t<decltype(inside)>, std::monostate>) message(field, inside);
    };
    std::visit(write, value);
  }

 private:
  template <typename M>
  static std::string encode(const M& message) {
    std::string out;
    Writer inner(&out);
    fields(inner, message);
    return out;
  }
  ProtobufWriter out_;
};

// What is common to all Readers of one message.
struct Reading {
  const MessageLimits& limits;
  std::size_t elements = 0, depth = 0;
  std::optional<Error> error;  // the first
};

// Offers one field at a time to fields(), which takes the one that it is.
class Reader {
 public:
  Reader(Reading& reading, std::string_view in) : reading_(reading), in_(in) {}

  // False when reading_.error is set.
  template <typename M>
  bool read(M* out) {
    if (++reading_.depth > reading_.limits.depth && !reading_.error) {
      reading_.error = Error(Code::kTooLarge, "messages in messages, too deep");
    }
    read_fields(out);
    --reading_.depth;
    return !reading_.error;
  }
  template <typename T>
  void number(unsigned field, T& out) {
    if (!is(field, ProtobufType::kVarint)) return;
    if constexpr (std::is_same_v<T, bool>) {
      out = in_.number() != 0;
    } else {
      out = static_cast<T>(in_.number());
    }
  }
  void numbers(unsigned field, std::vector<std::uint64_t>& out) {
    if (in_.field() == field && in_.type() == ProtobufType::kVarint) return add(in_.number(), &out);
    if (!is(field, ProtobufType::kBytes)) return;
    std::string_view rest = in_.bytes();
    while (!rest.empty() && !reading_.error) {
      std::uint64_t value = 0;
      if (!ProtobufReader::take_varint(&rest, &value)) return void(fail("a list is cut off"));
      add(value, &out);
    }
  }
  void text(unsigned field, std::string& out) {
    if (is(field, ProtobufType::kBytes)) out = in_.bytes();
  }
  void texts(unsigned field, std::vector<std::string>& out) {
    if (is(field, ProtobufType::kBytes)) add(std::string(in_.bytes()), &out);
  }
  void value(unsigned field, Bytes& out) {
    if (is(field, ProtobufType::kBytes)) out = std::make_shared<const std::string>(in_.bytes());
  }
  template <typename M>
  void message(unsigned field, M& out) {
    if (is(field, ProtobufType::kBytes)) Reader(reading_, in_.bytes()).read(&out);
  }
  template <typename M>
  void messages(unsigned field, std::vector<M>& out) {
    if (!is(field, ProtobufType::kBytes)) return;
    add(M(), &out);
    if (!reading_.error) Reader(reading_, in_.bytes()).read(&out.back());
  }
  template <typename M>
  void optional(unsigned field, std::optional<M>& out) {
    if (is(field, ProtobufType::kBytes)) Reader(reading_, in_.bytes()).read(&out.emplace());
  }
  template <typename... M>
  void one_of(unsigned first, std::variant<std::monostate, M...>& out) {
    unsigned field = first;
    ((in_.field() == field++ && is(in_.field(), ProtobufType::kBytes)
          ? static_cast<void>(Reader(reading_, in_.bytes()).read(&out.template emplace<M>()))
          : static_cast<void>(0)),
     ...);
  }

 private:
  template <typename M>
  void read_fields(M* out) {
    while (!in_.at_end() && !reading_.error) {
      if (!in_.next()) return void(fail("a field is cut off or malformed"));
      fields(*this, *out);
    }
  }
  bool fail(const char* what) {
    if (!reading_.error) reading_.error = Error(Code::kBadRequest, std::string("an etcd message: ") + what);
    return false;
  }
  bool is(unsigned field, ProtobufType type) {
    if (in_.field() != field) return false;
    return in_.type() == type || fail("a field of another type");
  }
  template <typename T>
  void add(T value, std::vector<T>* out) {
    if (++reading_.elements <= reading_.limits.elements) return out->push_back(std::move(value));
    reading_.error = Error(Code::kTooLarge, "a message with too many elements");
  }

  Reading& reading_;
  ProtobufReader in_;
};

}  // namespace

template <typename M>
std::string encode(const M& message) {
  std::string out;
  Writer writer(&out);
  fields(writer, message);
  return out;
}

template <typename M>
Result<M> decode(std::string_view bytes, const MessageLimits& limits) {
  Reading reading{limits, 0, 0, std::nullopt};
  M message{};
  if (!Reader(reading, bytes).read(&message)) return *reading.error;
  return message;
}

#define KAYAK_ETCD_MESSAGE(M)            \
  template std::string encode(const M&); \
  template Result<M> decode(std::string_view, const MessageLimits&);
KAYAK_ETCD_MESSAGE(RangeRequest)
KAYAK_ETCD_MESSAGE(RangeResponse)
KAYAK_ETCD_MESSAGE(PutRequest)
KAYAK_ETCD_MESSAGE(PutResponse)
KAYAK_ETCD_MESSAGE(DeleteRangeRequest)
KAYAK_ETCD_MESSAGE(DeleteRangeResponse)
KAYAK_ETCD_MESSAGE(TxnRequest)
KAYAK_ETCD_MESSAGE(TxnResponse)
KAYAK_ETCD_MESSAGE(CompactionRequest)
KAYAK_ETCD_MESSAGE(CompactionResponse)
KAYAK_ETCD_MESSAGE(WatchRequest)
KAYAK_ETCD_MESSAGE(WatchResponse)
KAYAK_ETCD_MESSAGE(LeaseGrantRequest)
KAYAK_ETCD_MESSAGE(LeaseGrantResponse)
KAYAK_ETCD_MESSAGE(LeaseRevokeRequest)
KAYAK_ETCD_MESSAGE(LeaseRevokeResponse)
KAYAK_ETCD_MESSAGE(LeaseKeepAliveRequest)
KAYAK_ETCD_MESSAGE(LeaseKeepAliveResponse)
KAYAK_ETCD_MESSAGE(LeaseTimeToLiveRequest)
KAYAK_ETCD_MESSAGE(LeaseTimeToLiveResponse)
KAYAK_ETCD_MESSAGE(LeaseLeasesResponse)
KAYAK_ETCD_MESSAGE(Empty)
KAYAK_ETCD_MESSAGE(HeaderResponse)
KAYAK_ETCD_MESSAGE(MemberListResponse)
KAYAK_ETCD_MESSAGE(MemberAddRequest)
KAYAK_ETCD_MESSAGE(MemberAddResponse)
KAYAK_ETCD_MESSAGE(MemberIdRequest)
KAYAK_ETCD_MESSAGE(MemberUpdateRequest)
KAYAK_ETCD_MESSAGE(AlarmRequest)
KAYAK_ETCD_MESSAGE(StatusResponse)
KAYAK_ETCD_MESSAGE(HashKvRequest)
KAYAK_ETCD_MESSAGE(HashKvResponse)
KAYAK_ETCD_MESSAGE(SnapshotResponse)
#undef KAYAK_ETCD_MESSAGE

}  // namespace kayak::store::etcd
