// announce.cc: see announce.h.
#include "store/announce.h"

#include <algorithm>

#include "base/strings.h"
#include "store/peer_change.h"
#include "store/transport/dial.h"
#include "store/transport/peer_link.h"

namespace kayak::store {

namespace {

using namespace std::chrono_literals;

constexpr Duration kDialTimeout = 5s;
constexpr Duration kRetry = 2s, kLongestRetry = 16s;

Task<Result<MemberList>> announce_at(Context context, const Announcement& announcement, std::string address,
                                     StopToken stop) {
  PeerDial dial;
  dial.address = std::move(address);
  dial.ca_pem = announcement.ca_pem;
  dial.certificate_pem = announcement.certificate_pem;
  dial.key_pem = announcement.key_pem;
  io::Deadline dialing(context.loop, kDialTimeout, stop);
  Result<PeerConnection> connection = co_await dial_peer(context, std::move(dial), dialing.token());
  if (!connection) co_return dialing.expired() ? dialing.error("connecting") : connection.error();
  io::TaskScope scope(stop);
  scope.spawn(connection->client->run(scope.token()));
  TransportOptions options;
  options.self = announcement.self.id;
  options.cluster = parse_member_id(announcement.cluster);
  io::GrpcRequest request = peer_request(options, member_id(connection->key), kJoinMethod);
  request.timeout = kPeerChangeTimeout;
  PeerChange join;
  join.member = announcement.self;
  join.replaces = announcement.replaces;
  join.returns = announcement.returns;
  Result<std::string> bytes =
      co_await io::grpc_unary(*connection->client, std::move(request), encode_peer_change(join), scope.token());
  scope.stop();
  (void)co_await scope.join();
  co_return members_after(bytes);
}

// What the group answers for itself, and somebody would have to change; all else may be over in a moment.
bool is_refusal(const Error& error) {
  return error.code() == Code::kInvalid || error.code() == Code::kAlreadyExists || error.code() == Code::kForbidden ||
         error.code() == Code::kConflict;
}

}  // namespace

Duration announce_pause(Duration before, bool refused_again) {
  return refused_again ? std::min(2 * before, kLongestRetry) : kRetry;
}

Task<Result<MemberList>> ask_whether_removed(Context context, Announcement announcement, std::string* said_by,
                                             StopToken stop) {
  announcement.returns = true;
  std::string errors;
  for (const std::string& address : announcement.addresses) {
    Result<MemberList> list = co_await announce_at(context, announcement, address, stop);
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while asking about this server's place");
    *said_by = address;
    if (list || list.error().code() == Code::kForbidden) co_return list;
    errors += cat(errors.empty() ? "" : "; ", address, ": ", list.error().message());
  }
  co_return Error(Code::kUnavailable, errors);
}

Task<Result<MemberList>> announce(Context context, Announcement announcement, StopToken stop) {
  std::string last;
  Duration pause = kRetry;
  for (;;) {
    std::string errors;
    bool refused = false;
    for (const std::string& address : announcement.addresses) {
      Result<MemberList> list = co_await announce_at(context, announcement, address, stop);
      if (list) co_return list;
      if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while asking to be taken in");
      refused = refused || is_refusal(list.error());
      errors += cat(errors.empty() ? "" : "; ", address, ": ", list.error().message());
    }
    if (errors != last) context.log.warn("not taken into the cluster yet, asking on", {{"errors", errors}});
    pause = announce_pause(pause, refused && errors == last);
    last = errors;
    Result<void> slept = co_await context.loop.sleep(pause, stop);
    if (!slept) co_return slept.error();
  }
}

}  // namespace kayak::store
