// group_members.cc: see group_members.h.
#include "store/group_members.h"

#include <algorithm>

#include "base/strings.h"
#include "store/transport/peer_link.h"

namespace kayak::store {

namespace {

using namespace std::chrono_literals;
using Grpc = io::GrpcStatus::Code;
using Verb = PeerChange::Verb;

constexpr Duration kRetry = 2s;
// How long a promotion waits until the witness has been told of the server.
constexpr Duration kWitnessPatience = 10s, kWitnessPause = 50ms;

PeerChange change_of(Verb verb, raft::NodeId id) {
  PeerChange change;
  change.verb = verb;
  change.id = id;
  return change;
}

bool removes(const PeerChange& change, raft::NodeId id) { return change.verb == Verb::kRemove && change.id == id; }

PeerChange join_of(MemberRecord member) {
  PeerChange change;
  change.member = std::move(member);
  return change;
}

}  // namespace

GroupMembers::GroupMembers(Context context, Store& store, Members& local, Transport& transport,
                           GroupMembersOptions options)
    : context_(std::move(context)), store_(store), local_(local), transport_(transport), options_(std::move(options)) {
  const std::string_view service = "kayak.Peer";
  transport_.router().add(service, "Join", [this](io::GrpcCall& call) { return serve(call, true); });
  transport_.router().add(service, "Change", [this](io::GrpcCall& call) { return serve(call, false); });
  transport_.open_to_strangers(std::string(kJoinMethod));
}

const Member* GroupMembers::find(const std::vector<Member>& members, raft::NodeId id) const {
  const auto found = std::find_if(members.begin(), members.end(), [id](const Member& one) { return one.id == id; });
  return found == members.end() ? nullptr : &*found;
}

MemberList GroupMembers::list() const {
  MemberList list;
  list.cluster = options_.cluster;
  for (Member& member : local_.members()) {
    MemberRecord record;
    record.id = member.id;
    record.name = std::move(member.name);
    record.addresses = std::move(member.addresses);
    record.key = std::move(member.key);
    record.role = member.role == Member::Role::kWitness ? MemberRecord::Role::kWitness : MemberRecord::Role::kVoter;
    if (check_member(record)) list.members.push_back(std::move(record));
  }
  return list;
}

// ---- asked here

Task<Result<void>> GroupMembers::add_learner(MemberRecord member, StopToken stop) {
  return change(join_of(std::move(member)), std::move(stop));
}
Task<Result<void>> GroupMembers::add_witness(MemberRecord member, StopToken stop) {
  member.role = MemberRecord::Role::kWitness;
  return change(join_of(std::move(member)), std::move(stop));
}
Task<Result<void>> GroupMembers::promote(raft::NodeId id, StopToken stop) {
  return change(change_of(Verb::kPromote, id), std::move(stop));
}
Task<Result<void>> GroupMembers::remove(raft::NodeId id, StopToken stop) {
  return change(change_of(Verb::kRemove, id), std::move(stop));
}
Task<Result<void>> GroupMembers::update_addresses(raft::NodeId id, std::vector<std::string> addresses, StopToken stop) {
  PeerChange wanted = change_of(Verb::kAddresses, id);
  wanted.addresses = std::move(addresses);
  return change(std::move(wanted), std::move(stop));
}
Task<Result<void>> GroupMembers::transfer_leadership(raft::NodeId id, StopToken stop) {
  return change(change_of(Verb::kLead, id), std::move(stop));
}

Task<Result<void>> GroupMembers::change(PeerChange change, StopToken stop) {
  io::Deadline deadline(context_.loop, kPeerChangeTimeout, stop);
  for (bool again = false;; again = true) {
    const Leadership leadership = store_.leadership();
    if (leadership.leads) {
      Result<void> done = co_await change_here(change, deadline.token());
      changed_.set();
      const bool refused_here = !done && done.error().code() != Code::kUnavailable && !deadline.token().stopped();
      if (refused_here) {
        // By what this server knows, which holds for as long as it leads.
        const Result<Revision> sure = co_await store_.current_revision(deadline.token());
        if (!sure) co_return sure.error();
        const Leadership now = store_.leadership();
        if (!now.leads || now.term != leadership.term) continue;
      }
      const bool gone = again && change.verb == Verb::kRemove && !done && done.error().code() == Code::kNotFound;
      if (gone) co_return Result<void>();  // the attempt before had come further than it knew
      const bool moved_on = !done && done.error().code() == Code::kUnavailable && !store_.leadership().leads;
      // Whoever asks this one for its own removal has to ask the next one: the answer would not reach it through here.
      const bool own = change.forwarded && removes(change, leadership.self);
      if (!moved_on || own) co_return done;
      // It has handed the leadership over (it was to be removed itself), or lost it, and nothing was done: the next one
      // does it.
      change.forwarded = false;
      continue;
    }
    const bool other = leadership.leader != raft::kNobody && leadership.leader != leadership.self;
    if (other && change.forwarded) co_return Error(Code::kUnavailable, "this server does not lead");
    if (other) {
      const Result<void> done = co_await forward(leadership.leader, change, deadline.token());
      const bool refused = !done && done.error().code() == Code::kUnavailable;
      if (!refused || !removes(change, leadership.leader)) co_return done;
    }
    const bool changed = co_await store_.leadership_changed(leadership, deadline.token());
    if (changed) continue;
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while waiting for a leader");
    co_return Error(Code::kUnavailable, "no server leads: a majority of them does not answer");
  }
}

Task<Result<void>> GroupMembers::forward(raft::NodeId leader, PeerChange change, StopToken stop) {
  change.forwarded = true;
  auto client = co_await transport_.client(leader, stop);
  if (!client) co_return client.error().while_doing("reaching the server that leads");
  io::GrpcRequest request = transport_.request(leader, kChangeMethod);
  request.timeout = kPeerChangeTimeout;
  Result<std::string> bytes = co_await io::grpc_unary(**client, std::move(request), encode_peer_change(change), stop);
  const Result<MemberList> done = members_after(bytes);
  if (!done) co_return done.error();
  co_return Result<void>();
}

// ---- at the leader

namespace {
Error name_is_taken(const Member& by) {
  return Error(Code::kAlreadyExists, cat("a member called ", by.name,
                                         " is in the cluster already: give this one another --node-name, or, when it "
                                         "stands for the old one, run `kayak member remove ",
                                         member_id_text(by.id), "`"));
}
}  // namespace

Task<Result<void>> GroupMembers::change_here(PeerChange change, StopToken stop) {
  switch (change.verb) {
    case Verb::kJoin:
      return join_here(std::move(change), std::move(stop));
    case Verb::kPromote:
      return promote_here(change.id, std::move(stop));
    case Verb::kRemove:
      return local_.remove(change.id, std::move(stop));
    case Verb::kAddresses:
      return local_.update_addresses(change.id, std::move(change.addresses), std::move(stop));
    case Verb::kLead:
      return local_.transfer_leadership(change.id, std::move(stop));
  }
  std::abort();  // decode_peer_change lets no other verb through
}

Task<Result<void>> GroupMembers::join_here(PeerChange join, StopToken stop) {
  MemberRecord member = std::move(*join.member);
  const std::vector<Member> members = local_.members();
  const bool witness = member.role == MemberRecord::Role::kWitness;
  const auto same_name = std::find_if(members.begin(), members.end(), [&member](const Member& one) {
    return one.name == member.name && one.id != member.id;
  });
  if (const Member* known = find(members, member.id); known != nullptr) {
    if ((known->role == Member::Role::kWitness) != witness) {
      co_return Error(Code::kInvalid, cat("member ", member_id_text(member.id), " is ",
                                          witness ? "a server, not a witness" : "a witness, not a server"));
    }
    const bool same = known->name == member.name && known->addresses == member.addresses && known->key == member.key;
    if (!same && same_name != members.end()) co_return name_is_taken(*same_name);
  } else {
    if (join.returns) {
      co_return Error(Code::kForbidden,
                      cat("member ", member_id_text(member.id), " (", member.name,
                          ") was removed from this cluster: it comes in again with an empty data directory alone"));
    }
    // Under another name, too: the old self would stay among the voters for ever, dead.
    std::vector<raft::NodeId> old;
    for (const Member& one : members) {
      const bool gave_up = std::find(join.replaces.begin(), join.replaces.end(), one.id) != join.replaces.end();
      if (gave_up && (one.role == Member::Role::kWitness) == witness) old.push_back(one.id);
    }
    const auto stays = [&old](raft::NodeId id) { return std::find(old.begin(), old.end(), id) == old.end(); };
    if (same_name != members.end() && stays(same_name->id)) co_return name_is_taken(*same_name);
    for (const raft::NodeId id : old) {
      context_.log.info("a server lost its disk and comes back as another member",
                        {{"name", member.name}, {"old", member_id_text(id)}, {"new", member_id_text(member.id)}});
      Result<void> removed = co_await local_.remove(id, stop);
      if (!removed) co_return removed;
    }
    context_.log.info(
        witness ? "a witness joins" : "a server joins",
        {{"name", member.name}, {"member", member_id_text(member.id)}, {"at", kayak::join(member.addresses, ",")}});
  }
  if (witness) co_return co_await local_.add_witness(std::move(member), stop);
  co_return co_await local_.add_learner(std::move(member), stop);
}

Task<Result<void>> GroupMembers::promote_here(raft::NodeId id, StopToken stop) {
  const io::Deadline patience(context_.loop, kWitnessPatience, stop);
  const auto waits = [this, id] {
    const std::vector<Member> members = local_.members();
    const Member* member = find(members, id);
    return member != nullptr && member->role == Member::Role::kLearner && !witness_knows(id);
  };
  while (waits()) {
    const Result<void> slept = co_await context_.loop.sleep(kWitnessPause, patience.token());
    if (slept) continue;
    if (stop.stopped()) co_return slept;
    co_return Error(Code::kUnavailable,
                    "the witness could not be told of this server yet, and would not vote for it: ask once more when "
                    "the witness answers");
  }
  co_return co_await local_.promote(id, stop);
}

// ---- asked by others

// A witness is a member that is not trusted with more than its vote: it holds no CA's key.
Result<void> GroupMembers::may_ask(const io::HttpRequest& request, const PeerChange& change) const {
  const io::CertificateInfo& certificate = *request.peer.certificate;
  if (change.verb == Verb::kJoin && change.member->key == certificate.public_key_sha256) {
    const std::vector<std::string>& of = certificate.organizations;
    const bool witness = std::find(of.begin(), of.end(), kWitnessOrganization) != of.end();
    if (!witness || change.member->role == MemberRecord::Role::kWitness) return Result<void>();
    return Error(Code::kForbidden, "the certificate of a witness is good for a witness alone");
  }
  const std::vector<Member> members = local_.members();
  const std::optional<raft::NodeId> caller = transport_.caller(request);
  const Member* member = caller ? find(members, *caller) : nullptr;
  if (member != nullptr && member->role != Member::Role::kWitness) return Result<void>();
  return Error(Code::kForbidden, "only a server of the cluster may ask this, or a new one for itself");
}

Task<io::GrpcStatus> GroupMembers::serve(io::GrpcCall& call, bool join_only) {
  const StopToken gone = call.gone();
  Result<std::optional<std::string>> bytes = co_await call.read(gone);
  if (!bytes) co_return io::GrpcStatus{Grpc::kInvalidArgument, bytes.error().message()};
  if (!*bytes) co_return io::GrpcStatus{Grpc::kInvalidArgument, "the request has no message"};
  Result<PeerChange> wanted = decode_peer_change(**bytes);
  if (!wanted) co_return io::GrpcStatus{Grpc::kInvalidArgument, wanted.error().message()};
  if (join_only && wanted->verb != Verb::kJoin) {
    co_return io::GrpcStatus{Grpc::kInvalidArgument, "only a join is asked for here"};
  }
  if (call.request().headers.get(kClusterField) != options_.cluster) {
    co_return io::GrpcStatus{Grpc::kFailedPrecondition, cat("this is cluster ", options_.cluster)};
  }
  PeerChanged answer;
  Result<void> done = may_ask(call.request(), *wanted);
  if (done) {
    // Before any leader has written it down: when all servers have moved there is none until they find each other.
    const bool known = wanted->verb == Verb::kJoin && transport_.caller(call.request()) == wanted->member->id;
    if (known) transport_.heard_at(wanted->member->id, wanted->member->addresses);
    done = co_await change(std::move(*wanted), gone);
  }
  if (done) {
    answer.members = vouched(list());
  } else {
    answer.error = done.error();
  }
  std::string out = encode_peer_changed(answer);
  const Result<void> written = co_await call.write(std::move(out));
  if (!written) co_return io::GrpcStatus{Grpc::kUnavailable, written.error().message()};
  co_return io::GrpcStatus();
}

// ---- this server's own record

bool GroupMembers::own_record_is_right() const {
  const std::vector<Member> members = local_.members();
  const Member* self = find(members, options_.self.id);
  // One that is no member yet is announced (announce.h); one that is none any more stays out.
  if (self == nullptr) return true;
  return self->name == options_.self.name && self->addresses == options_.self.addresses &&
         self->key == options_.self.key;
}

Task<Result<void>> GroupMembers::run(StopToken stop) {
  io::TaskScope scope(stop);
  scope.spawn(keep_own_record(scope.token()));
  scope.spawn(keep_witness_told(scope.token()));
  co_return co_await scope.join();
}

Task<Result<void>> GroupMembers::keep_own_record(StopToken stop) {
  while (!stop.stopped()) {
    const Leadership leadership = store_.leadership();
    // Here and not behind the waits below: the leadership may have come to this server during any of them.
    changed_.set();
    if (leadership.leader != raft::kNobody && !own_record_is_right()) {
      PeerChange here = join_of(options_.self);
      here.returns = true;
      const Result<void> done = co_await change(std::move(here), stop);
      if (stop.stopped()) break;
      if (!done) {
        context_.log.warn("the others could not be told where this server is", {{"error", done.error().message()}});
      }
      if (done && own_record_is_right()) continue;
      // It is written, and is not seen here before this server has caught up.
      (void)co_await context_.loop.sleep(kRetry, stop);
      continue;
    }
    const bool changed = co_await store_.leadership_changed(leadership, stop);
    if (!changed) break;
  }
  co_return Result<void>();
}

// ---- the witness

// What a leader tells outranks what was told in an earlier term, and earlier in this one.
MemberList GroupMembers::vouched(MemberList list) {
  const Leadership leadership = store_.leadership();
  if (!leadership.leads) return list;
  list.term = leadership.term;
  list.version = ++told_version_;
  return list;
}

bool GroupMembers::witness_knows(raft::NodeId id) const {
  for (const Member& member : local_.members()) {
    if (member.role != Member::Role::kWitness) continue;
    // It may be another witness than the one that was told.
    return told_.find(member.id) != nullptr && told_.find(id) != nullptr;
  }
  return true;
}

Task<Result<void>> GroupMembers::keep_witness_told(StopToken stop) {
  while (!stop.stopped()) {
    changed_.reset();
    const MemberList now = list();
    const auto witness = std::find_if(now.members.begin(), now.members.end(), [](const MemberRecord& member) {
      return member.role == MemberRecord::Role::kWitness;
    });
    const Leadership leadership = store_.leadership();
    // A new leader says it anew: the old one may not have come to it, or have said something else since.
    const bool told_already = now == told_ && leadership.term == told_in_;
    if (!leadership.leads || witness == now.members.end() || told_already) {
      (void)co_await changed_.wait(stop);
      continue;
    }
    const Result<void> told = co_await tell(witness->id, vouched(now), stop);
    if (told) {
      told_ = now;
      told_in_ = leadership.term;
    }
    if (told || stop.stopped()) continue;
    // The transport says when a member cannot be reached; it is enough to try again.
    context_.log.debug("the witness was not told of the members", {{"error", told.error().message()}});
    (void)co_await context_.loop.sleep(kRetry, stop);
  }
  co_return Result<void>();
}

Task<Result<void>> GroupMembers::tell(raft::NodeId witness, MemberList list, StopToken stop) {
  io::Deadline deadline(context_.loop, kPeerChangeTimeout, stop);
  auto client = co_await transport_.client(witness, deadline.token());
  if (!client) co_return client.error();
  io::GrpcRequest request = transport_.request(witness, kMembersMethod);
  request.timeout = kPeerChangeTimeout;
  PeerChanged message;
  message.members = std::move(list);
  Result<std::string> bytes =
      co_await io::grpc_unary(**client, std::move(request), encode_peer_changed(message), deadline.token());
  const Result<MemberList> done = members_after(bytes);
  if (!done) co_return done.error();
  co_return Result<void>();
}

std::vector<PeerInfo> peers_of(const MemberList& list) {
  std::vector<PeerInfo> peers;
  for (const MemberRecord& member : list.members) {
    PeerInfo& peer = peers.emplace_back();
    peer.id = member.id;
    peer.name = member.name;
    peer.addresses = member.addresses;
    peer.key = member.key;
    peer.witness = member.role == MemberRecord::Role::kWitness;
  }
  return peers;
}

}  // namespace kayak::store
