#include "base/strings.h"

#include <catch2/catch.hpp>

using namespace kayak;

TEST_CASE("texts are joined, split and trimmed") {
  CHECK(cat("a", std::string("b"), 'c', 1, -2, true, std::uint64_t{18446744073709551615u}) ==
        "abc1-2true18446744073709551615");
  CHECK(split("a,,b", ',') == std::vector<std::string_view>{"a", "", "b"});
  CHECK(split("", ',') == std::vector<std::string_view>{""});
  CHECK(join({"a", "b"}, ", ") == "a, b");
  CHECK(join({}, ", ").empty());
  CHECK(trim(" \t\r\n a b \v\f") == "a b");
  CHECK(to_lower("ÀBc-Z") == "Àbc-z");
  CHECK(iequals("Content-Type", "content-tYPE"));
  CHECK_FALSE(iequals("a", "ab"));
}

TEST_CASE("quote is Go's strconv.Quote") {
  struct Row {
    std::string text, quoted;
  };
  for (const Row& row :
       {Row{"", R"("")"}, Row{"a b", R"("a b")"}, Row{"a\"b\\c", R"("a\"b\\c")"},
        Row{std::string("\a\b\f\n\r\t\v\0\x1f\x7f", 10), R"("\a\b\f\n\r\t\v\x00\x1f\x7f")"}, Row{"\xff", R"("\xff")"},
        Row{"é😀", "\"é😀\""}, Row{"\u00a0\u200b\u2028\ufeff", R"("\u00a0\u200b\u2028\ufeff")"},
        Row{"\U000e0001", R"("\U000e0001")"}}) {
    CHECK(quote(row.text) == row.quoted);
  }
}

TEST_CASE("integers fill the whole text") {
  struct Row {
    std::string text;
    bool ok;
    std::int64_t value;
  };
  for (const Row& row :
       {Row{"0", true, 0}, Row{"-5", true, -5}, Row{"+5", true, 5}, Row{"9223372036854775807", true, INT64_MAX},
        Row{"9223372036854775808", false, 0}, Row{"-9223372036854775808", true, INT64_MIN}, Row{"", false, 0},
        Row{"+", false, 0}, Row{"+-5", false, 0}, Row{" 5", false, 0}, Row{"5x", false, 0}, Row{"0x5", false, 0}}) {
    CAPTURE(row.text);
    std::int64_t value = 77;
    CHECK(parse_int64(row.text, &value) == row.ok);
    CHECK(value == (row.ok ? row.value : 77));
  }
}

TEST_CASE("base64 and hex, both ways") {
  struct Row {
    std::string bytes, standard, url, hex;
  };
  for (const Row& row :
       {Row{"", "", "", ""}, Row{"f", "Zg==", "Zg", "66"}, Row{"fo", "Zm8=", "Zm8", "666f"},
        Row{"foo", "Zm9v", "Zm9v", "666f6f"}, Row{"foobar", "Zm9vYmFy", "Zm9vYmFy", "666f6f626172"},
        Row{std::string("\xfb\xff\x00", 3), "+/8A", "-_8A", "fbff00"}, Row{"\xff\xfe", "//4=", "__4", "fffe"}}) {
    CAPTURE(row.standard);
    CHECK(base64_encode(row.bytes) == row.standard);
    CHECK(base64url_encode(row.bytes) == row.url);
    CHECK(hex_encode(row.bytes) == row.hex);
    std::string out = "unchanged";
    CHECK((base64_decode(row.standard, &out) && out == row.bytes));
    CHECK((base64url_decode(row.url, &out) && out == row.bytes));
    CHECK((hex_decode(row.hex, &out) && out == row.bytes));
  }
  std::string out = "unchanged";
  CHECK((base64_decode("Zm9v\r\nYmFy\n", &out) && out == "foobar"));
  CHECK((base64url_decode("Zg==", &out) && out == "f"));
  for (const char* bad : {"Zg", "Zg=", "Z", "Zg===", "=", "====", "Z=g=", "Zm9v Zg==", "Zg==Zg==", "-_8A", "Zm9\xff"}) {
    CAPTURE(bad);
    out = "unchanged";
    CHECK_FALSE(base64_decode(bad, &out));
    CHECK(out == "unchanged");
  }
  for (const char* bad : {"Z", "+/8A", "Zg=", "Zg==="}) {
    CAPTURE(bad);
    CHECK_FALSE(base64url_decode(bad, &out));
  }
  CHECK((hex_decode("FF0a", &out) && out == "\xff\n"));
  CHECK_FALSE(hex_decode("f", &out));
  CHECK_FALSE(hex_decode("0g", &out));
}

TEST_CASE("bytes that are not UTF-8 become replacement characters, one each") {
  struct Row {
    std::string bytes, valid;
  };
  for (const Row& row :
       {Row{"aé€😀", "aé€😀"}, Row{"\x80", "\ufffd"}, Row{"\xc0\x80", "\ufffd\ufffd"}, Row{"\xe2\x82", "\ufffd\ufffd"},
        Row{"\xed\xa0\x80", "\ufffd\ufffd\ufffd"}, Row{"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
        Row{"\xe0\x80\xaf", "\ufffd\ufffd\ufffd"}, Row{"\xf8", "\ufffd"}, Row{"a\xc3", "a\ufffd"}}) {
    CAPTURE(hex_encode(row.bytes));
    CHECK(to_valid_utf8(row.bytes) == row.valid);
    CHECK(is_valid_utf8(row.bytes) == (row.bytes == row.valid));
  }
  std::string out;
  for (const char32_t c : {U'a', U'\u00e9', U'\u20ac', U'\U0001f600'}) append_utf8(out, c);
  CHECK(out == "aé€😀");
}
