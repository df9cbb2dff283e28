// clock.cc: the system's clocks and RFC 3339.
// Source: RFC 3339; apimachinery metav1.Time and metav1.MicroTime; Go time.RFC3339 for what is accepted.
#include "base/clock.h"

#include <ctime>

namespace kayak {

namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;

struct Date {
  std::int64_t year;
  unsigned month, day;
};

// Days since 1970-01-01 in the proleptic Gregorian calendar. The year is counted from March, so that the leap day
// comes last, in eras of 400 years.
std::int64_t days_of(Date date) {
  const std::int64_t year = date.year - (date.month <= 2 ? 1 : 0);
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * ((date.month + 9) % 12) + 2) / 5 + date.day - 1;
  const std::int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

Date date_of(std::int64_t days) {
  days += 719'468;
  const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const std::int64_t day_of_era = days - era * 146'097;
  const std::int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const unsigned day = static_cast<unsigned>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  const unsigned month = static_cast<unsigned>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  return Date{year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

unsigned days_in_month(Date date) {
  const bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
  if (date.month == 2) return leap ? 29 : 28;
  return date.month == 4 || date.month == 6 || date.month == 9 || date.month == 11 ? 30 : 31;
}

void append_digits(std::string& out, std::uint64_t value, std::size_t width) {
  std::string digits = std::to_string(value);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out += digits;
}

// "2026-11-23T20:50:47" and the microseconds left over.
std::int64_t append_seconds(std::string& out, WallTime time) {
  std::int64_t micros = time.microseconds % kMicrosPerSecond;
  std::int64_t seconds = time.microseconds / kMicrosPerSecond;
  if (micros < 0) {
    micros += kMicrosPerSecond;
    --seconds;
  }
  std::int64_t day_seconds = seconds % kSecondsPerDay;
  std::int64_t days = seconds / kSecondsPerDay;
  if (day_seconds < 0) {
    day_seconds += kSecondsPerDay;
    --days;
  }
  const Date date = date_of(days);
  const auto second_of_day = static_cast<std::uint64_t>(day_seconds);
  append_digits(out, static_cast<std::uint64_t>(date.year < 0 ? 0 : date.year), 4);
  out += '-';
  append_digits(out, date.month, 2);
  out += '-';
  append_digits(out, date.day, 2);
  out += 'T';
  append_digits(out, second_of_day / 3600, 2);
  out += ':';
  append_digits(out, second_of_day / 60 % 60, 2);
  out += ':';
  append_digits(out, second_of_day % 60, 2);
  return micros;
}

// Reads `text` from the front; every step is false when the text does not go on as asked.
class TimeReader {
 public:
  explicit TimeReader(std::string_view text) : rest_(text) {}
  bool digits(std::size_t count, unsigned* value) {
    if (rest_.size() < count) return false;
    *value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return false;
      *value = *value * 10 + static_cast<unsigned>(rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return true;
  }
  bool literal(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Digits after the decimal point; what is finer than a microsecond is cut off.
  bool fraction(unsigned* micros) {
    unsigned unit = 100'000, digit = 0;
    bool any = false;
    for (*micros = 0; digits(1, &digit); any = true) {
      *micros += digit * unit;
      unit /= 10;
    }
    return any;
  }
  bool done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace

Instant SystemClock::now() const {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return Instant{static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec};
}

WallTime SystemClock::wall() const {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return WallTime{static_cast<std::int64_t>(now.tv_sec) * kMicrosPerSecond + now.tv_nsec / 1000};
}

std::string format_time(WallTime time) {
  std::string text;
  append_seconds(text, time);
  text += 'Z';
  return text;
}

std::string format_micro_time(WallTime time) {
  std::string text;
  const std::int64_t micros = append_seconds(text, time);
  text += '.';
  append_digits(text, static_cast<std::uint64_t>(micros), 6);
  text += 'Z';
  return text;
}

bool parse_time(std::string_view text, WallTime* time) {
  TimeReader in(text);
  unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, micros = 0;
  if (!(in.digits(4, &year) && in.literal('-') && in.digits(2, &month) && in.literal('-') && in.digits(2, &day) &&
        in.literal('T') && in.digits(2, &hour) && in.literal(':') && in.digits(2, &minute) && in.literal(':') &&
        in.digits(2, &second))) {
    return false;
  }
  const Date date{year, month, day};
  if (month < 1 || month > 12 || day < 1 || day > days_in_month(date) || hour > 23 || minute > 59 || second > 59) {
    return false;
  }
  if (in.literal('.') && !in.fraction(&micros)) return false;
  std::int64_t offset_seconds = 0;
  if (!in.literal('Z')) {
    const bool west = in.literal('-');
    unsigned offset_hours = 0, offset_minutes = 0;
    if (!west && !in.literal('+')) return false;
    if (!(in.digits(2, &offset_hours) && in.literal(':') && in.digits(2, &offset_minutes))) return false;
    if (offset_hours > 23 || offset_minutes > 59) return false;
    offset_seconds = (west ? -1 : 1) * static_cast<std::int64_t>(offset_hours * 3600 + offset_minutes * 60);
  }
  if (!in.done()) return false;
  const std::int64_t seconds = days_of(date) * kSecondsPerDay + hour * 3600 + minute * 60 + second - offset_seconds;
  *time = WallTime{seconds * kMicrosPerSecond + micros};
  return true;
}

}  // namespace kayak
