// store.h: the asynchronous Store, with etcd v3's semantics: revisioned keys, transactions with compares, ranges at a
// revision, watches from a revision, compaction. The only header of src/store that others include.
// Every write is durable (fsync) before it is acknowledged. Readers above it lag by contract: a write returns its
// revision, and a reader waits until it has seen that revision.
// Source: etcd v3 API (rpc.proto, kv.proto).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/loop.h"

namespace kayak::store {

using Revision = std::int64_t;
using Bytes = std::shared_ptr<const std::string>;

struct KeyValue {
  std::string key;
  Bytes value;                   // null in keys_only answers
  Revision create_revision = 0;  // of the key's current life
  Revision mod_revision = 0;
  std::int64_t version = 0;  // 1 at creation
  std::int64_t lease = 0;
};

struct Compare {
  enum class Target : std::uint8_t { kVersion, kCreateRevision, kModRevision, kValue, kLease };
  enum class Result : std::uint8_t { kEqual, kGreater, kLess, kNotEqual };
  // With range_end: of all keys in the range, as in RangeRequest. Without one key there it is as of an absent key.
  std::string key, range_end;
  Target target = Target::kModRevision;
  Result result = Result::kEqual;
  std::int64_t number = 0;  // an absent key has version, revisions and lease 0
  std::string value;        // for kValue, which never holds of an absent key
};

// Keys in [key, range_end); range_end empty: `key` alone; range_end "\0": all keys >= key.
struct RangeRequest {
  std::string key, range_end;
  Revision revision = 0;   // 0: the newest
  std::int64_t limit = 0;  // 0: no limit
  // Answers from what this server has applied, which may be behind others; false: sees every acknowledged write.
  bool serializable = false;
  bool keys_only = false;
  bool count_only = false;
};
struct RangeResponse {
  std::vector<KeyValue> kvs;  // in key order
  bool more = false;          // the limit cut it
  std::int64_t count = 0;     // of all keys in the range, beyond the limit too
  Revision revision = 0;      // the store's revision at the read
};

struct TxnRequest;
struct TxnResponse;

struct Op {
  enum class Type : std::uint8_t { kPut, kDelete, kRange, kTxn };
  Type type = Type::kPut;
  std::string key, range_end;                     // range_end for kDelete
  Bytes value;                                    // kPut
  std::int64_t lease = 0;                         // kPut: one that is granted; 0: none
  bool keep_value = false, keep_lease = false;    // kPut: as the key has it, which must be there
  bool previous = false;                          // answer with the previous pairs
  RangeRequest range;                             // kRange
  std::shared_ptr<const TxnRequest> transaction;  // kTxn; its compares see the store as it was before all operations
};
struct OpResponse {
  std::vector<KeyValue> previous;
  std::int64_t deleted = 0;
  RangeResponse range;
  std::shared_ptr<TxnResponse> transaction;  // kTxn
};
struct TxnRequest {
  std::vector<Compare> compares;  // all must hold
  std::vector<Op> success, failure;
  // Not 0 (the outermost alone): only while this server leads in this term (see Leadership), else Conflict. An external
  // etcd ignores it.
  std::uint64_t term = 0;
};
struct TxnResponse {
  bool succeeded = false;
  Revision revision = 0;              // of this transaction when it wrote, else the store's
  std::vector<OpResponse> responses;  // of the branch that ran
};

struct WatchEvent {
  enum class Type : std::uint8_t { kPut, kDelete };
  Type type = Type::kPut;
  KeyValue kv;                       // for kDelete: key and mod_revision (of the deletion) alone
  std::optional<KeyValue> previous;  // kept for as long as the event is
};
// All events of one revision in the watched range, or a progress note (no events).
struct WatchBatch {
  Revision revision = 0;
  std::vector<WatchEvent> events;
};
struct WatchRequest {
  std::string key, range_end;
  Revision start_revision = 0;  // first revision wanted (it may lie ahead); 0: from now on
  bool previous = true;         // false: events come without their previous pair, which then is never read
};
// Ordered, no gap, no duplicate, no event before its revision is readable.
// Every return that is up to date ends with a progress note unless its last event says as much, and a reader that waits
// without events gets one within 100 ms of a write elsewhere, so that it knows which revision it has seen.
class Watch {
 public:
  virtual ~Watch() = default;  // ends the watch; no next() may be waiting
  // Waits for at least one batch, then returns all that are ready. Errors: Expired (the start revision is compacted,
  // or this reader fell behind the retained history), Cancelled, Unavailable (the store stopped).
  virtual Task<Result<std::vector<WatchBatch>>> next(StopToken stop = StopToken()) = 0;
  // The next return comes at once and says how far this watch has seen, events or not.
  virtual void request_progress() = 0;
};

// Who leads the group that this store is a member of. Scheduler and controllers run where `leads` is true, from when
// their readers have reached `since`, and put `term` into their writes.
struct Leadership {
  bool leads = false;        // this server, and it has applied every write that was ever acknowledged
  std::uint64_t term = 0;    // Raft's; 0 on an external etcd, where the Lease of the control plane decides alone
  std::uint64_t leader = 0;  // its member id; 0: not known
  std::uint64_t self = 0;    // this server's member id
  Revision since = 0;        // the store's at the first entry of the term
  bool operator==(const Leadership&) const = default;
};

// A lease ends, and takes its keys with it, when nobody has kept it alive for its TTL. Source: etcd v3 API (Lease).
struct Lease {
  std::int64_t id = 0;
  std::int64_t ttl = 0;           // granted, in seconds
  std::int64_t remaining = 0;     // in seconds, when asked; -1: there is no such lease (any more)
  std::vector<std::string> keys;  // when asked for
};

struct Stats {
  std::uint64_t keys = 0;
  std::uint64_t database_bytes = 0;
  std::uint64_t free_bytes = 0;  // of these: left by what was compacted, and taken by what is written next
  std::uint64_t commits = 0;     // groups that reached the disk
  std::uint64_t written_entries = 0;
  Revision revision = 0, compacted = 0;
  std::uint64_t applied = 0;        // entries of the log; the index of the newest
  bool sweeping = false;            // compaction has rows left to drop
  std::uint64_t index_bytes = 0;    // memory of the key index
  std::uint64_t history_bytes = 0;  // memory of the recent events
  std::uint64_t written_bytes = 0;  // given to the file system since the open, and so many times synced
  std::uint64_t syncs = 0;
  std::uint64_t longest_stall_us = 0;  // the longest that the disk kept anyone waiting, in microseconds
};

// The whole state at one revision, as bytes of a format of the engine's own (snapshot_stream.h), while writes go on.
// May outlive the store; it then gives Unavailable.
class StateStream {
 public:
  virtual ~StateStream() = default;  // no next() may be waiting
  virtual Revision revision() const = 0;
  virtual std::uint64_t keys() const = 0;
  // The next slice, of at most 4 MiB; nothing after the last. Errors: Corrupt, Io, Unavailable (the store was closed,
  // or its state replaced by another server's), Cancelled.
  virtual Task<Result<std::optional<std::string>>> next(StopToken stop = StopToken()) = 0;
};

// What has a body here is as it is without leases and for a store that is alone and always leads.
class Store {
 public:
  virtual ~Store() = default;
  // Errors: Expired (revision compacted), Invalid (revision from the future), Cancelled, Corrupt, Unavailable.
  virtual Task<Result<RangeResponse>> range(RangeRequest request, StopToken stop = StopToken()) = 0;
  // Durable when it returns with a write. Errors: NoSpace, TooLarge (value over 1.5 MiB, over 128 ops, over 16 MiB of
  // keys and values to write, over 17 MiB of request), Invalid (a key written twice, nothing to keep), NotFound (no
  // such lease), Unavailable, Cancelled (then the outcome is unknown).
  virtual Task<Result<TxnResponse>> txn(TxnRequest request, StopToken stop = StopToken()) = 0;
  // Errors: Expired (start_revision is compacted), Invalid, Unavailable.
  virtual Result<std::unique_ptr<Watch>> watch(WatchRequest request) = 0;
  // Drops what only revisions below `revision` see, in the background. Errors: Expired (already), Invalid (future).
  virtual Task<Result<void>> compact(Revision revision, StopToken stop = StopToken()) = 0;

  // `id` 0: the store chooses. TTLs are raised to the shortest that an election allows for. Durable when it returns.
  // Errors: AlreadyExists, Invalid (a TTL over 9,000,000,000), those of txn().
  virtual Task<Result<Lease>> lease_grant(std::int64_t id, std::int64_t ttl, StopToken stop = StopToken());
  // With all its keys, in one revision; keys of over 16 MiB together, or a million of them, go in several, and the
  // lease with the last. Errors: NotFound, those of txn().
  virtual Task<Result<Revision>> lease_revoke(std::int64_t id, StopToken stop = StopToken());
  // Starts its time anew; costs no write. A lease that is not there (any more) has `remaining` -1 and `ttl` 0.
  virtual Task<Result<Lease>> lease_keep_alive(std::int64_t id, StopToken stop = StopToken());
  virtual Task<Result<Lease>> lease_time_to_live(std::int64_t id, bool keys, StopToken stop = StopToken());
  virtual Task<Result<std::vector<std::int64_t>>> leases(StopToken stop = StopToken());

  // A revision at which every write that was acknowledged before the call, by any server, is seen. Errors: Unavailable
  // (no leader within the time that an election takes), Cancelled.
  virtual Task<Result<Revision>> current_revision(StopToken stop = StopToken());
  virtual Leadership leadership() const;
  // Ends when leadership() is no longer `known`; false when `stop` fired first or the store stopped.
  virtual Task<bool> leadership_changed(Leadership known, StopToken stop = StopToken());

  // Whether writes have somewhere to go: a leader is known, or the external etcd is connected. At once, and of now
  // alone. Errors: Unavailable.
  virtual Result<void> healthy() const;

  // Gives back to the file system what this server's database keeps of what compaction freed (Stats::free_bytes), while
  // everything else goes on. What was begun goes on without its caller. Errors: MethodNotAllowed (not for this engine),
  // Conflict (it is under way already), NoSpace (a second database has no room beside this one), Unavailable (given up
  // meanwhile), Internal, Cancelled; all leave everything as it was.
  virtual Task<Result<void>> defragment(StopToken stop = StopToken());

  // As of now. As long as it lives, compaction drops no row that it needs. Errors: MethodNotAllowed (this engine's
  // state is saved in another way), Unavailable.
  virtual Result<std::unique_ptr<StateStream>> snapshot();

  virtual Revision revision() const = 0;   // the newest that is durable and applied; never goes back
  virtual Revision compacted() const = 0;  // revisions up to this one cannot be read or watched from
  virtual Stats stats() const = 0;
  // Finishes what was accepted, closes the files.
  virtual Task<void> close() = 0;
};

struct SqliteStoreOptions {
  std::string path;                                     // of the database file; its folder must exist
  std::size_t history_bytes = 8 * 1024 * 1024;          // of recent events kept in memory for watches
  Duration compact_interval = std::chrono::minutes(5);  // history kept at least this long; 0: only by compact()
  // Called over a failed fsync or damage found while running: nothing is retried. Unset: a line to stderr and abort().
  // When it returns, every further call gets Unavailable.
  std::function<void(const Error&)> on_fatal;
  std::size_t wal_bytes = 4 * 1024 * 1024;  // bound of the write-ahead log; slow disks get less by themselves
  std::string vfs;                          // the SQLite VFS to stand on (tests); empty: the system's
  std::uint64_t member_id = 0;              // of this server in its group; 0: one that the store makes up and keeps
  // A database that is made waits for a group to take it in, instead of beginning one.
  bool joins = false;
  // The shortest time without a leader after which another one is elected; the same at all members.
  Duration election_timeout = std::chrono::milliseconds(1000);
};
// Opens or makes the embedded engine. Checks the WAL frame by frame first. Errors: Corrupt (says what is damaged; what
// to do about it is known above), NoSpace, Io, Invalid (a newer version made it), Unavailable (another process holds
// it), Conflict (a restore was interrupted there).
Task<Result<std::unique_ptr<Store>>> open_sqlite_store(Context context, SqliteStoreOptions options);

}  // namespace kayak::store
