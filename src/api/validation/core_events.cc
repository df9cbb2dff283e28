// core_events.cc: events. One that is written as events.k8s.io/v1 must be complete; core/v1 takes what it always took.
// Both are stored as core/v1, whose names the messages have.
// Source: kubernetes pkg/apis/core/validation/events.go (v1.36).
#include "api/validation/core.h"
#include "api/validation/read.h"
#include "api/validation/validation.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::size_t kMaxShort = 128;
constexpr std::size_t kMaxNote = 1024;

// `shown` is upstream's internal name of the field.
void check_length(const json::Value& event, const char* name, const char* shown, std::size_t most, bool needed,
                  field::ErrorList& errors) {
  const std::size_t size = text(event, name).size();
  if (needed && size == 0) errors.push_back(field::required(field::Path(shown), ""));
  if (size <= most) return;
  errors.push_back(field::invalid(field::Path(shown), "", cat("can have at most ", most, " characters")));
}

void check_place(const json::Value& event, field::ErrorList& errors) {
  const std::string_view own = text(part(event, "metadata"), "namespace");
  const std::string_view about = text(part(event, "involvedObject"), "namespace");
  const bool timed = get(event, "eventTime") != nullptr;
  bool fits = false;
  if (about.empty()) {
    fits = own == "default" || (timed ? own == "kube-system" : own.empty());
  } else {
    fits = timed || own == about;
  }
  if (fits) return;
  errors.push_back(
      field::invalid(field::Path("involvedObject.namespace"), json::Value(about), "does not match event.namespace"));
}

void check_series(const json::Value& event, field::ErrorList& errors) {
  const json::Value* series = get(event, "series");
  if (series == nullptr) return;
  if (number(*series, "count") < 2) {
    errors.push_back(field::invalid(field::Path("series.count"), "", "should be at least 2"));
  }
  if (get(*series, "lastObservedTime") == nullptr) {
    errors.push_back(field::required(field::Path("series.lastObservedTime"), ""));
  }
}

}  // namespace

void validate_core_event(const json::Value& event, field::ErrorList& errors) {
  check_place(event, errors);
  if (get(event, "eventTime") != nullptr) {
    const std::string_view controller = text(event, "reportingComponent");
    const field::Path path("reportingController");
    if (controller.empty()) errors.push_back(field::required(path, ""));
    check_text(controller, qualified_name, path, errors);
    check_length(event, "reportingInstance", "reportingInstance", kMaxShort, true, errors);
    check_length(event, "action", "action", kMaxShort, true, errors);
    check_length(event, "reason", "reason", kMaxShort, true, errors);
    check_length(event, "message", "message", kMaxNote, false, errors);
  }
  check_text(text(part(event, "metadata"), "namespace"), dns1123_subdomain, field::Path("namespace"), errors);
}

void validate_core_event_update(const json::Value& event, const json::Value&, field::ErrorList& errors) {
  validate_core_event(event, errors);
}

void validate_event(const json::Value& event, field::ErrorList& errors) {
  validate_core_event(event, errors);
  check_series(event, errors);
  if (get(event, "eventTime") == nullptr) errors.push_back(field::required(field::Path("eventTime"), ""));
  const std::string_view type = text(event, "type");
  if (type != "Normal" && type != "Warning") {
    errors.push_back(field::invalid(field::Path("type"), "", cat("has invalid value: ", type)));
  }
  const json::Value& source = part(event, "source");
  struct Row {
    const char* name;
    bool set;
  };
  for (const Row& row :
       {Row{"firstTimestamp", get(event, "firstTimestamp") != nullptr},
        Row{"lastTimestamp", get(event, "lastTimestamp") != nullptr}, Row{"count", number(event, "count") != 0},
        Row{"source", !text(source, "component").empty() || !text(source, "host").empty()}}) {
    if (row.set) errors.push_back(field::invalid(field::Path(row.name), "", "needs to be unset"));
  }
}

void validate_event_update(const json::Value& event, const json::Value& old, field::ErrorList& errors) {
  validate_core_event(event, errors);
  if (!same(event, old, "series")) check_series(event, errors);
  struct Row {
    const char *name, *shown;
  };
  for (const Row& row :
       {Row{"involvedObject", "involvedObject"}, Row{"reason", "reason"}, Row{"message", "message"},
        Row{"source", "source"}, Row{"firstTimestamp", "firstTimestamp"}, Row{"lastTimestamp", "lastTimestamp"},
        Row{"count", "count"}, Row{"type", "type"}, Row{"eventTime", "eventTime"}, Row{"action", "action"},
        Row{"related", "related"}, Row{"reportingComponent", "reportingController"},
        Row{"reportingInstance", "reportingInstance"}}) {
    validate_immutable(event.find(row.name), old.find(row.name), field::Path(row.shown), errors);
  }
}

}  // namespace kayak::api::validation
