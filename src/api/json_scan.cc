// json_scan.cc: the walk over JSON text behind json_scan.h.
#include "api/json_scan.h"

#include <cstdint>

namespace kayak::api {

void JsonScanner::blank() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
    ++at_;
  }
}

bool JsonScanner::fail() {
  failed_ = true;
  at_ = text_.size();
  return false;
}

bool JsonScanner::enter_object() {
  blank();
  if (at_ >= text_.size() || text_[at_] != '{') return false;
  ++at_;
  first_ = true;
  return true;
}

bool JsonScanner::enter_array() {
  blank();
  if (at_ >= text_.size() || text_[at_] != '[') return false;
  ++at_;
  first_ = true;
  return true;
}

bool JsonScanner::next_member(std::string_view* key) {
  blank();
  if (at_ >= text_.size()) return fail();
  if (text_[at_] == '}') {
    ++at_;
    first_ = false;
    return false;
  }
  if (!first_) {
    if (text_[at_] != ',') return fail();
    ++at_;
    blank();
  }
  first_ = false;
  entry_start_ = at_;
  const std::size_t start = at_;
  if (!skip_string()) return fail();
  *key = text_.substr(start + 1, at_ - start - 2);
  blank();
  if (at_ >= text_.size() || text_[at_] != ':') return fail();
  ++at_;
  blank();
  return true;
}

bool JsonScanner::next_element() {
  blank();
  if (at_ >= text_.size()) return fail();
  if (text_[at_] == ']') {
    ++at_;
    first_ = false;
    return false;
  }
  if (!first_) {
    if (text_[at_] != ',') return fail();
    ++at_;
    blank();
  }
  first_ = false;
  entry_start_ = at_;
  return true;
}

bool JsonScanner::skip_string() {
  if (at_ >= text_.size() || text_[at_] != '"') return false;
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] == '"') {
      ++at_;
      return true;
    }
    if (text_[at_] == '\\') ++at_;
  }
  at_ = text_.size();
  return false;
}

std::string_view JsonScanner::skip() {
  blank();
  first_ = false;
  const std::size_t start = at_;
  std::size_t depth = 0;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      if (!skip_string()) {
        fail();
        return {};
      }
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at_;
      continue;
    } else if (c == '}' || c == ']') {
      if (depth == 0) break;  // the end of what surrounds a scalar
      --depth;
      ++at_;
    } else if (depth == 0) {
      while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '}' && text_[at_] != ']' && text_[at_] != ' ' &&
             text_[at_] != '\n') {
        ++at_;
      }
    } else {
      ++at_;
      continue;
    }
    if (depth == 0) break;
  }
  if (depth != 0 || at_ == start) {
    fail();
    return {};
  }
  return text_.substr(start, at_ - start);
}

bool JsonScanner::take_string(std::string* out) {
  out->clear();
  const std::string_view raw = skip();
  if (raw.size() < 2 || raw.front() != '"') return false;
  const std::string_view inner = raw.substr(1, raw.size() - 2);
  if (inner.find('\\') == std::string_view::npos) {
    out->assign(inner);
  } else {
    *out = unescape_json(inner);
  }
  return true;
}

namespace {

bool hex4(std::string_view text, std::size_t at, std::uint32_t* value) {
  if (at + 4 > text.size()) return false;
  *value = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const char c = text[i];
    std::uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<std::uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<std::uint32_t>(c - 'A' + 10);
    } else {
      return false;
    }
    *value = *value * 16 + digit;
  }
  return true;
}

void append_utf8(std::string* out, std::uint32_t code) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | (code >> 6)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | (code >> 12)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | (code >> 18)));
    out->push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

}  // namespace

std::string unescape_json(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\' || i + 1 >= raw.size()) {
      out.push_back(raw[i]);
      continue;
    }
    const char c = raw[++i];
    std::uint32_t code = 0;
    switch (c) {
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'u':
        if (!hex4(raw, i + 1, &code)) break;
        i += 4;
        if (code >= 0xd800 && code < 0xdc00) {
          std::uint32_t low = 0;
          if (raw.substr(i + 1, 2) == "\\u" && hex4(raw, i + 3, &low) && low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            i += 6;
          } else {
            code = 0xfffd;
          }
        } else if (code >= 0xdc00 && code < 0xe000) {
          code = 0xfffd;
        }
        append_utf8(&out, code);
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace kayak::api
