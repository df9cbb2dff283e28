// support_validation.cc: see support_validation.h.
#include "api/support_validation.h"

#include <catch2/catch.hpp>

#include "api/convert.h"
#include "api/defaults.h"
#include "api/validation/validation.h"
#include "api/watch_cache.h"
#include "base/strings.h"

namespace kayak::test {

using namespace kayak::api;

namespace {

json::Value read_or_fail(std::string_view text) {
  Result<json::Value> value = json::read(text);
  if (!value) FAIL(value.error().message() << " in " << text);
  return *std::move(value);
}

json::Value defaulted(const Kind& kind, json::Value document) {
  Result<json::Value> decoded = decode_json(*kind.message, std::move(document));
  if (!decoded) FAIL(decoded.error().message());
  apply_defaults(kind, *decoded);
  const Kind& stored = storage_kind(kind);
  json::Value converted = convert(kind, stored, *std::move(decoded));
  canonicalize(*stored.message, converted);
  return converted;
}

// The place that "a.b[0].c" names; made as it goes.
json::Value& place(json::Value& document, std::string_view path) {
  json::Value* here = &document;
  for (std::string_view part : split(path, '.')) {
    const std::size_t bracket = part.find('[');
    here = &(*here)[part.substr(0, bracket)];
    if (bracket == part.npos) continue;
    std::int64_t index = 0;
    REQUIRE(parse_int64(part.substr(bracket + 1, part.size() - bracket - 2), &index));
    if (!here->is_array()) *here = json::Array();
    json::Array& list = here->as_array();
    if (list.size() <= static_cast<std::size_t>(index)) list.resize(static_cast<std::size_t>(index) + 1);
    here = &list[static_cast<std::size_t>(index)];
  }
  return *here;
}

// Lines with a path and " = ", each with those after it that have none.
std::vector<std::string> assignments(std::string_view lines) {
  std::vector<std::string> out;
  for (const std::string_view raw : split(lines, '\n')) {
    const std::string_view line = trim(raw);
    if (line.empty()) continue;
    const std::size_t equals = line.find(" = ");
    const bool starts = equals != line.npos && line.find_first_of("\"{") > equals;
    if (starts || out.empty()) {
      out.emplace_back(line);
    } else {
      out.back() += line;
    }
  }
  return out;
}

std::string text_of(const field::ErrorList& errors) { return errors.empty() ? "" : field::aggregate(errors); }

}  // namespace

json::Value stored_object(const Kind& kind, std::string_view text) { return defaulted(kind, read_or_fail(text)); }

json::Value changed(json::Value document, std::string_view lines) {
  for (const std::string& line : assignments(lines)) {
    const std::size_t equals = line.find(" = ");
    if (equals == line.npos) FAIL("no ' = ' in " << line);
    const std::string_view path = std::string_view(line).substr(0, equals);
    const std::string_view value = std::string_view(line).substr(equals + 3);
    if (value != "-") {
      place(document, path) = read_or_fail(value);
      continue;
    }
    const std::size_t dot = path.rfind('.');
    json::Value& parent = dot == path.npos ? document : place(document, path.substr(0, dot));
    if (parent.is_object()) parent.as_object().erase(dot == path.npos ? path : path.substr(dot + 1));
  }
  return document;
}

void check_creates(const Kind& kind, std::string_view base, const std::vector<InvalidRow>& rows) {
  const json::Value valid = read_or_fail(base);
  for (const InvalidRow& row : rows) {
    CAPTURE(row.change);
    const json::Value object = defaulted(kind, changed(valid, row.change));
    std::vector<std::string> warnings;
    CHECK(text_of(validation::validate_create(kind, object, warnings)) == row.errors);
  }
}

void check_updates(const Kind& kind, std::string_view subresource, std::string_view base,
                   const std::vector<InvalidUpdateRow>& rows) {
  const json::Value valid = read_or_fail(base);
  for (const InvalidUpdateRow& row : rows) {
    CAPTURE(row.old_change, row.change);
    const json::Value before = changed(valid, row.old_change);
    const json::Value old = defaulted(kind, before);
    const json::Value object = defaulted(kind, changed(before, row.change));
    std::vector<std::string> warnings;
    CHECK(text_of(validation::validate_update(kind, subresource, object, old, warnings)) == row.errors);
  }
}

}  // namespace kayak::test
