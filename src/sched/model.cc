// model.cc: takes the scheduling fields out of pod and node documents.
#include "sched/model.h"

#include <algorithm>

#include "base/quantity.h"
#include "client/fields.h"

namespace kayak::sched {

using client::array_at;
using client::bool_at;
using client::has;
using client::int_at;
using client::object_at;
using client::pairs_at;
using client::text_at;

namespace {

// What a container without a request counts as when nodes are compared, so that many such pods still spread.
constexpr std::int64_t kDefaultMilliCpu = 100;
constexpr std::int64_t kDefaultMemory = 200 * 1024 * 1024;

std::int64_t& slot(std::vector<std::pair<std::string, std::int64_t>>& list, std::string_view name) {
  auto place = std::lower_bound(list.begin(), list.end(), name, [](const auto& a, auto b) { return a.first < b; });
  if (place == list.end() || place->first != name) place = list.insert(place, {std::string(name), 0});
  return place->second;
}

api::Requirement::Op op_of(std::string_view text) {
  using Op = api::Requirement::Op;
  if (text == "NotIn") return Op::kNotIn;
  if (text == "Exists") return Op::kExists;
  if (text == "DoesNotExist") return Op::kNotExists;
  if (text == "Gt") return Op::kGreater;
  if (text == "Lt") return Op::kLess;
  return Op::kIn;
}

api::Requirement read_requirement(const json::Value& expression) {
  api::Requirement requirement;
  requirement.key = text_at(expression, {"key"});
  requirement.op = op_of(text_at(expression, {"operator"}));
  for (const json::Value& value : array_at(expression, {"values"})) requirement.values.emplace_back(value.string_or());
  return requirement;
}

NodeAffinity read_node_affinity(const json::Value& spec) {
  NodeAffinity affinity;
  affinity.node_selector = api::LabelSelector::equals(pairs_at(spec, {"nodeSelector"}));
  if (const json::Value* selector =
          spec.at({"affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"});
      selector != nullptr && selector->is_object()) {
    affinity.has_required = true;
    for (const json::Value& term : array_at(*selector, {"nodeSelectorTerms"})) {
      affinity.required.push_back(read_node_term(term));
    }
  }
  for (const json::Value& item :
       array_at(spec, {"affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"})) {
    const json::Value* preference = item.find("preference");
    if (preference == nullptr) continue;
    affinity.preferred.push_back(PreferredNodeTerm{int_at(item, {"weight"}), read_node_term(*preference)});
  }
  return affinity;
}

api::LabelSelector read_selector(const json::Value& holder, std::string_view field) {
  Result<api::LabelSelector> selector = api::LabelSelector::from_object(holder.find(field));
  return selector ? std::move(*selector) : api::LabelSelector::nothing();
}

// matchLabelKeys: the selector also asks for the pod's own value of these labels (mismatchLabelKeys: for another).
void add_label_keys(api::LabelSelector& selector, const json::Value& holder, const api::LabelPairs& own) {
  for (std::string_view field : {"matchLabelKeys", "mismatchLabelKeys"}) {
    for (const json::Value& key : array_at(holder, {field})) {
      for (const auto& [name, value] : own) {
        if (name != key.string_or()) continue;
        api::Requirement requirement;
        requirement.key = name;
        requirement.op = field == "matchLabelKeys" ? api::Requirement::Op::kIn : api::Requirement::Op::kNotIn;
        requirement.values.push_back(value);
        selector.add(std::move(requirement));
      }
    }
  }
}

PodTerm read_pod_term(const json::Value& term, const PodInfo& pod) {
  PodTerm result;
  // The API merges matchLabelKeys into labelSelector when the pod is created; doing it twice changes nothing.
  result.pods = read_selector(term, "labelSelector");
  if (has(term, {"labelSelector"})) add_label_keys(result.pods, term, pod.labels);
  result.topology_key = text_at(term, {"topologyKey"});
  for (const json::Value& name : array_at(term, {"namespaces"})) result.namespaces.emplace_back(name.string_or());
  result.has_namespace_selector = has(term, {"namespaceSelector"});
  if (result.has_namespace_selector) result.namespace_selector = read_selector(term, "namespaceSelector");
  if (result.namespaces.empty() && !result.has_namespace_selector) result.namespaces.push_back(pod.namespace_);
  return result;
}

void read_pod_terms(const json::Value& spec, std::string_view which, const PodInfo& pod, std::vector<PodTerm>& required,
                    std::vector<WeightedPodTerm>& preferred) {
  for (const json::Value& term :
       array_at(spec, {"affinity", which, "requiredDuringSchedulingIgnoredDuringExecution"})) {
    required.push_back(read_pod_term(term, pod));
  }
  for (const json::Value& item :
       array_at(spec, {"affinity", which, "preferredDuringSchedulingIgnoredDuringExecution"})) {
    const json::Value* term = item.find("podAffinityTerm");
    if (term == nullptr) continue;
    preferred.push_back(WeightedPodTerm{int_at(item, {"weight"}), read_pod_term(*term, pod)});
  }
}

void read_spread(const json::Value& spec, PodInfo& pod) {
  for (const json::Value& item : array_at(spec, {"topologySpreadConstraints"})) {
    SpreadConstraint constraint;
    constraint.max_skew = int_at(item, {"maxSkew"}, 1);
    constraint.min_domains = int_at(item, {"minDomains"}, 1);
    constraint.topology_key = text_at(item, {"topologyKey"});
    constraint.hard = text_at(item, {"whenUnsatisfiable"}, "DoNotSchedule") == "DoNotSchedule";
    constraint.honor_affinity = text_at(item, {"nodeAffinityPolicy"}, "Honor") == "Honor";
    constraint.honor_taints = text_at(item, {"nodeTaintsPolicy"}, "Ignore") == "Honor";
    constraint.pods = read_selector(item, "labelSelector");
    add_label_keys(constraint.pods, item, pod.labels);
    pod.spread.push_back(std::move(constraint));
  }
}

void read_ports(const json::Value& spec, std::vector<HostPort>& ports) {
  auto read_container = [&ports](const json::Value& container) {
    for (const json::Value& item : array_at(container, {"ports"})) {
      const auto port = static_cast<std::int32_t>(int_at(item, {"hostPort"}));
      if (port <= 0) continue;
      ports.push_back(
          HostPort{std::string(text_at(item, {"hostIP"})), std::string(text_at(item, {"protocol"}, "TCP")), port});
    }
  };
  for (const json::Value& container : array_at(spec, {"containers"})) read_container(container);
  for (const json::Value& container : array_at(spec, {"initContainers"})) {
    // Only sidecars keep their ports while the pod runs.
    if (text_at(container, {"restartPolicy"}) == "Always") read_container(container);
  }
}

// CPU and memory of the containers with the defaults for those that ask for none.
void read_scored(const json::Value& spec, PodInfo& pod) {
  bool cpu_missing = false, memory_missing = false;
  std::int64_t without_cpu = 0, without_memory = 0;
  for (const json::Value& container : array_at(spec, {"containers"})) {
    if (!has(container, {"resources", "requests", "cpu"})) ++without_cpu, cpu_missing = true;
    if (!has(container, {"resources", "requests", "memory"})) ++without_memory, memory_missing = true;
  }
  const bool pod_cpu = has(spec, {"resources", "requests", "cpu"});
  const bool pod_memory = has(spec, {"resources", "requests", "memory"});
  pod.scored_cpu = pod.requests.milli_cpu + (cpu_missing && !pod_cpu ? without_cpu * kDefaultMilliCpu : 0);
  pod.scored_memory = pod.requests.memory + (memory_missing && !pod_memory ? without_memory * kDefaultMemory : 0);
}

Resources container_requests(const json::Value& container) {
  return read_resources(object_at(container, {"resources", "requests"}));
}

}  // namespace

NodeTerm read_node_term(const json::Value& term) {
  NodeTerm result;
  for (const json::Value& expression : array_at(term, {"matchExpressions"})) {
    result.labels.add(read_requirement(expression));
    result.empty = false;
  }
  for (const json::Value& field : array_at(term, {"matchFields"})) {
    result.names.push_back(read_requirement(field));
    result.empty = false;
  }
  return result;
}

void Resources::add(const Resources& more) {
  milli_cpu += more.milli_cpu;
  memory += more.memory;
  ephemeral_storage += more.ephemeral_storage;
  for (const auto& [name, amount] : more.others) slot(others, name) += amount;
}

void Resources::subtract(const Resources& less) {
  milli_cpu -= less.milli_cpu;
  memory -= less.memory;
  ephemeral_storage -= less.ephemeral_storage;
  for (const auto& [name, amount] : less.others) slot(others, name) -= amount;
}

void Resources::raise_to(const Resources& floor) {
  milli_cpu = std::max(milli_cpu, floor.milli_cpu);
  memory = std::max(memory, floor.memory);
  ephemeral_storage = std::max(ephemeral_storage, floor.ephemeral_storage);
  for (const auto& [name, amount] : floor.others) {
    std::int64_t& own = slot(others, name);
    own = std::max(own, amount);
  }
}

std::int64_t Resources::other(std::string_view name) const {
  for (const auto& [own, amount] : others) {
    if (own == name) return amount;
  }
  return 0;
}

bool Resources::is_zero() const {
  if (milli_cpu != 0 || memory != 0 || ephemeral_storage != 0) return false;
  return std::all_of(others.begin(), others.end(), [](const auto& item) { return item.second == 0; });
}

bool Toleration::tolerates(const Taint& taint) const {
  if (!effect.empty() && effect != taint.effect) return false;
  if (!key.empty() && key != taint.key) return false;
  if (op == "Exists") return true;
  std::int64_t own = 0, theirs = 0;
  if (op == "Lt" || op == "Gt") {
    if (!parse_int64(value, &own) || !parse_int64(taint.value, &theirs)) return false;
    return op == "Lt" ? theirs < own : theirs > own;
  }
  return value == taint.value;
}

bool tolerated(const std::vector<Toleration>& tolerations, const Taint& taint) {
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const Toleration& t) { return t.tolerates(taint); });
}

bool HostPort::conflicts(const HostPort& other) const {
  if (port != other.port || protocol != other.protocol) return false;
  const auto any = [](const std::string& address) { return address.empty() || address == "0.0.0.0"; };
  return any(ip) || any(other.ip) || ip == other.ip;
}

bool NodeTerm::matches(std::string_view node_name, const api::LabelPairs& node_labels) const {
  if (empty) return false;
  for (const api::Requirement& name : names) {
    const bool listed = std::find(name.values.begin(), name.values.end(), node_name) != name.values.end();
    if (listed != (name.op == api::Requirement::Op::kIn)) return false;
  }
  return labels.matches(node_labels);
}

bool NodeAffinity::matches(std::string_view node_name, const api::LabelPairs& node_labels) const {
  if (!node_selector.matches(node_labels)) return false;
  if (!has_required) return true;
  return std::any_of(required.begin(), required.end(),
                     [&](const NodeTerm& term) { return term.matches(node_name, node_labels); });
}

Resources read_resources(const json::Object& list) {
  Resources result;
  for (const auto& [name, value] : list) {
    const Result<Quantity> quantity = Quantity::parse(value.string_or("0"));
    if (!quantity) continue;  // the API has refused it long ago
    if (name == "cpu") {
      result.milli_cpu = quantity->milli_value();
    } else if (name == "memory") {
      result.memory = quantity->value();
    } else if (name == "ephemeral-storage") {
      result.ephemeral_storage = quantity->value();
    } else if (name != "pods") {
      slot(result.others, name) = quantity->value();
    }
  }
  return result;
}

Resources pod_requests(const json::Value& pod) {
  static const json::Value kNoSpec;
  const json::Value* found = pod.find("spec");
  const json::Value& spec = found == nullptr ? kNoSpec : *found;
  Resources total;
  for (const json::Value& container : array_at(spec, {"containers"})) total.add(container_requests(container));
  // An init container runs beside the sidecars that were started before it; sidecars run on beside the containers.
  Resources sidecars, start_up;
  for (const json::Value& container : array_at(spec, {"initContainers"})) {
    Resources own = container_requests(container);
    if (text_at(container, {"restartPolicy"}) == "Always") {
      total.add(own);
      sidecars.add(own);
      start_up.raise_to(sidecars);
    } else {
      own.add(sidecars);
      start_up.raise_to(own);
    }
  }
  total.raise_to(start_up);
  if (has(spec, {"resources", "requests"})) {
    const json::Object& pod_level = object_at(spec, {"resources", "requests"});
    const Resources own = read_resources(pod_level);
    if (pod_level.find("cpu") != nullptr) total.milli_cpu = own.milli_cpu;
    if (pod_level.find("memory") != nullptr) total.memory = own.memory;
    for (const auto& [name, amount] : own.others) slot(total.others, name) = amount;
  }
  total.add(read_resources(object_at(spec, {"overhead"})));
  return total;
}

PodInfo read_pod(const api::Object& object) {
  const json::Document document = object.document();
  static const json::Value kNoSpec;
  const json::Value* found = document->find("spec");
  const json::Value& spec = found == nullptr ? kNoSpec : *found;
  PodInfo pod;
  pod.namespace_ = object.namespace_();
  pod.name = object.name();
  pod.uid = object.uid();
  pod.labels = object.header().labels;
  for (const api::OwnerReference& owner : object.header().owners) {
    if (owner.controller) pod.owner_uid = owner.uid;
  }
  pod.node_name = text_at(spec, {"nodeName"});
  pod.scheduler_name = text_at(spec, {"schedulerName"}, "default-scheduler");
  pod.priority = int_at(spec, {"priority"});
  // Only a pod that waits is compared with itself.
  if (pod.node_name.empty()) pod.fingerprint = std::hash<std::string>()(json::write(spec));
  for (const auto& [key, value] : pod.labels) {
    pod.fingerprint = pod.fingerprint * 31 + std::hash<std::string>()(cat(key, "=", value));
  }
  pod.may_preempt = text_at(spec, {"preemptionPolicy"}) != "Never";
  pod.gated = !array_at(spec, {"schedulingGates"}).empty();
  pod.requests = pod_requests(*document);
  read_scored(spec, pod);
  read_ports(spec, pod.ports);
  for (const json::Value& item : array_at(spec, {"tolerations"})) {
    pod.tolerations.push_back(Toleration{std::string(text_at(item, {"key"})), std::string(text_at(item, {"operator"})),
                                         std::string(text_at(item, {"value"})),
                                         std::string(text_at(item, {"effect"}))});
  }
  pod.affinity = read_node_affinity(spec);
  read_pod_terms(spec, "podAffinity", pod, pod.pod_affinity.required, pod.pod_affinity.preferred);
  read_pod_terms(spec, "podAntiAffinity", pod, pod.pod_affinity.required_anti, pod.pod_affinity.preferred_anti);
  read_spread(spec, pod);
  for (const json::Value& volume : array_at(spec, {"volumes"})) {
    const std::string_view claim = text_at(volume, {"persistentVolumeClaim", "claimName"});
    if (!claim.empty()) pod.claims.emplace_back(claim);
    // The claim that the ephemeral volume controller makes for it.
    if (has(volume, {"ephemeral"})) pod.claims.push_back(cat(pod.name, "-", text_at(volume, {"name"})));
  }
  if (!array_at(spec, {"resourceClaims"}).empty()) pod.refused = "spec.resourceClaims";
  if (has(spec, {"schedulingGroup"})) pod.refused = "spec.schedulingGroup";
  return pod;
}

bool NodeSpec::operator==(const NodeSpec& other) const {
  const auto same_taint = [](const Taint& a, const Taint& b) {
    return a.key == b.key && a.value == b.value && a.effect == b.effect;
  };
  return name == other.name && labels == other.labels && unschedulable == other.unschedulable &&
         max_pods == other.max_pods && allocatable.milli_cpu == other.allocatable.milli_cpu &&
         allocatable.memory == other.allocatable.memory &&
         allocatable.ephemeral_storage == other.allocatable.ephemeral_storage &&
         allocatable.others == other.allocatable.others &&
         std::equal(taints.begin(), taints.end(), other.taints.begin(), other.taints.end(), same_taint);
}

NodeSpec read_node(const api::Object& object) {
  const json::Document document = object.document();
  NodeSpec node;
  node.name = object.name();
  node.labels = object.header().labels;
  node.unschedulable = bool_at(*document, {"spec", "unschedulable"});
  for (const json::Value& item : array_at(*document, {"spec", "taints"})) {
    node.taints.push_back(Taint{std::string(text_at(item, {"key"})), std::string(text_at(item, {"value"})),
                                std::string(text_at(item, {"effect"}))});
  }
  const json::Object& allocatable = object_at(*document, {"status", "allocatable"});
  node.allocatable = read_resources(allocatable);
  if (const json::Value* pods = allocatable.find("pods")) {
    const Result<Quantity> quantity = Quantity::parse(pods->string_or("0"));
    node.max_pods = quantity ? quantity->value() : 0;
  }
  return node;
}

}  // namespace kayak::sched
