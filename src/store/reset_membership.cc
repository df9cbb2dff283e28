// reset_membership.cc: see members.h: a group of which most members are lost goes on with this one alone.
// Raft has no way to do this safely, as the others might go on, too: it is a person who says that they do not. What it
// writes is an entry like another, in a term above all that this server has heard of, so that the log stays one log.
#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "store/database.h"
#include "store/members.h"

namespace kayak::store {

Result<void> reset_membership(const std::string& path, raft::NodeId self) {
  if (!file_exists(path)) return Error(Code::kNotFound, cat("there is no database at ", path));
  Revision revision = 0;
  raft::MembershipRef group;
  RowSink sink;
  sink.begin = [](LogIndex) {};
  sink.row = [&](RowId, const RowView& view, bool) {
    revision = std::max(revision, view.revision);
    if (view.type == EffectType::kMembership) group = view.membership;
    return Result<void>();
  };
  DatabaseOptions options;
  options.path = path;
  Result<std::unique_ptr<Database>> database = Database::open(options, sink);
  if (!database) return database.error();
  const LogFound& found = (*database)->found();
  if (found.last == 0 || !group) {
    return Error(Code::kNotFound, cat(path, " holds nothing yet: this server has never been a member of its cluster"));
  }
  raft::Membership alone;
  alone.voters = {self};
  if (*group == alone) return (*database)->close();
  LogWrite write;
  write.hard = raft::HardState{found.hard.term + 1, self, found.last};
  write.first = found.last + 1;
  write.commit = found.last;
  auto entry = std::make_shared<Entry>();
  entry->index = write.first;
  entry->term = write.hard->term;
  entry->revision = revision;
  Effect& effect = entry->effects.emplace_back();
  effect.type = EffectType::kMembership;
  effect.membership = std::make_shared<const raft::Membership>(std::move(alone));
  write.entries.push_back(std::move(entry));
  if (auto written = (*database)->write(std::span(&write, 1), nullptr, nullptr); !written) return written.error();
  return (*database)->close();
}

}  // namespace kayak::store
