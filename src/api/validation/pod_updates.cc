// pod_updates.cc: what an update of a pod, and of its status, may change.
// Source: kubernetes pkg/apis/core/validation ValidatePodUpdate, ValidatePodStatusUpdate,
// ValidatePodEphemeralContainersUpdate (v1.36).
#include "api/validation/ip.h"
#include "api/validation/pods.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::int64_t kMaxInt32 = 2147483647;
constexpr std::size_t kMaxDifference = 4096;  // bytes of a message that people read
constexpr std::string_view kMirror = "kubernetes.io/config.mirror";
constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";

// ---- the difference of two specs

void add_line(std::string& out, char sign, const std::string& path, const json::Value& value) {
  out += cat(sign, " ", path, ": ", json::write(value), "\n");
}

void add_difference(std::string& out, const std::string& path, const json::Value* before, const json::Value* after) {
  if (out.size() > kMaxDifference || same(before, after)) return;
  if (before != nullptr && after != nullptr && before->is_object() && after->is_object()) {
    const auto child = [&](const std::string& key) { return path.empty() ? key : cat(path, ".", key); };
    for (const auto& [key, value] : before->as_object()) add_difference(out, child(key), &value, after->find(key));
    for (const auto& [key, value] : after->as_object()) {
      if (before->find(key) == nullptr) add_difference(out, child(key), nullptr, &value);
    }
    return;
  }
  if (before != nullptr && after != nullptr && before->is_array() && after->is_array()) {
    const json::Array &a = before->as_array(), &b = after->as_array();
    for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
      add_difference(out, cat(path, "[", i, "]"), i < a.size() ? &a[i] : nullptr, i < b.size() ? &b[i] : nullptr);
    }
    return;
  }
  if (before != nullptr) add_line(out, '-', path, *before);
  if (after != nullptr) add_line(out, '+', path, *after);
}

// ---- annotations

void check_annotation_updates(const json::Value& pod, const json::Value& old, field::ErrorList& errors) {
  const field::Path path("metadata.annotations");
  const json::Value &now = part(part(pod, "metadata"), "annotations"),
                    &before = part(part(old, "metadata"), "annotations");
  const auto refuse = [&](const std::string& key, std::string_view did) {
    if (key.starts_with(kAppArmor)) {
      errors.push_back(field::forbidden(path.key(key), cat("may not ", did, " AppArmor annotations")));
    } else if (key == kMirror) {
      errors.push_back(field::forbidden(path.key(key), cat("may not ", did, " mirror pod annotation")));
    }
  };
  for (const auto& [key, value] : members(&before)) {
    const json::Value* kept = now.find(key);
    if (kept == nullptr || !(*kept == value)) refuse(key, "remove or update");
  }
  for (const auto& [key, value] : members(&now)) {
    if (before.find(key) == nullptr) refuse(key, "add");
  }
}

// ---- spec

// False when the rest cannot be compared.
bool check_container_updates(const json::Value& spec, const json::Value& old, const char* kind, const field::Path& path,
                             field::ErrorList& errors) {
  if (list(spec, kind).size() == list(old, kind).size()) return true;
  errors.push_back(field::forbidden(path.child(kind), "pod updates may not add or remove containers"));
  return false;
}

// False when the rest is not looked at.
bool check_deadline_update(const json::Value& spec, const json::Value& old, const field::Path& path,
                           field::ErrorList& errors) {
  const json::Value *now = get(spec, "activeDeadlineSeconds"), *before = get(old, "activeDeadlineSeconds");
  const field::Path own = path.child("activeDeadlineSeconds");
  if (now == nullptr) {
    if (before != nullptr) {
      errors.push_back(field::invalid(own, nullptr, "must not update from a positive integer to nil value"));
    }
    return true;
  }
  const Messages messages = in_range(now->int_or(0), 0, kMaxInt32);
  field::append_invalid(errors, own, *now, messages);
  if (!messages.empty()) return false;
  if (before == nullptr || before->int_or(0) >= now->int_or(0)) return true;
  errors.push_back(field::invalid(own, *now, "must be less than or equal to previous value"));
  return false;
}

bool same_but_seconds(const json::Value& a, const json::Value& b) {
  for (const char* name : {"key", "operator", "value", "effect"}) {
    if (text(a, name) != text(b, name)) return false;
  }
  return true;
}

void check_toleration_updates(const json::Value& spec, const json::Value& old, const field::Path& path,
                              field::ErrorList& errors) {
  const auto now = list(spec, "tolerations");
  for (const json::Value& before : list(old, "tolerations")) {
    const bool kept =
        std::any_of(now.begin(), now.end(), [&](const json::Value& item) { return same_but_seconds(item, before); });
    if (kept) continue;
    errors.push_back(field::forbidden(path.child("tolerations"),
                                      "existing toleration can not be modified except its tolerationSeconds"));
    return;
  }
}

void check_gate_updates(const json::Value& spec, const json::Value& old, const field::Path& path,
                        field::ErrorList& errors) {
  const auto now = list(spec, "schedulingGates"), before = list(old, "schedulingGates");
  for (std::size_t i = 0; i < now.size(); ++i) {
    const std::string_view name = text(now[i], "name");
    const bool known =
        std::any_of(before.begin(), before.end(), [&](const json::Value& gate) { return text(gate, "name") == name; });
    if (known) continue;
    errors.push_back(field::forbidden(path.child("schedulingGates").index(i).child("name"),
                                      cat("only deletion is allowed, but found new scheduling gate '", name, "'")));
  }
}

// ---- gated pods: where they may run can only narrow

void check_selector_mutation(const json::Value& spec, const json::Value& old, const field::Path& path,
                             field::ErrorList& errors) {
  const json::Value& now = part(spec, "nodeSelector");
  for (const auto& [key, value] : members(old, "nodeSelector")) {
    const json::Value* kept = now.find(key);
    if (kept != nullptr && *kept == value) continue;
    errors.push_back(field::invalid(path.child("nodeSelector"), now,
                                    "only additions to spec.nodeSelector are allowed (no mutations or deletions)"));
    return;
  }
}

bool only_adds(const json::Value& term, const json::Value& old) {
  const bool was_empty = list(old, "matchExpressions").empty() && list(old, "matchFields").empty();
  for (const char* name : {"matchExpressions", "matchFields"}) {
    const auto now = list(term, name), before = list(old, name);
    if (was_empty && !now.empty()) return false;
    if (now.size() < before.size() || !std::equal(before.begin(), before.end(), now.begin())) return false;
  }
  return true;
}

std::span<const json::Value> required_terms(const json::Value& spec) {
  const json::Value& affinity = part(part(spec, "affinity"), "nodeAffinity");
  return list(part(affinity, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms");
}

void check_affinity_mutation(const json::Value& spec, const json::Value& old, const field::Path& path,
                             field::ErrorList& errors) {
  const auto now = required_terms(spec), before = required_terms(old);
  if (before.empty()) return;
  const field::Path own = path.child("affinity")
                              .child("nodeAffinity")
                              .child("requiredDuringSchedulingIgnoredDuringExecution")
                              .child("nodeSelectorTerms");
  if (now.size() != before.size()) {
    errors.push_back(field::invalid(own, json::Array(now.begin(), now.end()),
                                    "no additions/deletions to non-empty NodeSelectorTerms list are allowed"));
    return;
  }
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (only_adds(now[i], before[i])) continue;
    errors.push_back(field::invalid(own.index(i), now[i], "only additions are allowed (no mutations or deletions)"));
  }
}

void keep(json::Value& spec, const json::Value& old, std::string_view name) {
  if (const json::Value* before = old.find(name)) {
    spec[name] = *before;
  } else {
    spec.as_object().erase(name);
  }
}

void keep_images(json::Value& spec, const json::Value& old, const char* kind) {
  json::Value* containers = spec.find(kind);
  if (containers == nullptr || !containers->is_array()) return;
  const auto before = list(old, kind);
  for (std::size_t i = 0; i < before.size(); ++i) keep(containers->as_array()[i], before[i], "image");
}

// `spec` with all that may change as it was.
json::Value without_changes(const json::Value& spec, const json::Value& old, const field::Path& path,
                            field::ErrorList& errors) {
  json::Value kept = spec;
  for (const char* kind : {"containers", "initContainers"}) keep_images(kept, old, kind);
  for (const char* name : {"activeDeadlineSeconds", "schedulingGates", "tolerations"}) keep(kept, old, name);
  if (number(old, "terminationGracePeriodSeconds") < 0 && number(spec, "terminationGracePeriodSeconds") == 1) {
    keep(kept, old, "terminationGracePeriodSeconds");
  }
  if (list(old, "schedulingGates").empty()) return kept;
  check_selector_mutation(spec, old, path, errors);
  keep(kept, old, "nodeSelector");
  check_affinity_mutation(spec, old, path, errors);
  const json::Value& before = part(old, "affinity");
  if (get(kept, "affinity") == nullptr && get(before, "nodeAffinity") == nullptr) return kept;
  json::Value affinity = part(kept, "affinity");
  if (!affinity.is_object()) affinity = json::Object();
  keep(affinity, before, "nodeAffinity");
  if (affinity.as_object().empty() && get(old, "affinity") == nullptr) {
    kept.as_object().erase("affinity");
  } else {
    kept["affinity"] = std::move(affinity);
  }
  return kept;
}

// ---- status

bool is_system_condition(std::string_view type) {
  return type == "PodScheduled" || type == "Ready" || type == "Initialized";
}

void check_observed(const json::Value& holder, const field::Path& path, field::ErrorList& errors) {
  const std::int64_t generation = number(holder, "observedGeneration");
  if (generation >= 0) return;
  errors.push_back(field::invalid(path.child("observedGeneration"), generation, "must be a non-negative integer"));
}

void check_conditions(const json::Value& status, field::ErrorList& errors) {
  const auto conditions = list(status, "conditions");
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const std::string_view type = text(conditions[i], "type");
    const field::Path path = field::Path("status.conditions").index(i);
    check_observed(conditions[i], path, errors);
    if (!is_system_condition(type)) check_text(type, qualified_name, path.child("Type"), errors);
  }
}

const json::Value* container_named(const json::Value& spec, const char* kind, std::string_view name) {
  for (const json::Value& container : list(spec, kind)) {
    if (text(container, "name") == name) return &container;
  }
  return nullptr;
}

// The action of the first rule that this exit code fits; "" when none does.
std::string_view rule_action(const json::Value& container, std::int64_t exit_code) {
  for (const json::Value& rule : list(container, "restartPolicyRules")) {
    const json::Value& codes = part(rule, "exitCodes");
    const auto values = list(codes, "values");
    const bool listed = std::any_of(values.begin(), values.end(),
                                    [&](const json::Value& value) { return value.int_or(-1) == exit_code; });
    const std::string_view op = text(codes, "operator");
    if ((op == "In" && listed) || (op == "NotIn" && !listed)) return text(rule, "action");
  }
  return {};
}

// Whether a rule of any container can start all of them anew.
bool all_may_restart(const json::Value& spec) {
  for (const char* kind : {"initContainers", "containers"}) {
    for (const json::Value& container : list(spec, kind)) {
      for (const json::Value& rule : list(container, "restartPolicyRules")) {
        if (text(rule, "action") == "RestartAllContainers") return true;
      }
    }
  }
  return false;
}

// Whether a container that ended with this code may run again.
bool may_restart(const json::Value& spec, const char* kind, std::string_view name, std::int64_t exit_code) {
  if (std::string_view(kind) == "ephemeralContainers") return false;
  const json::Value* container = container_named(spec, kind, name);
  if (container == nullptr) return false;
  std::string_view policy = text(*container, "restartPolicy");
  if (policy.empty()) {
    policy = text(spec, "restartPolicy");
  } else if (!rule_action(*container, exit_code).empty()) {
    return true;
  }
  return policy == "Always" || (policy == "OnFailure" && exit_code != 0);
}

void check_transitions(const json::Value& status, const json::Value& old, const json::Value& spec, const char* member,
                       const char* kind, field::ErrorList& errors) {
  const auto now = list(status, member), before = list(old, member);
  if (before.empty() || (std::string_view(kind) != "ephemeralContainers" && all_may_restart(spec))) return;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const json::Value* ended = get(part(before[i], "state"), "terminated");
    const std::string_view name = text(before[i], "name");
    if (ended == nullptr || may_restart(spec, kind, name, number(*ended, "exitCode"))) continue;
    for (const json::Value& container : now) {
      if (text(container, "name") != name || get(part(container, "state"), "terminated") != nullptr) continue;
      errors.push_back(field::forbidden(field::Path("status").child(member).index(i).child("state"),
                                        "may not be transitioned to non-terminated state"));
    }
  }
}

void check_claim_statuses(const json::Value& status, const json::Value& spec, field::ErrorList& errors) {
  const auto statuses = list(status, "resourceClaimStatuses"), claims = list(spec, "resourceClaims");
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const field::Path own = field::Path("status.resourceClaimStatuses").index(i), path = own.child("name");
    const std::string_view name = text(statuses[i], "name");
    const auto named = [&](const json::Value& item) { return text(item, "name") == name; };
    if (std::none_of(claims.begin(), claims.end(), named)) {
      errors.push_back(
          field::invalid(path, json::Value(name), "must match the name of an entry in `spec.resourceClaims`"));
    }
    const auto before = statuses.first(i);
    if (std::any_of(before.begin(), before.end(), named)) errors.push_back(field::duplicate(path, json::Value(name)));
    if (const json::Value* claim = get(statuses[i], "resourceClaimName")) {
      check_text(claim->string_or(), dns1123_subdomain, own.child("resourceClaimName"), errors);
    }
  }
}

// Addresses of a pod or its host: valid unless they were there before, one for each family.
void check_addresses(const json::Value& status, const json::Value& old, const char* member, field::ErrorList& errors) {
  const auto addresses = list(status, member), before = list(old, member);
  const field::Path path = field::Path("status").child(member);
  int of_family[2] = {0, 0};
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const std::string_view ip = text(addresses[i], "ip");
    const bool known =
        std::any_of(before.begin(), before.end(), [&](const json::Value& item) { return text(item, "ip") == ip; });
    if (!known) field::append(errors, valid_legacy_ip(path.index(i), ip));
    IpAddress parsed;
    if (parse_ip(ip, &parsed)) ++of_family[parsed.v6 ? 1 : 0];
  }
  if (addresses.size() > 1 && (of_family[0] != 1 || of_family[1] != 1)) {
    errors.push_back(field::invalid(path, *status.find(member), "may specify no more than one IP for each IP family"));
  }
}

void check_host_ips(const json::Value& status, const json::Value& old, field::ErrorList& errors) {
  const auto addresses = list(status, "hostIPs");
  if (addresses.empty()) return;
  const std::string_view first = text(addresses[0], "ip");
  if (first != text(status, "hostIP")) {
    errors.push_back(
        field::invalid(field::Path("status.hostIPs[0].ip"), json::Value(first), "must be equal to `hostIP`"));
  }
  check_addresses(status, old, "hostIPs", errors);
}

// Who the processes of containers run as.
void check_users(const json::Value& status, const json::Value& spec, field::ErrorList& errors) {
  const bool windows = text(part(spec, "os"), "name") == "windows";
  for (const char* member : {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
    const auto statuses = list(status, member);
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      const json::Value* user = get(part(statuses[i], "user"), "linux");
      if (user == nullptr) continue;
      const field::Path path = field::Path("status").child(member).index(i).child("user").child("linux");
      if (windows) {
        errors.push_back(field::forbidden(path, "cannot be set for a windows pod"));
        continue;
      }
      for (const char* name : {"uid", "gid"}) {
        field::append_invalid(errors, path.child(name), number(*user, name),
                              in_range(number(*user, name), 0, kMaxInt32));
      }
      const auto groups = list(*user, "supplementalGroups");
      for (std::size_t g = 0; g < groups.size(); ++g) {
        field::append_invalid(errors, path.child("supplementalGroups").index(g), groups[g],
                              in_range(groups[g].int_or(0), 0, kMaxInt32));
      }
    }
  }
}

bool is_allocated_to(const json::Value& container, std::string_view name) {
  const json::Value& resources = part(container, "resources");
  if (!name.starts_with("claim:")) return get(part(resources, "requests"), name) != nullptr;
  for (const json::Value& claim : list(resources, "claims")) {
    const std::string_view request = text(claim, "request");
    const std::string own =
        request.empty() ? cat("claim:", text(claim, "name")) : cat("claim:", text(claim, "name"), "/", request);
    if (own == name) return true;
  }
  return false;
}

void check_allocated_resource(const json::Value& allocated, const json::Value* container, const field::Path& path,
                              field::ErrorList& errors) {
  constexpr std::string_view kHealths[] = {"Healthy", "Unhealthy", "Unknown"};
  const std::string_view name = text(allocated, "name");
  if (container != nullptr && !is_allocated_to(*container, name)) {
    errors.push_back(field::invalid(path.child("name"), json::Value(name),
                                    name.starts_with("claim:")
                                        ? "must match one of the container's resource claims in a format "
                                          "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
                                        : "must match one of the container's resource requests"));
  }
  const auto resources = list(allocated, "resources");
  for (std::size_t r = 0; r < resources.size(); ++r) {
    const field::Path own = path.child("resources").index(r);
    const std::string_view health = text(resources[r], "health"), id = text(resources[r], "resourceID");
    if (!one_of(health, kHealths)) {
      errors.push_back(field::not_supported(own.child("health"), json::Value(health), kHealths));
    }
    const auto before = resources.first(r);
    const bool seen = std::any_of(before.begin(), before.end(),
                                  [&](const json::Value& item) { return text(item, "resourceID") == id; });
    if (seen) errors.push_back(field::duplicate(own.child("resourceID"), json::Value(id)));
  }
}

void check_allocated(const json::Value& status, const json::Value& spec, field::ErrorList& errors) {
  struct Row {
    const char *member, *kind;
  };
  for (const Row& row : {Row{"containerStatuses", "containers"}, Row{"initContainerStatuses", "initContainers"},
                         Row{"ephemeralContainerStatuses", nullptr}}) {
    const auto statuses = list(status, row.member);
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      const auto allocated = list(statuses[i], "allocatedResourcesStatus");
      if (allocated.empty()) continue;
      const field::Path path = field::Path("status").child(row.member).index(i).child("allocatedResourcesStatus");
      if (row.kind == nullptr) {
        errors.push_back(field::forbidden(path, "must not be specified in container status"));
        continue;
      }
      const json::Value* container = container_named(spec, row.kind, text(statuses[i], "name"));
      for (std::size_t a = 0; a < allocated.size(); ++a) {
        check_allocated_resource(allocated[a], container, path.index(a), errors);
      }
    }
  }
}

constexpr std::string_view kUpdatable =
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)";

}  // namespace

std::string difference(const json::Value& before, const json::Value& after) {
  std::string out;
  add_difference(out, "", &before, &after);
  return out;
}

void validate_pod_update(const json::Value& pod, const json::Value& old, field::ErrorList& errors) {
  const json::Value &spec = part(pod, "spec"), &before = part(old, "spec");
  const field::Path path("spec");
  const bool unchanged = spec == before;
  // A spec that was accepted stays accepted, so that finalizers and labels of older pods can change.
  if (!unchanged) validate_pod_object(pod, errors);
  if (!same(part(pod, "metadata"), part(old, "metadata"), "annotations")) {
    if (unchanged) check_pod_annotations(part(pod, "metadata"), spec, field::Path("metadata.annotations"), errors);
    check_annotation_updates(pod, old, errors);
  }
  if (unchanged) return;
  for (const char* kind : {"containers", "initContainers"}) {
    if (!check_container_updates(spec, before, kind, path, errors)) return;
  }
  if (!check_deadline_update(spec, before, path, errors)) return;
  check_toleration_updates(spec, before, path, errors);
  check_gate_updates(spec, before, path, errors);
  const json::Value kept = without_changes(spec, before, path, errors);
  if (same(&kept, &before)) return;
  const std::string changes = difference(before, kept);
  if (changes.empty()) return;  // an absent list and an empty one
  errors.push_back(
      field::forbidden(path, cat("pod updates may not change fields other than ", kUpdatable, "\n", changes)));
}

void validate_pod_status(const json::Value& pod, const json::Value& old, field::ErrorList& errors) {
  const json::Value &status = part(pod, "status"), &before = part(old, "status"), &spec = part(old, "spec");
  check_annotation_updates(pod, old, errors);
  check_conditions(status, errors);
  const std::string_view nominated = text(status, "nominatedNodeName");
  if (!nominated.empty() && nominated != text(before, "nominatedNodeName")) {
    const field::Path path("status.nominatedNodeName");
    check_text(nominated, dns1123_subdomain, path, errors);
    if (!text(spec, "nodeName").empty()) {
      errors.push_back(field::forbidden(path, "may not be set on pods that are already bound to a node"));
    }
  }
  check_observed(status, field::Path("status"), errors);
  if (text(status, "qosClass") != text(before, "qosClass")) {
    validate_immutable(status.find("qosClass"), before.find("qosClass"), field::Path("status.qosClass"), errors);
  }
  check_transitions(status, before, spec, "containerStatuses", "containers", errors);
  check_transitions(status, before, spec, "initContainerStatuses", "initContainers", errors);
  check_transitions(status, before, spec, "ephemeralContainerStatuses", "ephemeralContainers", errors);
  check_claim_statuses(status, spec, errors);
  check_addresses(status, before, "podIPs", errors);
  check_host_ips(status, before, errors);
  check_users(status, spec, errors);
  check_allocated(status, spec, errors);
}

}  // namespace kayak::api::validation
