// protobuf_fields.h: messages as structs that list their fields once, for both directions:
//   template <typename V, FieldsOf<Range> M>
//   void fields(V& v, M& m) {
//     v.text(1, m.key);
//     v.number(2, m.limit);
//   }
// V is FieldWriter<Codec> or FieldReader<Codec>. A codec is a struct beside its fields() with `FieldLimits limits`, and
// with encode() and decode() for what is coded(). Numbers, flags and texts that are zero or empty are not written,
// messages are. Reading trusts nothing: wire types, depth and the number of elements are checked before memory is
// taken; unknown fields are skipped.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/protobuf_wire.h"
#include "base/result.h"
#include "base/strings.h"

namespace kayak {

template <typename M, typename T>
concept FieldsOf = std::same_as<std::remove_const_t<M>, T>;

struct FieldLimits {
  const char* what;                 // "an etcd message": begins every error
  std::size_t elements = SIZE_MAX;  // texts and messages of all lists together
  std::size_t numbers = SIZE_MAX;   // of one list
  std::size_t depth = SIZE_MAX;     // of messages in messages
};

template <typename Codec>
class FieldWriter {
 public:
  FieldWriter(const Codec& codec, std::string* out) : codec_(codec), out_(out) {}

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
    text(field, packed);
  }
  void text(unsigned field, const std::string& value) {
    if (!value.empty()) out_.bytes(field, value);
  }
  void text(unsigned field, const std::shared_ptr<const std::string>& value) {
    if (value) text(field, *value);
  }
  void texts(unsigned field, const std::vector<std::string>& values) {
    for (const std::string& value : values) out_.bytes(field, value);
  }
  template <typename M>
  void message(unsigned field, const M& value) {
    std::string inside;
    FieldWriter inner(codec_, &inside);
    fields(inner, value);
    out_.bytes(field, inside);
  }
  template <typename M>
  void messages(unsigned field, const std::vector<M>& values) {
    for (const M& value : values) message(field, value);
  }
  template <typename M>
  void optional(unsigned field, const std::optional<M>& value) {
    if (value) message(field, *value);
  }
  template <typename M>
  void optional(unsigned field, const std::shared_ptr<const M>& value) {
    if (value) message(field, *value);
  }
  // The alternatives have the fields from `first` on; a monostate before them is none.
  template <typename... M>
  void one_of(unsigned first, const std::variant<M...>& value) {
    constexpr std::size_t kNone = std::is_same_v<std::variant_alternative_t<0, std::variant<M...>>, std::monostate>;
    auto write = [&](const auto& inside) {
      if constexpr (!std::is_same_v<std::decay_t<decltype(inside)>, std::monostate>) {
        message(first + static_cast<unsigned>(value.index() - kNone), inside);
      }
    };
    std::visit(write, value);
  }
  // Bytes that the codec makes and reads; null: none.
  template <typename T>
  void coded(unsigned field, const T& value) {
    if (!value) return;
    std::string inside;
    codec_.encode(value, &inside);
    out_.bytes(field, inside);
  }

 private:
  const Codec& codec_;
  ProtobufWriter out_;
};

// What is common to all readers of one message.
template <typename Codec>
struct FieldReading {
  const Codec& codec;
  std::size_t elements = 0, depth = 0;
  std::optional<Error> error{};  // the first: TooLarge (a limit), BadRequest (malformed), or the codec's
};

// Offers one field at a time to fields(), which takes the one that it is.
template <typename Codec>
class FieldReader {
 public:
  FieldReader(FieldReading<Codec>& reading, std::string_view in) : reading_(reading), in_(in) {}

  // False when the reading's error is set.
  template <typename M>
  bool read(M* out) {
    if (++reading_.depth > limits().depth) too_large(" that is too deep");
    while (!in_.at_end() && !reading_.error) {
      if (in_.next()) {
        fields(*this, *out);
      } else {
        malformed("a field is cut off or malformed");
      }
    }
    --reading_.depth;
    return !reading_.error;
  }
  // Whether the message had an alternative of its one_of.
  bool has_chosen() const { return has_chosen_; }

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
    if (in_.field() == field && in_.type() == ProtobufType::kVarint) return add_number(in_.number(), &out);
    if (!is(field, ProtobufType::kBytes)) return;
    std::string_view rest = in_.bytes();
    while (!rest.empty() && !reading_.error) {
      std::uint64_t value = 0;
      if (!ProtobufReader::take_varint(&rest, &value)) return malformed("a list is cut off");
      add_number(value, &out);
    }
  }
  void text(unsigned field, std::string& out) {
    if (is(field, ProtobufType::kBytes)) out = in_.bytes();
  }
  void text(unsigned field, std::shared_ptr<const std::string>& out) {
    if (is(field, ProtobufType::kBytes)) out = std::make_shared<const std::string>(in_.bytes());
  }
  void texts(unsigned field, std::vector<std::string>& out) {
    if (is(field, ProtobufType::kBytes) && takes_one()) out.emplace_back(in_.bytes());
  }
  template <typename M>
  void message(unsigned field, M& out) {
    if (is(field, ProtobufType::kBytes)) read_inside(&out);
  }
  template <typename M>
  void messages(unsigned field, std::vector<M>& out) {
    if (is(field, ProtobufType::kBytes) && takes_one()) read_inside(&out.emplace_back());
  }
  template <typename M>
  void optional(unsigned field, std::optional<M>& out) {
    if (is(field, ProtobufType::kBytes)) read_inside(&out.emplace());
  }
  template <typename M>
  void optional(unsigned field, std::shared_ptr<const M>& out) {
    if (!is(field, ProtobufType::kBytes)) return;
    auto inside = std::make_shared<M>();
    if (read_inside(inside.get())) out = std::move(inside);
  }
  template <typename... M>
  void one_of(unsigned first, std::variant<M...>& out) {
    (choose<M>(&first, &out), ...);
  }
  template <typename T>
  void coded(unsigned field, T& out) {
    if (!is(field, ProtobufType::kBytes)) return;
    if (Result<void> done = reading_.codec.decode(in_.bytes(), &out); !done) reading_.error = done.error();
  }

 private:
  const FieldLimits& limits() const { return reading_.codec.limits; }
  void malformed(std::string_view why) {
    if (!reading_.error) reading_.error = Error(Code::kBadRequest, cat(limits().what, ": ", why));
  }
  void too_large(std::string_view why) {
    if (!reading_.error) reading_.error = Error(Code::kTooLarge, cat(limits().what, why));
  }
  bool is(unsigned field, ProtobufType type) {
    if (in_.field() != field) return false;
    if (in_.type() != type) malformed("a field of another type");
    return in_.type() == type;
  }
  bool takes_one() {
    if (++reading_.elements > limits().elements) too_large(" with too many elements");
    return !reading_.error;
  }
  void add_number(std::uint64_t value, std::vector<std::uint64_t>* out) {
    if (out->size() < limits().numbers) return out->push_back(value);
    too_large(" with too many numbers");
  }
  template <typename M>
  bool read_inside(M* out) {
    return FieldReader(reading_, in_.bytes()).read(out);
  }
  // Takes the field `*next` as the alternative M; moves on to the next field.
  template <typename M, typename Variant>
  void choose(unsigned* next, Variant* out) {
    if constexpr (!std::is_same_v<M, std::monostate>) {
      if (!is((*next)++, ProtobufType::kBytes)) return;
      has_chosen_ = true;
      read_inside(&out->template emplace<M>());
    }
  }

  FieldReading<Codec>& reading_;
  ProtobufReader in_;
  bool has_chosen_ = false;
};

}  // namespace kayak
