// yaml_write.cc: values as YAML in block style, as kubectl prints it: lists are not indented below their key.
#include "base/strings.h"
#include "base/yaml.h"
#include "base/yaml_scalar.h"

namespace kayak::yaml {

namespace {

bool all_printable(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = next_code_point(text);
    const bool control = c.value < 0x20 ? c.value != '\n' && c.value != '\t' : c.value >= 0x7f && c.value < 0xa0;
    if (!c.valid || control || c.value == 0x2028 || c.value == 0x2029 || c.value == 0xfeff) return false;
    text.remove_prefix(c.size);
  }
  return true;
}

// "1:30": other readers of YAML 1.1 take it for base 60.
bool base_sixty(std::string_view text) {
  return text.find(':') != std::string_view::npos &&
         text.find_first_not_of("+-0123456789_:.") == std::string_view::npos;
}

// Whether the text reads back as the same string without quotes.
bool plain_is_safe(std::string_view text) {
  if (text.empty() || resolve_plain(text, nullptr, nullptr) != ScalarType::kString || base_sixty(text)) return false;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`= \t").find(text.front()) != std::string_view::npos) return false;
  if (text == "<<" || text.starts_with("---") || text.starts_with("...")) return false;
  if (text.back() == ' ' || text.back() == '\t' || text.back() == ':') return false;
  return text.find(": ") == std::string_view::npos && text.find(" #") == std::string_view::npos &&
         text.find(":\t") == std::string_view::npos && text.find("\t#") == std::string_view::npos &&
         text.find('\n') == std::string_view::npos && all_printable(text);
}

bool literal_is_safe(std::string_view text) {
  const char first = text.front();
  return text.find('\n') != std::string_view::npos && first != ' ' && first != '\t' && first != '\n' &&
         all_printable(text);
}

void append_double_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const CodePoint c = next_code_point(text);
    switch (c.value) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c.valid && all_printable(text.substr(0, c.size))) {
          out += text.substr(0, c.size);
        } else {
          out += "\\u";
          for (int shift = 12; shift >= 0; shift -= 4) out += kHexDigits[c.value >> shift & 0xf];
        }
    }
    text.remove_prefix(c.size);
  }
  out += '"';
}

class Writer {
 public:
  // `indent` is the column of the collection that holds the value; the cursor stands after its indicator.
  void value(const json::Value& value, std::size_t indent, bool in_mapping) {
    if (value.is_object() && !value.as_object().empty()) {
      if (in_mapping) out_ += '\n';
      object(value.as_object(), in_mapping ? indent + 2 : indent, in_mapping);
    } else if (value.is_array() && !value.as_array().empty()) {
      if (in_mapping) out_ += '\n';
      array(value.as_array(), indent, in_mapping);
    } else {
      if (in_mapping) out_ += ' ';
      scalar(value, indent);
      out_ += '\n';
    }
  }
  std::string take() { return std::move(out_); }

 private:
  // The first line is already indented unless `new_line`.
  void object(const json::Object& object, std::size_t indent, bool new_line) {
    for (const auto& [key, member] : object) {
      if (new_line) out_.append(indent, ' ');
      new_line = true;
      string(key, indent, false);
      out_ += ':';
      value(member, indent, true);
    }
  }
  void array(const json::Array& array, std::size_t indent, bool new_line) {
    for (const json::Value& item : array) {
      if (new_line) out_.append(indent, ' ');
      new_line = true;
      out_ += "- ";
      value(item, indent + 2, false);
    }
  }
  void scalar(const json::Value& value, std::size_t indent) {
    if (value.is_string()) {
      string(value.as_string(), indent, true);
    } else if (value.is_object()) {
      out_ += "{}";
    } else if (value.is_array()) {
      out_ += "[]";
    } else {
      json::write_to(out_, value);
    }
  }
  void string(std::string_view text, std::size_t indent, bool may_be_literal) {
    if (plain_is_safe(text)) {
      out_ += text;
    } else if (may_be_literal && !text.empty() && literal_is_safe(text)) {
      literal(text, indent);
    } else {
      append_double_quoted(out_, text);
    }
  }
  void literal(std::string_view text, std::size_t indent) {
    out_ += !text.ends_with('\n') ? "|-" : text.ends_with("\n\n") ? "|+" : "|";
    if (text.ends_with('\n')) text.remove_suffix(1);
    for (const std::string_view line : split(text, '\n')) {
      out_ += '\n';
      if (!line.empty()) out_.append(indent + 2, ' ');
      out_ += line;
    }
  }

  std::string out_;
};

}  // namespace

std::string write(const json::Value& value) {
  Writer writer;
  writer.value(value, 0, false);
  return writer.take();
}

}  // namespace kayak::yaml
