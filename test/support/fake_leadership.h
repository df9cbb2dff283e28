// fake_leadership.h: who leads, as a test says, for stores that only look as if they were of a group.
#pragma once

#include "io/task.h"
#include "store/store.h"

namespace kayak::test {

class FakeLeadership {
 public:
  void set(store::Leadership leadership) {
    leadership_ = leadership;
    changed_.set();
  }
  store::Leadership get() const { return leadership_; }
  // As Store::leadership_changed().
  Task<bool> changed(store::Leadership known, StopToken stop) {
    while (leadership_ == known) {
      changed_.reset();
      const bool woken = co_await changed_.wait(stop);
      if (!woken) co_return false;
    }
    co_return true;
  }

 private:
  store::Leadership leadership_;
  io::Event changed_;
};

}  // namespace kayak::test
