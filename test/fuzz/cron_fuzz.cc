// fuzz-deps: kayak_fuzz_api
// Cron schedules: what is taken has values within their bounds, and a time zone before it changes nothing else.
#include "api/validation/cron.h"
#include "base/strings.h"

using kayak::api::validation::CronSchedule;
using kayak::api::validation::parse_cron;

namespace {
bool within(std::uint64_t bits, int first, int last) {
  const std::uint64_t allowed = (~std::uint64_t{0} >> (63 - last)) & (~std::uint64_t{0} << first);
  return (bits & ~allowed) == 0;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto schedule = parse_cron(text);
  if (!schedule) {
    ASSERT(!schedule.error().message().empty());
    return 0;
  }
  ASSERT(within(schedule->minutes, 0, 59));
  ASSERT(within(schedule->hours, 0, 23));
  ASSERT(within(schedule->days_of_month, 1, 31));
  ASSERT(within(schedule->months, 1, 12));
  ASSERT(within(schedule->days_of_week, 0, 6));
  ASSERT(schedule->every_seconds >= 0);
  if (!schedule->time_zone.empty() || text.starts_with("TZ=") || text.starts_with("CRON_TZ=")) return 0;
  const auto zoned = parse_cron(kayak::cat("TZ=UTC ", text));
  // A descriptor is not looked for behind white space, which is dropped after a time zone.
  if (!zoned) return 0;
  ASSERT(zoned->time_zone == "UTC");
  ASSERT(zoned->minutes == schedule->minutes && zoned->hours == schedule->hours);
  ASSERT(zoned->days_of_month == schedule->days_of_month && zoned->months == schedule->months);
  ASSERT(zoned->days_of_week == schedule->days_of_week && zoned->every_seconds == schedule->every_seconds);
  return 0;
}
