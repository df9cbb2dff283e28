// cron.h: the schedule of a cron job, read from its text.
// Source: Kubernetes docs, "CronJob" (schedule syntax); the wording of errors is that of robfig/cron v3.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kayak::api::validation {

struct CronSchedule {
  // Bit n is set when n is among the field's values; a day of the week counts from Sunday, 0.
  std::uint64_t minutes = 0, hours = 0, days_of_month = 0, months = 0, days_of_week = 0;
  // The field was written as * or ?: a day must match both day fields, but only one of them when both are restricted.
  bool any_day_of_month = false, any_day_of_week = false;
  std::int64_t every_seconds = 0;  // of "@every 1h30m"; the fields above are empty then
  std::string time_zone;           // of TZ= or CRON_TZ=; empty: none was given
};

// Five fields, or @hourly, @daily and the like, with an optional time zone before them.
// Errors: Invalid.
Result<CronSchedule> parse_cron(std::string_view text);

// Whether the zone is known: in the machine's time zone database, or plausible when the machine has none.
bool time_zone_exists(std::string_view name);

}  // namespace kayak::api::validation
