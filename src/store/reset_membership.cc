// reset_membership.cc: see members.h: a group of which most members are lost goes on with this one alone.
// Raft has no way to do this safely, as the others might go on, too: it is a person who says that they do not. What it
// writes are entries like others, in a term above all that this server has heard of, so that the log stays one log.
// The records of the others go with them: nobody is to be looked for at their addresses.
// What the others had acknowledged and this server had not seen is lost, and clients may hold its revisions: those that
// follow are beyond them, and what was before is, as after a restore, one state without a past. All of it is one
// transaction on the database as it is: it needs neither time nor space for another copy, and it happens or it does
// not.
#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/strings.h"
#include "store/database.h"
#include "store/member.h"
#include "store/members.h"

namespace kayak::store {

namespace {

struct Seen {
  Revision revision = 0;
  raft::MembershipRef group;
  RowId group_row = 0;
  std::map<std::string, RowId> records;  // of members, by key
  void row(RowId id, const RowView& view) {
    revision = std::max(revision, view.revision);
    if (view.type == EffectType::kMembership) {
      group = view.membership;
      group_row = id;
    }
    if (!view.key.starts_with(kMemberPrefix)) return;
    if (view.type == EffectType::kPut) records[std::string(view.key)] = id;
    if (view.type == EffectType::kDelete) records.erase(std::string(view.key));
  }
};

EntryRef membership_entry(const Entry& at, raft::Membership group, RowId previous) {
  auto entry = std::make_shared<Entry>(at);
  Effect& effect = entry->effects.emplace_back();
  effect.type = EffectType::kMembership;
  effect.membership = std::make_shared<const raft::Membership>(std::move(group));
  effect.previous_row = previous;
  return entry;
}

EntryRef removal_entry(const Entry& at, const std::map<std::string, RowId>& records) {
  auto entry = std::make_shared<Entry>(at);
  for (const auto& [key, row] : records) {
    Effect& gone = entry->effects.emplace_back();
    gone.type = EffectType::kDelete;
    gone.key = key;
    gone.previous_row = row;
  }
  return entry;
}

}  // namespace

Result<void> reset_membership(const std::string& path, raft::NodeId self, const std::string& vfs) {
  if (!file_exists(path)) return Error(Code::kNotFound, cat("there is no database at ", path));
  Seen seen;
  RowSink sink;
  sink.begin = [](LogIndex) {};
  sink.row = [&seen](RowId row, const RowView& view, bool) {
    seen.row(row, view);
    return Result<void>();
  };
  DatabaseOptions options;
  options.path = path;
  options.vfs = vfs;
  Result<std::unique_ptr<Database>> database = Database::open(options, sink);
  if (!database) return database.error();
  const LogFound& found = (*database)->found();
  if (found.last == 0 || !seen.group) {
    return Error(Code::kNotFound, cat(path, " holds nothing yet: this server has never been a member of its cluster"));
  }
  raft::Membership alone;
  alone.voters = {self};
  seen.records.erase(member_key(self));
  if (*seen.group == alone && seen.records.empty()) return (*database)->close();
  LogWrite write;
  write.hard = raft::HardState{found.hard.term + 1, self, found.last};
  write.first = found.last + 1;
  write.commit = found.last;
  Entry at;
  at.index = write.first;
  at.term = write.hard->term;
  at.revision = std::max(seen.revision, (*database)->base().revision) + kSkippedRevisions;
  write.base_revision = at.revision;
  write.entries.push_back(membership_entry(at, std::move(alone), seen.group_row));
  if (!seen.records.empty()) {
    ++at.index;
    ++at.revision;
    write.entries.push_back(removal_entry(at, seen.records));
  }
  if (auto written = (*database)->write(std::span(&write, 1), nullptr, nullptr); !written) return written.error();
  return (*database)->close();
}

}  // namespace kayak::store
