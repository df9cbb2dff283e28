// json.cc: the JSON value and its writer. The reader is in json_read.cc, the only file that sees Boost.JSON.
// Source: Go encoding/json (escapes, float notation).
#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"

namespace kayak::json {

const Value* Object::find(std::string_view key) const {
  for (const Member& member : members_) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Value* Object::find(std::string_view key) {
  for (Member& member : members_) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Value& Object::operator[](std::string_view key) {
  if (Value* found = find(key)) return *found;
  members_.push_back(Member{std::string(key), Value()});
  return members_.back().second;
}

void Object::set(std::string_view key, Value value) { (*this)[key] = std::move(value); }

bool Object::erase(std::string_view key) {
  const auto found =
      std::find_if(members_.begin(), members_.end(), [&](const Member& member) { return member.first == key; });
  if (found == members_.end()) return false;
  members_.erase(found);
  return true;
}

namespace {

// Go prints small and huge doubles with an exponent, all others plainly, in the fewest digits that read back alike
// (to_chars alone would spell out all digits of a large one).
std::string go_float(double value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  ASSERT(error == std::errc());
  std::string text(buffer, end);
  const double magnitude = std::fabs(value);
  const std::size_t e = text.find('e');
  if (magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21)) {
    if (text[e + 2] == '0') text.erase(e + 2, 1);  // e-09 is e-9
    return text;
  }
  std::int64_t exponent = 0;
  ASSERT(parse_int64(std::string_view(text).substr(e + 1), &exponent));
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const std::string sign = value < 0 ? "-" : "";
  const auto count = static_cast<std::int64_t>(digits.size());
  if (exponent < 0) return cat(sign, "0.", std::string(static_cast<std::size_t>(-exponent - 1), '0'), digits);
  if (exponent + 1 >= count) return cat(sign, digits, std::string(static_cast<std::size_t>(exponent + 1 - count), '0'));
  return cat(sign, digits.substr(0, static_cast<std::size_t>(exponent + 1)), ".",
             digits.substr(static_cast<std::size_t>(exponent + 1)));
}

bool same_members(const Object& a, const Object& b) {
  if (a.size() != b.size()) return false;
  const auto& left = a.members();
  const auto& right = b.members();
  std::size_t same_place = 0;
  while (same_place < left.size() && left[same_place].first == right[same_place].first) ++same_place;
  for (std::size_t i = 0; i < same_place; ++i) {
    if (!(left[i].second == right[i].second)) return false;
  }
  if (same_place == left.size()) return true;
  // The rest is in another order: sorted views keep this from being quadratic in the size of hostile objects.
  const auto sorted_rest = [&](const std::vector<Member>& members) {
    std::vector<const Member*> rest;
    for (std::size_t i = same_place; i < members.size(); ++i) rest.push_back(&members[i]);
    std::sort(rest.begin(), rest.end(), [](const Member* x, const Member* y) { return x->first < y->first; });
    return rest;
  };
  const std::vector<const Member*> x = sorted_rest(left), y = sorted_rest(right);
  return std::equal(x.begin(), x.end(), y.begin(),
                    [](const Member* p, const Member* q) { return p->first == q->first && p->second == q->second; });
}

constexpr double kTwoTo63 = 9223372036854775808.0;

}  // namespace

Value Value::from_double(double value) {
  ASSERT(std::isfinite(value));  // JSON has no text for the others; readers refuse them
  if (value == std::trunc(value) && value >= -kTwoTo63 && value < kTwoTo63)
    return Value(static_cast<std::int64_t>(value));
  return Value(Number{go_float(value)});
}

double Value::as_double() const {
  if (is_int()) return static_cast<double>(as_int());
  const std::string& text = as_number().text;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc::result_out_of_range) return value;
  // Out of range leaves `value` as it was: tiny numbers are 0, huge ones infinite.
  const std::size_t exponent = text.find_first_of("eE");
  const bool tiny = exponent != std::string::npos && exponent + 1 < text.size() && text[exponent + 1] == '-';
  if (tiny) return text.front() == '-' ? -0.0 : 0.0;
  return text.front() == '-' ? -HUGE_VAL : HUGE_VAL;
}

const Value* Value::find(std::string_view key) const {
  const Object* object = std::get_if<Object>(&state_);
  return object == nullptr ? nullptr : object->find(key);
}

Value* Value::find(std::string_view key) {
  Object* object = std::get_if<Object>(&state_);
  return object == nullptr ? nullptr : object->find(key);
}

const Value* Value::at(std::initializer_list<std::string_view> path) const {
  const Value* here = this;
  for (const std::string_view key : path) {
    here = here->find(key);
    if (here == nullptr) return nullptr;
  }
  return here;
}

std::string_view Value::string_or(std::string_view fallback) const {
  const std::string* text = std::get_if<std::string>(&state_);
  return text == nullptr ? fallback : std::string_view(*text);
}

std::int64_t Value::int_or(std::int64_t fallback) const {
  const std::int64_t* value = std::get_if<std::int64_t>(&state_);
  return value == nullptr ? fallback : *value;
}

bool Value::bool_or(bool fallback) const {
  const bool* value = std::get_if<bool>(&state_);
  return value == nullptr ? fallback : *value;
}

Value& Value::operator[](std::string_view key) {
  if (!is_object()) state_ = Object();
  return std::get<Object>(state_)[key];
}

bool Value::operator==(const Value& other) const {
  if (type() != other.type()) return false;
  if (is_object()) return same_members(as_object(), other.as_object());
  if (is_array()) return as_array() == other.as_array();
  switch (type()) {
    case Type::kNull:
      return true;
    case Type::kBool:
      return as_bool() == other.as_bool();
    case Type::kInt:
      return as_int() == other.as_int();
    case Type::kNumber:
      return as_number() == other.as_number();
    default:
      return as_string() == other.as_string();
  }
}

// --- writing ---

namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

// What an ASCII character is written as; empty when it stands for itself.
void append_escaped_ascii(std::string& out, char c) {
  out += '\\';
  switch (c) {
    case '"':
    case '\\':
      out += c;
      return;
    case '\b':
      out += 'b';
      return;
    case '\f':
      out += 'f';
      return;
    case '\n':
      out += 'n';
      return;
    case '\r':
      out += 'r';
      return;
    case '\t':
      out += 't';
      return;
    default:
      out += "u00";
      out += kHexDigits[static_cast<unsigned char>(c) >> 4];
      out += kHexDigits[c & 0xf];
      return;
  }
}

bool plain_ascii(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 && c != '"' && c != '\\' &&
         c != '<' && c != '>' && c != '&';
}

class Writer {
 public:
  // `indent` < 0: compact.
  Writer(std::string& out, int indent) : out_(out), indent_(indent) {}

  void value(const Value& value) {
    switch (value.type()) {
      case Type::kNull:
        out_ += "null";
        return;
      case Type::kBool:
        out_ += value.as_bool() ? "true" : "false";
        return;
      case Type::kInt:
        integer(value.as_int());
        return;
      case Type::kNumber:
        out_ += value.as_number().text;
        return;
      case Type::kString:
        write_string_to(out_, value.as_string());
        return;
      case Type::kArray:
        array(value.as_array());
        return;
      case Type::kObject:
        object(value.as_object());
        return;
    }
  }

 private:
  void integer(std::int64_t value) {
    char buffer[24];
    out_.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  }
  void array(const Array& array) {
    out_ += '[';
    ++depth_;
    bool first = true;
    for (const Value& item : array) {
      separate(&first);
      value(item);
    }
    close(first, ']');
  }
  void object(const Object& object) {
    out_ += '{';
    ++depth_;
    bool first = true;
    for (const auto& [key, member] : object) {
      separate(&first);
      write_string_to(out_, key);
      out_ += indent_ < 0 ? ":" : ": ";
      value(member);
    }
    close(first, '}');
  }
  void separate(bool* first) {
    if (!*first) out_ += ',';
    *first = false;
    new_line();
  }
  void close(bool empty, char bracket) {
    --depth_;
    if (!empty) new_line();
    out_ += bracket;
  }
  void new_line() {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(indent_) * depth_, ' ');
  }

  std::string& out_;
  int indent_;
  std::size_t depth_ = 0;
};

}  // namespace

void write_string_to(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && plain_ascii(text[plain])) ++plain;
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (static_cast<unsigned char>(text.front()) < 0x80) {
      append_escaped_ascii(out, text.front());
      text.remove_prefix(1);
      continue;
    }
    const CodePoint c = next_code_point(text);
    if (!c.valid) {
      out += "\\ufffd";
    } else if (c.value == 0x2028 || c.value == 0x2029) {  // line ends in JavaScript
      out += c.value == 0x2028 ? "\\u2028" : "\\u2029";
    } else {
      out += text.substr(0, c.size);
    }
    text.remove_prefix(c.size);
  }
  out += '"';
}

void write_to(std::string& out, const Value& value) { Writer(out, -1).value(value); }

std::string write(const Value& value) {
  // Most documents are about this long, and many are kept: they must not keep room to grow.
  constexpr std::size_t kUsualSize = 1024;
  std::string out;
  out.reserve(kUsualSize);
  write_to(out, value);
  out.shrink_to_fit();
  return out;
}

std::string write_pretty(const Value& value, int indent) {
  std::string out;
  Writer(out, indent).value(value);
  return out;
}

}  // namespace kayak::json
