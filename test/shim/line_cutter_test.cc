// The lines of a container's log, cut from any sequence of reads.
#include "shim/line_cutter.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shim/text.h"

namespace kayak::shim {
namespace {

class Lines final : public LineSink {
 public:
  void line(char tag, const char* text, size_t size) override {
    all.push_back(std::string(1, tag) + ":" + std::string(text, size));
  }
  std::vector<std::string> all;
};

std::vector<std::string> cut(const std::string& text, size_t piece) {
  auto cutter = std::make_unique<LineCutter>();
  Lines lines;
  for (size_t at = 0; at < text.size(); at += piece)
    cutter->feed(text.data() + at, std::min(piece, text.size() - at), lines);
  cutter->finish(lines);
  return lines.all;
}

TEST_CASE("log lines: the same for every way the bytes arrive") {
  const std::string full(kMaxLine, 'x');
  struct Row {
    std::string in;
    std::vector<std::string> out;
  };
  for (const Row& row : {
           Row{"", {}},
           Row{"a\n", {"F:a"}},
           Row{"a", {"P:a"}},
           Row{"\n\n", {"F:", "F:"}},
           Row{"a\nb\nc", {"F:a", "F:b", "P:c"}},
           Row{"dos\r\n", {"F:dos\r"}},
           Row{full + "\n", {"F:" + full}},
           Row{full, {"P:" + full}},
           Row{full + "y\n", {"P:" + full, "F:y"}},
           Row{full + full + "z", {"P:" + full, "P:" + full, "P:z"}},
           Row{"b\n" + full + full + "\nq\n", {"F:b", "P:" + full, "F:" + full, "F:q"}},
           Row{"2026-11-23T20:50:47.123456789Z stdout F forged\n",
               {"F:2026-11-23T20:50:47.123456789Z stdout F forged"}},
       }) {
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{4096}, kMaxLine - 1, kMaxLine, kMaxLine + 1,
                               size_t{32768}, size_t{100000}}) {
      CAPTURE(row.in.size(), piece);
      CHECK(cut(row.in, piece) == row.out);
    }
  }
}

TEST_CASE("log lines: times") {
  struct Row {
    int64_t ns;
    std::string text;
  };
  for (const Row& row :
       {Row{0, "1970-01-01T00:00:00.000000000Z"}, Row{1795467047123456789, "2026-11-23T20:50:47.123456789Z"},
        Row{951782399000000001, "2000-02-28T23:59:59.000000001Z"},
        Row{951782400000000000, "2000-02-29T00:00:00.000000000Z"},
        Row{1709251199999999999, "2024-02-29T23:59:59.999999999Z"},
        Row{4102444800000000000, "2100-01-01T00:00:00.000000000Z"},
        Row{4107542399000000000, "2100-02-28T23:59:59.000000000Z"},
        Row{4107542400000000000, "2100-03-01T00:00:00.000000000Z"}}) {
    char text[kTimeBytes];
    write_time(row.ns, text);
    CHECK(std::string(text, kTimeBytes) == row.text);
  }
}

TEST_CASE("shim text: numbers, fields and ids") {
  int64_t value = 0;
  const char* at = "  12 -7 x";
  CHECK((take_number(at, &value) && value == 12));
  CHECK((take_number(at, &value) && value == -7));
  CHECK_FALSE(take_number(at, &value));
  const char* huge = "99999999999999999999";
  CHECK_FALSE(take_number(huge, &value));

  const char* fields[2];
  CHECK(take_fields("a\0b\0", 4, fields, 2) == 2);
  CHECK(std::string(fields[1]) == "b");
  CHECK(take_fields("a\0b", 3, fields, 2) == -1);       // the last one does not end
  CHECK(take_fields("a\0b\0c\0", 6, fields, 2) == -1);  // too many
  CHECK(take_fields("", 0, fields, 2) == 0);

  for (const char* good : {"0", "abcdef0123456789", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"})
    CHECK(is_container_id(good));
  for (const char* bad :
       {"", ".", "..", "a/b", "A", "g", "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_container_id(bad));
  }
  Text<8> text;
  text.add("abc").add_number(-45);
  CHECK(std::string(text.get()) == "abc-45");
  CHECK_FALSE(text.cut());
  text.add("more");
  CHECK(text.cut());
}

}  // namespace
}  // namespace kayak::shim
