// witness_file_test.cc: a witness' state as it lies on disk: what was written is read, and any damage is seen.
#include "store/witness_file.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "support/scratch.h"

namespace kayak::store {
namespace {

WitnessState voted() {
  WitnessState state;
  state.self = 0xfedcba9876543210;
  state.hard.term = 7;
  state.hard.vote = 3;
  state.record = raft::WitnessRecord{6, 2, 1000, 5, {3, 0xffffffffffffffff}};
  return state;
}

TEST_CASE("a witness' state comes back as it was written") {
  WitnessState state;
  state.self = 1;
  CHECK(*decode_witness_state(encode_witness_state(state)) == state);
  CHECK(*decode_witness_state(encode_witness_state(voted())) == voted());
  state.record = raft::WitnessRecord();
  CHECK(*decode_witness_state(encode_witness_state(state)) == state);
  state.lost = true;
  CHECK(*decode_witness_state(encode_witness_state(state)) == state);
}

TEST_CASE("every flipped bit and every cut of a witness' state is seen") {
  const std::string good = encode_witness_state(voted());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    CAPTURE(bit);
    CHECK_FALSE(decode_witness_state(bad));
  }
  for (std::size_t size = 0; size < good.size(); ++size) CHECK_FALSE(decode_witness_state(good.substr(0, size)));
  CHECK_FALSE(decode_witness_state(good + '\0'));
}

TEST_CASE("a write that is cut off leaves the state before it") {
  const kayak::test::Scratch scratch;
  const std::string path = scratch.file("state");
  CHECK(read_witness_state(path).error().code() == Code::kNotFound);
  REQUIRE(write_witness_state(path, voted()));
  WitnessState next = voted();
  next.hard.term = 8;
  next.hard.vote = raft::kNobody;
  // What write_file_atomic leaves behind when the power goes: a part of a file beside, whatever it is called.
  const std::string bytes = encode_witness_state(next);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    REQUIRE(write_file_atomic(path + ".tmp", bytes.substr(0, size), 0600));
    REQUIRE(*read_witness_state(path) == voted());
  }
  REQUIRE(write_witness_state(path, next));
  CHECK(*read_witness_state(path) == next);
  REQUIRE(write_file_atomic(path, "garbage", 0600));
  const Result<WitnessState> damaged = read_witness_state(path);
  CHECK(damaged.error().code() == Code::kCorrupt);
  CHECK(damaged.error().message().find(path) != std::string::npos);
  REQUIRE(write_file_atomic(path, std::string(10'000, 'x'), 0600));
  CHECK(read_witness_state(path).error().code() == Code::kCorrupt);
}

}  // namespace
}  // namespace kayak::store
