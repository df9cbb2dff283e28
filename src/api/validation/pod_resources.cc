// pod_resources.cc: resource names and quantities, requests and limits of containers and pods, resource claims.
// Source: kubernetes pkg/apis/core/validation validateResourceRequirements, validatePodResources; pkg/apis/core/helper.
#include <map>
#include <unordered_set>

#include "api/validation/pods.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kCounted[] = {
    "pods",       "resourcequotas",         "services",           "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
};
constexpr std::string_view kMeasured[] = {
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "limits.cpu",
    "requests.ephemeral-storage",
    "limits.memory",
    "limits.ephemeral-storage",
};

bool is_hugepages(std::string_view name) { return name.starts_with("hugepages-"); }
bool is_compute(std::string_view name) { return name == "cpu" || name == "memory"; }
bool is_standard(std::string_view name) { return is_standard_quota_resource(name) || name == "storage"; }
bool is_standard_for_containers(std::string_view name) {
  return is_compute(name) || name == "ephemeral-storage" || is_hugepages(name);
}
// Of a device: a domain that is not Kubernetes' own, short enough for a quota on its requests.
bool is_extended(std::string_view name) {
  if (is_native_resource(name) || name.starts_with("requests.")) return false;
  return qualified_name(cat("requests.", name)).empty();
}

Quantity parsed(const json::Value& text) {
  const Result<Quantity> quantity = Quantity::parse(text.string_or("0"));
  return quantity ? *quantity : Quantity();
}

void check_hugepages(std::string_view name, const json::Value& text, const field::Path& path,
                     field::ErrorList& errors) {
  const Result<Quantity> page = Quantity::parse(name.substr(std::string_view("hugepages-").size()));
  const std::int64_t size = page && page->milli_value() % 1000 == 0 ? page->value() : 0;
  if (size > 0 && parsed(text).value() % size == 0) return;
  errors.push_back(field::invalid(path, text, cat(text.string_or(), " is not positive integer multiple of ", name)));
}

void check_pod_resource_name(std::string_view name, const field::Path& path, field::ErrorList& errors) {
  constexpr std::string_view kSupported[] = {"cpu", "hugepages-", "memory"};
  const std::size_t before = errors.size();
  check_resource_name(name, path, errors);
  if (errors.size() != before || is_compute(name) || is_hugepages(name)) return;
  errors.push_back(field::not_supported(path, json::Value(name), kSupported));
}

void check_claim_names(const json::Value& resources, const std::unordered_set<std::string_view>& claims,
                       const field::Path& path, field::ErrorList& errors) {
  // Of whole claims, of requests of them, and of claims that have such requests.
  std::unordered_set<std::string> seen, parted;
  const auto references = list(resources, "claims");
  for (std::size_t i = 0; i < references.size(); ++i) {
    const field::Path own = path.index(i);
    const std::string_view name = text(references[i], "name"), request = text(references[i], "request");
    if (name.empty()) {
      errors.push_back(field::required(own, ""));
      continue;
    }
    const std::string key = request.empty() ? std::string(name) : cat(name, "/", request);
    if (!request.empty()) check_text(request, dns1123_label, own.child("request"), errors);
    if (seen.count(std::string(name)) > 0 || (request.empty() && parted.count(std::string(name)) > 0)) {
      errors.push_back(field::duplicate(own, json::Value(name)));
    } else if (seen.count(key) > 0) {
      errors.push_back(field::duplicate(own, key));
    }
    seen.insert(key);
    if (!request.empty()) parted.emplace(name);
    if (claims.count(name) > 0) continue;
    field::Error missing = field::not_found(own, json::Value(name));
    missing.detail = "must be one of the names in pod.spec.resourceClaims";
    constexpr std::size_t kMaxNamed = 100;
    if (claims.empty()) {
      missing.detail += " which is empty";
    } else if (claims.size() <= kMaxNamed) {
      std::vector<std::string> names(claims.begin(), claims.end());
      std::sort(names.begin(), names.end());
      missing.detail += cat(": ", join(names, ", "));
    }
    errors.push_back(std::move(missing));
  }
}

// A request is no more than its limit; equal to it where a node cannot promise more than it has.
void check_against_limit(std::string_view name, const json::Value& request, const json::Value* limit,
                         const field::Path& path, field::ErrorList& errors) {
  const bool overcommit = is_overcommit_allowed(name);
  if (limit == nullptr) {
    if (!overcommit) {
      errors.push_back(field::required(path.child("limits"), "Limit must be set for non overcommitable resources"));
    }
    return;
  }
  if (request == *limit) return;  // both are canonical: the usual case costs no arithmetic
  const auto order = parsed(request) <=> parsed(*limit);
  if (order != 0 && !overcommit) {
    errors.push_back(field::invalid(path.child("requests"), request,
                                    cat("must be equal to ", name, " limit of ", limit->string_or())));
  } else if (order > 0) {
    errors.push_back(field::invalid(path.child("requests"), request,
                                    cat("must be less than or equal to ", name, " limit of ", limit->string_or())));
  }
}

}  // namespace

bool is_native_resource(std::string_view name) {
  return name.find('/') == name.npos || name.find("kubernetes.io/") != name.npos;
}
bool is_overcommit_allowed(std::string_view name) { return is_native_resource(name) && !is_hugepages(name); }
bool is_standard_quota_resource(std::string_view name) {
  return one_of(name, kCounted) || one_of(name, kMeasured) || is_hugepages(name) ||
         name.starts_with("requests.hugepages-");
}

void check_resource_name(std::string_view name, const field::Path& path, field::ErrorList& errors) {
  const Messages messages = qualified_name(name);
  if (!messages.empty()) {
    field::append_invalid(errors, path, json::Value(name), messages);
  } else if (name.find('/') == name.npos && !is_standard(name)) {
    errors.push_back(field::invalid(path, json::Value(name), "must be a standard resource type or fully qualified"));
  }
}

void check_container_resource_name(std::string_view name, const field::Path& path, field::ErrorList& errors) {
  check_resource_name(name, path, errors);
  if (name.find('/') == name.npos) {
    if (is_standard_for_containers(name)) return;
    errors.push_back(field::invalid(path, json::Value(name), "must be a standard resource for containers"));
  } else if (!is_native_resource(name) && !is_extended(name)) {
    errors.push_back(field::invalid(path, json::Value(name), "doesn't follow extended resource name standard"));
  }
}

void check_positive_quantity(const json::Value& quantity, const field::Path& path, field::ErrorList& errors) {
  if (parsed(quantity).sign() > 0) return;
  errors.push_back(field::invalid(path, quantity, "must be greater than zero"));
}

void check_resource_quantity(std::string_view resource, const json::Value& quantity, const field::Path& path,
                             field::ErrorList& errors) {
  if (quantity.string_or().starts_with('-') && parsed(quantity).sign() < 0) {
    errors.push_back(field::invalid(path, quantity, "must be greater than or equal to 0"));
  }
  if (is_compute(resource) || (!one_of(resource, kCounted) && !is_extended(resource))) return;
  if (parsed(quantity).milli_value() % 1000 != 0) {
    errors.push_back(field::invalid(path, quantity, "must be an integer"));
  }
}

void check_resources(const json::Value& resources, bool of_pod, const std::unordered_set<std::string_view>& claims,
                     const field::Path& path, field::ErrorList& errors) {
  bool compute = false, hugepages = false;
  const json::Value& limits = part(resources, "limits");
  for (const char* kind : {"limits", "requests"}) {
    for (const auto& [name, quantity] : members(resources, kind)) {
      const field::Path own = path.child(kind).key(name);
      if (of_pod) {
        check_pod_resource_name(name, own, errors);
      } else if (!is_compute(name)) {
        check_container_resource_name(name, own, errors);
      }
      check_resource_quantity(name, quantity, own, errors);
      if (kind[0] == 'r') check_against_limit(name, quantity, get(limits, name), path, errors);
      if (is_hugepages(name)) check_hugepages(name, quantity, own, errors);
      hugepages = hugepages || is_hugepages(name);
      compute = compute || is_compute(name);
    }
  }
  if (hugepages && !compute) errors.push_back(field::forbidden(path, "HugePages require cpu or memory"));
  if (get(resources, "claims") != nullptr) check_claim_names(resources, claims, path.child("claims"), errors);
}

// ---- pods

namespace {

using Quantities = std::map<std::string, Quantity, std::less<>>;

void add_to(Quantities& sums, const json::Value& container, const char* kind) {
  for (const auto& [name, quantity] : members(part(container, "resources"), kind)) {
    sums[name] = sums[name] + parsed(quantity);
  }
}

// What the containers need together at their busiest: all ordinary ones and sidecars, or one init container beside the
// sidecars started before it.
Quantities aggregate(const json::Value& spec, const char* kind) {
  Quantities running, sidecars, most;
  for (const json::Value& container : list(spec, "containers")) add_to(running, container, kind);
  for (const json::Value& container : list(spec, "initContainers")) {
    Quantities own = sidecars;
    add_to(own, container, kind);
    if (text(container, "restartPolicy") == "Always") {
      add_to(running, container, kind);
      sidecars = own;
    }
    for (const auto& [name, quantity] : own) {
      if (most[name] < quantity) most[name] = quantity;
    }
  }
  for (const auto& [name, quantity] : most) {
    if (running[name] < quantity) running[name] = quantity;
  }
  return running;
}

void check_consistency(const json::Value& spec, const json::Value& resources, const field::Path& path,
                       field::ErrorList& errors) {
  struct Row {
    const char* kind;
    bool only_hugepages;
  };
  for (const Row& row : {Row{"requests", false}, Row{"limits", true}}) {
    for (const auto& [name, sum] : aggregate(spec, row.kind)) {
      const json::Value* own = get(part(resources, row.kind), name);
      if (own == nullptr || (row.only_hugepages && !is_hugepages(name)) || sum <= parsed(*own)) continue;
      errors.push_back(field::invalid(
          path.child(row.kind).key(name), *own,
          cat("must be greater than or equal to aggregate container ", row.kind, " of ", sum.to_string())));
    }
  }
  const auto containers = list(spec, "containers");
  for (std::size_t i = 0; i < containers.size(); ++i) {
    for (const auto& [name, limit] : members(part(containers[i], "resources"), "limits")) {
      const json::Value* own = get(part(resources, "limits"), name);
      if (own == nullptr || parsed(limit) <= parsed(*own)) continue;
      errors.push_back(field::invalid(path.child("containers").index(i).key(name).child("limits"), limit,
                                      cat("must be less than or equal to pod limits of ", own->string_or())));
    }
  }
}

}  // namespace

void check_pod_resources(PodChecks& checks, const field::Path& path) {
  const json::Value* resources = get(checks.spec, "resources");
  if (resources == nullptr) return;
  if (checks.os() == "windows") {
    checks.errors.push_back(field::forbidden(path, "may not be set for a windows pod"));
    return;
  }
  if (get(*resources, "claims") != nullptr) {
    checks.errors.push_back(field::forbidden(path.child("claims"), "claims may not be set for Resources at pod-level"));
  }
  check_resources(*resources, true, checks.claims, path, checks.errors);
  check_consistency(checks.spec, *resources, path, checks.errors);
}

void check_resource_claims(PodChecks& checks, const field::Path& path) {
  const auto claims = list(checks.spec, "resourceClaims");
  field::ErrorList& errors = checks.errors;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const json::Value& claim = claims[i];
    const field::Path own = path.index(i);
    const std::string_view name = text(claim, "name");
    if (name.empty()) {
      errors.push_back(field::required(own.child("name"), ""));
    } else if (checks.claims.count(name) > 0) {
      errors.push_back(field::duplicate(own.child("name"), json::Value(name)));
    } else {
      check_text(name, dns1123_label, own.child("name"), errors);
    }
    if (!name.empty()) checks.claims.insert(name);
    const json::Value* by_name = get(claim, "resourceClaimName");
    const json::Value* by_template = get(claim, "resourceClaimTemplateName");
    if (by_name != nullptr && by_template != nullptr) {
      errors.push_back(field::invalid(
          own, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"));
    }
    if (by_name == nullptr && by_template == nullptr) {
      errors.push_back(
          field::invalid(own, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"));
    }
    for (const char* member : {"resourceClaimName", "resourceClaimTemplateName"}) {
      const json::Value* target = get(claim, member);
      if (target != nullptr) check_text(target->string_or(), dns1123_subdomain, own.child(member), errors);
    }
  }
}

}  // namespace kayak::api::validation
