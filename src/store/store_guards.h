// store_guards.h: the two guards that calls on a SqliteStore hold while they are under way.
#pragma once

#include "store/sqlite_store.h"

namespace kayak::store {

class SqliteStore::Pin {
 public:
  explicit Pin(SqliteStore& store) : store_(store), place_(store.pins_.insert(store.state_.floor())) {}
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin() { store_.pins_.erase(place_); }

 private:
  SqliteStore& store_;
  std::multiset<Revision>::iterator place_;
};

class SqliteStore::Active {
 public:
  explicit Active(SqliteStore& store) : store_(store) { ++store_.active_; }
  Active(const Active&) = delete;
  Active& operator=(const Active&) = delete;
  ~Active() {
    if (--store_.active_ == 0) store_.idle_.set();
  }

 private:
  SqliteStore& store_;
};

}  // namespace kayak::store
