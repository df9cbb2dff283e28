// request_metrics.cc: counters and durations of requests.
#include "api/request_metrics.h"

#include "api/request_info.h"

namespace kayak::api {

namespace {

const std::vector<double>& bounds() {
  static const std::vector<double> seconds = {0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60};
  return seconds;
}

std::string_view metric_verb(Verb verb) {
  switch (verb) {
    case Verb::kGet:
      return "GET";
    case Verb::kList:
      return "LIST";
    case Verb::kWatch:
      return "WATCH";
    case Verb::kCreate:
      return "POST";
    case Verb::kUpdate:
      return "PUT";
    case Verb::kPatch:
      return "PATCH";
    case Verb::kDelete:
      return "DELETE";
    case Verb::kDeleteCollection:
      return "DELETECOLLECTION";
  }
  return "";
}

bool is_mutating(Verb verb) { return verb != Verb::kGet && verb != Verb::kList && verb != Verb::kWatch; }

}  // namespace

RequestMetrics::Started RequestMetrics::begin(const ApiRequest& request, Instant now) {
  Started started;
  started.kind = request.kind;
  if (!request.subresource.empty()) started.subresource = request.kind->subresource(request.subresource);
  started.verb = request.verb;
  started.namespaced = !request.namespace_.empty();
  started.one = !request.name.empty();
  started.at = now;
  Gauge*& gauge = inflight_[is_mutating(request.verb) ? 1 : 0];
  if (gauge == nullptr) {
    gauge = &metrics_.gauge("apiserver_current_inflight_requests", "Requests being served, by kind of request.",
                            {{"request_kind", is_mutating(request.verb) ? "mutating" : "readOnly"}});
  }
  gauge->add(1);
  return started;
}

void RequestMetrics::end(const Started& started, int code, Instant now) {
  inflight_[is_mutating(started.verb) ? 1 : 0]->add(-1);
  const int scope = started.one ? 0 : started.namespaced ? 1 : 2;
  const Kind& kind = *started.kind;
  Counter*& total = totals_[Key(started.kind, started.subresource, started.verb, code, scope)];
  if (total == nullptr) {
    const char* scopes[] = {"resource", "namespace", "cluster"};
    total = &metrics_.counter(
        "apiserver_request_total", "Requests answered, by verb, resource, scope and code.",
        {{"code", std::to_string(code)},
         {"group", std::string(kind.group)},
         {"resource", std::string(kind.plural)},
         {"scope", scopes[scope]},
         {"subresource", started.subresource == nullptr ? std::string() : std::string(started.subresource->name)},
         {"verb", std::string(metric_verb(started.verb))},
         {"version", std::string(kind.version)}});
  }
  total->add();
  if (started.verb == Verb::kWatch) return;  // how long a watch stays open says nothing of the server
  Histogram*& duration = durations_[{started.kind, started.verb}];
  if (duration == nullptr) {
    duration =
        &metrics_.histogram("apiserver_request_duration_seconds", "How long requests took, watches left out.", bounds(),
                            {{"group", std::string(kind.group)},
                             {"resource", std::string(kind.plural)},
                             {"verb", std::string(metric_verb(started.verb))}});
  }
  duration->observe(static_cast<double>((now - started.at).count()) / 1e9);
}

}  // namespace kayak::api
