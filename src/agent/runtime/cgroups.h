// cgroups.h: control groups of pods, in hierarchies of version 1 or the one of version 2. Blocking: for the pool.
// Owns the directories below `parent`. Containers' own groups are made by the runtime inside their pod's.
// Source: kernel docs admin-guide/cgroup-v1, cgroup-v2.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/resources.h"
#include "agent/runtime/runtime.h"
#include "base/result.h"

namespace kayak::agent {

class Cgroups {
 public:
  Cgroups() = default;  // knows no hierarchy
  // `root`: /sys/fs/cgroup, or a tree that a test made. Errors: Unavailable (no cgroups; the memory controller is
  // missing: says how to turn it on).
  static Result<Cgroups> open(std::string root, std::string parent);
  bool v2() const { return v2_; }
  bool swap_accounting() const { return swap_; }

  // Below the root, with a leading '/': "/kayak/burstable/pod<uid>".
  std::string pod_path(QosClass qos, std::string_view pod_uid) const;
  // Makes the pod's group (and its parents) with its limits; again for one that is there. Errors: Io.
  Result<void> make_pod(const std::string& path, const CgroupLimits& limits) const;
  // Kills what is left inside, removes the group and all below. Ok when it is not there. Errors: Io (still busy).
  Result<void> remove_tree(const std::string& path) const;
  // cgroup.procs of a group, one per hierarchy, made when absent.
  Result<std::vector<std::string>> join_files(const std::string& path) const;
  // The group that shims live in: outside the service's, so that they outlive it.
  std::string shims_path() const { return "/" + parent_ + "/shims"; }
  // cgroup.procs of one group, for those who must kill everything in it.
  std::string procs_file(const std::string& path) const;
  // Has the kernel killed a process of this group for want of memory?
  bool oom_killed(const std::string& path) const;
  // Errors: NotFound.
  Result<UsageStats> stats(const std::string& path) const;
  // The groups under our parent that are pods': paths.
  std::vector<std::string> pods() const;
  Result<void> remove_parent() const { return remove_tree("/" + parent_); }

 private:
  struct Hierarchy {
    std::string directory;    // of its root
    std::string controllers;  // ",memory," and the like; empty in v2
  };
  const Hierarchy* with(std::string_view controller) const;
  Result<void> make_group(const Hierarchy& hierarchy, const std::string& path) const;
  Result<void> set_limits(const std::string& path, const CgroupLimits& limits) const;
  Result<void> remove_directory(const std::string& directory) const;

  std::string root_, parent_;
  bool v2_ = false, swap_ = false;
  std::vector<Hierarchy> hierarchies_;
};

}  // namespace kayak::agent
