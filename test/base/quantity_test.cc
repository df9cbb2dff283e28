#include "base/quantity.h"

#include <catch2/catch.hpp>
#include <limits>

using kayak::Quantity;

TEST_CASE("quantities are written canonically") {
  struct Row {
    std::string text, canonical;
    std::int64_t value, milli;
  };
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  for (const Row& row : {
           Row{"0", "0", 0, 0},
           Row{"-0", "0", 0, 0},
           Row{"0Ki", "0", 0, 0},
           Row{".", "0", 0, 0},
           Row{"+", "0", 0, 0},
           Row{"1", "1", 1, 1000},
           Row{"0.5", "500m", 1, 500},
           Row{".5", "500m", 1, 500},
           Row{"1.", "1", 1, 1000},
           Row{"-0.5", "-500m", -1, -500},
           Row{"100m", "100m", 1, 100},
           Row{"1000m", "1", 1, 1000},
           Row{"1500m", "1500m", 2, 1500},
           Row{"1.5", "1500m", 2, 1500},
           Row{"2000", "2k", 2000, 2'000'000},
           Row{"2001", "2001", 2001, 2'001'000},
           Row{"1000000", "1M", 1'000'000, 1'000'000'000},
           Row{"1024Mi", "1Gi", 1 << 30, (std::int64_t{1} << 30) * 1000},
           Row{"1536Mi", "1536Mi", 1536 << 20, (std::int64_t{1536} << 20) * 1000},
           Row{"1Ki", "1Ki", 1024, 1'024'000},
           Row{"0.5Ki", "512", 512, 512'000},
           Row{"16000", "16k", 16'000, 16'000'000},
           Row{"0.1Ki", "102400m", 103, 102'400},
           Row{"1.1Ki", "1126400m", 1127, 1'126'400},
           Row{"0.5Gi", "512Mi", 512 << 20, (std::int64_t{512} << 20) * 1000},
           Row{"0.0001Ki", "102400u", 1, 103},
           Row{"1023", "1023", 1023, 1'023'000},
           Row{"1u", "1u", 1, 1},
           Row{"1n", "1n", 1, 1},
           Row{"0.1n", "1n", 1, 1},
           Row{"-0.1n", "-1n", -1, -1},
           Row{"1.0000000001", "1000000001n", 2, 1001},
           Row{"0.000000000000000000000000000000000000000000000000000000000001", "1n", 1, 1},
           Row{"1.000000000000000000000000000000000000000000000000000000000001", "1000000001n", 2, 1001},
           Row{"1E", "1E", 1'000'000'000'000'000'000, kMax},
           Row{"10E", "10E", kMax, kMax},
           Row{"-10E", "-10E", kMin, kMin},
           Row{"1000E", "1000E", kMax, kMax},
           Row{"1e3", "1e3", 1000, 1'000'000},
           Row{"12e2", "1200", 1200, 1'200'000},
           Row{"1E-3", "1e-3", 1, 1},
           Row{"1.5e6", "1500e3", 1'500'000, 1'500'000'000},
           Row{"1e30", "170141183460469231731687303715884105727e-9", kMax, kMax},
           Row{"-1e99999999999", "-170141183460469231731687303715884105727e-9", kMin, kMin},
           Row{"1e-99999999999", "1e-9", 1, 1},
           Row{"7Ei", "7Ei", std::int64_t{7} << 60, kMax},
           Row{"8Ei", "9223372036854775807", kMax, kMax},
           Row{"-9Ei", "-9223372036854775807", -kMax, kMin},
           Row{"9999999999999999999999Ei", "9223372036854775807", kMax, kMax},
           Row{"0000123456789Mi", "123456789Mi", std::int64_t{123456789} << 20, (std::int64_t{123456789} << 20) * 1000},
           Row{"123456789.123456789", "123456789123456789n", 123'456'790, 123'456'789'124},
       }) {
    CAPTURE(row.text);
    const auto quantity = Quantity::parse(row.text);
    if (!quantity) FAIL(quantity.error().message());
    CHECK(quantity->to_string() == row.canonical);
    CHECK(quantity->value() == row.value);
    CHECK(quantity->milli_value() == row.milli);
    const auto again = Quantity::parse(row.canonical);
    REQUIRE(again);
    CHECK(*again == *quantity);
    CHECK(again->to_string() == row.canonical);
  }
}

// As upstream's: without a suffix, the text does not say that they were bytes.
TEST_CASE("bytes that 1024 does not divide are written as a plain number") {
  const auto bytes = Quantity::parse("15.625Ki");
  REQUIRE(bytes);
  CHECK(bytes->to_string() == "16000");
  CHECK(*Quantity::canonical_text("15.625Ki") == "16000");
  CHECK(Quantity::parse("16000")->to_string() == "16k");
}

TEST_CASE("upstream keeps a few spellings as they came") {
  struct Row {
    std::string text, kept;
  };
  for (const Row& row :
       {Row{"+1", "+1"}, Row{"01", "01"}, Row{"1.500", "1.500"}, Row{"1.5", "1500m"}, Row{"1E3", "1E3"},
        Row{"1.000", "1"}, Row{"0.500", "500m"}, Row{"1000", "1k"}, Row{"100", "100"}, Row{"1024Mi", "1Gi"},
        Row{"001Gi", "001Gi"}, Row{"+8Gi", "8Gi"}, Row{"+1.5", "1500m"}, Row{"500m", "500m"}, Row{"0", "0"},
        Row{"1234567890123456789", "1234567890123456789"}}) {
    CAPTURE(row.text);
    const auto text = Quantity::canonical_text(row.text);
    if (!text) FAIL(text.error().message());
    CHECK(*text == row.kept);
  }
}

TEST_CASE("what is not a quantity") {
  const std::string format =
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  const std::string suffix = "unable to parse quantity's suffix";
  struct Row {
    std::string text, message;
  };
  for (const Row& row :
       {Row{"", format}, Row{"abc", format}, Row{" 1", format}, Row{"1 ", format}, Row{"1..5", format},
        Row{"1,5", format}, Row{"1Mi5x", format}, Row{"1\xff", format}, Row{"1Mib", format}, Row{"1mi", suffix},
        Row{"1K", suffix}, Row{"1g", format}, Row{"1kM", suffix}, Row{"1e", suffix}, Row{"1Ki5", suffix},
        Row{"1e+", suffix}, Row{"--1", suffix}, Row{"1e99999999999999999999", suffix}, Row{"Ki", "ok"}}) {
    CAPTURE(row.text);
    const auto quantity = Quantity::parse(row.text);
    if (row.message == "ok") {  // upstream reads a bare suffix as zero of it
      REQUIRE(quantity);
      CHECK(quantity->is_zero());
      continue;
    }
    REQUIRE_FALSE(quantity);
    CHECK(quantity.error().code() == kayak::Code::kInvalid);
    CHECK(quantity.error().message() == row.message);
  }
}

TEST_CASE("quantities add, subtract and compare") {
  struct Row {
    std::string a, b, sum, difference;
    int order;
  };
  for (const Row& row :
       {Row{"1", "500m", "1500m", "500m", 1}, Row{"1Gi", "1Gi", "2Gi", "0", 0},
        Row{"1Gi", "1M", "1074741824", "1072741824", 1}, Row{"0", "1Ki", "1Ki", "-1Ki", -1},
        Row{"100m", "0.1", "200m", "0", 0}, Row{"-1", "1", "0", "-2", -1}, Row{"1e3", "1k", "2e3", "0", 0}}) {
    CAPTURE(row.a, row.b);
    const Quantity a = *Quantity::parse(row.a), b = *Quantity::parse(row.b);
    CHECK((a + b).to_string() == row.sum);
    CHECK((a - b).to_string() == row.difference);
    CHECK((a > b) == (row.order > 0));
    CHECK((a < b) == (row.order < 0));
    CHECK((a == b) == (row.order == 0));
  }
  const Quantity huge = *Quantity::parse("1e35");
  CHECK((huge + huge) == huge);
  CHECK((Quantity() - huge - huge) < Quantity());
  CHECK(Quantity::of(5).to_string() == "5");
  CHECK(Quantity::of_milli(1500).to_string() == "1500m");
  CHECK(Quantity::of_binary(1 << 20).to_string() == "1Mi");
  CHECK(Quantity::of_binary(1000).to_string() == "1k");
  CHECK(Quantity::of(-3).sign() == -1);
}
