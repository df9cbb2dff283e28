// resources.h: what a pod's requests and limits mean for the kernel: QoS class, cgroup numbers, oom scores. Pure.
// Source: core/v1 ResourceRequirements, PodQOSClass; Kubernetes docs "Resource Management for Pods and Containers",
// "Node-pressure Eviction" (oom_score_adj table); kernel docs cgroup-v1 cpu.shares, cgroup-v2 cpu.weight.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"

namespace kayak::agent {

enum class QosClass : std::uint8_t { kGuaranteed, kBurstable, kBestEffort };
QosClass qos_class(const json::Value& pod);
std::string_view qos_name(QosClass qos);  // "Guaranteed"

constexpr std::int64_t kCpuPeriodMicros = 100'000;
constexpr std::int64_t kMinCpuShares = 2;

struct CgroupLimits {
  std::int64_t cpu_shares = kMinCpuShares;
  std::int64_t cpu_quota_micros = -1;  // per kCpuPeriodMicros; -1: none
  std::int64_t memory_bytes = -1;      // -1: none
  std::int64_t pids = -1;              // -1: none
  bool operator==(const CgroupLimits&) const = default;
};
CgroupLimits container_limits(const json::Value& container);
// Of the pod's own cgroup: sums, set only where every container declares the limit.
CgroupLimits pod_limits(const json::Value& pod, std::int64_t pids);

// cpu.shares (2..262144) as cpu.weight (1..10000).
std::int64_t cpu_weight(std::int64_t shares);
// -997 guaranteed and critical pods, 1000 best effort, between by the share of memory requested.
int oom_score_adj(const json::Value& pod, const json::Value& container, std::uint64_t memory_capacity_bytes);

// A quantity of the container's resources in milli units (cpu) or units (others); `found` tells whether it is there.
// `kind` is "requests" or "limits".
std::int64_t resource_value(const json::Value& container, std::string_view kind, std::string_view resource,
                            bool* found = nullptr);

}  // namespace kayak::agent
