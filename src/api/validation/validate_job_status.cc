// validate_job_status.cc: what a job's status may say, and how it may change: finished jobs stay finished.
// Most rules apply only to what a write changes, so that a status from before the rules can still be written.
// Source: kubernetes pkg/apis/batch/validation, pkg/registry/batch/job (v1.36).
#include "api/validation/validate_groups.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

struct Interval {
  std::int64_t first = 0, last = 0;
  std::string error;
};

Interval read_interval(std::string_view text, std::int64_t completions) {
  Interval interval;
  const std::vector<std::string_view> limits = split(text, '-');
  if (limits.size() > 2) {
    interval.error =
        cat("the fragment ", quote(text),
            " violates the requirement that an index interval can have at most two parts separated by '-'");
    return interval;
  }
  std::int64_t* const ends[] = {&interval.first, &interval.last};
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (!parse_int64(limits[i], ends[i])) {
      interval.error = cat("cannot convert string to integer for index: ", quote(limits[i]));
      return interval;
    }
    if (*ends[i] >= completions) {
      interval.error = cat("too large index: ", quote(limits[i]));
      return interval;
    }
  }
  if (limits.size() == 1) {
    interval.last = interval.first;
  } else if (interval.first >= interval.last) {
    interval.error = cat("non-increasing order, previous: ", interval.first, ", current: ", interval.last);
  }
  return interval;
}

// The intervals of a text that are well formed, in its order.
std::vector<Interval> well_formed(std::string_view text, std::int64_t completions) {
  std::vector<Interval> intervals;
  for (const std::string_view part : split(text, ',')) {
    Interval interval = read_interval(part, completions);
    if (interval.error.empty()) intervals.push_back(std::move(interval));
  }
  return intervals;
}

struct Conditions {
  bool complete, failed, failure_target, success_criteria_met;
  bool finished() const { return complete || failed; }
};
Conditions conditions_of(const json::Value& job) {
  return Conditions{has_condition(job, "Complete", "True"), has_condition(job, "Failed", "True"),
                    has_condition(job, "FailureTarget", "True"), has_condition(job, "SuccessCriteriaMet", "True")};
}

// What a write changes; each rule names what wakes it.
struct Change {
  const Checked& status;
  const Checked& spec;
  Conditions now, before;
  const json::Value& old_status;

  bool finished() const { return now.finished() != before.finished(); }
  bool complete() const { return now.complete != before.complete; }
  bool failed() const { return now.failed != before.failed; }
  bool failure_target() const { return now.failure_target != before.failure_target; }
  bool success_criteria() const { return now.success_criteria_met != before.success_criteria_met; }
  bool member(std::string_view name) const { return !same_value(status[name].get(), old_status.find(name)); }
};

void check_uncounted(const Checked& uncounted) {
  Seen seen;
  for (const std::string_view member : {"succeeded", "failed"}) {
    each_item(uncounted[member], [&](const Checked& uid) {
      if (uid.text().empty()) return uid.invalid("must not be empty");
      if (!seen.add(uid.text())) uid.duplicate();
    });
  }
}

void check_completion(const Change& change) {
  const Checked conditions = change.status["conditions"];
  const Checked completion = change.status["completionTime"];
  const Conditions& now = change.now;
  if ((change.complete() || change.failed()) && now.complete && now.failed) {
    conditions.invalid_omitting_value("cannot set Complete=True and Failed=true conditions");
  }
  if ((change.complete() || change.failure_target()) && now.complete && now.failure_target) {
    conditions.invalid_omitting_value("cannot set Complete=True and FailureTarget=true conditions");
  }
  const bool completion_changed = change.member("completionTime");
  if (change.complete() || completion_changed) {
    if (completion.present() && !now.complete) {
      completion.invalid("cannot set completionTime when there is no Complete=True condition");
    }
    if (!completion.present() && now.complete) completion.required("completionTime is required for Complete jobs");
  }
  const Checked start = change.status["startTime"];
  // RFC 3339 in UTC with whole seconds sorts as text.
  if ((change.member("startTime") || completion_changed) && start.present() && completion.present() &&
      completion.text() < start.text()) {
    completion.invalid("must be equal to or after `startTime`");
  }
}

void check_finished(const Change& change) {
  const Checked conditions = change.status["conditions"];
  const Conditions& now = change.now;
  if ((change.failed() || change.member("failedIndexes")) && now.failed && !now.failure_target) {
    conditions.invalid_omitting_value("cannot set Failed=True condition without the FailureTarget=true condition");
  }
  if ((change.complete() || change.success_criteria()) && now.complete && !now.success_criteria_met) {
    conditions.invalid_omitting_value(
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
  }
  if (!now.finished()) return;
  const Checked active = change.status["active"];
  if ((change.finished() || change.member("active")) && active.number() > 0) {
    active.invalid("active>0 is invalid for finished job");
  }
  const Checked start = change.status["startTime"];
  const Checked completions = change.spec["completions"];
  const bool never_ran = change.spec["suspend"].flag() && completions.present() && completions.number() == 0;
  if ((change.finished() || change.member("startTime")) && !never_ran && !start.present()) {
    start.required("startTime is required for finished job");
  }
  const Checked uncounted = change.status["uncountedTerminatedPods"];
  if ((change.finished() || change.member("uncountedTerminatedPods")) &&
      uncounted["succeeded"].size() + uncounted["failed"].size() > 0) {
    uncounted.invalid("must be empty for finished job");
  }
}

void check_indexes(const Change& change) {
  const Checked completed = change.status["completedIndexes"];
  const Checked failed = change.status["failedIndexes"];
  const Checked completions = change.spec["completions"];
  const bool per_index = change.spec["backoffLimitPerIndex"].present();
  const bool completed_changed = change.member("completedIndexes");
  const bool failed_changed = change.member("failedIndexes");
  const auto check_format = [&](const Checked& indexes, std::string_view name) {
    const JobIndexes read = read_job_indexes(indexes.text(), completions.number());
    if (!read.error.empty()) indexes.invalid(cat("error parsing ", name, ": ", read.error));
  };
  if (completed_changed && completions.present()) check_format(completed, "completedIndexes");
  if (failed_changed && completions.present() && per_index && failed.present()) check_format(failed, "failedIndexes");
  if (completed_changed && !completed.text().empty() && change.spec["completionMode"].text() != "Indexed") {
    completed.invalid("cannot set non-empty completedIndexes when non-indexed completion mode");
  }
  if (failed_changed && !per_index && failed.present()) {
    failed.invalid("cannot set non-null failedIndexes when backoffLimitPerIndex is null");
  }
  if ((failed_changed || completed_changed) && completions.present() && failed.present()) {
    const std::string overlap = job_indexes_overlap(completed.text(), failed.text(), completions.number());
    if (!overlap.empty()) failed.invalid(overlap);
  }
}

void check_status_now(const Change& change) {
  const Checked& status = change.status;
  for (const std::string_view counter : {"active", "succeeded", "failed", "ready", "terminating"}) {
    check_non_negative(status[counter]);
  }
  const Checked uncounted = status["uncountedTerminatedPods"];
  if (uncounted.present()) check_uncounted(uncounted);
  check_completion(change);
  check_finished(change);
  check_indexes(change);
  const Checked terminating = status["terminating"];
  if ((change.finished() || change.member("terminating")) && terminating.number() > 0 && change.now.finished()) {
    terminating.invalid("terminating>0 is invalid for finished job");
  }
  if (change.member("ready") || change.member("active")) {
    check_at_most(status["ready"], status["active"], "cannot set more ready pods than active");
  }
  const Checked conditions = status["conditions"];
  const Conditions& now = change.now;
  if (now.success_criteria_met && now.failed) {
    conditions.invalid_omitting_value("cannot set SuccessCriteriaMet=True and Failed=true conditions");
  }
  if (now.success_criteria_met && now.failure_target) {
    conditions.invalid_omitting_value("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  }
  if (change.spec["successPolicy"].present() && !now.success_criteria_met && now.complete) {
    conditions.invalid_omitting_value(
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
  }
}

void check_nothing_undone(const Change& change) {
  const Checked conditions = change.status["conditions"];
  const auto check_kept = [&](bool before, bool now, std::string_view type) {
    if (before && !now) conditions.invalid_omitting_value(cat("cannot disable the terminal ", type, "=True condition"));
  };
  check_kept(change.before.failed, change.now.failed, "Failed");
  check_kept(change.before.complete, change.now.complete, "Complete");
  check_kept(change.before.failure_target, change.now.failure_target, "FailureTarget");
  const auto old_number = [&](std::string_view member) {
    const json::Value* value = change.old_status.find(member);
    return value == nullptr ? std::int64_t{0} : value->int_or(0);
  };
  const Checked failed = change.status["failed"];
  if (failed.number() < old_number("failed")) failed.invalid(failed.number(), "cannot decrease the failed counter");
  // Scaling an indexed job down takes finished indexes out of the count.
  const bool elastic = change.spec["completionMode"].text() == "Indexed" &&
                       same_value(change.spec["completions"].get(), change.spec["parallelism"].get());
  const Checked succeeded = change.status["succeeded"];
  if (!elastic && succeeded.number() < old_number("succeeded")) {
    succeeded.invalid(succeeded.number(), "cannot decrease the succeeded counter");
  }
}

void check_times_kept(const Change& change, const json::Value& job, const json::Value& old) {
  const Checked completion = change.status["completionTime"];
  const bool had_completion = !same_value(change.old_status.find("completionTime"), nullptr);
  if (completion.present() && had_completion && change.member("completionTime")) {
    completion.invalid("field is immutable");
  }
  const Checked start = change.status["startTime"];
  const bool resuming = has_condition(old, "Suspended", "True") && has_condition(job, "Suspended", "False");
  const bool had_start = !same_value(change.old_status.find("startTime"), nullptr);
  if (change.member("startTime") && !resuming && had_start && !change.spec["suspend"].flag()) {
    start.invalid("field is immutable for unsuspended job once set");
  }
  const Checked conditions = change.status["conditions"];
  if (change.before.success_criteria_met && !change.now.success_criteria_met) {
    conditions.invalid_omitting_value("cannot disable the SuccessCriteriaMet=True condition");
  }
  if (change.before.complete && !change.before.success_criteria_met && change.now.success_criteria_met) {
    conditions.invalid_omitting_value(
        "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
  }
}

}  // namespace

JobIndexes read_job_indexes(std::string_view text, std::int64_t completions) {
  JobIndexes indexes;
  if (text.empty()) return indexes;
  bool first = true;
  std::int64_t previous = 0;
  for (const std::string_view part : split(text, ',')) {
    const Interval interval = read_interval(part, completions);
    indexes.error = interval.error;
    if (indexes.error.empty() && !first && previous >= interval.first) {
      indexes.error = cat("non-increasing order, previous: ", previous, ", current: ", interval.first);
    }
    if (!indexes.error.empty()) {
      indexes.count = 0;
      return indexes;
    }
    indexes.count += interval.last - interval.first + 1;
    previous = interval.last;
    first = false;
  }
  return indexes;
}

std::string job_indexes_overlap(std::string_view completed, std::string_view failed, std::int64_t completions) {
  if (completed.empty() || failed.empty()) return "";
  const std::vector<Interval> done = well_formed(completed, completions);
  const std::vector<Interval> wrong = well_formed(failed, completions);
  for (auto c = done.begin(), f = wrong.begin(); c != done.end() && f != wrong.end();) {
    if (c->first <= f->last && f->first <= c->last) {
      return cat("failedIndexes and completedIndexes overlap at index: ", std::max(c->first, f->first));
    }
    if (c->first <= f->first) {
      ++c;
    } else {
      ++f;
    }
  }
  return "";
}

void update_job_status(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  const Checked status = root["status"];
  const Checked spec = root["spec"];
  const Change change{status, spec, conditions_of(object), conditions_of(old), object_at(old, "status")};
  check_status_now(change);
  check_nothing_undone(change);
  check_times_kept(change, object, old);
}

}  // namespace kayak::api::validation
