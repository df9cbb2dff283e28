// json_read.cc: the JSON reader: Boost.JSON's basic_parser under our own handler, in this file only.
// Boost checks the grammar and the depth; DocumentBuilder makes the values.
// Source: RFC 8259; Go encoding/json for what is forgiven (bytes that are not UTF-8, half surrogate pairs).
#include <boost/json/basic_parser_impl.hpp>

#include "base/document_builder.h"
#include "base/json.h"
#include "base/strings.h"

namespace kayak::json {

namespace {

namespace bj = boost::json;

class Handler {
 public:
  constexpr static std::size_t max_object_size = std::size_t(-1);
  constexpr static std::size_t max_array_size = std::size_t(-1);
  constexpr static std::size_t max_key_size = std::size_t(-1);
  constexpr static std::size_t max_string_size = std::size_t(-1);

  explicit Handler(const ReadOptions& options) : builder_(options.max_nodes, options.duplicates) {}

  Value take_document() { return builder_.take_document(); }
  bool too_many_nodes() const { return too_many_nodes_; }
  // What is being read, for messages.
  std::string_view where() const {
    return !builder_.in_container() ? "a value" : builder_.in_object() ? "an object" : "an array";
  }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_array_begin(bj::error_code& ec) { return counted(builder_.begin_array(), ec); }
  bool on_object_begin(bj::error_code& ec) { return counted(builder_.begin_object(), ec); }
  bool on_array_end(std::size_t, bj::error_code&) {
    builder_.end_array();
    return true;
  }
  bool on_object_end(std::size_t, bj::error_code&) {
    builder_.end_object();
    return true;
  }
  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) { return append(part); }
  bool on_key(bj::string_view part, std::size_t, bj::error_code&) {
    builder_.key(take_text(part));
    return true;
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) { return append(part); }
  bool on_string(bj::string_view part, std::size_t, bj::error_code& ec) { return add(Value(take_text(part)), ec); }
  bool on_number_part(bj::string_view part, bj::error_code&) { return append(part); }
  bool on_int64(std::int64_t value, bj::string_view, bj::error_code& ec) {
    text_.clear();
    return add(Value(value), ec);
  }
  bool on_uint64(std::uint64_t, bj::string_view part, bj::error_code& ec) {
    return add(Value(Number{take_text(part)}), ec);
  }
  bool on_double(double, bj::string_view part, bj::error_code& ec) { return add(Value(Number{take_text(part)}), ec); }
  bool on_bool(bool value, bj::error_code& ec) { return add(Value(value), ec); }
  bool on_null(bj::error_code& ec) { return add(Value(), ec); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  bool append(bj::string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }
  // The text that ends with `part`; most come in one part.
  std::string take_text(bj::string_view part) {
    std::string_view text(part.data(), part.size());
    if (!text_.empty()) {
      append(part);
      text = text_;
    }
    std::string valid = is_valid_utf8(text) ? std::string(text) : to_valid_utf8(text);
    text_.clear();
    return valid;
  }
  bool add(Value value, bj::error_code& ec) { return counted(builder_.value(std::move(value)), ec); }
  bool counted(bool within_limit, bj::error_code& ec) {
    if (within_limit) return true;
    too_many_nodes_ = true;
    ec = bj::make_error_code(bj::error::size_mismatch);  // any: read_error asks too_many_nodes()
    return false;
  }

  DocumentBuilder builder_;
  std::string text_;  // earlier parts of the string, key or number that is being read
  bool too_many_nodes_ = false;
};

// A lone half of a surrogate pair ("\ud800") is U+FFFD to Go and an error to Boost. Both are six bytes of text, so
// that offsets stay. Returns false when there is nothing to replace, the usual case.
bool replace_lone_surrogates(std::string_view text, std::string* fixed) {
  const auto unit_at = [&](std::size_t i) -> int {  // the UTF-16 unit of the escape at i, or -1
    if (i + 6 > text.size() || text[i] != '\\' || text[i + 1] != 'u') return -1;
    std::string bytes;
    if (!hex_decode(text.substr(i + 2, 4), &bytes)) return -1;
    return static_cast<unsigned char>(bytes[0]) << 8 | static_cast<unsigned char>(bytes[1]);
  };
  bool changed = false;
  for (std::size_t i = text.find('\\'); i != std::string_view::npos; i = text.find('\\', i)) {
    const int unit = unit_at(i);
    if (unit < 0xd800 || unit > 0xdfff) {
      i += unit < 0 ? 2 : 6;
      continue;
    }
    const int next = unit <= 0xdbff ? unit_at(i + 6) : -1;
    if (next >= 0xdc00 && next <= 0xdfff) {
      i += 12;
      continue;
    }
    if (!changed) fixed->assign(text);
    changed = true;
    fixed->replace(i + 2, 4, "fffd");
    i += 6;
  }
  return changed;
}

std::string describe_byte(std::string_view text, std::size_t offset) {
  if (offset >= text.size()) return "unexpected end of JSON input";
  const CodePoint c = next_code_point(text.substr(offset));
  return cat("invalid character ", quote(text.substr(offset, c.size)));
}

Error read_error(std::string_view text, std::size_t offset, const bj::error_code& ec, const Handler& handler,
                 const ReadOptions& options) {
  const auto at = [&](std::string message) { return Error(Code::kBadRequest, cat(message, " at byte ", offset)); };
  if (handler.too_many_nodes()) return at(cat("JSON document has more than ", options.max_nodes, " values,"));
  if (ec == bj::error::too_deep) return at(cat("JSON document is nested deeper than ", options.max_depth, " levels,"));
  if (ec == bj::error::incomplete) return Error(Code::kBadRequest, "unexpected end of JSON input");
  if (ec == bj::error::extra_data) return at(cat(describe_byte(text, offset), " after top-level value"));
  if (ec == bj::error::exponent_overflow) return at("number out of range");
  if (ec == bj::error::expected_hex_digit) {
    return at(cat(describe_byte(text, offset), " in \\u escape: expected a hex digit"));
  }
  return at(cat(describe_byte(text, offset), " in ", handler.where()));
}

}  // namespace

Result<Value> read(std::string_view text, const ReadOptions& options) {
  bj::parse_options grammar;
  grammar.max_depth = options.max_depth;
  grammar.allow_invalid_utf8 = true;  // replaced when a string is complete
  bj::basic_parser<Handler> parser(grammar, options);
  std::string fixed;
  if (replace_lone_surrogates(text, &fixed)) text = fixed;
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && used < text.size()) ec = bj::error::extra_data;
  if (ec) return read_error(text, used, ec, parser.handler(), options);
  return parser.handler().take_document();
}

}  // namespace kayak::json
