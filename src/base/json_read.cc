// json_read.cc: the JSON reader: Boost.JSON's basic_parser under our own handler, in this file only.
// Boost checks the grammar; the handler builds values, notices repeated members and keeps the budgets.
// Source: RFC 8259; sigs.k8s.io/json for what strict decoding reports (paths, order, at most 100).
#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <cstring>
#include <set>

#include "base/json.h"
#include "base/strings.h"

namespace kayak::json {

namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxReportedDuplicates = 100;
constexpr std::size_t kLinearKeys = 16;  // up to here comparing with each earlier key beats a tree

// Open containers share one stack of finished values, so that each array and object is allocated once, in its size.
class Builder {
 public:
  constexpr static std::size_t max_object_size = std::size_t(-1);
  constexpr static std::size_t max_array_size = std::size_t(-1);
  constexpr static std::size_t max_key_size = std::size_t(-1);
  constexpr static std::size_t max_string_size = std::size_t(-1);

  explicit Builder(const ReadOptions& options) : options_(options) {}

  Value take_document() {
    ASSERT(values_.size() == 1 && frames_.empty());
    return std::move(values_.front());
  }
  bool too_many_nodes() const { return nodes_ > options_.max_nodes; }
  // What is being read, for messages.
  std::string_view where() const {
    return frames_.empty() ? "a value" : frames_.back().object ? "an object" : "an array";
  }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_array_begin(bj::error_code& ec) { return open(false, ec); }
  bool on_object_begin(bj::error_code& ec) { return open(true, ec); }
  bool on_array_end(std::size_t, bj::error_code&) {
    const std::size_t first = frames_.back().first_value;
    Array array(std::make_move_iterator(values_.begin() + static_cast<std::ptrdiff_t>(first)),
                std::make_move_iterator(values_.end()));
    values_.resize(first);
    frames_.pop_back();
    values_.emplace_back(std::move(array));
    return true;
  }
  bool on_object_end(std::size_t, bj::error_code&) {
    finish_member();
    const Frame& frame = frames_.back();
    Object object;
    object.members().reserve(values_.size() - frame.first_value);
    for (std::size_t i = frame.first_value, k = frame.first_key; i < values_.size(); ++i, ++k) {
      object.members().push_back(Member{std::move(keys_[k]), std::move(values_[i])});
    }
    values_.resize(frame.first_value);
    keys_.resize(frame.first_key);
    frames_.pop_back();
    values_.emplace_back(std::move(object));
    return true;
  }

  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) { return append(part); }
  bool on_key(bj::string_view part, std::size_t, bj::error_code&) {
    finish_member();
    Frame& frame = frames_.back();
    keys_.push_back(take_text(part));
    frame.repeated = find_earlier(frame);
    if (frame.repeated != kNone) report_duplicate();
    return true;
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) { return append(part); }
  bool on_string(bj::string_view part, std::size_t, bj::error_code& ec) { return add(Value(take_text(part)), ec); }
  bool on_number_part(bj::string_view part, bj::error_code&) { return append(part); }
  bool on_int64(std::int64_t value, bj::string_view, bj::error_code& ec) {
    text_.clear();
    return add(Value(value), ec);
  }
  bool on_uint64(std::uint64_t, bj::string_view part, bj::error_code& ec) { return add_number(part, ec); }
  bool on_double(double, bj::string_view part, bj::error_code& ec) { return add_number(part, ec); }
  bool on_bool(bool value, bj::error_code& ec) { return add(Value(value), ec); }
  bool on_null(bj::error_code& ec) { return add(Value(), ec); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  static constexpr std::size_t kNone = std::size_t(-1);

  struct KeyLess {
    using is_transparent = void;
    const std::vector<std::string>* keys;
    bool operator()(std::size_t a, std::size_t b) const { return (*keys)[a] < (*keys)[b]; }
  };
  using KeyTree = std::set<std::size_t, KeyLess>;

  struct Frame {
    bool object;
    std::size_t first_value, first_key;
    std::size_t repeated = kNone;         // index in values_ that the member being read replaces
    std::unique_ptr<KeyTree> known_keys;  // made when there are many
  };

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
  bool count_node(bj::error_code& ec) {
    ++nodes_;
    if (!too_many_nodes()) return true;
    ec = bj::make_error_code(bj::error::size_mismatch);  // any: read() asks too_many_nodes()
    return false;
  }
  bool add(Value value, bj::error_code& ec) {
    values_.push_back(std::move(value));
    return count_node(ec);
  }
  bool add_number(bj::string_view part, bj::error_code& ec) { return add(Value(Number{take_text(part)}), ec); }
  bool open(bool object, bj::error_code& ec) {
    frames_.push_back(Frame{object, values_.size(), keys_.size(), kNone, nullptr});
    return count_node(ec);
  }

  // Called when the member before is complete: a repeated one takes the place of the earlier.
  void finish_member() {
    Frame& frame = frames_.back();
    if (frame.repeated == kNone) return;
    values_[frame.repeated] = std::move(values_.back());
    values_.pop_back();
    keys_.pop_back();
    frame.repeated = kNone;
  }

  // The index in values_ of an earlier member with the key that was read last.
  std::size_t find_earlier(Frame& frame) {
    const std::size_t newest = keys_.size() - 1;
    const std::size_t count = newest - frame.first_key;
    std::size_t found = newest;
    if (count < kLinearKeys) {
      found = frame.first_key;
      while (found < newest && keys_[found] != keys_[newest]) ++found;
    } else {
      if (!frame.known_keys) {
        frame.known_keys = std::make_unique<KeyTree>(KeyLess{&keys_});
        for (std::size_t i = frame.first_key; i < newest; ++i) frame.known_keys->insert(i);
      }
      found = *frame.known_keys->insert(newest).first;
    }
    return found == newest ? kNone : frame.first_value + (found - frame.first_key);
  }

  void report_duplicate() {
    std::vector<std::string>* duplicates = options_.duplicates;
    if (duplicates == nullptr || duplicates->size() >= kMaxReportedDuplicates) return;
    std::string path = current_path();
    if (std::find(duplicates->begin(), duplicates->end(), path) == duplicates->end()) {
      duplicates->push_back(std::move(path));
    }
  }
  // The member that is being read, as "spec.containers[0].name".
  std::string current_path() const {
    std::string path;
    for (std::size_t i = 0; i < frames_.size(); ++i) {
      const std::size_t end_key = i + 1 < frames_.size() ? frames_[i + 1].first_key : keys_.size();
      const std::size_t end_value = i + 1 < frames_.size() ? frames_[i + 1].first_value : values_.size();
      if (frames_[i].object) {
        if (!path.empty()) path += '.';
        path += keys_[end_key - 1];
      } else {
        path += cat("[", end_value - frames_[i].first_value, "]");
      }
    }
    return path;
  }

  ReadOptions options_;
  std::string text_;  // earlier parts of the string, key or number that is being read
  std::vector<Value> values_;
  std::vector<std::string> keys_;
  std::vector<Frame> frames_;
  std::size_t nodes_ = 0;
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

Error read_error(std::string_view text, std::size_t offset, const bj::error_code& ec, const Builder& builder,
                 const ReadOptions& options) {
  const auto at = [&](std::string message) { return Error(Code::kBadRequest, cat(message, " at byte ", offset)); };
  if (builder.too_many_nodes()) return at(cat("JSON document has more than ", options.max_nodes, " values,"));
  if (ec == bj::error::too_deep) return at(cat("JSON document is nested deeper than ", options.max_depth, " levels,"));
  if (ec == bj::error::incomplete) return Error(Code::kBadRequest, "unexpected end of JSON input");
  if (ec == bj::error::extra_data) return at(cat(describe_byte(text, offset), " after top-level value"));
  if (ec == bj::error::exponent_overflow) return at("number out of range");
  if (ec == bj::error::expected_hex_digit)
    return at(cat(describe_byte(text, offset), " in \\u escape: expected a hex digit"));
  return at(cat(describe_byte(text, offset), " in ", builder.where()));
}

}  // namespace

Result<Value> read(std::string_view text, const ReadOptions& options) {
  bj::parse_options grammar;
  grammar.max_depth = options.max_depth;
  grammar.allow_invalid_utf8 = true;  // replaced when a string is complete
  bj::basic_parser<Builder> parser(grammar, options);
  std::string fixed;
  if (replace_lone_surrogates(text, &fixed)) text = fixed;
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && used < text.size()) ec = bj::error::extra_data;
  if (ec) return read_error(text, used, ec, parser.handler(), options);
  return parser.handler().take_document();
}

}  // namespace kayak::json
