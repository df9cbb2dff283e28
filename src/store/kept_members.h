// kept_members.h: who the members are, for one that has no log to read it from: a witness is told by the leader, and
// keeps the newest list in a file. A list that is overtaken by a later one, of another leader or of the same, is
// refused, also after a restart: those in it may be gone.
#pragma once

#include <functional>
#include <string>

#include "io/loop.h"
#include "store/member.h"

namespace kayak::store {

class KeptMembers {
 public:
  // `list`: what is in the file at `path`. `in_force` is called with every newer one.
  KeptMembers(Loop& loop, std::string path, MemberList list, std::function<void(const MemberList&)> in_force);
  const MemberList& list() const { return list_; }
  // In force at once, and on disk when it returns. Errors: Conflict (a later one is known), Io, NoSpace (it is in force
  // all the same, and written with the next).
  Task<Result<void>> take(MemberList list);

 private:
  Task<Result<void>> write();

  Loop& loop_;
  const std::string path_;
  const std::function<void(const MemberList&)> in_force_;
  MemberList list_;     // the newest
  MemberList written_;  // what is in the file
  bool writing_ = false;
  io::Event done_writing_;
};

}  // namespace kayak::store
