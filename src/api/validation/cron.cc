// cron.cc: see cron.h.
#include "api/validation/cron.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <vector>

#include "api/schema_impl.h"
#include "base/fd.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

struct Bounds {
  std::int64_t first, last;
  std::span<const std::string_view> names;  // of the values from `first` on, lower case
};
constexpr std::string_view kMonthNames[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                            "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view kDayNames[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr Bounds kMinutes = {0, 59, {}};
constexpr Bounds kHours = {0, 23, {}};
constexpr Bounds kDaysOfMonth = {1, 31, {}};
constexpr Bounds kMonths = {1, 12, kMonthNames};
constexpr Bounds kDaysOfWeek = {0, 6, kDayNames};

Error wrong(std::string message) { return Error(Code::kInvalid, std::move(message)); }

Result<std::int64_t> read_number(std::string_view text) {
  const std::string_view digits = text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text;
  const bool is_number =
      !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  std::int64_t value = 0;
  const std::string_view unsigned_text = text.starts_with('+') ? digits : text;
  if (!is_number || !parse_int64(unsigned_text, &value)) {
    return wrong(cat("failed to parse int from ", text, ": strconv.Atoi: parsing ", quote(text), ": ",
                     is_number ? "value out of range" : "invalid syntax"));
  }
  if (value < 0) return wrong(cat("negative number (", value, ") not allowed: ", text));
  return value;
}

Result<std::int64_t> read_value(std::string_view text, const Bounds& bounds) {
  const std::string lower = to_lower(text);
  const auto name = std::find(bounds.names.begin(), bounds.names.end(), lower);
  if (name != bounds.names.end()) return bounds.first + (name - bounds.names.begin());
  return read_number(text);
}

struct Range {
  std::int64_t first = 0, last = 0, step = 1;
  bool any = false;  // * or ?, in steps of one
};

// The ends of "1-5", "*" or "7"; `single` when no end was written.
Result<Range> read_ends(std::string_view text, std::string_view whole, const Bounds& bounds, bool* single) {
  Range range{bounds.first, bounds.last, 1, true};
  const std::vector<std::string_view> ends = split(text, '-');
  *single = ends.size() == 1;
  if (ends[0] == "*" || ends[0] == "?") return range;
  range.any = false;
  const Result<std::int64_t> first = read_value(ends[0], bounds);
  if (!first) return first.error();
  range.first = range.last = *first;
  if (ends.size() > 2) return wrong(cat("too many hyphens: ", whole));
  if (ends.size() == 2) {
    const Result<std::int64_t> last = read_value(ends[1], bounds);
    if (!last) return last.error();
    range.last = *last;
  }
  return range;
}

Result<Range> read_range(std::string_view text, const Bounds& bounds) {
  const std::vector<std::string_view> parts = split(text, '/');
  bool single = false;
  Result<Range> read = read_ends(parts[0], text, bounds, &single);
  if (!read) return read.error();
  Range& range = *read;
  if (parts.size() > 2) return wrong(cat("too many slashes: ", text));
  if (parts.size() == 2) {
    const Result<std::int64_t> step = read_number(parts[1]);
    if (!step) return step.error();
    range.step = *step;
    if (single) range.last = bounds.last;  // "5/10": from 5 on
    if (range.step > 1) range.any = false;
  }
  if (range.first < bounds.first) {
    return wrong(cat("beginning of range (", range.first, ") below minimum (", bounds.first, "): ", text));
  }
  if (range.last > bounds.last) {
    return wrong(cat("end of range (", range.last, ") above maximum (", bounds.last, "): ", text));
  }
  if (range.first > range.last) {
    return wrong(cat("beginning of range (", range.first, ") beyond end of range (", range.last, "): ", text));
  }
  if (range.step == 0) return wrong(cat("step of range should be a positive number: ", text));
  return read;
}

Result<void> read_field(std::string_view text, const Bounds& bounds, std::uint64_t* bits, bool* any) {
  for (const std::string_view part : split(text, ',')) {
    if (part.empty()) continue;
    const Result<Range> range = read_range(part, bounds);
    if (!range) return range.error();
    if (any != nullptr) *any = *any || range->any;
    // A step beyond the bounds ends the loop before it could overflow.
    for (std::int64_t value = range->first; value <= range->last; value += std::min<std::int64_t>(range->step, 64)) {
      *bits |= std::uint64_t{1} << value;
    }
  }
  return {};
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

// Between white space as Unicode has it.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  while (!text.empty()) {
    const CodePoint c = next_code_point(text);
    if (is_space(c.value)) {
      inside = false;
    } else {
      if (!inside) words.emplace_back();
      inside = true;
      words.back() += text.substr(0, c.size);
    }
    text.remove_prefix(c.size);
  }
  return words;
}

// Why a duration cannot be read, as Go says it.
std::string duration_fault(std::string_view whole) {
  std::string_view rest = whole;
  if (rest.starts_with('-') || rest.starts_with('+')) rest.remove_prefix(1);
  while (!rest.empty()) {
    const std::size_t number = std::min(rest.find_first_not_of("0123456789."), rest.size());
    const std::string_view digits = rest.substr(0, number);
    if (digits.empty() || digits == "." || std::count(digits.begin(), digits.end(), '.') > 1) break;
    rest.remove_prefix(number);
    const std::size_t end = std::min(rest.find_first_of("0123456789."), rest.size());
    const std::string_view unit = rest.substr(0, end);
    if (unit.empty()) return cat("time: missing unit in duration ", quote(whole));
    std::int64_t ignored = 0;
    if (!detail::parse_duration(cat("1", unit), &ignored)) {
      return cat("time: unknown unit ", quote(unit), " in duration ", quote(whole));
    }
    rest.remove_prefix(end);
  }
  return cat("time: invalid duration ", quote(whole));
}

Result<CronSchedule> read_every(std::string_view text) {
  const std::string_view duration = text.substr(std::string_view("@every ").size());
  std::int64_t nanoseconds = 0;
  if (!detail::parse_duration(duration, &nanoseconds)) {
    return wrong(cat("failed to parse duration ", text, ": ", duration_fault(duration)));
  }
  CronSchedule schedule;
  // Whole seconds, and one at least.
  schedule.every_seconds = std::max<std::int64_t>(nanoseconds / 1'000'000'000, 1);
  return schedule;
}

struct Descriptor {
  std::string_view name, fields;
};
constexpr Descriptor kDescriptors[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

Result<CronSchedule> read_fields(std::string_view text) {
  const std::vector<std::string> words = words_of(text);
  constexpr std::size_t kFields = 5;
  if (words.size() != kFields) {
    return wrong(cat("expected exactly ", kFields, " fields, found ", words.size(), ": [", join(words, " "), "]"));
  }
  CronSchedule schedule;
  struct Place {
    const Bounds& bounds;
    std::uint64_t* bits;
    bool* any;
  };
  const Place places[kFields] = {{kMinutes, &schedule.minutes, nullptr},
                                 {kHours, &schedule.hours, nullptr},
                                 {kDaysOfMonth, &schedule.days_of_month, &schedule.any_day_of_month},
                                 {kMonths, &schedule.months, nullptr},
                                 {kDaysOfWeek, &schedule.days_of_week, &schedule.any_day_of_week}};
  for (std::size_t i = 0; i < kFields; ++i) {
    if (auto read = read_field(words[i], places[i].bounds, places[i].bits, places[i].any); !read) return read.error();
  }
  return schedule;
}

Result<CronSchedule> read_schedule(std::string_view text) {
  if (!text.starts_with('@')) return read_fields(text);
  for (const Descriptor& descriptor : kDescriptors) {
    if (text == descriptor.name) return read_fields(descriptor.fields);
  }
  if (text.starts_with("@every ")) return read_every(text);
  return wrong(cat("unrecognized descriptor: ", text));
}

std::string_view trim_unicode(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = next_code_point(text);
    if (!is_space(c.value)) break;
    text.remove_prefix(c.size);
  }
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = next_code_point(text.substr(at));
    at += c.size;
    if (!is_space(c.value)) end = at;
  }
  return text.substr(0, end);
}

}  // namespace

Result<CronSchedule> parse_cron(std::string_view text) {
  if (text.empty()) return wrong("empty spec string");
  if (!text.starts_with("TZ=") && !text.starts_with("CRON_TZ=")) return read_schedule(text);
  const std::size_t begin = text.find('=') + 1;
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) {
    // Upstream's parser crashes here, and its caller says so.
    return wrong("invalid schedule format: runtime error: slice bounds out of range [:-1]");
  }
  const std::string_view zone = text.substr(begin, space - begin);
  if (zone.find("..") != std::string_view::npos || zone.starts_with('/') || zone.starts_with('\\')) {
    return wrong(cat("provided bad location ", zone, ": time: invalid location name"));
  }
  if (!time_zone_exists(zone)) {
    return wrong(cat("provided bad location ", zone, ": unknown time zone ", zone));
  }
  Result<CronSchedule> schedule = read_schedule(trim_unicode(text.substr(space)));
  if (schedule) schedule->time_zone = zone;
  return schedule;
}

bool time_zone_exists(std::string_view name) {
  if (name.empty() || name == "UTC" || name == "Local") return true;
  if (name.find("..") != std::string_view::npos || name.find('\0') != std::string_view::npos) return false;
  bool has_database = false;
  for (const char* folder : {"/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"}) {
    if (::access(folder, X_OK) != 0) continue;
    has_database = true;
    const Fd file(::open(cat(folder, "/", name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    std::array<char, 4> magic{};
    if (file.get() >= 0 && ::read(file.get(), magic.data(), magic.size()) == 4 &&
        std::string_view(magic.data(), magic.size()) == "TZif") {
      return true;
    }
  }
  return !has_database;
}

}  // namespace kayak::api::validation
