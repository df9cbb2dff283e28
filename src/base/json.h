// json.h: the JSON document, its streaming reader and its writer.
// Ours, not a library's DOM: duplicate keys are reported, depth is limited, numbers stay exact, and the writer
// follows Go's encoding/json number and escape rules, as clients compare bytes.
// Source: RFC 8259; Go encoding/json.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace kayak::json {

class Value;
struct Member;
using Array = std::vector<Value>;

// A number that is not an int64: its text as read (valid JSON number grammar), e.g. 0.1, 1e3, 18446744073709551615.
struct Number {
  std::string text;
  bool operator==(const Number&) const = default;
};

// Members in the order of their insertion; look-ups are linear, as API objects are small and read in order.
class Object {
 public:
  Object();
  Object(const Object&);
  Object(Object&&) noexcept;
  Object& operator=(const Object&);
  Object& operator=(Object&&) noexcept;
  ~Object();
  const Value* find(std::string_view key) const;  // null when absent
  Value* find(std::string_view key);
  Value& operator[](std::string_view key);      // inserts null at the end when absent
  void set(std::string_view key, Value value);  // replaces in place or appends
  bool erase(std::string_view key);             // true when it was there
  bool empty() const;
  std::size_t size() const;
  // `for (const auto& [key, value] : object)`
  std::vector<Member>::iterator begin();
  std::vector<Member>::iterator end();
  std::vector<Member>::const_iterator begin() const;
  std::vector<Member>::const_iterator end() const;
  std::vector<Member>& members() { return members_; }
  const std::vector<Member>& members() const { return members_; }

 private:
  std::vector<Member> members_;
};

enum class Type : std::uint8_t { kNull, kBool, kInt, kNumber, kString, kArray, kObject };

// A JSON value. Integers that fit int64 are kInt, all other numbers kNumber.
class Value {
 public:
  Value() = default;
  Value(std::nullptr_t) {}                                       // NOLINT: implicit by design (all)
  Value(bool value) : state_(value) {}                           // NOLINT
  Value(int value) : state_(std::int64_t{value}) {}              // NOLINT
  Value(std::int64_t value) : state_(value) {}                   // NOLINT
  Value(const char* value) : state_(std::string(value)) {}       // NOLINT
  Value(std::string_view value) : state_(std::string(value)) {}  // NOLINT
  Value(std::string value) : state_(std::move(value)) {}         // NOLINT
  Value(Number value) : state_(std::move(value)) {}              // NOLINT
  Value(Array value) : state_(std::move(value)) {}               // NOLINT
  Value(Object value) : state_(std::move(value)) {}              // NOLINT
  static Value from_double(double value);  // kInt when integral and exact, else kNumber in Go's notation

  Type type() const { return static_cast<Type>(state_.index()); }
  bool is_null() const { return type() == Type::kNull; }
  bool is_bool() const { return type() == Type::kBool; }
  bool is_int() const { return type() == Type::kInt; }
  bool is_number() const { return type() == Type::kInt || type() == Type::kNumber; }
  bool is_string() const { return type() == Type::kString; }
  bool is_array() const { return type() == Type::kArray; }
  bool is_object() const { return type() == Type::kObject; }

  // The typed readers below ASSERT the type; test first.
  bool as_bool() const { return get<bool>(); }
  std::int64_t as_int() const { return get<std::int64_t>(); }
  double as_double() const;  // kInt or kNumber
  const std::string& as_string() const { return get<std::string>(); }
  const Number& as_number() const { return get<Number>(); }
  const Array& as_array() const { return get<Array>(); }
  Array& as_array() { return get<Array>(); }
  const Object& as_object() const { return get<Object>(); }
  Object& as_object() { return get<Object>(); }

  // Forgiving readers for walking a document: absent or of another type gives null or the fallback.
  const Value* find(std::string_view key) const;  // a member, when this is an object
  Value* find(std::string_view key);
  // A path of member names: at({"metadata", "name"}).
  const Value* at(std::initializer_list<std::string_view> path) const;
  std::string_view string_or(std::string_view fallback = "") const;
  std::int64_t int_or(std::int64_t fallback) const;
  bool bool_or(bool fallback) const;

  // Makes this an object (dropping what it was, unless it is one) and returns the member, inserted when absent.
  Value& operator[](std::string_view key);

  // Deep equality; member order does not matter, 1 and 1.0 differ (as upstream's DeepEqual on typed values).
  bool operator==(const Value& other) const;

 private:
  template <typename T>
  const T& get() const {
    ASSERT(std::holds_alternative<T>(state_));
    return std::get<T>(state_);
  }
  template <typename T>
  T& get() {
    ASSERT(std::holds_alternative<T>(state_));
    return std::get<T>(state_);
  }
  std::variant<std::monostate, bool, std::int64_t, Number, std::string, Array, Object> state_;
};

struct Member {
  std::string first;  // key
  Value second;
};

inline Object::Object() = default;
inline Object::Object(const Object&) = default;
inline Object::Object(Object&&) noexcept = default;
inline Object& Object::operator=(const Object&) = default;
inline Object& Object::operator=(Object&&) noexcept = default;
inline Object::~Object() = default;
inline bool Object::empty() const { return members_.empty(); }
inline std::size_t Object::size() const { return members_.size(); }
inline std::vector<Member>::iterator Object::begin() { return members_.begin(); }
inline std::vector<Member>::iterator Object::end() { return members_.end(); }
inline std::vector<Member>::const_iterator Object::begin() const { return members_.begin(); }
inline std::vector<Member>::const_iterator Object::end() const { return members_.end(); }

// A document shared by its readers; never changed once shared (style, rule 7).
using Document = std::shared_ptr<const Value>;

struct ReadOptions {
  std::size_t max_depth = 256;
  // Values in the document; bounds the memory of a body like [0,0,0,...], where a value takes 20 times its text.
  std::size_t max_nodes = 250'000;
  // Filled with the JSON path of every member that repeats an earlier one (the last one wins in the document);
  // each path once, at most 100 of them, as upstream.
  std::vector<std::string>* duplicates = nullptr;
};
// Reads exactly one JSON value. Bytes that are not UTF-8 become U+FFFD.
// Errors: BadRequest, with the byte offset and what was expected.
Result<Value> read(std::string_view text, const ReadOptions& options = {});

// Compact text as Go's json.Marshal gives it: no spaces, <, >, & and U+2028/9 escaped, members in document order.
std::string write(const Value& value);
void write_to(std::string& out, const Value& value);
void write_string_to(std::string& out, std::string_view text);
// Indented by `indent` spaces, for people.
std::string write_pretty(const Value& value, int indent = 2);

}  // namespace kayak::json
