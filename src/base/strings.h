// strings.h: small text helpers that allocate once and pull in no formatting library.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace kayak {

namespace detail {
inline std::string_view cat_piece(std::string_view text) { return text; }
inline std::string_view cat_piece(const char* text) { return text; }
inline const std::string& cat_piece(const std::string& text) { return text; }
inline std::string_view cat_piece(bool value) { return value ? "true" : "false"; }
inline std::string cat_piece(char c) { return std::string(1, c); }
template <std::integral T>
requires(!std::same_as<T, bool> && !std::same_as<T, char>) std::string cat_piece(T value) {
  return std::to_string(value);
}
std::string join_pieces(std::initializer_list<std::string_view> pieces);
template <typename... P>
std::string cat_all(const P&... pieces) {
  return join_pieces({std::string_view(pieces)...});
}
}  // namespace detail

// Texts and integers, one after the other: cat("pods \"", name, "\" not found").
template <typename... T>
std::string cat(const T&... values) {
  return detail::cat_all(detail::cat_piece(values)...);
}

// The parts of `text` between `separator`s; "" has one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);
// The parts joined by `separator`.
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);          // without leading and trailing ASCII white space
std::string to_lower(std::string_view text);           // ASCII only
bool iequals(std::string_view a, std::string_view b);  // ASCII case-insensitive
// Go's strconv.Quote: double quotes, backslash escapes; used in upstream's messages.
std::string quote(std::string_view text);
// One UTF-8 code point at the front of a text.
struct CodePoint {
  char32_t value;    // U+FFFD when the bytes are not UTF-8
  std::size_t size;  // bytes it takes; 1 for a wrong byte, as Go counts; 0 only when the text is empty
  bool valid;
};
CodePoint next_code_point(std::string_view text);
bool is_valid_utf8(std::string_view text);
std::string to_valid_utf8(std::string_view text);  // every wrong byte becomes U+FFFD, as Go's decoders do
void append_utf8(std::string& out, char32_t c);
// A decimal integer that fills all of `text`; nullopt-like false otherwise.
bool parse_int64(std::string_view text, std::int64_t* value);

std::string base64_encode(std::string_view bytes);                 // standard alphabet, padded
std::string base64url_encode(std::string_view bytes);              // URL alphabet, no padding
bool base64_decode(std::string_view text, std::string* bytes);     // standard alphabet, padding required
bool base64url_decode(std::string_view text, std::string* bytes);  // URL alphabet, padding optional
std::string hex_encode(std::string_view bytes);                    // lower case
bool hex_decode(std::string_view text, std::string* bytes);

}  // namespace kayak
