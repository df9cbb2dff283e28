// support_store.h: a store in a folder of its own, driven step by step.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "io/loop.h"
#include "store/store.h"
#include "support/scratch.h"

namespace kayak::store::test {

// In memory unless told otherwise.
class TempFolder : public kayak::test::Scratch {
 public:
  explicit TempFolder(bool fast = true) : Scratch(fast) {}
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);
bool file_exists(const std::string& path);
// The three files of a store in `from` (database, log, lock), as they are now, under `to`.
void copy_store(const std::string& from, const std::string& to);

template <typename T>
Task<Result<void>> capture(Task<T> task, std::optional<T>* out) {
  Task<T> owned = std::move(task);
  out->emplace(co_await owned);
  co_return Result<void>();
}

// A loop with its context; `wait` runs one coroutine to its end.
struct Harness {
  Harness();
  template <typename T>
  T wait(Task<T> task) {
    std::optional<T> out;
    const Result<void> ran = loop.run(capture(std::move(task), &out));
    ASSERT(ran.ok() && out);
    return std::move(*out);
  }
  void run_for(Duration duration);
  Context context();
  io::Loop loop;
  SystemClock clock;
  SeededRandom random;
  Metrics metrics;
};

class EtcdServer;

// What a store keeps its data in.
enum class Engine : std::uint8_t { kSqlite, kEtcd };

// A store and the calls tests make, each waited for. With kEtcd, an etcd that lives as long as the driver; of `options`
// the store on it takes what it knows.
class Driver {
 public:
  explicit Driver(SqliteStoreOptions options, Engine engine = Engine::kSqlite);
  ~Driver();
  Result<void> open();
  void close();
  Store& store() { return *store_; }
  bool is_open() const { return store_ != nullptr; }

  Result<TxnResponse> txn(TxnRequest request);
  Result<Revision> put(const std::string& key, const std::string& value, std::int64_t lease = 0);
  Result<std::int64_t> remove(const std::string& key, const std::string& end = "");  // how many
  Result<RangeResponse> range(RangeRequest request);
  Result<RangeResponse> range(const std::string& key, const std::string& end = "", Revision revision = 0);
  std::optional<std::string> get(const std::string& key, Revision revision = 0);
  Result<void> compact(Revision revision);
  Result<Lease> grant(std::int64_t id, std::int64_t ttl = 3600);
  Result<Revision> revoke(std::int64_t id);
  Lease lease(std::int64_t id);  // with its keys
  // Until compaction has dropped all rows it may.
  void finish_sweep();
  // As the store's, but also what a store on etcd has not learned since it was opened.
  Revision compacted() const;
  bool on_etcd() const { return etcd_ != nullptr; }
  EtcdServer& etcd() { return *etcd_; }

  Harness harness;
  SqliteStoreOptions options;
  std::vector<Error> fatal;

 private:
  std::unique_ptr<EtcdServer> etcd_;  // null: SQLite
  std::unique_ptr<Store> store_;
  Revision compacted_ = 0;
};

Op put_op(const std::string& key, const std::string& value, std::int64_t lease = 0);
Op delete_op(const std::string& key, const std::string& end = "");
Op range_op(const std::string& key, const std::string& end = "");
Op txn_op(TxnRequest request);
Compare compare(const std::string& key, Compare::Target target, Compare::Result result, std::int64_t number);
SqliteStoreOptions options_in(const TempFolder& folder);
// "key=value" of each pair, joined by spaces.
std::string text(const std::vector<KeyValue>& kvs);
std::string text(const std::vector<WatchBatch>& batches);
std::string text(const Error& error);

std::uint64_t test_seed();  // SEED of the environment, or one of the clock; printed by the tests on failure
int test_rounds(const char* variable, int fallback);  // an integer of the environment

}  // namespace kayak::store::test
