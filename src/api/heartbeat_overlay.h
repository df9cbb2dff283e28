// heartbeat_overlay.h: the newest heartbeats, in memory: what readers are shown in place of objects whose durable text
// is older. Beside the watch cache, which owns it and shows its objects; deciding what is a heartbeat is heartbeat.h,
// and making heartbeats durable in the end is heartbeat_fold.h. Loop thread only.
// A heartbeat makes a new Object at the same revision. What is kept of an object's other forms (its document, an
// encoding) hangs on the Object, never on the revision alone, and so never shows an older heartbeat.
// Source: src/store/README.md, Heartbeats.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "api/object.h"
#include "base/clock.h"
#include "io/task.h"

namespace kayak::api {

// One heartbeat, as it would travel to another server: good for the object only while that stands at `revision`.
struct Heartbeat {
  const Kind* kind = nullptr;  // as stored
  std::string namespace_, name;
  store::Revision revision = 0;
  store::Bytes text;  // the whole object, stored form
};

class HeartbeatOverlay {
 public:
  struct Entry {
    ObjectRef durable;  // as the store has it
    ObjectRef shown;    // the same revision with the newest heartbeat
    Instant since;      // of the first heartbeat that is not durable
  };
  using Entries = std::map<std::string, Entry, std::less<>>;  // by key of the store

  const Entries& entries() const { return entries_; }
  const Entry* find(std::string_view key) const;
  std::optional<Instant> oldest() const;
  // Set while there are entries.
  io::Event& pending() { return pending_; }

  void put(std::string key, ObjectRef durable, ObjectRef shown, Instant now);
  void erase(std::string_view key);
  // The cache has seen the change of `key` at `revision`: that is what is shown now.
  void superseded(std::string_view key, store::Revision revision);

  // From now on every heartbeat is a durable write.
  void close() { closed_ = true; }
  bool open() const { return !closed_; }

  // A durable write of a key, from before it is sent until the cache shows it. Heartbeats of that key are no heartbeats
  // meanwhile but writes that wait for their turn: absorbed, they would be lost under a text made before them.
  class Writing {
   public:
    Writing(HeartbeatOverlay& overlay, std::string_view key);
    ~Writing();
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    // It is durable at `revision`; the cache shows all up to `seen`.
    void done(store::Revision revision, store::Revision seen);

   private:
    HeartbeatOverlay& overlay_;
    std::string key_;  // empty: of a kind without heartbeats
  };
  // No write of `key` is on its way to a cache that shows all up to `seen`.
  bool at_rest(std::string_view key, store::Revision seen) const;
  bool accepts(std::string_view key, store::Revision seen) const { return !closed_ && at_rest(key, seen); }

 private:
  struct Writes {
    int sent = 0;                 // and not answered
    store::Revision through = 0;  // of those that were answered
  };
  Entries entries_;
  std::map<std::string, Writes, std::less<>> writes_;
  io::Event pending_;
  bool closed_ = false;
};

}  // namespace kayak::api
