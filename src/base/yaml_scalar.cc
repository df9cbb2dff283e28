// yaml_scalar.cc: see the header.
#include "base/yaml_scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/strings.h"

namespace kayak::yaml {

namespace {

struct Word {
  std::string_view text;
  ScalarType type;
  bool truth;
};
// Each in lower case, capitalized and upper case.
constexpr Word kWords[] = {
    {"y", ScalarType::kBool, true},      {"yes", ScalarType::kBool, true},  {"true", ScalarType::kBool, true},
    {"on", ScalarType::kBool, true},     {"n", ScalarType::kBool, false},   {"no", ScalarType::kBool, false},
    {"false", ScalarType::kBool, false}, {"off", ScalarType::kBool, false}, {"null", ScalarType::kNull, false},
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

const Word* find_word(std::string_view text) {
  if (text.size() > 5) return nullptr;
  const std::string lower = to_lower(text);
  for (const Word& word : kWords) {
    if (word.text != lower) continue;
    const std::string_view tail = text.substr(1);
    const bool capitalized = text.front() < 'a';
    const bool tail_lower = tail == word.text.substr(1);
    const bool tail_upper = std::all_of(tail.begin(), tail.end(), [](char c) { return c < 'a'; });
    if (tail_lower || (capitalized && tail_upper)) return &word;
  }
  return nullptr;
}

// Digits of base 2, 8, 10 or 16 with Go's prefixes ("0x", "0b", "0o", "0"), no sign.
bool parse_magnitude(std::string_view text, std::uint64_t* value) {
  int base = 10;
  if (text.size() > 1 && text.front() == '0') {
    const char mark = static_cast<char>(text[1] | 0x20);  // in lower case
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    text.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

bool parse_integer(std::string_view text, json::Value* value) {
  const bool sign = text.front() == '-' || text.front() == '+';
  std::uint64_t magnitude = 0;
  if (!parse_magnitude(text.substr(sign ? 1 : 0), &magnitude)) return false;
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (text.front() == '-') {
    if (magnitude > kMax + 1) return false;
    *value = static_cast<std::int64_t>(0 - magnitude);
  } else if (magnitude <= kMax) {
    *value = static_cast<std::int64_t>(magnitude);
  } else {
    if (sign) return false;
    *value = json::Number{std::to_string(magnitude)};
  }
  return true;
}

// [-+]? ( .digits | digits [. digits?] ) [ (e|E) [-+]? digits ]
bool looks_like_float(std::string_view text) {
  const auto digits = [&] {
    const std::size_t before = text.size();
    while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);
    return before - text.size();
  };
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  const std::size_t whole = digits();
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    if (digits() + whole == 0) return false;
  } else if (whole == 0) {
    return false;
  }
  if (text.empty()) return true;
  if ((text.front() | 0x20) != 'e') return false;
  text.remove_prefix(1);
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return digits() > 0 && text.empty();
}

bool parse_float(std::string_view text, json::Value* value) {
  if (!looks_like_float(text)) return false;
  if (text.front() == '+') text.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) {
    const std::size_t exponent = text.find_first_of("eE");
    const bool tiny = exponent != std::string_view::npos && text[exponent + 1] == '-';
    if (!tiny) return false;  // too large: upstream keeps the text
    number = 0;
  }
  *value = json::Value::from_double(number);
  return true;
}

// ".inf", "-.Inf", ".NaN" and so on; empty when it is none of them.
std::string_view infinite(std::string_view text) {
  const bool sign = text.front() == '-' || text.front() == '+';
  const std::string_view bare = text.substr(sign ? 1 : 0);
  if (bare == ".inf" || bare == ".Inf" || bare == ".INF") return text.front() == '-' ? "-Inf" : "+Inf";
  if (!sign && (bare == ".nan" || bare == ".NaN" || bare == ".NAN")) return "NaN";
  return "";
}

}  // namespace

ScalarType resolve_plain(std::string_view text, json::Value* value, bool* unsupported) {
  json::Value ignored;
  if (value == nullptr) value = &ignored;
  if (text.empty() || text == "~") {
    *value = json::Value();
    return ScalarType::kNull;
  }
  if (const Word* word = find_word(text)) {
    *value = word->type == ScalarType::kBool ? json::Value(word->truth) : json::Value();
    return word->type;
  }
  *value = text;
  const char first = text.front();
  if (!is_digit(first) && first != '-' && first != '+' && first != '.') return ScalarType::kString;
  if (const std::string_view name = infinite(text); !name.empty()) {
    *value = name;
    if (unsupported != nullptr) *unsupported = true;
    return ScalarType::kFloat;
  }
  if (first == '.') return parse_float(text, value) ? ScalarType::kFloat : ScalarType::kString;
  std::string digits(text);
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  if (digits.empty()) return ScalarType::kString;
  if (parse_integer(digits, value)) return ScalarType::kInt;
  return parse_float(digits, value) ? ScalarType::kFloat : ScalarType::kString;
}

}  // namespace kayak::yaml
