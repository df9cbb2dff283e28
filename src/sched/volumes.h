// volumes.h: what a pod's PersistentVolumeClaims say about where it may run.
// Decides only; the claims' annotation for late binding is written by the scheduler's shell.
// Source: kube-scheduler plugin VolumeBinding; core/v1 PersistentVolume, storage/v1 StorageClass.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sched/model.h"

namespace kayak::sched {

struct VolumeObjects {
  std::function<api::ObjectRef(const std::string& namespace_, const std::string& name)> claim;
  std::function<api::ObjectRef(const std::string&name)> volume, storage_class;
};

struct VolumeNeeds {
  std::string refused;                     // holds for all nodes alike; empty: none
  std::vector<std::vector<NodeTerm>> any;  // of each list a node must match one term
  std::vector<std::string> to_bind;        // claims that wait for the pod's node
};
VolumeNeeds volume_needs(const PodInfo& pod, const VolumeObjects& objects);

}  // namespace kayak::sched
