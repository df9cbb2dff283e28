// validate_cronjobs.cc: the rules of cron jobs.
// Source: kubernetes pkg/apis/batch/validation (v1.36).
#include "api/validation/cron.h"
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

// A job's name is the cron job's and the minute: "-" and 10 digits. It must be a DNS label of 63 characters still.
constexpr std::size_t kMaxName = 52;

bool names_zone(std::string_view schedule) { return schedule.find("TZ") != std::string_view::npos; }

void check_schedule(const Checked& spec, const json::Value* old_spec) {
  const Checked schedule = spec["schedule"];
  const std::string_view text = schedule.text();
  if (text.empty()) return schedule.required();
  if (const Result<CronSchedule> parsed = parse_cron(text); !parsed) schedule.invalid(parsed.error().message());
  const json::Value* old_schedule = old_spec == nullptr ? nullptr : old_spec->find("schedule");
  const bool zone_was_there = old_schedule != nullptr && names_zone(old_schedule->string_or());
  if (!names_zone(text)) return;
  if (!zone_was_there) {
    schedule.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  } else if (spec["timeZone"].present()) {
    schedule.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule");
  }
}

bool is_zone_part(std::string_view part) {
  constexpr std::size_t kMaxPart = 14;
  const auto allowed = [](char c) {
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || std::string_view(".-_+").find(c) != std::string_view::npos;
  };
  return !part.empty() && part.size() <= kMaxPart && part != "." && part != ".." && !part.starts_with('-') &&
         std::all_of(part.begin(), part.end(), allowed);
}

void check_time_zone(const Checked& zone) {
  if (!zone.present()) return;
  const std::string_view name = zone.text();
  if (name.empty()) return zone.invalid("timeZone must be nil or non-empty string");
  const std::vector<std::string_view> parts = split(name, '/');
  if (!std::all_of(parts.begin(), parts.end(), is_zone_part)) return zone.invalid(cat("unknown time zone ", name));
  if (iequals(name, "Local")) {
    zone.invalid("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  }
  if (!time_zone_exists(name)) zone.invalid(cat("unknown time zone ", name));
}

void check_job_template(const Checked& job_template) {
  const Checked spec = job_template["spec"];
  check_job_spec(spec);
  const Checked selector = spec["selector"];
  if (selector.present()) selector.invalid("`selector` will be auto-generated");
  const Checked manual = spec["manualSelector"];
  if (manual.flag()) manual.not_supported({"nil", "false"});
}

void check_cron_job_spec(const Checked& spec, const json::Value* old_spec) {
  check_schedule(spec, old_spec);
  check_non_negative(spec["startingDeadlineSeconds"]);
  const Checked zone = spec["timeZone"];
  if (old_spec == nullptr || !same_value(zone.get(), old_spec->find("timeZone"))) check_time_zone(zone);
  const Checked concurrency = spec["concurrencyPolicy"];
  if (concurrency.text().empty()) {
    concurrency.required();
  } else {
    check_choice(concurrency, {"Allow", "Forbid", "Replace"});
  }
  check_job_template(spec["jobTemplate"]);
  check_non_negative(spec["successfulJobsHistoryLimit"]);
  check_non_negative(spec["failedJobsHistoryLimit"]);
}

}  // namespace

void create_cron_job(const json::Value& object, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_cron_job_spec(root["spec"], nullptr);
  const Checked metadata = root["metadata"];
  const Checked name = metadata["name"];
  if (name.text().size() > kMaxName) name.invalid(max_length_message(kMaxName));
}

void update_cron_job(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_cron_job_spec(root["spec"], &object_at(old, "spec"));
}

}  // namespace kayak::api::validation
