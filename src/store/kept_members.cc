// kept_members.cc: see kept_members.h.
#include "store/kept_members.h"

#include <utility>

namespace kayak::store {

KeptMembers::KeptMembers(Loop& loop, std::string path, MemberList list, std::function<void(const MemberList&)> in_force)
    : loop_(loop), path_(std::move(path)), in_force_(std::move(in_force)), list_(list), written_(std::move(list)) {}

Task<Result<void>> KeptMembers::take(MemberList list) {
  const bool overtaken = std::pair(list.term, list.version) < std::pair(list_.term, list_.version);
  if (overtaken) co_return Error(Code::kConflict, "a later list of the members is known here");
  list_ = std::move(list);
  in_force_(list_);
  co_return co_await write();
}

// One at a time, so that the file never goes back.
Task<Result<void>> KeptMembers::write() {
  while (writing_) co_await done_writing_.wait();
  if (written_ == list_) co_return Result<void>();
  writing_ = true;
  done_writing_.reset();
  MemberList now = list_;
  auto work = [path = path_, now] { return write_member_list(path, now); };
  const Result<void> written = co_await loop_.offload(std::move(work));
  if (written) written_ = std::move(now);
  writing_ = false;
  done_writing_.set();
  co_return written;
}

}  // namespace kayak::store
