// pod_probes.cc: probes, lifecycle hooks and their handlers.
// Source: kubernetes pkg/apis/core/validation validateProbe, validateHandler, validateLifecycle (v1.36).
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

void check_exec(const json::Value& action, const json::Value&, const field::Path& path, field::ErrorList& errors) {
  if (list(action, "command").empty()) errors.push_back(field::required(path.child("command"), ""));
}

void check_http(const json::Value& action, const json::Value&, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kSchemes[] = {"HTTP", "HTTPS"};
  require_text(action, "path", path, errors);
  check_port_number_or_name(action.find("port"), path.child("port"), errors);
  const std::string_view scheme = text(action, "scheme");
  if (!one_of(scheme, kSchemes)) {
    errors.push_back(field::not_supported(path.child("scheme"), json::Value(scheme), kSchemes));
  }
  for (const json::Value& header : list(action, "httpHeaders")) {
    check_text(text(header, "name"), http_header_name, path.child("httpHeaders"), errors);
  }
}

void check_port(const json::Value& action, const json::Value&, const field::Path& path, field::ErrorList& errors) {
  check_port_number_or_name(action.find("port"), path.child("port"), errors);
}

void check_grpc(const json::Value& action, const json::Value&, const field::Path& path, field::ErrorList& errors) {
  const std::int64_t port = number(action, "port");
  field::append_invalid(errors, path.child("port"), port, port_number(port));
}

void check_sleep(const json::Value& action, const json::Value& spec, const field::Path& path,
                 field::ErrorList& errors) {
  const json::Value* grace = get(spec, "terminationGracePeriodSeconds");
  const std::int64_t seconds = number(action, "seconds");
  if (grace == nullptr || (seconds >= 0 && seconds <= grace->int_or(0))) return;
  errors.push_back(field::invalid(
      path, seconds, cat("must be non-negative and less than terminationGracePeriodSeconds (", grace->int_or(0), ")")));
}

struct Handler {
  const char* name;
  void (*check)(const json::Value& action, const json::Value& spec, const field::Path& path, field::ErrorList& errors);
};
constexpr Handler kProbeHandlers[] = {
    {"exec", check_exec}, {"httpGet", check_http}, {"tcpSocket", check_port}, {"grpc", check_grpc}};
constexpr Handler kLifecycleHandlers[] = {
    {"exec", check_exec}, {"httpGet", check_http}, {"tcpSocket", check_port}, {"sleep", check_sleep}};

void check_handler(std::span<const Handler> handlers, const json::Value& holder, const json::Value& spec,
                   const field::Path& path, field::ErrorList& errors) {
  int count = 0;
  for (const Handler& handler : handlers) {
    const json::Value* action = get(holder, handler.name);
    if (action == nullptr) continue;
    if (count > 0) {
      errors.push_back(field::forbidden(path.child(handler.name), "may not specify more than 1 handler type"));
    } else {
      ++count;
      handler.check(*action, spec, path.child(handler.name), errors);
    }
  }
  if (count == 0) errors.push_back(field::required(path, "must specify a handler type"));
}

void check_probe(const json::Value& probe, const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  check_handler(kProbeHandlers, probe, spec, path, errors);
  for (const char* name :
       {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"}) {
    if (number(probe, name) < 0) validate_non_negative(probe.find(name), path.child(name), errors);
  }
  const json::Value* grace = get(probe, "terminationGracePeriodSeconds");
  if (grace != nullptr && grace->int_or(0) <= 0) {
    errors.push_back(field::invalid(path.child("terminationGracePeriodSeconds"), *grace, "must be greater than 0"));
  }
}

void check_once(const json::Value& probe, const field::Path& path, field::ErrorList& errors) {
  const std::int64_t threshold = number(probe, "successThreshold");
  if (threshold != 1) errors.push_back(field::invalid(path.child("successThreshold"), threshold, "must be 1"));
}

// In upstream's order of text: SIGRTMAX-1, SIGRTMAX-10, ... follow their strings.
constexpr std::string_view kLinuxSignals[] = {
    "SIGABRT",     "SIGALRM",     "SIGBUS",      "SIGCHLD",     "SIGCLD",      "SIGCONT",     "SIGFPE",
    "SIGHUP",      "SIGILL",      "SIGINT",      "SIGIO",       "SIGIOT",      "SIGKILL",     "SIGPIPE",
    "SIGPOLL",     "SIGPROF",     "SIGPWR",      "SIGQUIT",     "SIGRTMAX",    "SIGRTMAX-1",  "SIGRTMAX-10",
    "SIGRTMAX-11", "SIGRTMAX-12", "SIGRTMAX-13", "SIGRTMAX-14", "SIGRTMAX-2",  "SIGRTMAX-3",  "SIGRTMAX-4",
    "SIGRTMAX-5",  "SIGRTMAX-6",  "SIGRTMAX-7",  "SIGRTMAX-8",  "SIGRTMAX-9",  "SIGRTMIN",    "SIGRTMIN+1",
    "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMIN+2",
    "SIGRTMIN+3",  "SIGRTMIN+4",  "SIGRTMIN+5",  "SIGRTMIN+6",  "SIGRTMIN+7",  "SIGRTMIN+8",  "SIGRTMIN+9",
    "SIGSEGV",     "SIGSTKFLT",   "SIGSTOP",     "SIGSYS",      "SIGTERM",     "SIGTRAP",     "SIGTSTP",
    "SIGTTIN",     "SIGTTOU",     "SIGURG",      "SIGUSR1",     "SIGUSR2",     "SIGVTALRM",   "SIGWINCH",
    "SIGXCPU",     "SIGXFSZ",
};
constexpr std::string_view kWindowsSignals[] = {"SIGKILL", "SIGTERM"};

void check_stop_signal(const json::Value& signal, const json::Value& spec, const field::Path& path,
                       field::ErrorList& errors) {
  if (get(spec, "os") == nullptr) {
    errors.push_back(field::forbidden(path, "may not be set for containers with empty `spec.os.name`"));
    return;
  }
  const std::string_view os = text(part(spec, "os"), "name");
  if (os == "windows" && !one_of(signal.string_or(), kWindowsSignals)) {
    errors.push_back(field::not_supported(path, signal, kWindowsSignals));
  } else if (os == "linux" && !one_of(signal.string_or(), kLinuxSignals)) {
    errors.push_back(field::not_supported(path, signal, kLinuxSignals));
  }
}

}  // namespace

void check_port_number_or_name(const json::Value* port, const field::Path& path, field::ErrorList& errors) {
  if (port != nullptr && port->is_string()) {
    check_text(port->as_string(), port_name, path, errors);
    return;
  }
  const std::int64_t value = port == nullptr ? 0 : port->int_or(0);
  field::append_invalid(errors, path, value, port_number(value));
}

void check_probes(const json::Value& container, const json::Value& spec, const field::Path& path,
                  field::ErrorList& errors) {
  if (const json::Value* probe = get(container, "livenessProbe")) {
    check_probe(*probe, spec, path.child("livenessProbe"), errors);
    check_once(*probe, path.child("livenessProbe"), errors);
  }
  if (const json::Value* probe = get(container, "readinessProbe")) {
    check_probe(*probe, spec, path.child("readinessProbe"), errors);
    if (const json::Value* grace = get(*probe, "terminationGracePeriodSeconds")) {
      errors.push_back(field::invalid(path.child("readinessProbe").child("terminationGracePeriodSeconds"), *grace,
                                      "must not be set for readinessProbes"));
    }
  }
  if (const json::Value* probe = get(container, "startupProbe")) {
    check_probe(*probe, spec, path.child("startupProbe"), errors);
    check_once(*probe, path.child("startupProbe"), errors);
  }
}

void check_lifecycle(const json::Value& lifecycle, const json::Value& spec, const field::Path& path,
                     field::ErrorList& errors) {
  for (const char* name : {"postStart", "preStop"}) {
    if (const json::Value* hook = get(lifecycle, name)) {
      check_handler(kLifecycleHandlers, *hook, spec, path.child(name), errors);
    }
  }
  if (const json::Value* signal = get(lifecycle, "stopSignal")) {
    check_stop_signal(*signal, spec, path.child("stopSignal"), errors);
  }
}

}  // namespace kayak::api::validation
