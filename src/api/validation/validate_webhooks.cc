// validate_webhooks.cc: the rules of admission webhooks, and of what admission policies share with them. CEL
// expressions are looked at only for being there: what they say is for the engine that runs them. Source: kubernetes
// pkg/apis/admissionregistration/validation, apiserver pkg/util/webhook (v1.36).
#include "api/validation/validate_groups.h"
#include "base/strings.h"
#include "io/http.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kGroup = "admissionregistration.k8s.io";
constexpr std::size_t kMaxMatchConditions = 64;
constexpr std::int64_t kMaxTimeoutSeconds = 30;

bool has_wildcard(const Checked& list) {
  bool found = false;
  each_item(list, [&](const Checked& item) { found = found || item.text() == "*"; });
  return found;
}

// ---- rules that say what is looked at

// "pods", "pods/log", "*/scale", "*/*": a wildcard leaves no room for what it covers.
void check_resources_of_rule(const Checked& resources) {
  if (resources.size() == 0) resources.required();
  Seen all_of_resource, all_with_subresource;
  bool all = false, all_plain = false, plain = false;
  each_item(resources, [&](const Checked& item) {
    const std::string_view text = item.text();
    if (text.empty()) return item.required();
    all = all || text == "*/*";
    all_plain = all_plain || text == "*";
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
      plain = text != "*";
      return;
    }
    const std::string_view resource = text.substr(0, slash), subresource = text.substr(slash + 1);
    if (all_of_resource.has(resource)) {
      item.invalid(cat("if '", resource, "/*' is present, must not specify ", text));
    }
    if (all_with_subresource.has(subresource)) {
      item.invalid(cat("if '*/", subresource, "' is present, must not specify ", text));
    }
    if (subresource == "*") all_of_resource.add(resource);
    if (resource == "*") all_with_subresource.add(subresource);
  });
  if (resources.size() > 1 && all) resources.invalid("if '*/*' is present, must not specify other resources");
  if (all_plain && plain) {
    resources.invalid("if '*' is present, must not specify other resources without subresources");
  }
}

void check_alone(const Checked& list, std::string_view what) {
  if (list.size() == 0) list.required();
  if (list.size() > 1 && has_wildcard(list)) list.invalid(cat("if '*' is present, must not specify other ", what));
}

// ---- webhooks

// What an old configuration had wrong, a new one may keep.
struct WebhookOptions {
  bool no_side_effects = true, known_versions = true, unique_names = true;
  bool same_match_conditions = false;
};

void check_webhook(const Checked& hook, bool repeated_name, const WebhookOptions& options) {
  const Checked name = hook["name"];
  check_fully_qualified_name(name);
  each_item(hook["rules"], check_admission_rule);
  const Checked failure = hook["failurePolicy"];
  if (failure.present()) check_choice(failure, {"Fail", "Ignore"});
  const Checked match = hook["matchPolicy"];
  if (match.present()) check_choice(match, {"Equivalent", "Exact"});
  const Checked effects = hook["sideEffects"];
  if (!effects.present()) {
    effects.required(options.no_side_effects ? "must specify one of None, NoneOnDryRun"
                                             : "must specify one of None, NoneOnDryRun, Some, Unknown");
  } else if (options.no_side_effects) {
    check_choice(effects, {"None", "NoneOnDryRun"});
  } else {
    check_choice(effects, {"None", "NoneOnDryRun", "Some", "Unknown"});
  }
  const Checked timeout = hook["timeoutSeconds"];
  if (timeout.present() && (timeout.number() < 1 || timeout.number() > kMaxTimeoutSeconds)) {
    timeout.invalid("the timeout value must be between 1 and 30 seconds");
  }
  check_label_selector(hook["namespaceSelector"]);
  check_label_selector(hook["objectSelector"]);
  const Checked reinvocation = hook["reinvocationPolicy"];
  if (reinvocation.present()) check_choice(reinvocation, {"IfNeeded", "Never"});
  check_webhook_client(hook["clientConfig"]);
  if (!options.same_match_conditions) check_match_conditions(hook["matchConditions"]);
  check_review_versions(hook["admissionReviewVersions"], options.known_versions, "must specify one of v1, v1beta1");
  if (options.unique_names && !name.text().empty() && repeated_name) name.duplicate();
}

void check_webhooks(const Checked& root, const WebhookOptions& options) {
  const Checked hooks = root["webhooks"];
  const Repeats repeated(hooks, "name");
  for (std::size_t i = 0; i < hooks.size(); ++i) check_webhook(hooks.item(i), repeated[i], options);
}

bool is_known_review(std::string_view version) { return version == "v1" || version == "v1beta1"; }

WebhookOptions faults_of(const json::Value& old, const Checked& hooks) {
  WebhookOptions options;
  field::ErrorList unused;
  const Checked root(old, unused);
  const Checked before = root["webhooks"];
  options.same_match_conditions = before.size() == hooks.size();
  const Repeats repeated(before, "name");
  for (std::size_t i = 0; i < before.size(); ++i) {
    const Checked hook = before.item(i);
    if (!contains({"None", "NoneOnDryRun"}, hook["sideEffects"].text())) options.no_side_effects = false;
    if (repeated[i]) options.unique_names = false;
    const Checked versions = hook["admissionReviewVersions"];
    bool known = versions.size() == 0;
    each_item(versions, [&](const Checked& version) { known = known || is_known_review(version.text()); });
    options.known_versions = options.known_versions && known;
    const Checked now = hooks.item(i);
    options.same_match_conditions =
        options.same_match_conditions && same_value(now["matchConditions"].get(), hook["matchConditions"].get());
  }
  return options;
}

void create_webhooks(const json::Value& object, field::ErrorList& errors) {
  check_webhooks(Checked(object, errors), WebhookOptions());
}

void update_webhooks(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_webhooks(root, faults_of(old, root["webhooks"]));
}

void check_webhook_url(const Checked& url) {
  constexpr std::string_view kForm = "; desired format: https://host[/path]";
  std::string_view rest = url.text();
  const auto cut = [&rest](char mark) {
    const std::size_t at = rest.find(mark);
    if (at == std::string_view::npos) return std::string_view();
    const std::string_view tail = rest.substr(at + 1);
    rest = rest.substr(0, at);
    return tail;
  };
  const std::string_view fragment = cut('#');
  const std::string_view query = cut('?');
  const std::size_t colon = rest.find(':');
  const bool has_scheme = colon != std::string_view::npos && colon < rest.find('/');
  const std::string_view scheme = has_scheme ? rest.substr(0, colon) : std::string_view();
  if (has_scheme) rest.remove_prefix(colon + 1);
  std::string_view authority;
  if (rest.starts_with("//")) authority = rest.substr(2, rest.find('/', 2) - 2);
  const std::size_t at = authority.rfind('@');
  const std::string_view user = at == std::string_view::npos ? std::string_view() : authority.substr(0, at);
  const std::string_view host = at == std::string_view::npos ? authority : authority.substr(at + 1);
  const std::string lower = to_lower(scheme);
  const std::size_t before = url.errors().size();
  if (lower != "https") url.invalid(lower, cat("'https' is the only allowed URL scheme", kForm));
  if (host.empty()) url.invalid(host, cat("host must be specified", kForm));
  if (at != std::string_view::npos) url.invalid(user, "user information is not permitted in the URL");
  if (!fragment.empty()) url.invalid(fragment, "fragments are not permitted in the URL");
  if (!query.empty()) url.invalid(query, "query parameters are not permitted in the URL");
  if (url.errors().size() > before) return;
  if (const auto parsed = io::parse_url(url.text()); !parsed) {
    url.required(cat("url must be a valid URL: ", parsed.error().message(), kForm));
  }
}

void check_webhook_service(const Checked& service) {
  // Upstream swaps the two.
  if (service["namespace"].text().empty()) service["name"].required();
  if (service["name"].text().empty()) service["namespace"].required();
  const Checked port = service["port"];
  const Messages port_faults = port_number(port.number());
  if (!port_faults.empty()) port.invalid(port.number(), cat("port is not valid: ", join(port_faults, ", ")));
  const Checked path = service["path"];
  std::string_view text = path.text();
  if (text.empty() || text == "/") return;
  if (text == "//") return path.invalid("segment[0] may not be empty");
  if (!text.starts_with('/')) path.invalid("must start with a '/'");
  text.remove_prefix(1);
  if (text.ends_with('/')) text.remove_suffix(1);
  const std::vector<std::string_view> segments = split(text, '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].empty()) {
      path.invalid(cat("segment[", i, "] may not be empty"));
      continue;
    }
    for (const std::string& message : dns1123_subdomain(segments[i])) path.invalid(cat("segment[", i, "]: ", message));
  }
}

}  // namespace

void check_admission_rule(const Checked& rule) {
  const Checked operations = rule["operations"];
  check_alone(operations, "operations");
  each_item(operations, [](const Checked& operation) {
    check_choice(operation, {"*", "CONNECT", "CREATE", "DELETE", "UPDATE"});
  });
  check_alone(rule["apiGroups"], "API groups");
  const Checked versions = rule["apiVersions"];
  check_alone(versions, "API versions");
  each_item(versions, [](const Checked& version) {
    if (version.text().empty()) version.required();
  });
  check_resources_of_rule(rule["resources"]);
  const Checked scope = rule["scope"];
  if (scope.present()) check_choice(scope, {"*", "Cluster", "Namespaced"});
}

void check_match_conditions(const Checked& conditions) {
  if (conditions.size() > kMaxMatchConditions) conditions.too_many(kMaxMatchConditions);
  const Repeats repeated(conditions, "name");
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const Checked condition = conditions.item(i);
    const Checked expression = condition["expression"];
    if (trim(expression.text()).empty()) expression.required();
    const Checked name = condition["name"];
    check_required_name(name, qualified_name);
    if (!name.text().empty() && repeated[i]) name.duplicate();
  }
}

void check_webhook_client(const Checked& config) {
  const Checked url = config["url"];
  const Checked service = config["service"];
  if (url.present() == service.present()) return config.required("exactly one of url or service is required");
  if (url.present()) return check_webhook_url(url);
  check_webhook_service(service);
}

void check_review_versions(const Checked& versions, bool known, std::string_view missing) {
  if (versions.size() == 0) return versions.required(missing);
  bool has_known = false;
  const Repeats repeated(versions);
  for (std::size_t i = 0; i < versions.size(); ++i) {
    const Checked version = versions.item(i);
    if (repeated[i]) {
      version.invalid("duplicate version");
      continue;
    }
    check_name(version, dns1035_label);
    has_known = has_known || is_known_review(version.text());
  }
  if (known && !has_known) versions.invalid("must include at least one of v1, v1beta1");
}

std::vector<Row> webhook_rows() {
  return {
      {kGroup, "validatingwebhookconfigurations", "", dns1123_subdomain, create_webhooks, update_webhooks},
      {kGroup, "mutatingwebhookconfigurations", "", dns1123_subdomain, create_webhooks, update_webhooks},
  };
}

}  // namespace kayak::api::validation
