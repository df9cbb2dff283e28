// names.cc: see names.h. The regular expressions are written out as loops: they are checked on every write.
#include "api/validation/names.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kLabelMax = 63;
constexpr std::size_t kSubdomainMax = 253;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
bool is_alnum(char c) { return is_alpha(c) || is_digit(c); }

template <typename Predicate>
bool all(std::string_view text, Predicate predicate) {
  return std::all_of(text.begin(), text.end(), predicate);
}

// [a-z0-9]([-a-z0-9]*[a-z0-9])?
bool label_matches(std::string_view text) {
  return !text.empty() && is_lower_alnum(text.front()) && is_lower_alnum(text.back()) &&
         all(text, [](char c) { return is_lower_alnum(c) || c == '-'; });
}
// _?[a-z0-9]([-_a-z0-9]*[a-z0-9])?
bool underscore_label_matches(std::string_view text) {
  if (text.starts_with('_')) text.remove_prefix(1);
  return !text.empty() && is_lower_alnum(text.front()) && is_lower_alnum(text.back()) &&
         all(text, [](char c) { return is_lower_alnum(c) || c == '-' || c == '_'; });
}
template <typename Predicate>
bool each_label(std::string_view text, Predicate matches) {
  const std::vector<std::string_view> labels = split(text, '.');
  return std::all_of(labels.begin(), labels.end(), matches);
}
bool subdomain_matches(std::string_view text) { return each_label(text, label_matches); }
// ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]
bool key_matches(std::string_view text) {
  return !text.empty() && is_alnum(text.front()) && is_alnum(text.back()) &&
         all(text, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

constexpr std::string_view kLabelRegex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr std::string_view kSubdomainRegex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
constexpr std::string_view kKeyRegex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

std::string max_bytes_message(std::size_t length) { return cat("must be no more than ", length, " bytes"); }

void refuse_parent_directory(std::string_view value, Messages* messages) {
  if (value == ".") {
    messages->push_back("must not be '.'");
  } else if (value == "..") {
    messages->push_back("must not be '..'");
  } else if (value.starts_with("..")) {
    messages->push_back("must not start with '..'");
  }
}

}  // namespace

bool is_lower_alnum(char c) { return is_lower(c) || is_digit(c); }

std::string max_length_message(std::size_t length) { return cat("must be no more than ", length, " characters"); }

std::string regex_message(std::string_view message, std::string_view regex,
                          std::initializer_list<std::string_view> examples) {
  if (examples.size() == 0) return cat(message, " (regex used for validation is '", regex, "')");
  std::string text = cat(message, " (e.g. ");
  bool first = true;
  for (const std::string_view example : examples) {
    text += cat(first ? "" : " or ", "'", example, "', ");
    first = false;
  }
  return cat(text, "regex used for validation is '", regex, "')");
}

Messages dns1123_label(std::string_view value) {
  Messages messages;
  if (value.size() > kLabelMax) messages.push_back(max_length_message(kLabelMax));
  if (label_matches(value)) return messages;
  if (subdomain_matches(value)) {
    messages.push_back("must not contain dots");
  } else {
    messages.push_back(regex_message(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character",
        kLabelRegex, {"my-name", "123-abc"}));
  }
  return messages;
}

Messages dns1123_subdomain(std::string_view value) {
  Messages messages;
  if (value.size() > kSubdomainMax) messages.push_back(max_length_message(kSubdomainMax));
  if (!subdomain_matches(value)) {
    messages.push_back(regex_message(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character",
        kSubdomainRegex, {"example.com"}));
  }
  return messages;
}

Messages dns1123_subdomain_with_underscore(std::string_view value) {
  Messages messages;
  if (value.size() > kSubdomainMax) messages.push_back(max_length_message(kSubdomainMax));
  if (!each_label(value, underscore_label_matches)) {
    messages.push_back(regex_message(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
        "start and end with an alphanumeric character",
        "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*", {"example.com"}));
  }
  return messages;
}

Messages wildcard_dns1123_subdomain(std::string_view value) {
  Messages messages;
  if (value.size() > kSubdomainMax) messages.push_back(max_length_message(kSubdomainMax));
  if (!value.starts_with("*.") || !subdomain_matches(value.substr(2))) {
    messages.push_back(regex_message(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
        "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        cat("\\*\\.", kSubdomainRegex), {"*.example.com"}));
  }
  return messages;
}

Messages dns1035_label(std::string_view value) {
  Messages messages;
  if (value.size() > kLabelMax) messages.push_back(max_length_message(kLabelMax));
  if (!label_matches(value) || !is_lower(value.front())) {
    messages.push_back(regex_message(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character",
        "[a-z]([-a-z0-9]*[a-z0-9])?", {"my-name", "abc-123"}));
  }
  return messages;
}

Messages qualified_name(std::string_view value) {
  constexpr std::string_view kRule =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
  Messages messages;
  const std::vector<std::string_view> parts = split(value, '/');
  if (parts.size() > 2) {
    messages.push_back(cat("a valid label key ", regex_message(kRule, kKeyRegex, {"MyName", "my.name", "123-abc"}),
                           " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"));
    return messages;
  }
  if (parts.size() == 2) {
    if (parts[0].empty()) messages.push_back("prefix part must be non-empty");
    if (!parts[0].empty()) {
      for (const std::string& message : dns1123_subdomain(parts[0])) messages.push_back(cat("prefix part ", message));
    }
  }
  const std::string_view name = parts.back();
  if (name.empty()) {
    messages.push_back("name part must be non-empty");
  } else if (name.size() > kLabelMax) {
    messages.push_back(cat("name part ", max_bytes_message(kLabelMax)));
  }
  if (!key_matches(name)) {
    messages.push_back(cat("name part ", regex_message(kRule, kKeyRegex, {"MyName", "my.name", "123-abc"})));
  }
  return messages;
}

Messages label_value(std::string_view value) {
  Messages messages;
  if (value.size() > kLabelMax) messages.push_back(max_bytes_message(kLabelMax));
  if (!value.empty() && !key_matches(value)) {
    messages.push_back(regex_message(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
        "and end with an alphanumeric character",
        cat("(", kKeyRegex, ")?"), {"MyValue", "my_value", "12345"}));
  }
  return messages;
}

Messages c_identifier(std::string_view value) {
  const auto word = [](char c) { return is_alnum(c) || c == '_'; };
  if (!value.empty() && !is_digit(value.front()) && all(value, word)) return {};
  return {
      regex_message("a valid C identifier must start with alphabetic character or '_', followed by a string of "
                    "alphanumeric characters or '_'",
                    "[A-Za-z_][A-Za-z0-9_]*", {"my_name", "MY_NAME", "MyName"})};
}

Messages in_range(std::int64_t value, std::int64_t first, std::int64_t last) {
  if (value >= first && value <= last) return {};
  return {cat("must be between ", first, " and ", last, ", inclusive")};
}

Messages port_number(std::int64_t port) { return in_range(port, 1, 65535); }

Messages port_name(std::string_view name) {
  Messages messages;
  if (name.size() > 15) messages.push_back(max_length_message(15));
  if (name.empty() || !all(name, [](char c) { return is_lower_alnum(c) || c == '-'; })) {
    messages.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (!std::any_of(name.begin(), name.end(), is_lower)) messages.push_back("must contain at least one letter (a-z)");
  if (name.find("--") != std::string_view::npos) messages.push_back("must not contain consecutive hyphens");
  if (name.starts_with('-') || name.ends_with('-')) messages.push_back("must not begin or end with a hyphen");
  return messages;
}

Messages percent(std::string_view value) {
  if (value.size() > 1 && value.ends_with('%') && all(value.substr(0, value.size() - 1), is_digit)) return {};
  return {regex_message("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%",
                        {"1%", "93%"})};
}

Messages http_header_name(std::string_view value) {
  if (!value.empty() && all(value, [](char c) { return is_alnum(c) || c == '-'; })) return {};
  return {regex_message("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+",
                        {"X-Header-Name"})};
}

Messages env_var_name(std::string_view value) {
  if (value.empty()) return {"environment variable name must be non-empty"};
  if (all(value, [](char c) { return c >= ' ' && c <= '~' && c != '='; })) return {};
  return {"a valid environment variable name must consist only of printable ASCII characters other than '='"};
}

Messages config_map_key(std::string_view value) {
  Messages messages;
  if (value.size() > kSubdomainMax) messages.push_back(max_length_message(kSubdomainMax));
  if (value.empty() || !all(value, [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; })) {
    messages.push_back(regex_message("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                                     "[-._a-zA-Z0-9]+", {"key.name", "KEY_NAME", "key-name"}));
  }
  refuse_parent_directory(value, &messages);
  return messages;
}

Messages path_segment_prefix(std::string_view value) {
  Messages messages;
  for (const char* bad : {"/", "%"}) {
    if (value.find(bad) != std::string_view::npos) messages.push_back(cat("may not contain '", bad, "'"));
  }
  return messages;
}

Messages path_segment_name(std::string_view value) {
  if (value == "." || value == "..") return {cat("may not be '", value, "'")};
  return path_segment_prefix(value);
}

Messages condition_reason(std::string_view value) {
  const auto word = [](char c) { return is_alnum(c) || c == '_'; };
  const auto inner = [&](char c) { return word(c) || c == ',' || c == ':'; };
  if (!value.empty() && is_alpha(value.front()) && word(value.back()) && all(value, inner)) return {};
  return {
      regex_message("a condition reason must start with alphabetic character, optionally followed by a string of "
                    "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
                    "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
                    {"my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"})};
}

Messages name_prefix(Messages (*rule)(std::string_view), std::string_view prefix) {
  if (prefix.size() <= 1 || !prefix.ends_with('-')) return rule(prefix);
  // Upstream replaces the last two characters by one: the dash cannot be the end, and the length stays in bounds.
  return rule(cat(prefix.substr(0, prefix.size() - 2), "a"));
}

}  // namespace kayak::api::validation
