// gc_graph.h: who owns whom, by uid, and what follows for one object. Pure: values in, decisions out.
// Source: Kubernetes docs, "Garbage Collection", "Owners and Dependents"; metav1.OwnerReference.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/object.h"

namespace kayak::controllers {

inline constexpr const char* kForegroundFinalizer = "foregroundDeletion";
inline constexpr const char* kOrphanFinalizer = "orphan";

struct GcNode {
  const api::Kind* kind = nullptr;
  std::string namespace_, name, uid;
  std::vector<api::OwnerReference> owners;
  bool deleting = false, foreground = false, orphan = false;  // deletionTimestamp; the two finalizers
};

struct GcDecision {
  enum class Type : std::uint8_t {
    kNothing,
    kCheckOwners,       // ask the API whether `unknown` exist, note the absent ones, then decide again
    kDelete,            // by `policy`; before that, if `unblock`, no owner reference of ours is to block its owner
    kDropOwners,        // take the owner references with these uids away; the object stays
    kReleaseOwner,      // orphan: take our uid from all `dependents`, then our finalizer `orphan` away
    kFinishForeground,  // take our finalizer `foregroundDeletion` away
    kDeleteDependents,  // look at each of `dependents` again: they are to go, and then it is our turn
  };
  Type type = Type::kNothing;
  std::string policy;                        // "Background", "Foreground", "Orphan"
  bool unblock = false;                      // kDelete: owners and dependents may form a circle, which ends here
  std::vector<std::string> uids;             // kDropOwners
  std::vector<std::string> dependents;       // uids
  std::vector<api::OwnerReference> unknown;  // kCheckOwners
};

class GcGraph {
 public:
  static GcNode node_of(const api::ObjectRef& object);

  // Adds or replaces; the uids that must be looked at again because of it.
  std::vector<std::string> put(GcNode node);
  std::vector<std::string> remove(const std::string& uid);
  const GcNode* find(const std::string& uid) const;
  // The API said that no object with this uid exists (any more).
  void note_absent(const std::string& uid);
  GcDecision decide(const std::string& uid) const;
  std::size_t size() const { return nodes_.size(); }

 private:
  GcDecision decide_owned(const GcNode& node) const;
  void index(const GcNode& node);
  void unindex(const GcNode& node);
  std::map<std::string, GcNode> nodes_;                      // by uid
  std::map<std::string, std::set<std::string>> dependents_;  // owner uid -> dependents' uids
  std::set<std::string> absent_;                             // bounded: the oldest half goes when it is full
};

}  // namespace kayak::controllers
