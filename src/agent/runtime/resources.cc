// resources.cc: requests and limits as kernel numbers.
#include "agent/runtime/resources.h"

#include <algorithm>

#include "agent/runtime/pod_doc.h"
#include "base/quantity.h"

namespace kayak::agent {
namespace {

constexpr std::int64_t kMaxCpuShares = 262'144;
constexpr std::int64_t kSystemCriticalPriority = 2'000'000'000;

std::int64_t milli_cpu_to_shares(std::int64_t milli) {
  return std::clamp<std::int64_t>(milli * 1024 / 1000, kMinCpuShares, kMaxCpuShares);
}

std::int64_t milli_cpu_to_quota(std::int64_t milli) {
  constexpr std::int64_t kMinQuota = 1000;  // the kernel's: 1 ms
  return std::max(kMinQuota, milli * kCpuPeriodMicros / 1000);
}

bool restartable(const json::Value& init_container) { return text_at(init_container, {"restartPolicy"}) == "Always"; }

// What the whole pod asks for: the sum of its containers, or the peak while init containers run, whatever is more.
std::int64_t pod_total(const json::Value& pod, std::string_view kind, std::string_view resource, bool* all_declare) {
  bool found = false;
  std::int64_t sum = 0, sidecars = 0, peak = 0;
  for (const json::Value& container : items(pod.at({"spec", "containers"}))) {
    sum += resource_value(container, kind, resource, &found);
    if (!found && all_declare != nullptr) *all_declare = false;
  }
  for (const json::Value& container : items(pod.at({"spec", "initContainers"}))) {
    const std::int64_t value = resource_value(container, kind, resource, &found);
    if (!found && all_declare != nullptr) *all_declare = false;
    if (restartable(container)) {
      sidecars += value;
      peak = std::max(peak, sidecars);
    } else {
      peak = std::max(peak, sidecars + value);
    }
  }
  std::int64_t total = std::max(sum + sidecars, peak);
  // Pod-level resources, when set, are the pod's word.
  const json::Value* spec = pod.find("spec");
  if (spec != nullptr) {
    const std::int64_t own = resource_value(*spec, kind, resource, &found);
    if (found) {
      total = own;
      if (all_declare != nullptr) *all_declare = true;
    }
  }
  return total;
}

struct Declared {
  bool anything = false;    // a non-zero request or limit of cpu or memory
  bool guaranteed = false;  // limits of both, requests equal to them
};

Declared declared(const json::Value& container) {
  Declared out;
  out.guaranteed = true;
  for (const std::string_view resource : {"cpu", "memory"}) {
    bool has_limit = false, has_request = false;
    const std::int64_t limit = resource_value(container, "limits", resource, &has_limit);
    const std::int64_t request = resource_value(container, "requests", resource, &has_request);
    if (limit > 0 || request > 0) out.anything = true;
    if (limit <= 0 || (has_request && request != limit)) out.guaranteed = false;
  }
  return out;
}

}  // namespace

std::int64_t resource_value(const json::Value& container, std::string_view kind, std::string_view resource,
                            bool* found) {
  const json::Value* value = container.at({"resources", kind, resource});
  if (found != nullptr) *found = false;
  if (value == nullptr) return 0;
  const std::string text = value->is_int() ? std::to_string(value->as_int()) : std::string(value->string_or());
  const Result<Quantity> quantity = Quantity::parse(text);
  if (!quantity) return 0;  // the API server has refused such a pod
  if (found != nullptr) *found = true;
  return resource == "cpu" ? quantity->milli_value() : quantity->value();
}

QosClass qos_class(const json::Value& pod) {
  const json::Value* spec = pod.find("spec");
  if (spec != nullptr &&
      (spec->at({"resources", "limits"}) != nullptr || spec->at({"resources", "requests"}) != nullptr)) {
    const Declared own = declared(*spec);
    return own.guaranteed ? QosClass::kGuaranteed : own.anything ? QosClass::kBurstable : QosClass::kBestEffort;
  }
  bool anything = false, guaranteed = true;
  for (const std::string_view list : {"initContainers", "containers"}) {
    for (const json::Value& container : items(pod.at({"spec", list}))) {
      const Declared one = declared(container);
      anything = anything || one.anything;
      guaranteed = guaranteed && one.guaranteed;
    }
  }
  if (!anything) return QosClass::kBestEffort;
  return guaranteed ? QosClass::kGuaranteed : QosClass::kBurstable;
}

std::string_view qos_name(QosClass qos) {
  switch (qos) {
    case QosClass::kGuaranteed:
      return "Guaranteed";
    case QosClass::kBurstable:
      return "Burstable";
    case QosClass::kBestEffort:
      break;
  }
  return "BestEffort";
}

CgroupLimits container_limits(const json::Value& container) {
  CgroupLimits out;
  bool has_request = false, has_limit = false;
  const std::int64_t request = resource_value(container, "requests", "cpu", &has_request);
  const std::int64_t limit = resource_value(container, "limits", "cpu", &has_limit);
  out.cpu_shares = milli_cpu_to_shares(!has_request && has_limit ? limit : request);
  if (limit > 0) out.cpu_quota_micros = milli_cpu_to_quota(limit);
  const std::int64_t memory = resource_value(container, "limits", "memory");
  if (memory > 0) out.memory_bytes = memory;
  return out;
}

CgroupLimits pod_limits(const json::Value& pod, std::int64_t pids) {
  CgroupLimits out;
  out.pids = pids;
  if (qos_class(pod) == QosClass::kBestEffort) return out;
  out.cpu_shares = milli_cpu_to_shares(pod_total(pod, "requests", "cpu", nullptr));
  bool all_cpu = true, all_memory = true;
  const std::int64_t cpu = pod_total(pod, "limits", "cpu", &all_cpu);
  const std::int64_t memory = pod_total(pod, "limits", "memory", &all_memory);
  if (all_cpu && cpu > 0) out.cpu_quota_micros = milli_cpu_to_quota(cpu);
  if (all_memory && memory > 0) out.memory_bytes = memory;
  return out;
}

std::int64_t cpu_weight(std::int64_t shares) {
  return 1 +
         ((std::clamp(shares, kMinCpuShares, kMaxCpuShares) - kMinCpuShares) * 9999) / (kMaxCpuShares - kMinCpuShares);
}

int oom_score_adj(const json::Value& pod, const json::Value& container, std::uint64_t memory_capacity_bytes) {
  constexpr int kGuaranteedAdj = -997, kBestEffortAdj = 1000;
  const json::Value* priority = pod.at({"spec", "priority"});
  if (priority != nullptr && priority->int_or(0) >= kSystemCriticalPriority) return kGuaranteedAdj;
  const QosClass qos = qos_class(pod);
  if (qos == QosClass::kGuaranteed) return kGuaranteedAdj;
  if (qos == QosClass::kBestEffort || memory_capacity_bytes == 0) return kBestEffortAdj;
  const auto request = static_cast<__int128>(resource_value(container, "requests", "memory"));
  const auto adj = static_cast<std::int64_t>(1000 - (1000 * request) / static_cast<__int128>(memory_capacity_bytes));
  // Never below a guaranteed pod of the same size, never as high as best effort.
  return static_cast<int>(std::clamp<std::int64_t>(adj, 1000 + kGuaranteedAdj, kBestEffortAdj - 1));
}

}  // namespace kayak::agent
