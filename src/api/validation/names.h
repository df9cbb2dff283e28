// names.h: what names, keys and small values may look like. Each check returns what is wrong, empty when nothing is.
// Source: apimachinery pkg/util/validation, pkg/api/validate/content.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kayak::api::validation {

using Messages = std::vector<std::string>;

Messages dns1123_label(std::string_view value);
Messages dns1123_subdomain(std::string_view value);
Messages dns1123_subdomain_with_underscore(std::string_view value);
Messages wildcard_dns1123_subdomain(std::string_view value);
Messages dns1035_label(std::string_view value);
Messages qualified_name(std::string_view value);  // a label's key
Messages label_value(std::string_view value);
Messages c_identifier(std::string_view value);
Messages port_number(std::int64_t port);
Messages port_name(std::string_view name);
Messages percent(std::string_view value);
Messages http_header_name(std::string_view value);
Messages env_var_name(std::string_view value);  // any printable ASCII but '=', as upstream since 1.34
Messages config_map_key(std::string_view value);
Messages path_segment_name(std::string_view value);    // of a URL
Messages path_segment_prefix(std::string_view value);  // something will be appended
Messages in_range(std::int64_t value, std::int64_t first, std::int64_t last);
Messages condition_reason(std::string_view value);

// The same for generateName: a trailing dash is fine, as more will follow.
Messages name_prefix(Messages (*rule)(std::string_view), std::string_view prefix);

// "must be no more than 63 characters".
std::string max_length_message(std::size_t length);
// `message` with the examples and the regular expression, in upstream's form.
std::string regex_message(std::string_view message, std::string_view regex,
                          std::initializer_list<std::string_view> examples = {});
// A match of [...] classes that many rules need: `first` and `last` allow letters and digits, `inner` also the marks.
bool is_lower_alnum(char c);

}  // namespace kayak::api::validation
