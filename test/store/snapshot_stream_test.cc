// snapshot_stream_test.cc: what a stream says comes out again, and no other bytes are taken for one.
#include "store/snapshot_stream.h"

#include <catch2/catch.hpp>

#include "base/endian.h"
#include "base/strings.h"
#include "store/checksum.h"

using namespace kayak;
using namespace kayak::store;

namespace {

SnapshotHead some_head() {
  SnapshotHead head;
  head.index = 900;
  head.term = 4;
  head.revision = 700;
  head.floor = 650;
  head.membership = raft::Membership{{11, 22}, {33}, 44};
  head.membership_index = 500;
  head.keys = 2;
  head.store_id = "0123456789abcdef";
  return head;
}

struct TestRow {
  RowId row;
  RowView view;
};

TestRow put_row(LogIndex index, std::size_t ordinal, Revision revision, std::string_view key, std::string_view value) {
  TestRow row{row_id(index, ordinal), RowView()};
  row.view.type = EffectType::kPut;
  row.view.term = revision < 660 ? 3 : 4;
  row.view.revision = revision;
  row.view.key = key;
  row.view.value = value;
  row.view.create_revision = revision - 1;
  row.view.version = 2;
  row.view.previous_row = row_id(index - 1, 0);
  return row;
}
TestRow membership_row() {
  TestRow row{row_id(500, 0), RowView()};
  row.view.type = EffectType::kMembership;
  row.view.term = 3;
  row.view.revision = 400;
  row.view.membership = std::make_shared<const raft::Membership>(some_head().membership);
  return row;
}
TestRow compact_row(Revision floor) {
  TestRow row{row_id(700, 0), RowView()};
  row.view.type = EffectType::kCompact;
  row.view.term = 4;
  row.view.revision = 660;
  row.view.floor = floor;
  return row;
}

// A stream of one slice for each list of rows.
std::vector<std::string> write(const SnapshotHead& head, const std::vector<std::vector<TestRow>>& slices) {
  SnapshotWriter writer;
  std::vector<std::string> out{writer.head(head)};
  std::string bytes;
  for (const auto& rows : slices) {
    for (const TestRow& row : rows) {
      encode_view(row.row, row.view, RowContext(), &bytes);
      writer.add(row.row, bytes);
    }
    out.push_back(writer.take_rows());
  }
  out.push_back(writer.end());
  return out;
}
std::vector<std::string> good_stream() {
  return write(some_head(), {{put_row(300, 2, 350, "/a", "one"), membership_row()},
                             {compact_row(650), put_row(900, 7, 700, "/b", std::string_view("\0\1", 2))}});
}
std::string join(const std::vector<std::string>& slices) {
  std::string out;
  for (const std::string& slice : slices) out += slice;
  return out;
}

struct Read {
  std::string text;  // "row:key=value" and so on
  std::size_t used = 0;
  Result<void> result;
};
// In pieces of `piece` bytes.
Read read(std::string_view bytes, std::size_t piece = SIZE_MAX) {
  Read out;
  auto row = [&out](RowId id, const RowView& view, std::string_view) {
    out.text += cat(id, ":", view.key, "=", view.value, " ");
    return Result<void>();
  };
  SnapshotReader reader(SnapshotReader::Sink{nullptr, row});
  while (out.used < bytes.size() && out.result && !reader.complete()) {
    auto used = reader.feed(bytes.substr(out.used, piece));
    if (!used) out.result = used.error();
    if (used) out.used += *used;
  }
  if (out.result) out.result = reader.finish();
  if (out.result) CHECK(*reader.head() == some_head());
  return out;
}

}  // namespace

TEST_CASE("a stream comes out as it went in, however it is cut") {
  const std::string stream = join(good_stream());
  const std::string wanted = cat(row_id(300, 2), ":/a=one ", row_id(500, 0), ":= ", row_id(700, 0),
                                 ":= ", row_id(900, 7), ":/b=", std::string_view("\0\1", 2), " ");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{64}, stream.size(), std::size_t{9999}}) {
    CAPTURE(piece);
    // What follows is not its business.
    const Read got = read(stream + "more", piece);
    REQUIRE(got.result.ok());
    CHECK(got.used == stream.size());
    CHECK(got.text == wanted);
  }
  CHECK(read(join(write(some_head(), {}))).result.error().message().find("0 keys came instead of 2") !=
        std::string::npos);
}

TEST_CASE("a stream with any bit flipped, cut short, or in another order is refused") {
  const std::vector<std::string> slices = good_stream();
  const std::string stream = join(slices);
  for (std::size_t at = 0; at < stream.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      CAPTURE(at, bit);
      std::string flipped = stream;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
      const Read got = read(flipped);
      REQUIRE_FALSE(got.result.ok());
      REQUIRE(got.result.error().code() == Code::kCorrupt);
    }
    REQUIRE(read(stream.substr(0, at)).result.error().code() == Code::kCorrupt);
  }
  const auto& s = slices;
  for (const auto& order : std::vector<std::vector<std::string>>{{s[0], s[2], s[1], s[3]},
                                                                 {s[0], s[1], s[3]},
                                                                 {s[0], s[1], s[1], s[2], s[3]},
                                                                 {s[0], s[0], s[1], s[2], s[3]},
                                                                 {s[1], s[2], s[3]},
                                                                 {s[0], s[1], s[2]}}) {
    REQUIRE(read(join(order)).result.error().code() == Code::kCorrupt);
  }
}

TEST_CASE("a stream that contradicts itself is refused, though its checksums match") {
  TestRow deleted = put_row(300, 0, 350, "/a", "");
  deleted.view.type = EffectType::kDelete;
  TestRow other_members = membership_row();
  other_members.view.membership = std::make_shared<const raft::Membership>(raft::Membership{{11}, {}, 0});
  TestRow late_term = put_row(300, 0, 350, "/a", "");
  late_term.view.term = 5;
  TestRow too_far = put_row(901, 0, 700, "/a", "");
  struct Row {
    const char* what;
    std::vector<TestRow> rows;
  };
  for (const Row& row : {Row{"a deletion lives", {deleted}}, Row{"another membership", {other_members}},
                         Row{"a term after the last", {late_term}}, Row{"an entry after the last", {too_far}},
                         Row{"a revision after the last", {put_row(300, 0, 701, "/a", "")}},
                         Row{"a revision goes back", {put_row(300, 0, 350, "/a", ""), put_row(301, 0, 349, "/b", "")}},
                         Row{"a floor above the head's", {compact_row(651)}}}) {
    CAPTURE(row.what);
    const Read got = read(join(write(some_head(), {row.rows})));
    REQUIRE_FALSE(got.result.ok());
    CHECK(got.result.error().code() == Code::kCorrupt);
    CHECK(got.result.error().message().find("the snapshot is damaged") == 0);
  }
}

TEST_CASE("a stream of another format says so") {
  std::string head = good_stream()[0];
  head[5 + 15] = 2;
  head.resize(head.size() - 4);
  put_little(&head, crc32c(0, std::string(8, '\0') + head), 4);
  const Read got = read(head);
  CHECK(got.result.error().code() == Code::kInvalid);
  CHECK(got.result.error().message().find("format 2") != std::string::npos);
}
