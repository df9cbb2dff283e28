// parts_test.cc: the pure parts: checksums, rows, the key index, the walk over a write-ahead log.
#include <catch2/catch.hpp>
#include <map>

#include "base/random.h"
#include "base/strings.h"
#include "store/checksum.h"
#include "store/entry.h"
#include "store/key_index.h"
#include "store/log_payload.h"
#include "store/packed.h"
#include "store/page_vfs.h"
#include "store/state.h"
#include "store/support_store.h"
#include "store/wal.h"
#include "store/wal_limit.h"

using namespace kayak;
using namespace kayak::store;
using namespace kayak::store::test;

TEST_CASE("CRC-32C matches the published values, by instruction and by table") {
  std::string zeros(32, '\0'), ones(32, '\xff'), up;
  for (int i = 0; i < 32; ++i) up.push_back(static_cast<char>(i));
  struct Row {
    std::string bytes;
    std::uint32_t crc;
  };
  for (const Row& row :
       {Row{"", 0}, Row{"123456789", 0xe3069283}, Row{zeros, 0x8a9136aa}, Row{ones, 0x62a8ab43}, Row{up, 0x46dd794e}}) {
    CAPTURE(row.bytes);
    CHECK(crc32c(0, row.bytes) == row.crc);
    CHECK(store::detail::crc32c_by_table(0, row.bytes) == row.crc);
    for (std::size_t cut = 0; cut <= row.bytes.size(); ++cut) {
      const std::string_view all(row.bytes);
      CHECK(crc32c(crc32c(0, all.substr(0, cut)), all.substr(cut)) == row.crc);
    }
  }
}

namespace {
Entry sample_entry() {
  Entry entry;
  entry.index = 12345;
  entry.term = 3;
  entry.revision = 99999;
  Effect put;
  put.type = EffectType::kPut;
  put.key = "/registry/pods/default/a";
  put.value = std::make_shared<const std::string>("{\"kind\":\"Pod\"}");
  put.create_revision = 77;
  put.version = 5;
  put.lease = -3;
  put.previous_row = row_id(12000, 2);
  Effect gone;
  gone.type = EffectType::kDelete;
  gone.key = "/registry/pods/default/b";
  gone.previous_row = row_id(3, 0);
  Effect compact;
  compact.type = EffectType::kCompact;
  compact.floor = 90000;
  Effect noop;
  Effect members;
  members.type = EffectType::kMembership;
  raft::Membership membership;
  membership.voters = {7, 300, UINT64_MAX};
  membership.learners = {8};
  membership.witness = 9;
  members.membership = std::make_shared<const raft::Membership>(membership);
  members.previous_row = kFirstLogRow;
  Effect grant;
  grant.type = EffectType::kLeaseGrant;
  grant.lease = -77;
  grant.ttl = 3600;
  Effect revoke = grant;
  revoke.type = EffectType::kLeaseRevoke;
  revoke.ttl = 0;
  revoke.previous_row = kFirstLogRow + 5;
  Effect empty = put;
  empty.value = std::make_shared<const std::string>();
  empty.previous_row = 0;
  entry.effects = {put, gone, compact, noop, members, grant, revoke, empty};
  return entry;
}
}  // namespace

TEST_CASE("a row reads back as it was written, and no other bytes pass for it") {
  const Entry entry = sample_entry();
  for (std::size_t i = 0; i < entry.effects.size(); ++i) {
    CAPTURE(i);
    const Effect& effect = entry.effects[i];
    const RowId row = row_id(entry.index, i);
    std::string bytes;
    encode_row(entry, i, RowContext{12340, 12338}, &bytes);
    Result<RowView> view = decode_row(row, bytes);
    REQUIRE(view.ok());
    CHECK(view->type == effect.type);
    CHECK(view->last == (i + 1 == entry.effects.size()));
    CHECK(view->term == 3);
    CHECK(view->revision == 99999);
    CHECK(view->durable == 12340);
    CHECK(view->commit == 12338);
    CHECK(view->key == effect.key);
    CHECK(view->value == (effect.value ? *effect.value : ""));
    CHECK(view->create_revision == effect.create_revision);
    CHECK(view->version == effect.version);
    CHECK(view->lease == effect.lease);
    CHECK(view->previous_row == effect.previous_row);
    CHECK(view->floor == effect.floor);
    CHECK(view->ttl == effect.ttl);
    CHECK(static_cast<bool>(view->membership) == static_cast<bool>(effect.membership));
    if (effect.membership) CHECK(*view->membership == *effect.membership);
    CHECK(decode_durable(row, bytes).value() == 12340);
    CHECK_FALSE(decode_row(row + 1, bytes).ok());  // of another row
    CHECK_FALSE(decode_row(5, bytes).ok());
    CHECK_FALSE(decode_row(row, bytes + "x").ok());
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) CHECK_FALSE(decode_row(row, bytes.substr(0, cut)).ok());
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      CHECK_FALSE(decode_row(row, flipped).ok());
    }
  }
}

TEST_CASE("meta rows read back, and a newer format is told by its number") {
  const Identity identity{kFormat, std::string(16, 'i')};
  auto read = decode_identity(encode_identity(identity));
  REQUIRE(read.ok());
  CHECK(read->store_id == identity.store_id);
  auto newer = decode_identity(encode_identity(Identity{kFormat + 1, std::string(16, 'i')}));
  REQUIRE(newer.ok());
  CHECK(newer->format == kFormat + 1);
  const Progress progress{row_id(5, 1), 17, 9, 2, 5, 33};
  auto again = decode_progress(encode_progress(progress));
  REQUIRE(again.ok());
  CHECK(again->swept_row == progress.swept_row);
  CHECK(again->kept_rows == 17);
  CHECK(again->durable == 9);
  CHECK(again->swept_term == 2);
  CHECK(again->base_index == 5);
  CHECK(again->base_revision == 33);
  CHECK_FALSE(decode_progress(encode_identity(identity)).ok());
  CHECK_FALSE(decode_identity(encode_progress(progress)).ok());
}

TEST_CASE("the key index is an ordered map in little memory") {
  const std::uint64_t seed = test_seed();
  INFO("replay with SEED=" << seed);
  SeededRandom random(seed);
  KeyIndex index;
  std::map<std::string, KeyMeta> model;
  for (int step = 0; step < 30'000; ++step) {
    // Grows, then shrinks, then grows again.
    const bool shrinking = step / 7'500 == 1 || step / 7'500 == 3;
    const std::string key = cat("key-", random.below(4000));
    if (random.below(10) < (shrinking ? 8U : 2U)) {
      REQUIRE(index.erase(key) == (model.erase(key) > 0));
    } else {
      KeyMeta meta;
      meta.row = static_cast<RowId>(random.below(1'000'000));
      meta.deleted = random.below(4) == 0 ? 1 : 0;
      index.put(key, meta);
      model[key] = meta;
    }
    REQUIRE(index.size() == model.size());
    if (step % 500 != 0) continue;
    std::size_t live = 0;
    KeyIndex::Cursor cursor = index.seek("");
    for (const auto& [k, meta] : model) {
      const KeyRecord* record = cursor.get();
      REQUIRE(record != nullptr);
      REQUIRE(record->key() == k);
      REQUIRE(record->row == meta.row);
      live += meta.deleted ? 0 : 1;
      cursor.next();
    }
    REQUIRE(cursor.get() == nullptr);
    REQUIRE(index.live() == live);
    for (int probe = 0; probe < 50; ++probe) {
      const std::string at = cat("key-", random.below(4500));
      const KeyRecord* record = index.seek(at).get();
      auto want = model.lower_bound(at);
      REQUIRE((record == nullptr) == (want == model.end()));
      if (record != nullptr) REQUIRE(record->key() == want->first);
      REQUIRE((index.find(at) != nullptr) == (model.count(at) > 0));
    }
  }
  // Ascending keys, as a start reads them, leave the blocks full.
  KeyIndex ascending;
  std::size_t key_bytes = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string key = cat("/registry/configmaps/default/name-", 100'000 + i);
    ascending.put(key, KeyMeta());
    key_bytes += key.size();
  }
  const double per_key = static_cast<double>(ascending.memory_bytes() - key_bytes) / 100'000;
  CAPTURE(per_key);
  CHECK(per_key < 60);
}

TEST_CASE("page checksums") {
  std::string page(kPageBytes, 'x');
  seal_page(7, page.data());
  CHECK(page_is_good(7, page.data()));
  CHECK_FALSE(page_is_good(8, page.data()));  // written to the wrong place
  for (std::size_t at : {0, 1, 4000, 4091, 4092, 4095}) {
    page[at] = static_cast<char>(page[at] ^ 4);
    CHECK_FALSE(page_is_good(7, page.data()));
    page[at] = static_cast<char>(page[at] ^ 4);
  }
  const std::string zeros(kPageBytes, '\0');
  CHECK(page_is_good(7, zeros.data()));
}

namespace {
WalReport walk(const std::string& bytes) {
  WalWalker walker(kPageBytes, kPageReserved);
  if (bytes.size() < kWalHeaderBytes) return walker.report();
  walker.header(std::string_view(bytes).substr(0, kWalHeaderBytes));
  const std::size_t frame = kWalFrameHeaderBytes + kPageBytes;
  for (std::size_t at = kWalHeaderBytes; at + frame <= bytes.size(); at += frame) {
    walker.frame(std::string_view(bytes).substr(at, frame));
  }
  return walker.report();
}
}  // namespace

TEST_CASE("the walk over a write-ahead log tells a tail from damage") {
  TempFolder folder;
  Driver d(options_in(folder));
  REQUIRE(d.open().ok());
  for (int i = 0; i < 20; ++i) REQUIRE(d.put(cat("k", i), std::string(i % 3 == 0 ? 6000 : 100, 'v')).ok());
  const std::string good = read_file(folder.file("state.db-wal"));
  const std::size_t frame = kWalFrameHeaderBytes + kPageBytes;
  const WalReport whole = walk(good);
  CHECK(whole.header_good);
  CHECK(whole.frames == whole.frames_seen);
  CHECK(whole.frames * frame + kWalHeaderBytes == good.size());
  CHECK(whole.commits_after_bad == 0);
  CHECK(whole.durable_claim == 0);
  CHECK(whole.bad_offset == good.size());
  // The last transaction torn: no commit and no claim beyond the good frames.
  const std::size_t last = good.size() - frame;
  for (std::size_t at = last; at < good.size(); at += 97) {
    std::string torn = good;
    torn[at] = static_cast<char>(torn[at] ^ 0x10);
    const WalReport report = walk(torn);
    CHECK(report.frames < whole.frames);
    CHECK(report.commits_after_bad == 0);
    CHECK(report.bad_offset <= last);
  }
  // Damage in the middle: what follows proves it.
  for (std::size_t at = kWalHeaderBytes; at + 4 * frame < good.size(); at += 1009) {
    CAPTURE(at);
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const WalReport report = walk(bad);
    CHECK(report.bad_offset == kWalHeaderBytes + (at - kWalHeaderBytes) / frame * frame);
    CHECK(report.commits_after_bad >= 2);
    CHECK(report.durable_claim >= 20);
  }
  // A bad header: SQLite would see an empty log, the claims remain.
  for (std::size_t at = 0; at < kWalHeaderBytes; ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const WalReport report = walk(bad);
    CAPTURE(at);
    CHECK(report.frames == 0);
    CHECK(report.durable_claim == 21);  // the group's first entry and the term's came before
  }
}

TEST_CASE("a put may have forgotten a deletion that is still known here, and nothing else") {
  struct Row {
    const char* what;
    Revision floor;        // compacted before the put
    RowId previous;        // of the put
    std::int64_t version;  // of the put
    bool good;
  };
  const RowId put = row_id(2, 0), tombstone = row_id(3, 0);
  for (const Row& row :
       {Row{"it names the deletion", 0, tombstone, 1, true}, Row{"forgotten below the floor", 4, 0, 1, true},
        Row{"forgotten by one that began with a snapshot", 3, 0, 1, true}, Row{"another row", 4, put, 1, false},
        Row{"a second version", 4, 0, 2, false}}) {
    CAPTURE(row.what);
    KvState state;
    RowView view;
    view.last = true;
    view.term = 1;
    view.key = "k";
    const auto apply = [&](LogIndex index, EffectType type, Revision revision, RowId previous, std::int64_t version) {
      view.type = type;
      view.revision = revision;
      view.previous_row = previous;
      view.version = version;
      return state.apply(row_id(index, 0), view, true).ok();
    };
    CHECK(apply(2, EffectType::kPut, 2, 0, 1));
    CHECK(apply(3, EffectType::kDelete, 3, put, 0));
    view.floor = row.floor;
    if (row.floor > 0) CHECK(apply(4, EffectType::kCompact, 4, 0, 0));
    CHECK(apply(5, EffectType::kPut, 5, row.previous, row.version) == row.good);
    // What the key was before the deletion cannot be found any more, whatever was compacted.
    const bool cut_off = row.good && row.previous == 0;
    CHECK(state.base_revision() == (cut_off ? 3 : 0));
    CHECK(state.floor() == row.floor);
  }
}

TEST_CASE("an entry as large as can be made is one that followers take") {
  // The longest row that there can be.
  Entry longest;
  longest.index = kMaxLogIndex;
  longest.term = UINT64_MAX;
  longest.revision = kMaxRevision;
  Effect& put = longest.effects.emplace_back();
  put.type = EffectType::kPut;
  put.key = std::string(std::size_t{8} * 1024, 'k');
  put.value = std::make_shared<const std::string>(1000, 'v');
  put.version = INT64_MAX;
  put.lease = INT64_MIN;
  put.previous_row = kFirstLogRow;
  std::string row;
  encode_row(longest, 0, RowContext(), &row);
  CHECK(row.size() <= kMaxRowOverhead + put.key.size() + put.value->size());

  // A deletion of all that one entry may delete, late in the life of a store.
  auto entry = std::make_shared<Entry>();
  entry->index = LogIndex{1} << 40;
  entry->term = 1'000'000;
  entry->revision = Revision{1} << 50;
  constexpr std::size_t kKeyBytes = kMaxEntryBytes / kMaxEffects;
  entry->effects.resize(kMaxEffects);
  for (std::size_t i = 0; i < kMaxEffects; ++i) {
    Effect& effect = entry->effects[i];
    effect.type = EffectType::kDelete;
    effect.key = std::to_string(i);
    effect.key.resize(kKeyBytes, '-');
    effect.previous_row = row_id(1 + i, 0);
  }
  raft::AppendEntries append;
  append.entries.push_back(to_raft(entry));
  const std::string bytes = raft::encode(raft::Message{1, 2, 1'000'000, std::move(append)}, log_payloads());
  CHECK(bytes.size() > std::size_t{48} * 1024 * 1024);
  const Result<raft::Message> back = raft::decode(bytes, log_payloads());
  REQUIRE(back);
  const EntryRef taken = stored(std::get<raft::AppendEntries>(back->body).entries.at(0));
  CHECK(taken->effects.size() == kMaxEffects);
  CHECK(taken->effects.back().key == entry->effects.back().key);
}

TEST_CASE("the write-ahead log begins short, grows where the disk is quick, and stays as long as is moved in time") {
  using std::chrono::microseconds;
  struct Row {
    const char* what;
    int sync_us, frame_us;
    std::uint64_t most, after_4, after_30;  // limits after so many checkpoints
  };
  for (const Row& row :
       {Row{"a quick disk", 300, 5, 1024, 1024, 1024}, Row{"slow syncs", 9'000, 5, 1024, 1024, 1024},
        Row{"slow pages", 2000, 500, 1024, 64, 64}, Row{"slow in all", 40'000, 1000, 1024, 64, 64},
        Row{"a short log is wanted", 300, 5, 100, 100, 100}, Row{"a shorter one than there is", 300, 5, 10, 64, 64}}) {
    CAPTURE(row.what);
    WalLimit limit(row.most);
    CHECK(limit.frames() == 64);
    for (int i = 1; i <= 30; ++i) {
      const std::uint64_t before = limit.frames();
      limit.moved(before, microseconds(row.sync_us) + before * microseconds(row.frame_us));
      if (i == 4) CHECK(limit.frames() == row.after_4);
    }
    CHECK(limit.frames() == row.after_30);
  }
  // Between both: what is moved in 25 ms, and never much more on the way there.
  WalLimit limit(4096);
  for (int i = 0; i < 30; ++i) {
    const microseconds took = microseconds(5000) + limit.frames() * microseconds(40);
    CHECK(took <= microseconds(50'000));
    limit.moved(limit.frames(), took);
  }
  CHECK(limit.frames() > 450);
  CHECK(limit.frames() <= 500);
  // The card has a bad day.
  for (int i = 0; i < 10; ++i) limit.moved(limit.frames(), microseconds(800'000));
  CHECK(limit.frames() == 64);
}
