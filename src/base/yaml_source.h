// yaml_source.h: the text of a YAML stream as a cursor, and the scalars on it; inside src/base only.
// Knows characters, lines and the five scalar styles; structure, tags and anchors are yaml.cc's.
// Source: YAML 1.2.2 chapters 5 to 8; libyaml where upstream's reader is more or less strict.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kayak::yaml {

class Source {
 public:
  explicit Source(std::string_view text) : text_(text) {}

  // Refuses bytes that no YAML document may hold, and drops a byte order mark. Call it first.
  bool check_characters();

  bool at_end() const { return position_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const {
    return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';  // NUL is no YAML character
  }
  bool at_break(std::size_t ahead = 0) const { return peek(ahead) == '\n' || peek(ahead) == '\r'; }
  bool at_blank(std::size_t ahead = 0) const { return peek(ahead) == ' ' || peek(ahead) == '\t'; }
  // White space, a line's end or the end of the stream.
  bool at_space(std::size_t ahead = 0) const {
    return position_ + ahead >= text_.size() || at_blank(ahead) || at_break(ahead);
  }
  // "- ", "? " and ": ".
  bool at_indicator(char c) const { return peek() == c && at_space(1); }
  bool at_document_marker() const;            // "---" or "..." at the start of a line
  std::size_t line() const { return line_; }  // from 0
  std::size_t column() const { return position_ - line_start_; }
  void skip(std::size_t count) { position_ += count; }  // within the line
  void skip_blanks();
  void skip_line_rest();
  void skip_break();

  // Nothing but white space stands before here on this line.
  bool at_line_start() const { return column() <= indent_; }

  // To the next content: over white space, comments and lines. In block context a tab may not indent, and `*tab` tells
  // whether one stands before the content on its line.
  bool skip_gap(bool in_flow, bool* tab);

  // Each reads one scalar from its first character and is false when it is malformed.
  // Continuation lines of a plain scalar in block context stand at `min_indent` or further right.
  bool read_plain(std::size_t min_indent, bool in_flow, std::string* out);
  bool read_single_quoted(std::string* out);
  bool read_double_quoted(std::string* out);
  // `parent_indent` is the column of the collection around it, -1 for none.
  bool read_block(std::ptrdiff_t parent_indent, std::string* out);
  // Whether a plain scalar can start here.
  bool at_plain(bool in_flow) const;

  // Remembers what is wrong, with the place; always false.
  bool fail(std::string message);
  bool fail_at(std::size_t line, std::size_t column, std::string message);
  const std::string& error() const { return error_; }

 private:
  bool plain_ends_here(bool in_flow) const;
  bool next_plain_line(std::size_t min_indent, bool in_flow, std::size_t* breaks, bool* more);
  bool fold_quoted_lines(std::string* out, std::size_t kept_size, bool escaped_break);
  bool read_escape(std::string* out);
  struct BlockHeader;
  bool read_block_header(BlockHeader* header);
  bool skip_block_breaks(std::size_t least_indent, std::size_t* indent, std::string* breaks);

  void measure_indent();

  std::string_view text_;
  std::size_t position_ = 0, line_ = 0, line_start_ = 0;
  std::size_t indent_ = 0;  // white space at the start of this line
  std::string error_;
};

}  // namespace kayak::yaml
