// snapshot_schedule.cc: see snapshot_schedule.h.
#include "cli/snapshot_schedule.h"

#include <dirent.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "cli/snapshot_save.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;

// The wall clock of a board may be set while it runs: it is looked at so often.
constexpr Duration kLook = 60s;
// The rarest day that there is, the 29th of February, comes within eight years.
constexpr int kMaxDays = 8 * 366;

bool has(std::uint64_t bits, int value) { return (bits >> value & 1) != 0; }

bool day_matches(const api::validation::CronSchedule& schedule, const std::tm& day) {
  const bool month_day = has(schedule.days_of_month, day.tm_mday), week_day = has(schedule.days_of_week, day.tm_wday);
  return schedule.any_day_of_month || schedule.any_day_of_week ? month_day && week_day : month_day || week_day;
}

// The first matching minute of the day of `from`, at or after it; 0: none.
std::int64_t within_day(const api::validation::CronSchedule& schedule, const std::tm& from, std::int64_t after) {
  for (int hour = from.tm_hour; hour < 24; ++hour) {
    if (!has(schedule.hours, hour)) continue;
    for (int minute = hour == from.tm_hour ? from.tm_min : 0; minute < 60; ++minute) {
      if (!has(schedule.minutes, minute)) continue;
      std::tm at = from;
      at.tm_hour = hour;
      at.tm_min = minute;
      at.tm_sec = 0;
      at.tm_isdst = -1;
      const std::time_t time = ::mktime(&at);
      if (at.tm_hour == hour && at.tm_min == minute && time > after) return time;
    }
  }
  return 0;
}

}  // namespace

std::int64_t next_time(const api::validation::CronSchedule& schedule, std::int64_t after) {
  if (schedule.every_seconds > 0) return after + schedule.every_seconds;
  const std::time_t start = after - after % 60 + 60;
  std::tm day{};
  ::localtime_r(&start, &day);
  for (int i = 0; i < kMaxDays; ++i) {
    if (has(schedule.months, day.tm_mon + 1) && day_matches(schedule, day)) {
      if (const std::int64_t time = within_day(schedule, day, after); time != 0) return time;
    }
    ++day.tm_mday;
    day.tm_hour = day.tm_min = day.tm_sec = 0;
    day.tm_isdst = -1;
    ::mktime(&day);  // makes a date of it, with its day of the week
    // A zone that leaves midnight out.
    day.tm_hour = day.tm_min = 0;
  }
  return 0;
}

SnapshotSchedule::SnapshotSchedule(Context context, store::Store& store, SnapshotScheduleOptions options)
    : context_(std::move(context)), store_(store), options_(std::move(options)) {}

Task<Result<void>> SnapshotSchedule::run(StopToken stop) {
  const Result<api::validation::CronSchedule> schedule = api::validation::parse_cron(options_.cron);
  ASSERT(schedule.ok());
  std::int64_t seen = context_.clock.wall().seconds();
  std::int64_t next = next_time(*schedule, seen);
  while (next != 0) {
    const Duration pause = std::min<Duration>(kLook, std::chrono::seconds(std::max<std::int64_t>(next - seen, 1)));
    const Result<void> slept = co_await context_.loop.sleep(pause, stop);
    if (!slept) co_return Result<void>();
    const std::int64_t now = context_.clock.wall().seconds();
    const bool set_back = now < seen;
    seen = now;
    if (now < next) {
      if (set_back) next = next_time(*schedule, now);
      continue;
    }
    const Result<void> saved = co_await save(stop);
    if (stop.stopped()) co_return Result<void>();
    if (!saved) {
      context_.log.error("no snapshot was saved; the next is tried when its time comes",
                         {{"error", saved.error().message()}, {"folder", options_.dir}});
    }
    next = next_time(*schedule, context_.clock.wall().seconds());
  }
  context_.log.warn("the snapshot schedule names no time that ever comes", {{"schedule", options_.cron}});
  co_return Result<void>();
}

std::string SnapshotSchedule::prefix() const { return cat("scheduled-", options_.node, "-"); }

Task<Result<void>> SnapshotSchedule::save(StopToken stop) {
  struct Prepared {
    SaveOptions save;
    std::unique_ptr<SnapshotOutput> output;
  };
  const std::string name = snapshot_name("scheduled", options_.node, context_.clock.wall());
  const std::string path = cat(options_.dir, "/", name);
  auto prepare = [options = options_, path]() -> Result<std::shared_ptr<Prepared>> {
    auto prepared = std::make_shared<Prepared>();
    Result<std::string> passphrase = read_passphrase(options.passphrase_file);
    if (!passphrase) return passphrase.error();
    Result<std::vector<store::KeptFile>> files = read_kept_files(options.data_dir);
    if (!files) return files.error();
    Result<std::unique_ptr<SnapshotOutput>> output = SnapshotOutput::create(path);
    if (!output) return output.error();
    prepared->save.node = options.node;
    prepared->save.passphrase = std::move(*passphrase);
    prepared->save.files = std::move(*files);
    prepared->output = std::move(*output);
    return prepared;
  };
  Result<std::shared_ptr<Prepared>> prepared = co_await context_.loop.offload(std::move(prepare));
  if (!prepared) co_return prepared.error();
  Result<std::unique_ptr<store::StateStream>> state = store_.snapshot();
  if (!state) co_return state.error();
  Result<store::SnapshotInfo> info =
      co_await save_snapshot(context_, **state, std::move((*prepared)->save), *(*prepared)->output, stop);
  if (!info) co_return info.error();
  context_.log.info("saved a snapshot", {{"file", path},
                                         {"revision", info->revision},
                                         {"bytes", static_cast<std::int64_t>((*prepared)->output->bytes())}});
  auto clean = [this, name] { return prune(name); };
  Result<void> pruned = co_await context_.loop.offload(std::move(clean));
  co_return pruned;
}

// Of the schedule's own on this node, by the time in their names; never the one that was just saved, as a board without
// a clock may have been set back.
Result<void> SnapshotSchedule::prune(const std::string& saved) const {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(options_.dir.c_str()), ::closedir);
  if (!dir) return error_from_errno(errno, cat("listing ", options_.dir));
  std::vector<std::pair<std::int64_t, std::string>> own;
  while (const dirent* entry = ::readdir(dir.get())) {
    std::string_view name = entry->d_name;
    if (!name.starts_with(prefix()) || name == saved) continue;
    name.remove_prefix(prefix().size());
    std::int64_t time = 0;
    if (parse_int64(name, &time)) own.emplace_back(time, entry->d_name);
  }
  std::sort(own.begin(), own.end());
  const std::size_t beside = options_.retention - 1;
  const std::size_t excess = own.size() > beside ? own.size() - beside : 0;
  for (std::size_t i = 0; i < excess; ++i) {
    if (auto removed = remove_file(cat(options_.dir, "/", own[i].second)); !removed) return removed;
  }
  return Result<void>();
}

}  // namespace kayak::cli
