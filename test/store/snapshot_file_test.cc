// snapshot_file_test.cc: a snapshot file opens under its passphrase, whole and unchanged, or not at all.
#include "store/snapshot_file.h"

#include <catch2/catch.hpp>

#include "base/endian.h"
#include "base/strings.h"
#include "store/checksum.h"

using namespace kayak;
using namespace kayak::store;

namespace {

constexpr const char* kPassphrase = "correct horse";

SnapshotInfo some_info() { return SnapshotInfo{"node-1", "c0ffee", "v1", 1'790'000'000, 700, 3}; }
std::vector<KeptFile> some_files() {
  return {KeptFile{"tls/server-ca.key", 0600, "key"}, KeptFile{"token", 0640, std::string("\0\n", 2)}};
}

struct Written {
  std::string head;                // magic word and head
  std::string secrets;             // the record of the passphrase
  std::vector<std::string> parts;  // data, end
  std::string all() const { return head + secrets + join(parts, ""); }
};
// Making and opening files takes a while each, so most cases share this one.
const Written& written() {
  static const Written kWritten = [] {
    SystemRandom random;
    SnapshotFileWriter writer(random);
    Written out;
    const std::string begin = writer.begin(some_info(), some_files(), kPassphrase);
    const std::size_t length = 22 + 5 + 4 + little32(begin, 22);
    out.head = begin.substr(0, length);
    out.secrets = begin.substr(length);
    out.parts = {writer.data("first slice"), writer.data(std::string(100'000, 'z')), writer.data("third slice"),
                 writer.end()};
    return out;
  }();
  return kWritten;
}

struct Read {
  Result<void> result;
  std::optional<SnapshotInfo> info;
  std::vector<KeptFile> files;
  std::vector<std::string> slices;
};
Read read(std::string_view bytes, std::optional<std::string> passphrase, std::size_t piece = SIZE_MAX) {
  Read out;
  SnapshotFileReader::Sink sink;
  sink.files = [&out](std::vector<KeptFile> files) {
    out.files = std::move(files);
    return Result<void>();
  };
  sink.data = [&out](std::string_view slice) {
    out.slices.emplace_back(slice);
    return Result<void>();
  };
  SnapshotFileReader reader(std::move(passphrase), std::move(sink));
  for (std::size_t at = 0; at < bytes.size() && out.result; at += std::min(piece, bytes.size() - at)) {
    out.result = reader.feed(bytes.substr(at, piece));
  }
  if (out.result) out.result = reader.finish();
  out.info = reader.info();
  return out;
}

// The record with its checksum made right again.
std::string resealed(std::string record) {
  record.resize(record.size() - 4);
  put_little(&record, crc32c(0, record), 4);
  return record;
}
std::string flipped(std::string record, std::size_t at) {
  record[at] = static_cast<char>(record[at] ^ 4);
  return resealed(std::move(record));
}

}  // namespace

TEST_CASE("a snapshot file comes out as it went in, however it is cut") {
  const std::string bytes = written().all();
  CHECK(bytes.size() < 5'000);  // what repeats takes little room
  CHECK(bytes.find("first slice") == std::string::npos);
  CHECK(bytes.find("server-ca.key") == std::string::npos);
  for (const std::size_t piece : {std::size_t{7}, SIZE_MAX}) {
    CAPTURE(piece);
    const Read got = read(bytes, kPassphrase, piece);
    INFO((got.result ? std::string() : got.result.error().message()));
    REQUIRE(got.result.ok());
    CHECK(*got.info == some_info());
    CHECK(got.files == some_files());
    CHECK(got.slices == std::vector<std::string>{"first slice", std::string(100'000, 'z'), "third slice"});
  }
}

TEST_CASE("without the passphrase a snapshot tells what it is, and its damage") {
  const std::string bytes = written().all();
  const Read got = read(bytes, std::nullopt, 1);
  REQUIRE(got.result.ok());
  CHECK(*got.info == some_info());
  CHECK(got.files.empty());
  CHECK(got.slices.empty());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    CAPTURE(at);
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    const Read wrong = read(damaged, std::nullopt);
    REQUIRE_FALSE(wrong.result.ok());
    REQUIRE(wrong.result.error().code() == (at < 22 ? Code::kInvalid : Code::kCorrupt));
    REQUIRE_FALSE(read(bytes.substr(0, at), std::nullopt).result.ok());
  }
  CHECK(read(bytes + "x", std::nullopt).result.error().code() == Code::kCorrupt);
}

TEST_CASE("a wrong passphrase says so") {
  const Read got = read(written().all(), "correct house");
  REQUIRE_FALSE(got.result.ok());
  CHECK(got.result.error().code() == Code::kUnauthorized);
  CHECK(got.result.error().message() == "opening the snapshot: the passphrase is wrong, or the bytes were changed");
}

TEST_CASE("a snapshot that someone changed, and made the checksums right again, does not open") {
  const Written& w = written();
  const std::string begin = w.head + w.secrets;
  const auto& p = w.parts;
  struct Row {
    const char* what;
    std::string bytes;
  };
  for (const Row& row :
       {Row{"the head", w.head.substr(0, 22) + flipped(w.head.substr(22), 20) + w.secrets + join(p, "")},
        Row{"the files", w.head + flipped(w.secrets, 60) + join(p, "")},
        Row{"a slice", begin + flipped(p[0], 9) + p[1] + p[2] + p[3]},
        Row{"two slices change places", begin + p[1] + p[0] + p[2] + p[3]},
        Row{"a slice is left out", begin + p[0] + p[2] + p[3]},
        Row{"a slice comes twice", begin + p[0] + p[0] + p[1] + p[2] + p[3]},
        Row{"it ends early", begin + p[0] + p[1] + p[3]}, Row{"a slice is taken for the end", begin + p[0] + [&] {
                                                                std::string end = p[1];
                                                                end[4] = 4;
                                                                return resealed(std::move(end));
                                                              }()}}) {
    CAPTURE(row.what);
    REQUIRE_FALSE(read(row.bytes, kPassphrase).result.ok());
  }
}

TEST_CASE("what is no snapshot is told apart") {
  for (const char* bytes : {"", "kay", "SQLite format 3", "this is some text that is longer than the magic word"}) {
    CAPTURE(bytes);
    const Read got = read(bytes, std::nullopt);
    CHECK(got.result.error().code() == Code::kInvalid);
    CHECK(got.result.error().message() == "this is not a snapshot that kayak made");
  }
  CHECK(read("kayak snapshot file 2\n", std::nullopt).result.error().message() ==
        "the snapshot has a format that another version of Kayak made");
}

TEST_CASE("a head whose time cannot be shown is none") {
  SystemRandom random;
  for (const std::int64_t created : {INT64_MIN, INT64_MAX, std::int64_t{-1}, std::int64_t{253'402'300'800}}) {
    CAPTURE(created);
    SnapshotInfo info = some_info();
    info.created = created;
    SnapshotFileWriter writer(random);
    const std::string begin = writer.begin(info, {}, kPassphrase);
    const Read got = read(begin + writer.end(), std::nullopt);
    REQUIRE_FALSE(got.result.ok());
    CHECK(got.result.error().code() == Code::kCorrupt);
    CHECK_FALSE(got.info);
  }
}
