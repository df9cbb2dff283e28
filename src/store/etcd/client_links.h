// client_links.h: the connection to one of several endpoints, made anew at another one when it breaks.
// One connection at a time takes everything new, calls and the watch stream, and only after it was found out whose it
// is. A call takes the link, uses it, and says by `good` or `leave` what it has learned of it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/http2_client.h"
#include "io/loop.h"
#include "store/etcd/client.h"
#include "store/etcd/client_kv.h"

namespace kayak::store::etcd {

// One endpoint, read from its URL.
struct Target {
  std::string url;
  bool tls = false;
  std::string host;  // empty: a unix socket
  std::uint16_t port = 0;
  std::string unix_path;
  std::string authority() const;
};
// Errors: Invalid, as check_endpoint.
Result<Target> parse_target(const std::string& url);

// A connection under way. Whoever holds it may still call on it after it broke: the calls fail.
struct Link {
  Link(std::string u, std::unique_ptr<io::Http2Client> c, EtcdKvOptions options)
      : url(std::move(u)), client(std::move(c)), kv(*client, std::move(options)) {}
  const std::string url;
  std::unique_ptr<io::Http2Client> client;
  EtcdKv kv;
  io::StopSource stop;  // ends the connection, with every call on it
  io::Event over;       // new calls go elsewhere
  io::StopSource left;  // fires then, for streams that should go elsewhere, too
  Instant answered;     // when a call on it was, last
  io::Loop::Timer linger;
};
using LinkRef = std::shared_ptr<Link>;

class Links {
 public:
  struct Events {
    // Whether the server at the other end may be used. Errors: Gone (it is of another cluster), or why it is of no use.
    std::function<Task<Result<void>>(LinkRef link, StopToken stop)> introduced;
    // The last attempt at every endpoint has met Gone.
    std::function<void()> all_gone;
  };
  Links(Context context, const EtcdStoreOptions& options, std::vector<Target> targets, Events events);
  // Keeps one connection until `stop` fires.
  Task<void> run(StopToken stop);
  // The connection, when there is one. Errors: Unavailable (none within `patience`; says what the last attempts met),
  // Cancelled.
  Task<Result<LinkRef>> get(Duration patience, StopToken stop);
  bool connected() const { return link_ != nullptr; }
  bool has_others() const { return targets_.size() > 1; }
  // A call was answered: the endpoint is fine.
  void good();
  // The endpoint is of no use now, and the next one is tried. Calls under way have time to end.
  void leave(LinkRef link, std::string why);
  // Of the last failed attempt at each endpoint, in order of endpoints.
  std::string failures() const;
  // Every endpoint was tried and showed that it is not who it should be, or that it does not know us.
  bool all_refuse_tls() const { return all_failed(Code::kUnauthorized); }

 private:
  Task<Result<io::StreamPtr>> connect(const Target& target, StopToken stop);
  Task<Result<io::TlsClientOptions>> tls_options(const Target& target);
  Task<void> serve(std::size_t at, io::StreamPtr stream, io::TaskScope* connections);
  Task<void> carry(std::size_t at, LinkRef link, StopToken stop);
  void failed(std::size_t at, const Error& error);
  bool all_failed(Code code) const;
  Duration pause();

  Context context_;
  const std::string ca_file_, certificate_file_, key_file_;
  const Duration call_timeout_;
  const Events events_;
  std::vector<Target> targets_;
  std::vector<std::optional<Error>> errors_;  // of the last attempt at each
  std::size_t failures_ = 0;                  // in a row
  Instant told_{};                            // when that lasts for long: when the log last said so
  LinkRef link_;                              // null: none now
  io::Event there_;
};

}  // namespace kayak::store::etcd
