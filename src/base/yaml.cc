// yaml.cc: the structure of YAML streams: collections, tags, anchors, merges, budgets.
// Our own reader, not yaml-cpp's: that one splits a whole flow collection into tokens before its first event, so that
// 1 MB of "[" took 231 MB and 400 ms before any budget of ours could act. This one is linear in time, keeps nothing
// but the values, and never looks further ahead than a line.
// Source: YAML 1.2.2 chapters 6 to 9; YAML 1.1 for types and merges; sigs.k8s.io/yaml for keys that are not strings.
#include "base/yaml.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/document_builder.h"
#include "base/strings.h"
#include "base/yaml_scalar.h"
#include "base/yaml_source.h"

namespace kayak::yaml {

namespace {

// What an alias may copy beyond what the text itself holds. The constants allow for small files with many aliases.
constexpr std::size_t kFreeAliasNodes = 10'000;
constexpr std::size_t kFreeAliasBytes = 1024 * 1024;

struct Size {
  std::size_t nodes = 0, bytes = 0;
};

Size size_of(const json::Value& value) {
  Size size{1, sizeof(json::Value)};
  const auto add = [&](const json::Value& child) {
    const Size more = size_of(child);
    size.nodes += more.nodes;
    size.bytes += more.bytes;
  };
  if (value.is_string()) size.bytes += value.as_string().size();
  if (value.is_array()) {
    for (const json::Value& item : value.as_array()) add(item);
  }
  if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) {
      size.bytes += sizeof(std::string) + key.size();
      add(member);
    }
  }
  return size;
}

// The tag and anchor in front of a node; empty when absent.
struct Properties {
  std::string tag, anchor;
  bool empty() const { return tag.empty() && anchor.empty(); }
};

// A scalar or alias that has been read but not placed: it may turn out to be a key.
struct Atom {
  Properties properties;
  std::string text;  // or the alias's name
  bool plain = false, alias = false;
  std::size_t line = 0, column = 0;
};

// Where a block node may stand.
struct Place {
  std::ptrdiff_t parent_indent = -1;  // its content on lines of its own is further right
  bool compact = true;                // a collection may start on the line of the indicator before it
  bool dash_at_parent = false;        // a sequence may stand as far left as the mapping around it
};

class Reader {
 public:
  Reader(std::string_view text, const ReadLimits& limits)
      : source_(text), limits_(limits), text_size_(text.size()), builder_(limits.max_nodes, limits.duplicates) {}

  // Every document, empty ones as null.
  bool read_stream(std::vector<json::Value>* documents);
  Error error() const { return Error(Code::kBadRequest, source_.error()); }

 private:
  // The structure in block style.
  bool read_directives();
  bool block_node(const Place& place);
  bool block_content(const Place& place, Properties outer, Properties inner, std::size_t column, bool may_collect);
  bool block_atom(const Place& place, Properties outer, Properties inner, std::size_t column, bool may_collect);
  bool block_sequence(std::size_t column, const Properties& properties);
  bool block_mapping(std::size_t column, const Properties& properties, const Atom* first_key);
  bool block_key(std::size_t column, bool* explicit_key, Atom* key);
  bool block_value(std::size_t column, bool explicit_key);
  bool line_is_over();

  // The structure in flow style.
  bool flow_node();
  bool flow_sequence(const Properties& properties);
  bool flow_sequence_item();
  bool flow_mapping(const Properties& properties);
  bool flow_entry(std::vector<json::Value>* merges);
  bool flow_value_follows(const Atom& atom);
  bool flow_separator(char end, bool* over);

  // Parts of nodes.
  bool read_properties(Properties* properties);
  bool read_tag(std::string* tag);
  bool read_name(std::string* name);
  bool join(Properties outer, const Properties& inner, Properties* all);
  bool at_atom(bool in_flow) const;
  bool read_atom(std::size_t min_indent, bool in_flow, Atom* atom);

  // From nodes to values.
  bool place_atom(const Atom& atom);
  bool place_empty(const Properties& properties);
  bool place_alias(const Atom& atom);
  bool scalar_value(const Atom& atom, json::Value* value);
  bool start_anchor(const Properties& properties);
  bool finish_anchor(const Properties& properties);
  bool spend_on_aliases(const Size& size);
  bool begin_collection(bool object, const Properties& properties);
  bool end_collection(bool object, const Properties& properties);
  bool place_key(const Atom& atom, bool* merge);
  bool key_text(const json::Value& value, const Atom& atom, std::string* key);
  bool after_value(bool merge, std::vector<json::Value>* merges);
  bool apply_merges(std::vector<json::Value> merges);
  bool counted(bool within_limit);

  Source source_;
  ReadLimits limits_;
  std::size_t text_size_;
  json::DocumentBuilder builder_;
  struct Anchor {
    bool complete = false;
    json::Value value;
    Size size;
  };
  std::map<std::string, Anchor, std::less<>> anchors_;  // of this document
  std::size_t depth_ = 0;
  Size alias_total_;
};

// --- documents ---

bool Reader::read_directives() {
  while (source_.column() == 0 && source_.peek() == '%') {
    source_.skip_line_rest();  // %YAML and %TAG: a tag is either one of the standard ones or of no meaning here
    bool tab = false;
    if (!source_.skip_gap(false, &tab)) return false;
    if (source_.column() == 0 && source_.peek() == '%') continue;
    if (!source_.at_document_marker() || source_.peek() != '-') return source_.fail("did not find expected '---'");
  }
  return true;
}

bool Reader::read_stream(std::vector<json::Value>* documents) {
  if (!source_.check_characters()) return false;
  for (;;) {
    bool tab = false;
    if (!source_.skip_gap(false, &tab) || !read_directives()) return false;
    if (source_.at_end()) return true;
    Place place;
    if (source_.at_document_marker()) {
      const bool start = source_.peek() == '-';
      source_.skip(3);
      if (!start) continue;
      place.compact = false;  // what follows "---" on its line is no block collection
    }
    anchors_.clear();
    if (!block_node(place) || !source_.skip_gap(false, &tab)) return false;
    if (!source_.at_end() && !source_.at_document_marker()) {
      return source_.fail("did not find the end of the document");
    }
    documents->push_back(builder_.take_document());
  }
}

// --- block style ---

bool Reader::block_node(const Place& place) {
  Properties outer;  // on lines before the content
  for (;;) {
    bool tab = false;
    if (!source_.skip_gap(false, &tab)) return false;
    const bool fresh = source_.at_line_start();
    const auto column = static_cast<std::ptrdiff_t>(source_.column());
    if (source_.at_end() || source_.at_document_marker()) return place_empty(outer);
    if (fresh && column <= place.parent_indent &&
        !(place.dash_at_parent && column == place.parent_indent && source_.at_indicator('-'))) {
      return place_empty(outer);
    }
    Properties inner;  // on the line of the content
    if (!read_properties(&inner)) return false;
    if (!inner.empty() && (source_.at_end() || source_.at_break() || source_.peek() == '#')) {
      if (!join(outer, inner, &outer)) return false;
      continue;
    }
    return block_content(place, std::move(outer), std::move(inner), static_cast<std::size_t>(column),
                         fresh || (place.compact && !tab));
  }
}

// `outer` belongs to the node; `inner` to the node, or to its first key when it is a mapping.
bool Reader::block_content(const Place& place, Properties outer, Properties inner, std::size_t column,
                           bool may_collect) {
  if (source_.at_indicator('-')) {
    if (!may_collect || !inner.empty()) return source_.fail("block sequence entries are not allowed in this context");
    return block_sequence(column, outer);
  }
  if (source_.at_indicator('?')) {
    if (!may_collect || !inner.empty()) return source_.fail("mapping keys are not allowed in this context");
    return block_mapping(column, outer, nullptr);
  }
  if (source_.peek() == '|' || source_.peek() == '>') {
    Atom atom;
    atom.line = source_.line();
    atom.column = source_.column();
    return join(std::move(outer), inner, &atom.properties) && source_.read_block(place.parent_indent, &atom.text) &&
           place_atom(atom);
  }
  if (source_.peek() == '[' || source_.peek() == '{') {
    Properties all;
    if (!join(std::move(outer), inner, &all)) return false;
    if (!(source_.peek() == '[' ? flow_sequence(all) : flow_mapping(all))) return false;
    source_.skip_blanks();
    if (source_.at_indicator(':')) return source_.fail("a mapping key must be a scalar");
    return line_is_over();
  }
  if (source_.at_indicator(':')) return source_.fail("a mapping key must not be null");
  if (!at_atom(false)) return source_.fail("found a character that cannot start any token");
  return block_atom(place, std::move(outer), std::move(inner), column, may_collect);
}

bool Reader::block_atom(const Place& place, Properties outer, Properties inner, std::size_t column, bool may_collect) {
  Atom atom;
  if (!read_atom(static_cast<std::size_t>(place.parent_indent + 1), false, &atom)) return false;
  const bool one_line = source_.line() == atom.line;
  const bool was_plain = atom.plain;
  if (!was_plain) source_.skip_blanks();
  if (source_.at_indicator(':')) {
    if (!may_collect || !one_line) return source_.fail("mapping values are not allowed in this context");
    atom.properties = std::move(inner);
    return block_mapping(column, outer, &atom);
  }
  if (!join(std::move(outer), inner, &atom.properties)) return false;
  return place_atom(atom) && (was_plain || line_is_over());
}

// After a node that ends within a line.
bool Reader::line_is_over() {
  const std::size_t end = source_.column();
  bool tab = false;
  const std::size_t line = source_.line();
  if (!source_.skip_gap(false, &tab)) return false;
  if (source_.at_end() || source_.line() != line) return true;
  return source_.fail_at(line, end, "did not find the end of the line after a value");
}

bool Reader::block_sequence(std::size_t column, const Properties& properties) {
  if (!begin_collection(false, properties)) return false;
  Place place;
  place.parent_indent = static_cast<std::ptrdiff_t>(column);
  do {
    source_.skip(1);
    bool tab = false;
    if (!block_node(place) || !source_.skip_gap(false, &tab)) return false;
    if (!source_.at_end() && !source_.at_document_marker() && source_.column() > column) {
      return source_.fail("did not find expected '-' indicator");
    }
  } while (source_.column() == column && source_.at_indicator('-') && !source_.at_document_marker());
  return end_collection(false, properties);
}

bool Reader::block_mapping(std::size_t column, const Properties& properties, const Atom* first_key) {
  if (!begin_collection(true, properties)) return false;
  std::vector<json::Value> merges;
  for (;;) {
    bool tab = false, explicit_key = false, merge = false;
    Atom key;
    if (first_key != nullptr) {
      key = *first_key;
      first_key = nullptr;
    } else {
      if (!source_.skip_gap(false, &tab)) return false;
      if (source_.at_end() || source_.at_document_marker() || source_.column() < column) break;
      if (source_.column() > column) return source_.fail("did not find expected key");
      if (!block_key(column, &explicit_key, &key)) return false;
    }
    if (!place_key(key, &merge) || !block_value(column, explicit_key)) return false;
    if (!after_value(merge, &merges)) return false;
  }
  return apply_merges(std::move(merges)) && end_collection(true, properties);
}

// A key that starts a line at `column`; the cursor ends at its ":" (unless the key is explicit).
bool Reader::block_key(std::size_t column, bool* explicit_key, Atom* key) {
  if (source_.at_indicator('?')) {
    *explicit_key = true;
    key->line = source_.line();
    key->column = source_.column();
    source_.skip(1);
    Place place;
    place.parent_indent = static_cast<std::ptrdiff_t>(column);
    if (!block_node(place)) return false;
    const json::Value value = builder_.take_value();
    key->properties.tag = "!!str";
    return key_text(value, *key, &key->text);
  }
  Properties properties;
  if (!read_properties(&properties)) return false;
  if (!at_atom(false)) return source_.fail("did not find expected key");
  if (!read_atom(column + 1, false, key)) return false;
  const bool one_line = key->line == source_.line();
  source_.skip_blanks();
  if (!source_.at_indicator(':') || !one_line) {
    return source_.fail_at(key->line, key->column, "could not find expected ':' after this key");
  }
  key->properties = std::move(properties);
  return true;
}

bool Reader::block_value(std::size_t column, bool explicit_key) {
  if (explicit_key) {
    bool tab = false;
    if (!source_.skip_gap(false, &tab)) return false;
    if (source_.column() != column || !source_.at_indicator(':')) return place_empty({});
  }
  source_.skip(1);
  Place place;
  place.parent_indent = static_cast<std::ptrdiff_t>(column);
  place.compact = explicit_key;
  place.dash_at_parent = true;
  return block_node(place);
}

// --- flow style ---

// The value of a flow entry.
bool Reader::flow_node() {
  bool tab = false;
  Properties properties;
  if (!source_.skip_gap(true, &tab) || !read_properties(&properties)) return false;
  if (!properties.empty() && !source_.skip_gap(true, &tab)) return false;
  const char c = source_.peek();
  if (c == '[') return flow_sequence(properties);
  if (c == '{') return flow_mapping(properties);
  if (c == ',' || c == ']' || c == '}') return place_empty(properties);
  if (!at_atom(true)) return source_.fail("did not find expected node content");
  Atom atom;
  if (!read_atom(0, true, &atom)) return false;
  atom.properties = std::move(properties);
  return place_atom(atom);
}

bool Reader::flow_separator(char end, bool* over) {
  bool tab = false;
  if (!source_.skip_gap(true, &tab)) return false;
  *over = source_.peek() == end;
  if (!*over && source_.peek() != ',') return source_.fail(cat("did not find expected ',' or '", end, "'"));
  source_.skip(1);
  return true;
}

bool Reader::flow_sequence(const Properties& properties) {
  if (!begin_collection(false, properties)) return false;
  source_.skip(1);
  for (bool over = false; !over;) {
    bool tab = false;
    if (!source_.skip_gap(true, &tab)) return false;
    if (source_.peek() == ']') {
      source_.skip(1);
      break;
    }
    if (!flow_sequence_item() || !flow_separator(']', &over)) return false;
  }
  return end_collection(false, properties);
}

// A node, or a single pair "key: value" that stands for a mapping of it.
bool Reader::flow_sequence_item() {
  if (source_.at_indicator('?')) {
    std::vector<json::Value> merges;
    return begin_collection(true, {}) && flow_entry(&merges) && apply_merges(std::move(merges)) &&
           end_collection(true, {});
  }
  Properties properties;
  bool tab = false;
  if (!read_properties(&properties)) return false;
  if (!properties.empty() && !source_.skip_gap(true, &tab)) return false;
  if (source_.peek() == ',' || source_.peek() == ']') {
    return properties.empty() ? source_.fail("did not find expected node content") : place_empty(properties);
  }
  if (source_.peek() == '[' || source_.peek() == '{') {
    if (!(source_.peek() == '[' ? flow_sequence(properties) : flow_mapping(properties))) return false;
    if (!source_.skip_gap(true, &tab)) return false;
    return source_.peek() != ':' || source_.fail("a mapping key must be a scalar");
  }
  if (!at_atom(true)) return source_.fail("did not find expected node content");
  Atom atom;
  if (!read_atom(0, true, &atom)) return false;
  atom.properties = std::move(properties);
  if (!flow_value_follows(atom)) return source_.error().empty() && place_atom(atom);
  if (source_.line() != atom.line) return source_.fail("mapping values are not allowed in this context");
  bool merge = false;
  std::vector<json::Value> merges;
  source_.skip(1);
  return begin_collection(true, {}) && place_key(atom, &merge) && flow_node() && after_value(merge, &merges) &&
         apply_merges(std::move(merges)) && end_collection(true, {});
}

// Whether the ":" of a value is next. After a quoted key it needs no space.
bool Reader::flow_value_follows(const Atom& atom) {
  bool tab = false;
  if (!source_.skip_gap(true, &tab)) return false;
  if (source_.peek() != ':') return false;
  if (!atom.plain && !atom.alias) return true;
  const char next = source_.peek(1);
  return source_.at_space(1) || next == ',' || next == '[' || next == ']' || next == '{' || next == '}';
}

bool Reader::flow_mapping(const Properties& properties) {
  if (!begin_collection(true, properties)) return false;
  source_.skip(1);
  std::vector<json::Value> merges;
  for (bool over = false; !over;) {
    bool tab = false;
    if (!source_.skip_gap(true, &tab)) return false;
    if (source_.peek() == '}') {
      source_.skip(1);
      break;
    }
    if (!flow_entry(&merges) || !flow_separator('}', &over)) return false;
  }
  return apply_merges(std::move(merges)) && end_collection(true, properties);
}

// "key: value", "key" or "? key : value" inside the object that is open.
bool Reader::flow_entry(std::vector<json::Value>* merges) {
  bool tab = false;
  if (source_.at_indicator('?')) {
    source_.skip(1);
    if (!source_.skip_gap(true, &tab)) return false;
  }
  Atom atom;
  Properties properties;
  if (!read_properties(&properties)) return false;
  if (!properties.empty() && !source_.skip_gap(true, &tab)) return false;
  if (source_.peek() == '[' || source_.peek() == '{') return source_.fail("a mapping key must be a scalar");
  if (source_.peek() == ':' && !at_atom(true)) return source_.fail("a mapping key must not be null");
  if (!at_atom(true)) return source_.fail("did not find expected node content");
  if (!read_atom(0, true, &atom)) return false;
  atom.properties = std::move(properties);
  bool merge = false;
  if (!place_key(atom, &merge)) return false;
  if (flow_value_follows(atom)) {
    source_.skip(1);
    if (!flow_node()) return false;
  } else if (!source_.error().empty() || !place_empty({})) {
    return false;
  }
  return after_value(merge, merges);
}

// --- parts of nodes ---

bool Reader::read_name(std::string* name) {
  name->clear();
  while (!source_.at_space() && std::string_view(",[]{}").find(source_.peek()) == std::string_view::npos) {
    *name += source_.peek();
    source_.skip(1);
  }
  return !name->empty() || source_.fail("did not find the name of an anchor or alias");
}

// Tags of the standard types become "!!str" and so on, a lone "!" stays, any other tag has no meaning here.
bool Reader::read_tag(std::string* tag) {
  constexpr std::string_view kStandard = "tag:yaml.org,2002:";
  std::string text;
  if (source_.peek(1) == '<') {
    source_.skip(2);
    while (!source_.at_space() && source_.peek() != '>') {
      text += source_.peek();
      source_.skip(1);
    }
    if (source_.peek() != '>') return source_.fail("did not find the end of a tag");
    source_.skip(1);
    if (text.starts_with(kStandard)) text = cat("!!", std::string_view(text).substr(kStandard.size()));
  } else {
    while (!source_.at_space() && std::string_view(",[]{}").find(source_.peek()) == std::string_view::npos) {
      text += source_.peek();
      source_.skip(1);
    }
  }
  if (!source_.at_space() && std::string_view(",]}").find(source_.peek()) == std::string_view::npos) {
    return source_.fail("did not find a space after a tag");
  }
  *tag = text.empty() ? "!<>" : text;
  return true;
}

bool Reader::read_properties(Properties* properties) {
  while (source_.peek() == '&' || source_.peek() == '!') {
    std::string& part = source_.peek() == '&' ? properties->anchor : properties->tag;
    if (!part.empty()) return source_.fail("a node has one tag and one anchor at most");
    if (source_.peek() == '!') {
      if (!read_tag(&part)) return false;
    } else {
      source_.skip(1);
      if (!read_name(&part)) return false;
    }
    source_.skip_blanks();
  }
  return true;
}

bool Reader::join(Properties outer, const Properties& inner, Properties* all) {
  if ((!outer.tag.empty() && !inner.tag.empty()) || (!outer.anchor.empty() && !inner.anchor.empty())) {
    return source_.fail("a node has one tag and one anchor at most");
  }
  *all = std::move(outer);
  if (!inner.tag.empty()) all->tag = inner.tag;
  if (!inner.anchor.empty()) all->anchor = inner.anchor;
  return true;
}

bool Reader::at_atom(bool in_flow) const {
  const char c = source_.peek();
  return c == '"' || c == '\'' || c == '*' || source_.at_plain(in_flow);
}

bool Reader::read_atom(std::size_t min_indent, bool in_flow, Atom* atom) {
  atom->line = source_.line();
  atom->column = source_.column();
  switch (source_.peek()) {
    case '*':
      source_.skip(1);
      atom->alias = true;
      return read_name(&atom->text);
    case '"':
      return source_.read_double_quoted(&atom->text);
    case '\'':
      return source_.read_single_quoted(&atom->text);
    default:
      atom->plain = true;
      return source_.read_plain(min_indent, in_flow, &atom->text);
  }
}

// --- values ---

bool Reader::counted(bool within_limit) {
  return within_limit || source_.fail(cat("the document has more than ", limits_.max_nodes, " values"));
}

bool Reader::begin_collection(bool object, const Properties& properties) {
  if (depth_ == limits_.max_depth) {
    return source_.fail(cat("the document is nested deeper than ", limits_.max_depth, " levels"));
  }
  ++depth_;
  return start_anchor(properties) && counted(object ? builder_.begin_object() : builder_.begin_array());
}

bool Reader::end_collection(bool object, const Properties& properties) {
  --depth_;
  if (object) {
    builder_.end_object();
  } else {
    builder_.end_array();
  }
  return finish_anchor(properties);
}

bool Reader::start_anchor(const Properties& properties) {
  if (!properties.anchor.empty()) anchors_[properties.anchor] = Anchor();
  return true;
}

// Keeps a copy of the value that was completed last.
bool Reader::finish_anchor(const Properties& properties) {
  if (properties.anchor.empty()) return true;
  Anchor anchor;
  anchor.complete = true;
  anchor.size = size_of(builder_.last());
  if (!spend_on_aliases(anchor.size)) return false;
  anchor.value = builder_.last();
  anchors_[properties.anchor] = std::move(anchor);
  return true;
}

bool Reader::spend_on_aliases(const Size& size) {
  alias_total_.nodes += size.nodes;
  alias_total_.bytes += size.bytes;
  if (alias_total_.nodes <= kFreeAliasNodes + text_size_ / 32 &&
      alias_total_.bytes <= kFreeAliasBytes + 2 * text_size_) {
    return true;
  }
  return source_.fail("the document contains excessive aliasing");
}

bool Reader::place_alias(const Atom& atom) {
  if (!atom.properties.empty()) return source_.fail_at(atom.line, atom.column, "an alias has no tag and no anchor");
  const auto found = anchors_.find(atom.text);
  if (found == anchors_.end()) {
    return source_.fail_at(atom.line, atom.column, cat("unknown anchor '", atom.text, "' referenced"));
  }
  const Anchor& anchor = found->second;
  if (!anchor.complete) {
    return source_.fail_at(atom.line, atom.column, cat("anchor '", atom.text, "' value contains itself"));
  }
  if (!spend_on_aliases(anchor.size)) return false;
  return counted(builder_.count_nodes(anchor.size.nodes - 1)) && counted(builder_.value(anchor.value));
}

bool Reader::place_atom(const Atom& atom) {
  if (atom.alias) return place_alias(atom);
  json::Value value;
  return start_anchor(atom.properties) && scalar_value(atom, &value) && counted(builder_.value(std::move(value))) &&
         finish_anchor(atom.properties);
}

bool Reader::place_empty(const Properties& properties) {
  Atom atom;
  atom.properties = properties;
  atom.plain = true;
  atom.line = source_.line();
  atom.column = source_.column();
  return place_atom(atom);
}

bool Reader::scalar_value(const Atom& atom, json::Value* value) {
  const std::string& tag = atom.properties.tag;
  const auto refuse = [&](std::string_view type) {
    return source_.fail_at(atom.line, atom.column, cat("cannot decode ", type, " `", atom.text, "` as a ", tag));
  };
  *value = std::string_view(atom.text);
  if (tag == "!!binary") {
    std::string bytes;
    if (!base64_decode(atom.text, &bytes)) {
      return source_.fail_at(atom.line, atom.column, "!!binary value contains invalid base64 data");
    }
    *value = to_valid_utf8(bytes);
    return true;
  }
  const bool typed = tag == "!!bool" || tag == "!!int" || tag == "!!float" || tag == "!!null";
  if (!typed && (!tag.empty() || !atom.plain)) return true;
  constexpr std::string_view kNames[] = {"!!str", "!!null", "!!bool", "!!int", "!!float"};
  bool unsupported = false;
  const ScalarType type = resolve_plain(atom.text, value, &unsupported);
  const std::string_view name = kNames[static_cast<std::size_t>(type)];
  if (unsupported) return source_.fail_at(atom.line, atom.column, cat("unsupported value: ", value->as_string()));
  return !typed || name == tag || (tag == "!!float" && type == ScalarType::kInt) || refuse(name);
}

bool Reader::key_text(const json::Value& value, const Atom& atom, std::string* key) {
  switch (value.type()) {
    case json::Type::kString:
      *key = value.as_string();
      return true;
    case json::Type::kBool:
      *key = value.as_bool() ? "true" : "false";
      return true;
    case json::Type::kInt:
      *key = std::to_string(value.as_int());
      return true;
    case json::Type::kNumber:
      *key = value.as_number().text;
      return true;
    default:
      return source_.fail_at(atom.line, atom.column,
                             value.is_null() ? "a mapping key must not be null" : "a mapping key must be a scalar");
  }
}

bool Reader::place_key(const Atom& atom, bool* merge) {
  *merge = atom.text == "<<" && !atom.alias &&
           (atom.properties.tag == "!!merge" || (atom.plain && atom.properties.tag.empty()));
  std::string key = atom.text;
  if (!*merge) {
    json::Value value;
    if (!atom.alias && atom.properties.anchor.empty()) {
      if (!scalar_value(atom, &value)) return false;
    } else {
      if (!place_atom(atom)) return false;
      value = builder_.take_value();
    }
    if (!key_text(value, atom, &key)) return false;
  }
  builder_.key(std::move(key));
  return true;
}

// The value of a member is complete; that of a merge is set aside.
bool Reader::after_value(bool merge, std::vector<json::Value>* merges) {
  if (!merge) return true;
  json::Value value = builder_.take_member();
  if (value.is_array()) {
    for (json::Value& item : value.as_array()) merges->push_back(std::move(item));
  } else {
    merges->push_back(std::move(value));
  }
  for (const json::Value& item : *merges) {
    if (!item.is_object()) return source_.fail("map merge requires map or sequence of maps as the value");
  }
  return true;
}

// Adds the members of `merges` that the open object does not have; the first of several counts.
bool Reader::apply_merges(std::vector<json::Value> merges) {
  if (merges.empty()) return true;
  builder_.end_object();
  json::Value object = builder_.take_value();
  std::vector<json::Member> members = std::move(object.as_object().members());
  std::size_t count = members.size();
  for (const json::Value& merge : merges) count += merge.as_object().size();
  members.reserve(count);  // the set below points into the members
  std::set<std::string_view> known;
  for (const json::Member& member : members) known.insert(member.first);
  for (json::Value& merge : merges) {
    for (json::Member& member : merge.as_object().members()) {
      if (known.contains(member.first)) continue;
      members.push_back(std::move(member));
      known.insert(members.back().first);
    }
  }
  return counted(builder_.restore_object(std::move(members)));
}

Result<std::vector<json::Value>> read_stream(std::string_view text, const ReadLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Error(Code::kTooLarge, cat("the YAML text has ", text.size(), " bytes; the limit is ", limits.max_bytes));
  }
  std::vector<json::Value> documents;
  Reader reader(text, limits);
  if (!reader.read_stream(&documents)) return reader.error();
  return documents;
}

bool may_be_json(std::string_view text) {
  text = trim(text);
  return text.starts_with("{") || text.starts_with("[");
}

}  // namespace

Result<json::Value> read(std::string_view text, const ReadLimits& limits) {
  if (may_be_json(text) && text.size() <= limits.max_bytes) {
    std::vector<std::string> duplicates;
    json::ReadOptions options;
    options.max_depth = limits.max_depth;
    options.max_nodes = limits.max_nodes;
    options.duplicates = &duplicates;
    Result<json::Value> value = json::read(text, options);
    if (value) {
      if (limits.duplicates != nullptr) *limits.duplicates = std::move(duplicates);
      return value;
    }
  }
  Result<std::vector<json::Value>> documents = read_stream(text, limits);
  if (!documents) return documents.error();
  if (documents->size() > 1) return Error(Code::kBadRequest, "yaml: expected one document, found several");
  return documents->empty() ? json::Value() : std::move(documents->front());
}

Result<std::vector<json::Value>> read_all(std::string_view text, const ReadLimits& limits) {
  Result<std::vector<json::Value>> documents = read_stream(text, limits);
  if (!documents) return documents;
  std::erase_if(*documents, [](const json::Value& document) { return document.is_null(); });
  return documents;
}

}  // namespace kayak::yaml
