// linearizability.cc: a depth-first search for an order, which remembers where it has been.
#include "sim/linearizability.h"

#include <algorithm>
#include <unordered_set>

namespace kayak::sim {

namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

// Calls and returns in time order, as a list from which an operation is lifted when it has been put in order.
class Timeline {
 public:
  struct Node {
    std::uint32_t operation;
    bool is_return;
    std::uint32_t before, after, partner;
  };
  explicit Timeline(const std::vector<Operation>& history) {
    struct At {
      Instant time;
      bool is_return;
      std::uint32_t operation;
    };
    std::vector<At> order;
    for (std::uint32_t i = 0; i < history.size(); ++i) {
      order.push_back({history[i].called, false, i});
      order.push_back({history[i].unknown ? Instant{INT64_MAX} : history[i].returned, true, i});
    }
    // Equal times count as overlapping.
    std::sort(order.begin(), order.end(),
              [](const At& a, const At& b) { return a.time != b.time ? a.time < b.time : a.is_return < b.is_return; });
    std::vector<std::uint32_t> call_of(history.size());
    nodes_.push_back({kNone, false, kNone, 1, kNone});  // the head
    for (const At& at : order) {
      const auto place = static_cast<std::uint32_t>(nodes_.size());
      nodes_.push_back({at.operation, at.is_return, place - 1, place + 1, kNone});
      if (!at.is_return) call_of[at.operation] = place;
      if (at.is_return) {
        nodes_[place].partner = call_of[at.operation];
        nodes_[call_of[at.operation]].partner = place;
      }
    }
    nodes_.back().after = kNone;
  }
  std::uint32_t first() const { return nodes_[0].after; }
  const Node& at(std::uint32_t place) const { return nodes_[place]; }
  void lift(std::uint32_t call) {
    unlink(call);
    unlink(nodes_[call].partner);
  }
  void put_back(std::uint32_t call) {
    link(nodes_[call].partner);
    link(call);
  }

 private:
  void unlink(std::uint32_t place) {
    nodes_[nodes_[place].before].after = nodes_[place].after;
    if (nodes_[place].after != kNone) nodes_[nodes_[place].after].before = nodes_[place].before;
  }
  void link(std::uint32_t place) {
    nodes_[nodes_[place].before].after = place;
    if (nodes_[place].after != kNone) nodes_[nodes_[place].after].before = place;
  }
  std::vector<Node> nodes_;
};

// What was put in order so far, and what the register holds then.
struct Visited {
  std::vector<std::uint64_t> done;
  std::uint64_t value = 0;
  bool operator==(const Visited&) const = default;
};
struct HashVisited {
  std::size_t operator()(const Visited& visited) const {
    std::uint64_t hash = visited.value * 0x9E3779B97F4A7C15ULL;
    for (const std::uint64_t word : visited.done) hash = (hash ^ word) * 0xFF51AFD7ED558CCDULL + (hash >> 31);
    return hash;
  }
};

bool allowed(const Operation& operation, std::uint64_t value) {
  switch (operation.type) {
    case Operation::Type::kRead:
      return operation.value == value;
    case Operation::Type::kWrite:
      return true;
    // Of a swap nobody heard of, not even whether it was done is known.
    case Operation::Type::kCompareAndSwap:
      return operation.unknown || operation.expected == value;
  }
  return false;
}

std::uint64_t after(const Operation& operation, std::uint64_t value) {
  if (operation.type == Operation::Type::kRead) return value;
  if (operation.type == Operation::Type::kCompareAndSwap && operation.expected != value) return value;
  return operation.value;
}

// A write of unknown outcome whose value nobody saw can be left out: it may never have happened.
void drop_unseen(std::vector<Operation>* history) {
  std::unordered_set<std::uint64_t> seen;
  for (const Operation& operation : *history) {
    if (operation.type == Operation::Type::kRead) seen.insert(operation.value);
    if (operation.type == Operation::Type::kCompareAndSwap) seen.insert(operation.expected);
  }
  std::erase_if(*history,
                [&](const Operation& operation) { return operation.unknown && !seen.contains(operation.value); });
}

}  // namespace

bool is_linearizable(std::vector<Operation> history) {
  drop_unseen(&history);
  if (history.empty()) return true;
  Timeline timeline(history);
  std::unordered_set<Visited, HashVisited> visited;
  Visited now{std::vector<std::uint64_t>((history.size() + 63) / 64), 0};
  struct Step {
    std::uint32_t call;
    std::uint64_t value_before;
  };
  std::vector<Step> order;
  std::uint32_t place = timeline.first();
  while (timeline.first() != kNone) {
    const Timeline::Node node = timeline.at(place);
    if (!node.is_return) {
      const Operation& operation = history[node.operation];
      if (allowed(operation, now.value)) {
        Visited next = now;
        next.done[node.operation / 64] |= std::uint64_t{1} << (node.operation % 64);
        next.value = after(operation, now.value);
        if (visited.insert(next).second) {
          order.push_back({place, now.value});
          now = std::move(next);
          timeline.lift(place);
          place = timeline.first();
          continue;
        }
      }
      place = node.after;
      continue;
    }
    // This operation has returned and nothing that could come before it fits: one step back.
    if (order.empty()) return false;
    const Step step = order.back();
    order.pop_back();
    const std::uint32_t operation = timeline.at(step.call).operation;
    now.done[operation / 64] &= ~(std::uint64_t{1} << (operation % 64));
    now.value = step.value_before;
    timeline.put_back(step.call);
    place = timeline.at(step.call).after;
  }
  return true;
}

std::string text(const std::vector<Operation>& history) {
  std::string out;
  for (const Operation& operation : history) {
    out += std::to_string(operation.called.nanoseconds / 1000) + " to ";
    out += operation.unknown ? "?" : std::to_string(operation.returned.nanoseconds / 1000);
    if (operation.type == Operation::Type::kRead) out += " us: read ";
    if (operation.type == Operation::Type::kWrite) out += " us: write ";
    if (operation.type == Operation::Type::kCompareAndSwap) {
      out += " us: swap " + std::to_string(operation.expected) + " for ";
    }
    out += std::to_string(operation.value) + "\n";
  }
  return out;
}

}  // namespace kayak::sim
