// linearizability_test.cc: the checker itself, on histories small enough to judge by eye and against a slow one.
#include "sim/linearizability.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/sim_random.h"

namespace kayak::sim {
namespace {

using Type = Operation::Type;

Operation op(Type type, std::uint64_t value, std::int64_t called, std::int64_t returned, std::uint64_t expected = 0) {
  return {.type = type, .value = value, .expected = expected, .called = {called}, .returned = {returned}};
}
Operation lost(Type type, std::uint64_t value, std::int64_t called, std::uint64_t expected = 0) {
  Operation operation = op(type, value, called, 0, expected);
  operation.unknown = true;
  return operation;
}

TEST_CASE("linearizability of small histories") {
  struct Row {
    const char* what;
    std::vector<Operation> history;
    bool fine;
  };
  const Row rows[] = {
      {"nothing", {}, true},
      {"reads its write", {op(Type::kWrite, 1, 0, 1), op(Type::kRead, 1, 2, 3)}, true},
      {"stale read", {op(Type::kWrite, 1, 0, 1), op(Type::kRead, 0, 2, 3)}, false},
      {"overlapping read, old", {op(Type::kWrite, 1, 0, 5), op(Type::kRead, 0, 2, 3)}, true},
      {"overlapping read, new", {op(Type::kWrite, 1, 0, 5), op(Type::kRead, 1, 2, 3)}, true},
      {"new, then old", {op(Type::kWrite, 1, 0, 9), op(Type::kRead, 1, 2, 3), op(Type::kRead, 0, 4, 5)}, false},
      {"a value nobody wrote", {op(Type::kRead, 7, 0, 1)}, false},
      {"lost write seen later", {lost(Type::kWrite, 1, 0), op(Type::kRead, 1, 5, 6)}, true},
      {"lost write never seen", {lost(Type::kWrite, 1, 0), op(Type::kRead, 0, 5, 6)}, true},
      {"lost write seen, then undone",
       {lost(Type::kWrite, 1, 0), op(Type::kRead, 1, 5, 6), op(Type::kRead, 0, 7, 8)},
       false},
      {"lost write seen before its call", {op(Type::kRead, 1, 0, 1), lost(Type::kWrite, 1, 2)}, false},
      {"swap", {op(Type::kWrite, 1, 0, 1), op(Type::kCompareAndSwap, 2, 2, 3, 1), op(Type::kRead, 2, 4, 5)}, true},
      {"swap of what was not there", {op(Type::kWrite, 1, 0, 1), op(Type::kCompareAndSwap, 2, 2, 3, 0)}, false},
      {"two swaps of one value",
       {op(Type::kWrite, 1, 0, 1), op(Type::kCompareAndSwap, 2, 2, 9, 1), op(Type::kCompareAndSwap, 3, 2, 9, 1)},
       false},
      {"lost swap that was done", {lost(Type::kCompareAndSwap, 2, 0, 0), op(Type::kRead, 2, 3, 4)}, true},
      {"lost swap that could not be done",
       {op(Type::kWrite, 1, 0, 1), lost(Type::kCompareAndSwap, 2, 2, 0), op(Type::kRead, 2, 3, 4)},
       false},
      {"two writes, reads disagree on their order",
       {op(Type::kWrite, 1, 0, 9), op(Type::kWrite, 2, 0, 9), op(Type::kRead, 1, 10, 11), op(Type::kRead, 2, 12, 13)},
       false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(is_linearizable(row.history) == row.fine);
  }
}

// All orders, tried one by one.
bool slow_answer(const std::vector<Operation>& history) {
  std::vector<std::size_t> order(history.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  do {
    std::uint64_t value = 0;
    bool fits = true;
    for (std::size_t i = 0; fits && i < order.size(); ++i) {
      const Operation& operation = history[order[i]];
      for (std::size_t later = i + 1; later < order.size(); ++later) {
        if (history[order[later]].returned < operation.called) fits = false;
      }
      if (operation.type == Type::kRead) fits = fits && value == operation.value;
      if (operation.type == Type::kCompareAndSwap) fits = fits && value == operation.expected;
      if (operation.type != Type::kRead) value = operation.value;
    }
    if (fits) return true;
  } while (std::next_permutation(order.begin(), order.end()));
  return false;
}

TEST_CASE("linearizability agrees with trying every order") {
  Dice dice(4711);
  int fine = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<Operation> history;
    for (std::uint64_t i = 0; i < 6; ++i) {
      const auto type = static_cast<Type>(dice.below(3));
      const std::int64_t called = dice.between(0, 20);
      const std::uint64_t value = type == Type::kRead ? dice.below(7) : i + 1;
      history.push_back(op(type, value, called, called + dice.between(0, 12), dice.below(7)));
    }
    INFO(text(history));
    const bool expected = slow_answer(history);
    fine += expected;
    REQUIRE(is_linearizable(history) == expected);
  }
  CHECK(fine > 20);  // both answers were seen
}

}  // namespace
}  // namespace kayak::sim
