// gc_graph_test.cc: what follows from owner references: background, foreground, orphan, absent owners, mixed owners.
#include "controllers/gc_graph.h"

#include <catch2/catch.hpp>

using namespace kayak;
using namespace kayak::controllers;
using Type = GcDecision::Type;

namespace {
GcNode node(const std::string& uid, const std::vector<std::string>& owners = {}, bool block = true,
            const std::string& ns = "ns") {
  GcNode n;
  n.uid = n.name = uid;
  n.namespace_ = ns;
  for (const std::string& owner : owners) {
    api::OwnerReference reference;
    reference.uid = reference.name = owner;
    reference.block_owner_deletion = block;
    n.owners.push_back(reference);
  }
  return n;
}
GcNode deleting(GcNode n, bool foreground, bool orphan = false) {
  n.deleting = true;
  n.foreground = foreground;
  n.orphan = orphan;
  return n;
}
}  // namespace

TEST_CASE("a dependent of a living owner stays") {
  GcGraph graph;
  graph.put(node("owner"));
  graph.put(node("child", {"owner"}));
  CHECK(graph.decide("child").type == Type::kNothing);
}

TEST_CASE("an owner that was never seen is asked for before anything is deleted") {
  GcGraph graph;
  CHECK(graph.put(node("child", {"owner"})) == std::vector<std::string>{"child"});
  const GcDecision ask = graph.decide("child");
  REQUIRE(ask.type == Type::kCheckOwners);
  CHECK(ask.unknown.front().uid == "owner");
  graph.note_absent("owner");
  const GcDecision decision = graph.decide("child");
  CHECK(decision.type == Type::kDelete);
  CHECK(decision.policy == "Background");
}

TEST_CASE("removing an owner brings its dependents up") {
  GcGraph graph;
  graph.put(node("owner"));
  graph.put(node("a", {"owner"}));
  graph.put(node("b", {"owner"}));
  CHECK(graph.remove("owner") == std::vector<std::string>{"a", "b"});
  CHECK(graph.decide("a").type == Type::kDelete);
}

TEST_CASE("foreground deletion: dependents first, then the owner's finalizer") {
  GcGraph graph;
  graph.put(node("owner"));
  graph.put(node("child", {"owner"}));
  graph.put(node("grandchild", {"child"}));
  graph.put(deleting(node("owner"), true));
  CHECK(graph.decide("owner").type == Type::kDeleteDependents);
  const GcDecision child = graph.decide("child");
  CHECK(child.type == Type::kDelete);
  CHECK(child.policy == "Foreground");
  graph.remove("grandchild");
  CHECK(graph.remove("child") == std::vector<std::string>{"owner"});
  CHECK(graph.decide("owner").type == Type::kFinishForeground);
}

TEST_CASE("a dependent that does not block lets its owner go first") {
  GcGraph graph;
  graph.put(deleting(node("owner"), true));
  graph.put(node("child", {"owner"}, false));
  CHECK(graph.decide("owner").type == Type::kFinishForeground);
}

TEST_CASE("orphaning lets every dependent go") {
  GcGraph graph;
  graph.put(node("owner"));
  graph.put(node("child", {"owner"}));
  graph.put(deleting(node("owner"), false, true));
  const GcDecision decision = graph.decide("owner");
  CHECK(decision.type == Type::kReleaseOwner);
  CHECK(decision.dependents == std::vector<std::string>{"child"});
}

TEST_CASE("with several owners one living is enough, and dead references are dropped") {
  GcGraph graph;
  graph.put(node("alive"));
  graph.put(deleting(node("leaving"), true));
  graph.put(node("child", {"alive", "gone", "leaving"}));
  graph.note_absent("gone");
  const GcDecision decision = graph.decide("child");
  CHECK(decision.type == Type::kDropOwners);
  CHECK(decision.uids == std::vector<std::string>{"gone", "leaving"});
}

TEST_CASE("a namespaced owner of another namespace does not count") {
  GcGraph graph;
  graph.put(node("owner", {}, true, "other"));
  graph.put(node("child", {"owner"}));
  CHECK(graph.decide("child").type == Type::kDelete);
  graph.put(node("cluster", {}, true, ""));
  graph.put(node("held", {"cluster"}));
  CHECK(graph.decide("held").type == Type::kNothing);
}

TEST_CASE("what is being deleted already is left alone") {
  GcGraph graph;
  graph.note_absent("gone");
  graph.put(deleting(node("child", {"gone"}), false));
  CHECK(graph.decide("child").type == Type::kNothing);
}

TEST_CASE("owners in a circle do not wait for each other") {
  GcGraph graph;
  graph.put(deleting(node("a", {"c"}), true));
  graph.put(node("b", {"a"}));
  graph.put(node("c", {"b"}));
  CHECK(graph.decide("a").dependents == std::vector<std::string>{"b"});
  GcDecision b = graph.decide("b");
  CHECK(b.type == Type::kDelete);
  CHECK(b.policy == "Foreground");
  CHECK_FALSE(b.unblock);  // its dependent c is not waiting yet
  graph.put(deleting(node("b", {"a"}), true));
  // b is on its way: looking at it again brings nothing.
  const GcDecision a = graph.decide("a");
  CHECK(a.type == Type::kDeleteDependents);
  CHECK(a.dependents.empty());
  const GcDecision c = graph.decide("c");
  CHECK(c.type == Type::kDelete);
  CHECK(c.unblock);  // its dependent a waits
  graph.put(deleting(node("c", {"b"}, false), true));
  CHECK(graph.decide("b").type == Type::kFinishForeground);
}
