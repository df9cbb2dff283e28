// http_common.cc: header fields, URLs, queries and percent-encoding: pure text, no sockets.
// Source: RFC 3986 (URIs), RFC 9110 5 (fields), the WHATWG form encoding as Go's net/url reads it.
#include <algorithm>
#include <charconv>

#include "base/strings.h"
#include "io/http.h"

namespace kayak::io {

void Headers::add(std::string_view name, std::string_view value) {
  ASSERT(text_.size() + name.size() + value.size() < UINT32_MAX);
  places_.push_back(Place{static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(name.size()),
                          static_cast<std::uint32_t>(value.size())});
  text_.append(name).append(value);
}

void Headers::set(std::string_view name, std::string_view value) {
  remove(name);
  add(name, value);
}

void Headers::remove(std::string_view name) {
  if (!has(name)) return;
  Headers kept;
  for (const auto& [other, value] : *this) {
    if (!iequals(other, name)) kept.add(other, value);
  }
  *this = std::move(kept);
}

std::string_view Headers::get(std::string_view name) const {
  for (const auto& [other, value] : *this) {
    if (iequals(other, name)) return value;
  }
  return {};
}

bool Headers::has(std::string_view name) const {
  return std::any_of(places_.begin(), places_.end(), [&](const Place& place) {
    return iequals(std::string_view(text_).substr(place.begin, place.name_size), name);
  });
}

std::vector<std::string_view> Headers::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [other, value] : *this) {
    if (iequals(other, name)) values.push_back(value);
  }
  return values;
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (const auto& [other, value] : *this) {
    if (!iequals(other, name)) continue;
    for (std::size_t begin = 0; begin <= value.size();) {
      const std::size_t comma = std::min(value.find(',', begin), value.size());
      if (iequals(trim(value.substr(begin, comma - begin)), token)) return true;
      begin = comma + 1;
    }
  }
  return false;
}

void Headers::clear() {
  text_.clear();
  places_.clear();
}

void Headers::reserve(std::size_t fields, std::size_t bytes) {
  places_.reserve(fields);
  text_.reserve(bytes);
}

Headers::Field Headers::field(std::size_t index) const {
  const Place& place = places_[index];
  const std::string_view text = text_;
  return Field{text.substr(place.begin, place.name_size), text.substr(place.begin + place.name_size, place.value_size)};
}

Task<Result<void>> HttpExchange::finish_with(Headers) {
  co_return Error(Code::kBadRequest, "trailers are sent over HTTP/2 alone");
}

Task<Result<void>> HttpExchange::send_with(int status, Headers headers, Slices body, Headers trailers) {
  Result<void> done = co_await start(status, std::move(headers));
  if (done) done = co_await write(std::move(body));
  if (done) done = co_await finish_with(std::move(trailers));
  co_return done;
}

Task<Result<std::string>> HttpBody::read_all(std::size_t limit, StopToken stop) {
  std::string all;
  while (true) {
    auto piece = co_await read(stop);
    if (!piece) co_return piece.error();
    if (piece->empty()) co_return all;
    if (piece->size() > limit - all.size()) co_return Error(Code::kTooLarge, cat("body is over ", limit, " bytes"));
    if (all.empty()) {
      all = std::move(*piece);
    } else {
      all.append(*piece);
    }
  }
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Appends `text` with %XX replaced (and '+' as a blank in forms); false with `bad` set to the escape that is none.
bool unescape(std::string_view text, bool plus_is_blank, std::string* out, std::string_view* bad) {
  out->reserve(out->size() + text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        *bad = text.substr(i, 3);
        return false;
      }
      out->push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out->push_back(plus_is_blank && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return true;
}

Error bad_escape(std::string_view escape) {
  return Error(Code::kBadRequest, cat("invalid URL escape ", quote(escape)));
}

// Neither names nor numeric addresses hold anything else; what it keeps out could split a header or hide user names.
bool is_host(std::string_view host, bool bracketed) {
  return !host.empty() && host.size() <= 255 && std::all_of(host.begin(), host.end(), [&](char c) {
    return is_alphanumeric(c) || c == '.' || c == '-' || c == '_' || (bracketed && (c == ':' || c == '%'));
  });
}

bool parse_port(std::string_view text, std::uint16_t* port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0 || value > 65535) return false;
  *port = static_cast<std::uint16_t>(value);
  return true;
}

}  // namespace

Result<std::string> percent_decode(std::string_view text) {
  std::string out;
  std::string_view bad;
  if (!unescape(text, false, &out, &bad)) return bad_escape(bad);
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

Result<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (std::size_t begin = 0; begin < query.size();) {
    const std::size_t end = std::min(query.find('&', begin), query.size());
    const std::string_view part = query.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty()) continue;
    // Other servers take ';' for a separator: what they read otherwise than we do is refused, as Go does.
    if (part.find(';') != part.npos) return Error(Code::kBadRequest, "invalid semicolon separator in query");
    const std::size_t equals = std::min(part.find('='), part.size());
    std::pair<std::string, std::string> pair;
    std::string_view bad;
    if (!unescape(part.substr(0, equals), true, &pair.first, &bad)) return bad_escape(bad);
    if (equals < part.size() && !unescape(part.substr(equals + 1), true, &pair.second, &bad)) return bad_escape(bad);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

Result<Url> parse_url(std::string_view text) {
  const auto invalid = [&](std::string_view why) { return Error(Code::kInvalid, cat("URL ", quote(text), ": ", why)); };
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c == 0x7f; })) {
    return invalid("holds blanks or control characters");
  }
  Url url;
  const std::size_t colon = text.find("://");
  if (colon == text.npos) return invalid("has no scheme");
  url.scheme = to_lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") return invalid("the scheme must be http or https");
  std::string_view rest = text.substr(colon + 3);
  rest = rest.substr(0, rest.find('#'));
  const std::size_t path = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, path);
  rest.remove_prefix(path);
  if (authority.find('@') != authority.npos) return invalid("user names in URLs are not supported");

  std::string_view port;
  bool has_port = false;
  const bool bracketed = authority.starts_with('[');
  if (bracketed) {
    const std::size_t close = authority.find(']');
    if (close == authority.npos) return invalid("']' is missing");
    url.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority[0] != ':') return invalid("the host is malformed");
    has_port = !authority.empty();
    if (has_port) port = authority.substr(1);
  } else {
    const std::size_t separator = authority.find(':');
    has_port = separator != authority.npos;
    url.host = authority.substr(0, separator);
    if (has_port) port = authority.substr(separator + 1);
  }
  if (url.host.empty()) return invalid("has no host");
  if (!is_host(url.host, bracketed)) return invalid("the host is malformed");
  url.port = url.scheme == "https" ? 443 : 80;
  if (has_port && !parse_port(port, &url.port)) return invalid("the port must be between 1 and 65535");

  const std::size_t question = rest.find('?');
  url.path = rest.substr(0, question);
  if (url.path.empty()) url.path = "/";
  if (question != rest.npos) url.query = rest.substr(question + 1);
  return url;
}

}  // namespace kayak::io
