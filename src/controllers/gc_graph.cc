// gc_graph.cc: see gc_graph.h.
#include "controllers/gc_graph.h"

#include <algorithm>
#include <iterator>

namespace kayak::controllers {

namespace {
constexpr std::size_t kMaxAbsent = 4096;

bool has(const std::vector<std::string>& list, const char* text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// Deleted in the foreground and waiting for its own dependents.
bool waits_for_dependents(const GcNode& node) { return node.deleting && node.foreground; }

bool blocks(const GcNode& dependent, const std::string& owner_uid) {
  return std::any_of(dependent.owners.begin(), dependent.owners.end(),
                     [&](const api::OwnerReference& o) { return o.uid == owner_uid && o.block_owner_deletion; });
}
}  // namespace

GcNode GcGraph::node_of(const api::ObjectRef& object) {
  const api::ObjectHeader& header = object->header();
  GcNode node;
  node.kind = &object->kind();
  node.namespace_ = header.namespace_;
  node.name = header.name;
  node.uid = header.uid;
  node.owners = header.owners;
  node.deleting = header.deleting;
  node.foreground = has(header.finalizers, kForegroundFinalizer);
  node.orphan = has(header.finalizers, kOrphanFinalizer);
  return node;
}

void GcGraph::index(const GcNode& node) {
  for (const api::OwnerReference& owner : node.owners) dependents_[owner.uid].insert(node.uid);
}

void GcGraph::unindex(const GcNode& node) {
  for (const api::OwnerReference& owner : node.owners) {
    auto at = dependents_.find(owner.uid);
    if (at == dependents_.end()) continue;
    at->second.erase(node.uid);
    if (at->second.empty()) dependents_.erase(at);
  }
}

std::vector<std::string> GcGraph::put(GcNode node) {
  std::vector<std::string> look_at;
  auto known = nodes_.find(node.uid);
  const bool is_new = known == nodes_.end();
  if (!is_new) {
    // An owner in foreground deletion may have waited for the reference that is gone now.
    for (const api::OwnerReference& owner : known->second.owners) look_at.push_back(owner.uid);
    unindex(known->second);
  }
  if (!node.owners.empty() || node.deleting) look_at.push_back(node.uid);
  index(node);
  const std::string uid = node.uid;
  absent_.erase(uid);
  nodes_[uid] = std::move(node);
  return look_at;
}

std::vector<std::string> GcGraph::remove(const std::string& uid) {
  std::vector<std::string> look_at;
  auto known = nodes_.find(uid);
  if (known == nodes_.end()) return look_at;
  for (const api::OwnerReference& owner : known->second.owners) look_at.push_back(owner.uid);
  unindex(known->second);
  nodes_.erase(known);
  note_absent(uid);
  if (auto at = dependents_.find(uid); at != dependents_.end())
    look_at.insert(look_at.end(), at->second.begin(), at->second.end());
  return look_at;
}

const GcNode* GcGraph::find(const std::string& uid) const {
  auto at = nodes_.find(uid);
  return at == nodes_.end() ? nullptr : &at->second;
}

void GcGraph::note_absent(const std::string& uid) {
  if (absent_.size() >= kMaxAbsent) absent_.erase(absent_.begin(), std::next(absent_.begin(), kMaxAbsent / 2));
  absent_.insert(uid);
}

GcDecision GcGraph::decide(const std::string& uid) const {
  const GcNode* node = find(uid);
  if (!node) return GcDecision();
  auto at = dependents_.find(uid);
  if (node->deleting && node->orphan) {
    GcDecision decision;
    decision.type = GcDecision::Type::kReleaseOwner;
    if (at != dependents_.end()) decision.dependents.assign(at->second.begin(), at->second.end());
    return decision;
  }
  if (waits_for_dependents(*node)) {
    GcDecision decision;
    decision.type = GcDecision::Type::kFinishForeground;
    if (at == dependents_.end()) return decision;
    for (const std::string& dependent : at->second) {
      const GcNode* other = find(dependent);
      if (!other || !blocks(*other, uid)) continue;
      decision.type = GcDecision::Type::kDeleteDependents;
      // One that waits for dependents itself is on its way; owners in a circle would look at each other for ever.
      if (!waits_for_dependents(*other)) decision.dependents.push_back(dependent);
    }
    return decision;
  }
  if (node->deleting || node->owners.empty()) return GcDecision();
  return decide_owned(*node);
}

GcDecision GcGraph::decide_owned(const GcNode& node) const {
  GcDecision decision;
  std::vector<std::string> dangling, waiting;
  bool solid = false;
  for (const api::OwnerReference& reference : node.owners) {
    const GcNode* owner = find(reference.uid);
    if (owner) {
      // A namespaced owner counts in its own namespace only; names in a reference that fit another object do not count.
      const bool fits = owner->namespace_.empty() || owner->namespace_ == node.namespace_;
      if (!fits) {
        dangling.push_back(reference.uid);
      } else if (waits_for_dependents(*owner)) {
        waiting.push_back(reference.uid);
      } else {
        solid = true;
      }
    } else if (absent_.count(reference.uid) != 0) {
      dangling.push_back(reference.uid);
    } else {
      decision.unknown.push_back(reference);
    }
  }
  if (!decision.unknown.empty()) {
    decision.type = GcDecision::Type::kCheckOwners;
    return decision;
  }
  if (solid) {
    if (dangling.empty() && waiting.empty()) return GcDecision();
    decision.type = GcDecision::Type::kDropOwners;
    decision.uids = std::move(dangling);
    decision.uids.insert(decision.uids.end(), waiting.begin(), waiting.end());
    return decision;
  }
  decision.type = GcDecision::Type::kDelete;
  const auto dependents = dependents_.find(node.uid);
  const bool has_dependents = dependents != dependents_.end();
  if (!waiting.empty() && has_dependents) {
    decision.unblock =
        std::any_of(dependents->second.begin(), dependents->second.end(), [this](const std::string& dependent) {
          const GcNode* other = find(dependent);
          return other && waits_for_dependents(*other);
        });
  }
  decision.policy = node.orphan                                                 ? "Orphan"
                    : (node.foreground || (!waiting.empty() && has_dependents)) ? "Foreground"
                                                                                : "Background";
  return decision;
}

}  // namespace kayak::controllers
