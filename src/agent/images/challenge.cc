// challenge.cc: see challenge.h.
#include "agent/images/challenge.h"

#include "base/strings.h"

namespace kayak::agent {

std::string challenge_parameter(std::string_view challenge, std::string_view key) {
  std::size_t at = 0;
  while (at < challenge.size()) {
    const std::size_t equals = challenge.find('=', at);
    if (equals == std::string_view::npos) break;
    std::size_t start = challenge.find_last_of(" ,", equals);
    start = start == std::string_view::npos || start < at ? at : start + 1;
    const std::string_view name = trim(challenge.substr(start, equals - start));
    std::string value;
    std::size_t end = equals + 1;
    if (end < challenge.size() && challenge[end] == '"') {
      for (++end; end < challenge.size() && challenge[end] != '"'; ++end) {
        if (challenge[end] == '\\' && end + 1 < challenge.size()) ++end;
        value += challenge[end];
      }
      ++end;
    } else {
      while (end < challenge.size() && challenge[end] != ',') value += challenge[end++];
    }
    if (iequals(name, key)) return value;
    at = end;
  }
  return "";
}

}  // namespace kayak::agent
