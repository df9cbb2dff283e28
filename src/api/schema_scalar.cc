// schema_scalar.cc: the scalars that read and write as text of their own: times, durations, quantities, int-or-string,
// bytes. Wording of errors as Go's.
// Source: apimachinery metav1.Time, MicroTime, Duration, intstr.IntOrString, resource.Quantity; Go time, base64.
#include <cctype>
#include <limits>

#include "api/schema_impl.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::detail {
namespace {

constexpr std::int64_t kYearOneSeconds = -62135596800;  // 0001-01-01T00:00:00Z: Go's zero time, null in JSON

constexpr std::string_view kTimeLayout = "2006-01-02T15:04:05Z07:00";
constexpr std::string_view kMicroTimeLayout = "2006-01-02T15:04:05.000000Z07:00";

bool digit(std::string_view text, std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; }

// How Go's time.Parse explains that `text` is not of `layout`: the first element that does not fit, or the first value
// out of its range.
std::string time_error(std::string_view text, std::string_view layout, bool micro) {
  std::string_view rest = text;
  const auto cannot = [&](std::string_view element) {
    return cat("parsing time ", quote(text), " as ", quote(layout), ": cannot parse ", quote(rest), " as ",
               quote(element));
  };
  struct Element {
    std::string_view name;
    int digits;  // 0: the literal `name`
    int min, max;
    std::string_view range_name;
  };
  constexpr Element kElements[] = {{"2006", 4, 0, 9999, ""}, {"-", 0, 0, 0, ""},        {"01", 2, 1, 12, "month"},
                                   {"-", 0, 0, 0, ""},       {"02", 2, 1, 31, "day"},   {"T", 0, 0, 0, ""},
                                   {"15", 2, 0, 23, "hour"}, {":", 0, 0, 0, ""},        {"04", 2, 0, 59, "minute"},
                                   {":", 0, 0, 0, ""},       {"05", 2, 0, 59, "second"}};
  for (const Element& element : kElements) {
    if (element.digits == 0) {
      if (!rest.starts_with(element.name)) return cannot(element.name);
      rest.remove_prefix(1);
      continue;
    }
    int value = 0;
    for (int i = 0; i < element.digits; ++i) {
      if (!digit(rest, static_cast<std::size_t>(i))) return cannot(element.name);
      value = value * 10 + (rest[static_cast<std::size_t>(i)] - '0');
    }
    rest.remove_prefix(static_cast<std::size_t>(element.digits));
    if (value < element.min || value > element.max) {
      return cat("parsing time ", quote(text), ": ", element.range_name, " out of range");
    }
  }
  if (rest.starts_with(".") || micro) {
    std::size_t digits = 0;
    while (rest.starts_with(".") && digit(rest, 1 + digits)) ++digits;
    if (micro && digits < 6) return cannot(".000000");
    if (!micro && digits == 0) return cannot("Z07:00");
    rest.remove_prefix(1 + (micro ? 6 : digits));
  }
  if (rest.starts_with("Z")) {
    rest.remove_prefix(1);
  } else if (rest.size() >= 6 && (rest[0] == '+' || rest[0] == '-') && digit(rest, 1) && digit(rest, 2) &&
             rest[3] == ':' && digit(rest, 4) && digit(rest, 5)) {
    rest.remove_prefix(6);
  } else {
    return cannot("Z07:00");
  }
  if (!rest.empty()) return cat("parsing time ", quote(text), ": extra text: ", quote(rest));
  return cat("parsing time ", quote(text), ": day out of range");
}

bool is_micro_form(std::string_view text) {
  if (text.size() < 20 || text[19] != '.') return false;
  std::size_t digits = 0;
  while (digit(text, 20 + digits)) ++digits;
  return digits == 6;
}

bool expect_string(const json::Value& value, ScalarError* error) {
  if (value.is_string()) return true;
  error->mismatch = "string";
  error->found = json_type_name(value);
  return false;
}

bool canonical_point_in_time(json::Value& value, bool micro, ScalarError* error) {
  if (!expect_string(value, error)) return false;
  const std::string& text = value.as_string();
  WallTime time;
  if (!parse_time(text, &time) || (micro && !is_micro_form(text))) {
    error->text = time_error(text, micro ? kMicroTimeLayout : kTimeLayout, micro);
    return false;
  }
  if (time.microseconds == kYearOneSeconds * 1'000'000) {
    value = nullptr;
  } else {
    value = micro ? format_micro_time(time) : format_time(time);
  }
  return true;
}

// Where Go's decoder finds the first byte that is not base64.
std::size_t base64_error_at(std::string_view text) {
  std::size_t in_group = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\r' || c == '\n') continue;
    const bool alphabet = std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '/';
    if (c == '=' && in_group >= 2) {
      // Two bytes need "==", three need "=", and nothing may follow.
      std::size_t next = i + 1;
      if (in_group == 2) {
        while (next < text.size() && (text[next] == '\r' || text[next] == '\n')) ++next;
        if (next == text.size()) return text.size();
        if (text[next] != '=') return next;
        ++next;
      }
      while (next < text.size() && (text[next] == '\r' || text[next] == '\n')) ++next;
      return next;
    }
    if (!alphabet) return i;
    in_group = (in_group + 1) % 4;
  }
  return text.size() - in_group;
}

}  // namespace

bool canonical_time(json::Value& value, ScalarError* error) { return canonical_point_in_time(value, false, error); }
bool canonical_micro_time(json::Value& value, ScalarError* error) {
  return canonical_point_in_time(value, true, error);
}

bool canonical_duration(json::Value& value, ScalarError* error) {
  if (!expect_string(value, error)) return false;
  std::int64_t nanoseconds = 0;
  if (!parse_duration(value.as_string(), &nanoseconds)) {
    error->text = cat("time: invalid duration ", quote(value.as_string()));
    return false;
  }
  value = duration_text(nanoseconds);
  return true;
}

bool canonical_quantity(json::Value& value, ScalarError* error) {
  const std::string text = value.is_string() ? std::string(trim(value.as_string())) : json::write(value);
  Result<std::string> canonical = Quantity::canonical_text(text);
  if (!canonical) {
    error->text = canonical.error().message();
    return false;
  }
  value = *std::move(canonical);
  return true;
}

bool canonical_int_or_string(json::Value& value, ScalarError* error) {
  if (value.is_string()) return true;
  const bool fits = value.is_int() && value.as_int() >= std::numeric_limits<std::int32_t>::min() &&
                    value.as_int() <= std::numeric_limits<std::int32_t>::max();
  if (fits) return true;
  error->mismatch = "int32";
  error->found = value.is_number() ? cat("number ", json::write(value)) : std::string(json_type_name(value));
  return false;
}

bool canonical_bytes(json::Value& value, ScalarError* error) {
  if (!value.is_string()) {
    error->mismatch = "[]uint8";
    error->found = json_type_name(value);
    return false;
  }
  std::string text = value.as_string();
  std::erase_if(text, [](char c) { return c == '\r' || c == '\n'; });
  std::string bytes;
  if (!base64_decode(text, &bytes)) {
    error->text = cat("illegal base64 data at input byte ", base64_error_at(value.as_string()));
    return false;
  }
  value = base64_encode(bytes);
  return true;
}

// ---- durations

namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr Unit kUnits[] = {{"ns", 1},
                           {"us", 1'000},
                           {"\xc2\xb5s", 1'000},  // U+00B5
                           {"\xce\xbcs", 1'000},  // U+03BC
                           {"ms", 1'000'000},
                           {"s", 1'000'000'000},
                           {"m", 60'000'000'000},
                           {"h", 3'600'000'000'000}};

// "1.5h" at the front of `rest`, added to `total`; false when it is none or does not fit.
bool add_one_unit(std::string_view* rest, unsigned __int128* total) {
  constexpr unsigned __int128 kLimit = static_cast<unsigned __int128>(1) << 63;
  unsigned __int128 whole = 0;
  std::uint64_t fraction = 0;
  double scale = 1;
  std::size_t i = 0, digits = 0;
  for (; digit(*rest, i); ++i, ++digits) {
    whole = whole * 10 + static_cast<unsigned>((*rest)[i] - '0');
    if (whole > kLimit) return false;
  }
  if (i < rest->size() && (*rest)[i] == '.') {
    // Digits beyond what an integer holds are worth less than a nanosecond.
    for (++i; digit(*rest, i); ++i, ++digits) {
      if (fraction > (std::uint64_t{1} << 63) / 10 - 1) continue;
      fraction = fraction * 10 + static_cast<unsigned>((*rest)[i] - '0');
      scale *= 10;
    }
  }
  if (digits == 0) return false;
  std::size_t end = i;
  while (end < rest->size() && (*rest)[end] != '.' && !digit(*rest, end)) ++end;
  const std::string_view name = rest->substr(i, end - i);
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    *total +=
        whole * static_cast<unsigned __int128>(unit.nanoseconds) +
        static_cast<unsigned __int128>(static_cast<double>(fraction) * (static_cast<double>(unit.nanoseconds) / scale));
    rest->remove_prefix(end);
    return *total <= kLimit;
  }
  return false;
}

void append_fraction(std::string& out, std::uint64_t value, int digits) {
  std::string fraction = std::to_string(value);
  fraction.insert(0, static_cast<std::size_t>(digits) - fraction.size(), '0');
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  if (!fraction.empty()) out += cat(".", fraction);
}

}  // namespace

bool parse_duration(std::string_view text, std::int64_t* nanoseconds) {
  bool negative = false;
  if (text.starts_with("-") || text.starts_with("+")) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (text == "0") {
    *nanoseconds = 0;
    return true;
  }
  if (text.empty()) return false;
  unsigned __int128 total = 0;
  while (!text.empty()) {
    if (!add_one_unit(&text, &total)) return false;
  }
  constexpr auto kMax = static_cast<unsigned __int128>(std::numeric_limits<std::int64_t>::max());
  if (total > kMax + (negative ? 1 : 0)) return false;
  *nanoseconds = static_cast<std::int64_t>(negative ? -static_cast<__int128>(total) : static_cast<__int128>(total));
  return true;
}

std::string duration_text(std::int64_t nanoseconds) {
  if (nanoseconds == 0) return "0s";
  std::string out = nanoseconds < 0 ? "-" : "";
  const std::uint64_t n =
      nanoseconds < 0 ? ~static_cast<std::uint64_t>(nanoseconds) + 1 : static_cast<std::uint64_t>(nanoseconds);
  if (n < 1'000) return out + cat(n, "ns");
  if (n < 1'000'000'000) {  // less than a second: the unit that leaves one to three digits before the point
    const bool micro = n < 1'000'000;
    const std::uint64_t unit = micro ? 1'000 : 1'000'000;
    out += std::to_string(n / unit);
    append_fraction(out, n % unit, micro ? 3 : 6);
    return out + (micro ? "\xc2\xb5s" : "ms");
  }
  const std::uint64_t seconds = n / 1'000'000'000;
  if (seconds >= 3600) out += cat(seconds / 3600, "h");
  if (seconds >= 60) out += cat(seconds / 60 % 60, "m");
  out += std::to_string(seconds % 60);
  append_fraction(out, n % 1'000'000'000, 9);
  return out + "s";
}

}  // namespace kayak::api::detail
