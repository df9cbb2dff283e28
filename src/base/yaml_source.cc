// yaml_source.cc: see the header.
#include "base/yaml_source.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::yaml {

namespace {
bool flow_indicator(char c) { return c == ',' || c == '[' || c == ']' || c == '{' || c == '}'; }
}  // namespace

bool Source::fail_at(std::size_t line, std::size_t column, std::string message) {
  if (error_.empty()) error_ = cat("yaml: line ", line + 1, ", column ", column + 1, ": ", message);
  return false;
}
bool Source::fail(std::string message) { return fail_at(line_, column(), std::move(message)); }

bool Source::check_characters() {
  if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  std::size_t line = 0, line_start = 0;
  for (std::size_t i = 0; i < text_.size();) {
    const unsigned char c = static_cast<unsigned char>(text_[i]);
    if (c == '\n') {
      ++line;
      line_start = i + 1;
    }
    if ((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t' || c == '\r') {
      ++i;
      continue;
    }
    const CodePoint point = next_code_point(text_.substr(i));
    if (!point.valid) return fail_at(line, i - line_start, "invalid UTF-8");
    if (point.value < 0x85 || (point.value > 0x85 && point.value < 0xa0) || point.value == 0xfffe ||
        point.value == 0xffff) {
      return fail_at(line, i - line_start, "control characters are not allowed");
    }
    i += point.size;
  }
  measure_indent();
  return true;
}

void Source::measure_indent() {
  indent_ = 0;
  while (at_blank(indent_)) ++indent_;
}

bool Source::at_document_marker() const {
  if (column() != 0 || !at_space(3)) return false;
  const std::string_view marker = text_.substr(std::min(position_, text_.size()), 3);
  return marker == "---" || marker == "...";
}

void Source::skip_blanks() {
  while (at_blank()) skip(1);
}
void Source::skip_line_rest() {
  while (!at_end() && !at_break()) skip(1);
}
void Source::skip_break() {
  if (!at_break()) return;
  skip(peek() == '\r' && peek(1) == '\n' ? 2 : 1);
  ++line_;
  line_start_ = position_;
  measure_indent();
}

bool Source::skip_gap(bool in_flow, bool* tab) {
  *tab = false;
  bool after_blank = column() == 0 || text_[position_ - 1] == ' ' || text_[position_ - 1] == '\t';
  for (;;) {
    while (at_blank()) {
      *tab |= peek() == '\t';
      after_blank = true;
      skip(1);
    }
    if (peek() == '#' && after_blank) skip_line_rest();
    if (!at_break()) break;
    skip_break();
    *tab = false;
    after_blank = true;
  }
  if (*tab && !in_flow && at_line_start() && !at_end()) return fail("found a tab where spaces must indent");
  return true;
}

// --- plain ---

bool Source::at_plain(bool in_flow) const {
  if (at_space()) return false;
  const char c = peek();
  if (c == '-' || c == '?' || c == ':') return !at_space(1) && !(in_flow && flow_indicator(peek(1)));
  return std::string_view(",[]{}#&*!|>'\"%@`").find(c) == std::string_view::npos;
}

bool Source::plain_ends_here(bool in_flow) const {
  const char c = peek();
  if (c == ':') return at_space(1) || (in_flow && flow_indicator(peek(1)));
  return in_flow && flow_indicator(c);
}

// From the end of a line to the next line of the same scalar. `*more` is false, and the cursor back, when there is
// none.
bool Source::next_plain_line(std::size_t min_indent, bool in_flow, std::size_t* breaks, bool* more) {
  const std::size_t position = position_, line = line_, line_start = line_start_, indent = indent_;
  *breaks = 0;
  *more = false;
  bool tab = false;
  while (at_break()) {
    skip_break();
    ++*breaks;
    tab = false;
    while (at_blank()) {
      tab |= peek() == '\t' && column() < min_indent;
      skip(1);
    }
  }
  *more = !at_end() && peek() != '#' && !(column() == 0 && at_document_marker()) &&
          (in_flow ? !plain_ends_here(true) : column() >= min_indent);
  if (*more && tab && !in_flow) return fail("found a tab where spaces must indent");
  if (!*more) {
    position_ = position;
    line_ = line;
    line_start_ = line_start;
    indent_ = indent;
  }
  return true;
}

bool Source::read_plain(std::size_t min_indent, bool in_flow, std::string* out) {
  out->clear();
  for (;;) {
    std::size_t kept = out->size();  // without the blanks at the end of the line
    while (!at_end() && !at_break() && !plain_ends_here(in_flow) && !(peek() == '#' && out->size() > kept)) {
      *out += peek();
      if (!at_blank()) kept = out->size();
      skip(1);
    }
    out->resize(kept);
    if (!at_break()) return true;
    std::size_t breaks = 0;
    bool more = false;
    if (!next_plain_line(min_indent, in_flow, &breaks, &more)) return false;
    if (!more) return true;
    out->append(breaks == 1 ? 1 : breaks - 1, breaks == 1 ? ' ' : '\n');
  }
}

// --- quoted ---

// At a line's end inside quotes: the break becomes a space, n breaks become n - 1 newlines, blanks around go.
bool Source::fold_quoted_lines(std::string* out, std::size_t kept_size, bool escaped_break) {
  while (out->size() > kept_size && (out->back() == ' ' || out->back() == '\t')) out->pop_back();
  std::size_t breaks = 0;
  while (at_break()) {
    skip_break();
    ++breaks;
    if (at_document_marker()) return fail("found a document marker in a quoted scalar");
    skip_blanks();
  }
  if (breaks == 1 && !escaped_break) *out += ' ';
  if (breaks > 1) out->append(breaks - 1, '\n');
  return true;
}

bool Source::read_single_quoted(std::string* out) {
  const std::size_t line = line_, first = column();
  out->clear();
  skip(1);
  while (!at_end()) {
    if (at_break()) {
      if (!fold_quoted_lines(out, 0, false)) return false;
    } else if (peek() != '\'') {
      *out += peek();
      skip(1);
    } else if (peek(1) == '\'') {
      *out += '\'';
      skip(2);
    } else {
      skip(1);
      return true;
    }
  }
  return fail_at(line, first, "this quoted scalar has no end");
}

bool Source::read_escape(std::string* out) {
  const char c = peek(1);
  std::size_t digits = 0;
  switch (c) {
    case '0':
      *out += '\0';
      break;
    case 'a':
      *out += '\a';
      break;
    case 'b':
      *out += '\b';
      break;
    case 't':
    case '\t':
      *out += '\t';
      break;
    case 'n':
      *out += '\n';
      break;
    case 'v':
      *out += '\v';
      break;
    case 'f':
      *out += '\f';
      break;
    case 'r':
      *out += '\r';
      break;
    case 'e':
      *out += '\x1b';
      break;
    case ' ':
    case '"':
    case '/':
    case '\\':
    case '\'':
      *out += c;
      break;
    case 'N':
      append_utf8(*out, 0x85);
      break;
    case '_':
      append_utf8(*out, 0xa0);
      break;
    case 'L':
      append_utf8(*out, 0x2028);
      break;
    case 'P':
      append_utf8(*out, 0x2029);
      break;
    case 'x':
      digits = 2;
      break;
    case 'u':
      digits = 4;
      break;
    case 'U':
      digits = 8;
      break;
    default:
      return fail("found an unknown escape character");
  }
  skip(2);
  if (digits == 0) return true;
  std::string bytes;
  if (!hex_decode(text_.substr(std::min(position_, text_.size()), digits), &bytes) || bytes.size() * 2 != digits) {
    return fail("expected hexadecimal digits in an escape");
  }
  char32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return fail("found an invalid Unicode escape");
  append_utf8(*out, value);
  skip(digits);
  return true;
}

bool Source::read_double_quoted(std::string* out) {
  const std::size_t line = line_, first = column();
  out->clear();
  skip(1);
  std::size_t kept = 0;  // blanks before this were escaped and stay
  while (!at_end()) {
    if (at_break()) {
      if (!fold_quoted_lines(out, kept, false)) return false;
    } else if (peek() == '"') {
      skip(1);
      return true;
    } else if (peek() == '\\' && at_break(1)) {
      skip(1);
      kept = out->size();
      if (!fold_quoted_lines(out, kept, true)) return false;
    } else if (peek() == '\\') {
      if (!read_escape(out)) return false;
      kept = out->size();
    } else {
      *out += peek();
      skip(1);
    }
  }
  return fail_at(line, first, "this quoted scalar has no end");
}

// --- block ---

struct Source::BlockHeader {
  bool folded = false;
  enum { kClip, kStrip, kKeep } chomp = kClip;
  std::size_t indent = 0;  // 0: as the first line
};

bool Source::read_block_header(BlockHeader* header) {
  header->folded = peek() == '>';
  skip(1);
  bool chomp_seen = false;
  for (; !at_space(); skip(1)) {
    const char c = peek();
    if ((c == '+' || c == '-') && !chomp_seen) {
      header->chomp = c == '+' ? BlockHeader::kKeep : BlockHeader::kStrip;
      chomp_seen = true;
    } else if (c >= '1' && c <= '9' && header->indent == 0) {
      header->indent = static_cast<std::size_t>(c - '0');
    } else {
      return fail("found something unexpected in the first line of a block scalar");
    }
  }
  const bool blank = at_blank();
  skip_blanks();
  if (peek() == '#' && blank) skip_line_rest();
  if (!at_end() && !at_break()) return fail("found something unexpected in the first line of a block scalar");
  skip_break();
  return true;
}

// Over empty lines and the indentation of the next line; finds `*indent` when it is 0.
bool Source::skip_block_breaks(std::size_t least_indent, std::size_t* indent, std::string* breaks) {
  std::size_t widest = 0;
  for (;;) {
    while (peek() == ' ' && (*indent == 0 || column() < *indent)) skip(1);
    widest = std::max(widest, column());
    if (peek() == '\t' && (*indent == 0 ? column() < least_indent : column() < *indent)) {
      return fail("found a tab where spaces must indent");
    }
    if (!at_break()) break;
    skip_break();
    *breaks += '\n';
  }
  if (*indent == 0) *indent = std::max(widest, least_indent);
  return true;
}

bool Source::read_block(std::ptrdiff_t parent_indent, std::string* out) {
  out->clear();
  BlockHeader header;
  if (!read_block_header(&header)) return false;
  std::size_t indent = header.indent;
  if (indent != 0 && parent_indent > 0) indent += static_cast<std::size_t>(parent_indent);
  const auto least_indent = static_cast<std::size_t>(std::max<std::ptrdiff_t>(parent_indent + 1, 1));
  std::string breaks;                              // of the empty lines before this line
  bool pending = false;                            // the line before has ended, and its break is not written yet
  bool indented = false, indented_before = false;  // the line starts with a blank: folding leaves it alone
  if (!skip_block_breaks(least_indent, &indent, &breaks)) return false;
  while (column() == indent && !at_end()) {
    indented = at_blank();
    if (pending && header.folded && !indented && !indented_before) {
      if (breaks.empty()) *out += ' ';
    } else if (pending) {
      *out += '\n';
    }
    *out += breaks;
    breaks.clear();
    indented_before = indented;
    const std::size_t begin = position_;
    skip_line_rest();
    *out += text_.substr(begin, position_ - begin);
    pending = at_break();
    skip_break();
    if (!skip_block_breaks(least_indent, &indent, &breaks)) return false;
  }
  if (pending && header.chomp != BlockHeader::kStrip) *out += '\n';
  if (header.chomp == BlockHeader::kKeep) *out += breaks;
  return true;
}

}  // namespace kayak::yaml
