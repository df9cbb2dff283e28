// peer_link.cc: see peer_link.h.
#include "store/transport/peer_link.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::store {

namespace {

// Of messages that go out in one write; a larger one goes alone.
constexpr std::size_t kBatchBytes = 256 * 1024;
// A large message is written in such pieces, each of which has to leave in time.
constexpr std::size_t kPieceBytes = 256 * 1024;

std::size_t size_of(const raft::Message& message) {
  std::size_t bytes = 64;
  if (const auto* append = std::get_if<raft::AppendEntries>(&message.body)) {
    for (const raft::Entry& entry : append->entries) bytes += entry.bytes();
  }
  return bytes;
}

bool is_append(const raft::Message& message) {
  const auto* append = std::get_if<raft::AppendEntries>(&message.body);
  return append != nullptr && !append->entries.empty();
}

// The next `limit` bytes of `slices`, from `*first` and `*skip` into it, which move on.
io::Slices next_piece(const io::Slices& slices, std::size_t* first, std::size_t* skip) {
  io::Slices piece;
  std::size_t left = kPieceBytes;
  while (left > 0 && *first < slices.size()) {
    const io::Slice& slice = slices[*first];
    const std::string_view bytes = slice.bytes.substr(*skip, left);
    left -= bytes.size();
    *skip += bytes.size();
    if (!bytes.empty()) piece.push_back(io::Slice{bytes, slice.owner});
    if (*skip == slice.bytes.size()) {
      ++*first;
      *skip = 0;
    }
  }
  return piece;
}

}  // namespace

io::GrpcRequest peer_request(const TransportOptions& options, raft::NodeId to, std::string_view method) {
  io::GrpcRequest request;
  request.authority = std::string(kPeerServerName);
  request.method = std::string(method);
  request.metadata.add(kClusterField, member_id_text(options.cluster));
  request.metadata.add(kFromField, member_id_text(options.self));
  request.metadata.add(kToField, member_id_text(to));
  if (!options.addresses.empty()) request.metadata.add(kAtField, join(options.addresses, ","));
  return request;
}

// ---- what waits

void PeerLink::send(raft::Message message) {
  if (closing_.stopped()) return;
  const bool append = is_append(message);
  Lane& lane = append ? appends_ : others_;
  const std::size_t limit = append ? settings_.options.append_bytes : settings_.options.message_bytes;
  const std::size_t bytes = size_of(message);
  if (lane.bytes > 0 && lane.bytes + bytes > limit) {
    settings_.unreachable(peer_.id);
    return;
  }
  lane.bytes += bytes;
  lane.waiting.push_back(Queued{std::move(message), bytes});
  lane.ready.set();
  wanted_.set();
}

void PeerLink::drop(Lane& lane) {
  lane.waiting.clear();
  lane.bytes = 0;
}

// As many messages as make one write; `*bytes` of the lane's bound.
io::Slices PeerLink::take_batch(Lane& lane, std::size_t* bytes) {
  io::Slices batch;
  while (!lane.waiting.empty() && (batch.empty() || *bytes + lane.waiting.front().bytes <= kBatchBytes)) {
    const Queued next = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    *bytes += next.bytes;
    std::string encoded = raft::encode(next.message, settings_.payloads);
    batch.push_back(io::Slice::of(io::grpc_prefix(encoded.size())));
    batch.push_back(io::Slice::of(std::move(encoded)));
  }
  return batch;
}

void PeerLink::update(PeerInfo peer) {
  const bool differs = peer.addresses != peer_.addresses;
  peer_ = std::move(peer);
  if (differs) moved();
}

void PeerLink::heard_at(const std::vector<std::string>& addresses) {
  if (heard_ == addresses) return;
  const bool differs = peer_.addresses != addresses;
  heard_ = addresses;
  if (differs) moved();
}

void PeerLink::moved() {
  first_address_ = 0;
  redial_ = dialing_.has_value();
  if (dialing_) dialing_->stop();
  peer_is_up();
}

void PeerLink::peer_is_up() {
  pause_ = Duration::zero();
  next_try_ = Instant();
  hurry_.set();
}

void PeerLink::close() {
  closing_.stop();
  tried_.set();
}

Task<Result<PeerLink::Client>> PeerLink::client(StopToken stop) {
  ++callers_;
  wanted_.set();
  const std::size_t failures = failures_;
  const auto usable = [this] { return client_ && client_->usable(); };
  bool woken = true;
  while (woken && !usable() && failures_ == failures && !closing_.stopped()) {
    tried_.reset();
    woken = co_await tried_.wait(stop);
  }
  --callers_;
  if (!woken) co_return Error(Code::kCancelled, "stopped while a member was dialled");
  if (closing_.stopped()) co_return Error(Code::kUnavailable, cat(peer_.name, " is no peer any more"));
  if (usable()) co_return client_;
  co_return Error(Code::kUnavailable, cat("member ", peer_.name, " cannot be reached: ", last_error_));
}

// ---- the connection

Task<void> PeerLink::run(StopToken stop) {
  io::StopCallback on_stop(stop, [this] { close(); });
  const StopToken closing = closing_.token();
  while (!closing.stopped()) {
    co_await wait_for_work(closing);
    co_await wait_for_next_try(closing);
    if (closing.stopped()) break;
    auto connection = co_await connect(closing);
    if (closing.stopped()) break;
    if (std::exchange(redial_, false)) continue;
    if (connection) {
      co_await carry(std::move(*connection), closing);
    } else {
      failed(connection.error());
    }
  }
  drop(appends_);
  drop(others_);
}

Task<void> PeerLink::wait_for_work(StopToken stop) {
  while (!is_wanted() && !stop.stopped()) {
    wanted_.reset();
    (void)co_await wanted_.wait(stop);
  }
}

Task<void> PeerLink::wait_for_next_try(StopToken stop) {
  for (Instant now = settings_.context.clock.now(); now < next_try_ && !stop.stopped();
       now = settings_.context.clock.now()) {
    hurry_.reset();
    io::Deadline deadline(settings_.context.loop, next_try_ - now, stop);
    const StopToken due = deadline.token();
    (void)co_await hurry_.wait(due);
  }
}

PeerDial PeerLink::dial_to(const std::string& address) const {
  const TransportOptions& options = settings_.options;
  PeerDial dial;
  dial.address = address;
  dial.ca_pem = options.ca_pem;
  dial.keys = {peer_.key};
  dial.certificate_pem = options.certificate_pem;
  dial.key_pem = options.key_pem;
  dial.http2.ping_after = options.times.silence;
  dial.http2.ping_timeout = options.times.answer;
  dial.http2.write_timeout = dial.unacknowledged = options.times.stall;
  return dial;
}

std::vector<std::string> PeerLink::addresses() const {
  std::vector<std::string> all = heard_;
  for (const std::string& address : peer_.addresses) {
    if (std::find(heard_.begin(), heard_.end(), address) == heard_.end()) all.push_back(address);
  }
  return all;
}

// Every address once, beginning with the one that worked last.
Task<Result<PeerConnection>> PeerLink::connect(StopToken stop) {
  dialing_.emplace(stop);
  const StopToken dialing = dialing_->token();
  const std::vector<std::string> addresses = this->addresses();
  const std::size_t first = first_address_;
  Result<PeerConnection> connection = Error(Code::kUnavailable, "no address of it is known");
  for (std::size_t i = 0; i < addresses.size() && !connection && !dialing.stopped(); ++i) {
    const std::size_t place = (first + i) % addresses.size();
    io::Deadline deadline(settings_.context.loop, settings_.options.times.connect, dialing);
    const StopToken due = deadline.token();
    PeerDial dial = dial_to(addresses[place]);
    connection = co_await dial_peer(settings_.context, std::move(dial), due);
    if (connection && !redial_) first_address_ = place;
    if (!connection && deadline.expired()) connection = deadline.error(cat("connecting to ", addresses[place]));
  }
  dialing_.reset();
  co_return connection;
}

void PeerLink::Carried::breaks(const Error& error) {
  if (!broken && !end.stopped()) broken = error;
  end.stop();
}

Task<void> PeerLink::carry(PeerConnection connection, StopToken stop) {
  client_ = Client(std::move(connection.client));
  const Instant since = settings_.context.clock.now();
  Carried carried{*client_, io::StopSource(stop), std::nullopt};
  tried_.set();
  io::TaskScope scope;
  scope.spawn(run_client(carried));
  scope.spawn(run_lane(carried, others_));
  scope.spawn(run_lane(carried, appends_));
  (void)co_await scope.join();
  client_.reset();
  if (settings_.context.clock.now() - since > settings_.options.times.longest_pause) pause_ = Duration::zero();
  if (carried.broken && !stop.stopped()) failed(*carried.broken);
}

Task<void> PeerLink::run_client(Carried& carried) {
  const Client client = client_;  // also for those who still hold it
  const StopToken stop = carried.end.token();
  const Result<void> ran = co_await client->run(stop);
  if (!ran) carried.breaks(ran.error());
  carried.end.stop();  // ended in order: there was nothing under way
}

Task<void> PeerLink::run_lane(Carried& carried, Lane& lane) {
  const StopToken stop = carried.end.token();
  // An idle lane has no call.
  while (lane.waiting.empty() && !stop.stopped()) {
    lane.ready.reset();
    (void)co_await lane.ready.wait(stop);
  }
  if (stop.stopped()) co_return;
  io::GrpcRequest request = peer_request(settings_.options, peer_.id, kMessagesMethod);
  request.may_be_silent = true;
  auto call = co_await io::GrpcClientCall::open(carried.client, std::move(request), stop);
  if (!call) {
    carried.breaks(call.error());
    co_return;
  }
  io::TaskScope scope;
  scope.spawn(watch(carried, **call));
  co_await send_waiting(carried, lane, **call);
  (void)co_await scope.join();
}

// Until the connection ends.
Task<void> PeerLink::send_waiting(Carried& carried, Lane& lane, io::GrpcClientCall& call) {
  const StopToken stop = carried.end.token();
  while (!stop.stopped()) {
    if (lane.waiting.empty()) {
      lane.ready.reset();
      (void)co_await lane.ready.wait(stop);
      continue;
    }
    std::size_t bytes = 0;
    io::Slices batch = take_batch(lane, &bytes);
    const Result<void> sent = co_await send_batch(carried, call, std::move(batch));
    lane.bytes -= bytes;
    // Why a call has ended is what watch() is told.
    if (!sent && sent.error().code() != Code::kIo) carried.breaks(sent.error());
    if (!sent) co_return;
  }
}

Task<Result<void>> PeerLink::send_batch(Carried& carried, io::GrpcClientCall& call, io::Slices batch) {
  std::size_t first = 0, skip = 0;
  while (first < batch.size()) {
    io::Slices piece = next_piece(batch, &first, &skip);
    auto give_up = [&carried] { carried.breaks(Error(Code::kTimeout, "the member takes nothing")); };
    const io::Loop::Timer timer = settings_.context.loop.after(settings_.options.times.stall, give_up);
    const Result<void> sent = co_await call.send_framed(std::move(piece));
    if (!sent) co_return sent;
  }
  co_return Result<void>();
}

// A member answers with nothing but the end of the call and why.
Task<void> PeerLink::watch(Carried& carried, io::GrpcClientCall& call) {
  const Result<void> accepted = co_await call.accepted();
  if (!accepted) {
    carried.breaks(accepted.error());
    co_return;
  }
  reached();
  while (true) {
    const auto message = co_await call.receive();
    if (message && *message) continue;
    carried.breaks(message ? Error(Code::kIo, "the member takes no more messages") : message.error());
    co_return;
  }
}

// ---- success and failure

void PeerLink::reached() {
  if (!reachable_) settings_.context.log.info("member reached again", {{"member", peer_.name}});
  reachable_ = true;
}

void PeerLink::failed(const Error& error) {
  const TransportTimes& times = settings_.options.times;
  drop(appends_);
  drop(others_);
  pause_ = std::clamp(pause_ * 2, times.shortest_pause, times.longest_pause);
  const std::uint64_t half = static_cast<std::uint64_t>(pause_.count()) / 2;
  const auto random = static_cast<std::int64_t>(settings_.context.random.below(half + 1));
  next_try_ = settings_.context.clock.now() + Duration(pause_ - Duration(random));
  last_error_ = error.message();
  ++failures_;
  if (std::exchange(reachable_, false)) {
    settings_.context.log.warn("member cannot be reached", {{"member", peer_.name}, {"error", error.message()}});
  }
  tried_.set();
  settings_.unreachable(peer_.id);
  if (error.code() == Code::kForbidden) settings_.refused(peer_.id);
}

}  // namespace kayak::store
