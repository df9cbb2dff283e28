// core_limits.cc: resource quotas and limit ranges.
// Source: kubernetes pkg/apis/core/validation ValidateResourceQuota, ValidateLimitRange (v1.36).
#include <cstdio>
#include <optional>

#include "api/validation/checked.h"
#include "api/validation/core.h"
#include "api/validation/pods.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

// ---- quotas

constexpr std::string_view kScopes[] = {
    "BestEffort",  "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
    "Terminating", "VolumeAttributesClass",
};

// Whether pods (or claims) of the scope have this resource to be counted.
bool fits_scope(std::string_view scope, std::string_view resource) {
  constexpr std::string_view kCompute[] = {"pods",       "cpu",          "memory", "requests.cpu", "requests.memory",
                                           "limits.cpu", "limits.memory"};
  constexpr std::string_view kStorage[] = {"persistentvolumeclaims", "requests.storage"};
  if (scope == "BestEffort") return resource == "pods";
  if (scope == "VolumeAttributesClass") return one_of(resource, kStorage);
  return !one_of(scope, kScopes) || one_of(resource, kCompute);
}

void check_quota_list(const json::Value& holder, const char* name, const field::Path& path, field::ErrorList& errors) {
  for (const auto& [resource, quantity] : members(holder, name)) {
    const field::Path own = path.child(name).key(resource);
    check_resource_name(resource, own, errors);
    if (resource.find('/') == resource.npos && !is_standard_quota_resource(resource)) {
      errors.push_back(field::invalid(own, resource, "must be a standard resource for quota"));
    }
    check_resource_quantity(resource, quantity, own, errors);
  }
}

void check_hard_fits(const json::Value& spec, std::string_view scope, const field::Path& path, const json::Value& shown,
                     field::ErrorList& errors) {
  for (const auto& [resource, quantity] : members(spec, "hard")) {
    if (!is_standard_quota_resource(resource) || fits_scope(scope, resource)) continue;
    errors.push_back(field::invalid(path, shown, "unsupported scope applied to resource"));
  }
}

void check_conflicts(const std::vector<std::string_view>& scopes, const json::Value& spec, const field::Path& path,
                     field::ErrorList& errors) {
  const auto has = [&](std::string_view scope) {
    return std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
  };
  const json::Value& shown = or_nothing(spec.find("scopes"));
  if (has("BestEffort") && has("NotBestEffort")) errors.push_back(field::invalid(path, shown, "conflicting scopes"));
  if (has("Terminating") && has("NotTerminating")) {
    errors.push_back(field::invalid(path, shown, "conflicting scopes"));
  }
}

void check_scopes(const json::Value& spec, const field::Path& path, field::ErrorList& errors) {
  const json::Value& shown = or_nothing(spec.find("scopes"));
  std::vector<std::string_view> scopes;
  for (const json::Value& scope : list(spec, "scopes")) {
    scopes.push_back(scope.string_or());
    if (!one_of(scope.string_or(), kScopes)) errors.push_back(field::invalid(path, shown, "unsupported scope"));
    check_hard_fits(spec, scope.string_or(), path, shown, errors);
  }
  check_conflicts(scopes, spec, path, errors);
}

void check_scope_values(const json::Value& expression, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kFixed[] = {"BestEffort", "NotBestEffort", "Terminating", "NotTerminating",
                                         "CrossNamespacePodAffinity"};
  const std::string_view scope = text(expression, "scopeName"), op = text(expression, "operator");
  const auto values = list(expression, "values");
  if (one_of(scope, kFixed) && op != "Exists") {
    errors.push_back(field::invalid(
        path.child("operator"), json::Value(op),
        "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
        "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
        "ResourceQuotaScopeCrossNamespacePodAffinity"));
  }
  if (op == "In" || op == "NotIn") {
    if (values.empty()) {
      errors.push_back(field::required(
          path.child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"));
    }
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!values.empty()) {
      errors.push_back(
          field::invalid(path.child("values"), *expression.find("values"),
                         "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"));
    }
  } else {
    errors.push_back(field::invalid(path.child("operator"), json::Value(op), "not a valid selector operator"));
  }
}

void check_scope_selector(const json::Value& spec, const field::Path& parent, field::ErrorList& errors) {
  const json::Value* selector = get(spec, "scopeSelector");
  if (selector == nullptr) return;
  const field::Path path = parent.child("matchExpressions");
  std::vector<std::string_view> scopes;
  for (const json::Value& expression : list(*selector, "matchExpressions")) {
    const std::string_view scope = text(expression, "scopeName");
    scopes.push_back(scope);
    if (!one_of(scope, kScopes)) {
      errors.push_back(field::invalid(path.child("scopeName"), json::Value(scope), "unsupported scope"));
    }
    check_hard_fits(spec, scope, path, *selector, errors);
    check_scope_values(expression, path, errors);
  }
  check_conflicts(scopes, spec, path, errors);
}

// ---- limit ranges

std::optional<Quantity> amount(const json::Value& limit, const char* kind, std::string_view resource) {
  const json::Value* text = get(part(limit, kind), resource);
  if (text == nullptr) return std::nullopt;
  const Result<Quantity> quantity = Quantity::parse(text->string_or("0"));
  return quantity ? std::optional<Quantity>(*quantity) : std::nullopt;
}

void check_type(const json::Value& limit, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kTypes[] = {"Pod", "Container", "PersistentVolumeClaim"};
  const std::string_view type = text(limit, "type");
  const Messages messages = qualified_name(type);
  if (!messages.empty()) {
    field::append_invalid(errors, path, json::Value(type), messages);
  } else if (type.find('/') == type.npos && !one_of(type, kTypes)) {
    errors.push_back(field::invalid(path, json::Value(type), "must be a standard limit type or fully qualified"));
  }
}

// One amount of a resource that may not be above another.
void check_order(const json::Value& limit, std::string_view resource, const field::Path& path,
                 field::ErrorList& errors) {
  struct Row {
    const char *low, *low_words, *high, *high_words, *at, *shown;
  };
  constexpr Row kRows[] = {
      {"min", "min value", "max", "max value", "min", "min"},
      {"min", "min value", "defaultRequest", "default request value", "defaultRequest", "defaultRequest"},
      {"defaultRequest", "default request value", "max", "max value", "defaultRequest", "defaultRequest"},
      {"defaultRequest", "default request value", "default", "default limit value", "defaultRequest", "defaultRequest"},
      {"min", "min value", "default", "default value", "default", "min"},
      {"default", "default value", "max", "max value", "default", "max"},
  };
  const bool of_pod = text(limit, "type") == "Pod";  // whose defaults are refused as a whole
  for (const Row& row : kRows) {
    const bool of_default =
        std::string_view(row.low).starts_with("default") || std::string_view(row.high).starts_with("default");
    if (of_pod && of_default) continue;
    const std::optional<Quantity> low = amount(limit, row.low, resource), high = amount(limit, row.high, resource);
    if (!low || !high || *low <= *high) continue;
    const Quantity& shown = std::string_view(row.shown) == row.low ? *low : *high;
    errors.push_back(field::invalid(
        path.child(row.at).key(resource), shown.to_string(),
        cat(row.low_words, " ", low->to_string(), " is greater than ", row.high_words, " ", high->to_string())));
  }
}

void check_ratio(const json::Value& limit, std::string_view resource, const field::Path& path,
                 field::ErrorList& errors) {
  const std::optional<Quantity> ratio = amount(limit, "maxLimitRequestRatio", resource);
  if (!ratio) return;
  const field::Path own = path.child("maxLimitRequestRatio").key(resource);
  const std::string shown = ratio->to_string();
  if (*ratio < Quantity::of(1)) errors.push_back(field::invalid(own, shown, cat("ratio ", shown, " is less than 1")));
  const std::optional<Quantity> min = amount(limit, "min", resource), max = amount(limit, "max", resource);
  if (!min || !max || min->is_zero()) return;
  const double most = static_cast<double>(max->milli_value()) / static_cast<double>(min->milli_value());
  if (static_cast<double>(ratio->milli_value()) / 1000 <= most) return;
  char text[64];
  std::snprintf(text, sizeof text, "%f", most);
  errors.push_back(field::invalid(own, shown, cat("ratio ", shown, " is greater than max/min = ", text)));
}

void check_resource(const json::Value& limit, std::string_view resource, const field::Path& path,
                    field::ErrorList& errors) {
  check_order(limit, resource, path, errors);
  check_ratio(limit, resource, path, errors);
  const std::optional<Quantity> value = amount(limit, "default", resource);
  const std::optional<Quantity> request = amount(limit, "defaultRequest", resource);
  if (is_overcommit_allowed(resource) || !value || !request || *value == *request) return;
  errors.push_back(field::invalid(path.child("defaultRequest").key(resource), request->to_string(),
                                  cat("default value ", value->to_string(), " must equal to defaultRequest value ",
                                      request->to_string(), " in ", resource)));
}

void check_limit(const json::Value& limit, const field::Path& path, field::ErrorList& errors) {
  const std::string_view type = text(limit, "type");
  const bool of_pod = type == "Pod", narrow = of_pod || type == "Container";
  std::vector<std::string_view> resources;
  for (const char* kind : {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"}) {
    const auto amounts = members(limit, kind);
    if (of_pod && std::string_view(kind).starts_with("default")) {
      if (!amounts.empty()) {
        errors.push_back(field::forbidden(path.child(kind), "may not be specified when `type` is 'Pod'"));
      }
      continue;
    }
    for (const auto& [resource, quantity] : amounts) {
      const field::Path own = path.child(kind).key(resource);
      if (narrow) {
        check_container_resource_name(resource, own, errors);
      } else {
        check_resource_name(resource, own, errors);
      }
      if (std::find(resources.begin(), resources.end(), resource) == resources.end()) resources.push_back(resource);
    }
  }
  if (type == "PersistentVolumeClaim" && !amount(limit, "min", "storage") && !amount(limit, "max", "storage")) {
    errors.push_back(field::required(path.child("limits"),
                                     "either minimum or maximum storage value is required, but neither was provided"));
  }
  for (const std::string_view resource : resources) check_resource(limit, resource, path, errors);
}

}  // namespace

void validate_quota(const json::Value& quota, field::ErrorList& errors) {
  const json::Value& spec = part(quota, "spec");
  const field::Path path("spec");
  check_quota_list(spec, "hard", path, errors);
  check_scopes(spec, path.child("scopes"), errors);
  check_scope_selector(spec, path.child("scopeSelector"), errors);
}

void validate_quota_update(const json::Value& quota, const json::Value& old, field::ErrorList& errors) {
  if (same(quota, old, "spec")) return;
  validate_quota(quota, errors);
  const auto now = list(part(quota, "spec"), "scopes"), before = list(part(old, "spec"), "scopes");
  const auto within = [](std::span<const json::Value> some, std::span<const json::Value> all) {
    return std::all_of(some.begin(), some.end(),
                       [&](const json::Value& scope) { return std::find(all.begin(), all.end(), scope) != all.end(); });
  };
  if (within(now, before) && within(before, now)) return;
  errors.push_back(
      field::invalid(field::Path("spec.scopes"), or_nothing(part(quota, "spec").find("scopes")), "field is immutable"));
}

void validate_quota_status(const json::Value& quota, const json::Value&, field::ErrorList& errors) {
  const json::Value& status = part(quota, "status");
  for (const char* name : {"hard", "used"}) check_quota_list(status, name, field::Path("status"), errors);
}

void validate_limit_range(const json::Value& range, field::ErrorList& errors) {
  const auto limits = list(part(range, "spec"), "limits");
  Seen types;
  for (std::size_t i = 0; i < limits.size(); ++i) {
    const field::Path path = field::Path("spec.limits").index(i);
    check_type(limits[i], path.child("type"), errors);
    const std::string_view type = text(limits[i], "type");
    if (!types.add(type)) errors.push_back(field::duplicate(path.child("type"), json::Value(type)));
    check_limit(limits[i], path, errors);
  }
}

void validate_limit_range_update(const json::Value& range, const json::Value& old, field::ErrorList& errors) {
  if (!same(range, old, "spec")) validate_limit_range(range, errors);
}

}  // namespace kayak::api::validation
