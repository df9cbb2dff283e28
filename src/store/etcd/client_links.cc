// client_links.cc: connecting, failing over, waiting.
#include "store/etcd/client_links.h"

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "base/strings.h"
#include "io/http.h"
#include "io/tls.h"

namespace kayak::store::etcd {

namespace {

using namespace std::chrono_literals;

constexpr Duration kFirstPause = 100ms;
constexpr Duration kLongestPause = 5s;
constexpr Duration kConnectTimeout = 5s;
constexpr Duration kTellAgain = 60s;
// Beyond what a call may take.
constexpr Duration kLinger = 2s;
constexpr std::string_view kUnix = "unix://";

}  // namespace

std::string Target::authority() const {
  if (host.empty()) return "localhost";
  const bool v6 = host.find(':') != std::string::npos;
  return cat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

Result<Target> parse_target(const std::string& url) {
  Target target;
  target.url = url;
  if (url.starts_with(kUnix)) {
    target.unix_path = url.substr(kUnix.size());
    if (target.unix_path.starts_with('/')) return target;
    return Error(Code::kInvalid, "must name the socket by its whole path, like unix:///run/etcd.sock");
  }
  const Result<io::Url> parsed = io::parse_url(url);
  if (!parsed || parsed->path != "/" || !parsed->query.empty()) {
    return Error(Code::kInvalid, "must be like https://host:2379, http://host:2379 or unix:///path");
  }
  target.tls = parsed->scheme == "https";
  target.host = parsed->host;
  target.port = parsed->port;
  return target;
}

Result<void> check_endpoint(const std::string& url) {
  const Result<Target> target = parse_target(url);
  return target ? Result<void>() : target.error();
}

Links::Links(Context context, const EtcdStoreOptions& options, std::vector<Target> targets, Events events)
    : context_(std::move(context)),
      ca_file_(options.ca_file),
      certificate_file_(options.certificate_file),
      key_file_(options.key_file),
      call_timeout_(options.call_timeout),
      events_(std::move(events)),
      targets_(std::move(targets)),
      errors_(targets_.size()) {
  ASSERT(!targets_.empty());
}

Task<Result<io::TlsClientOptions>> Links::tls_options(const Target& target) {
  struct Files {
    std::string ca, certificate, key;
  };
  const std::string ca = ca_file_, certificate = certificate_file_, key = key_file_;
  auto read = [ca, certificate, key]() -> Result<Files> {
    Files files;
    struct Row {
      const std::string& path;
      std::string* text;
    };
    for (const Row& row : {Row{ca, &files.ca}, Row{certificate, &files.certificate}, Row{key, &files.key}}) {
      if (row.path.empty()) continue;
      Result<std::string> text = read_file(row.path, 1024 * 1024);
      if (!text) return text.error();
      *row.text = std::move(*text);
    }
    return files;
  };
  Result<Files> files = co_await context_.loop.offload(std::move(read));
  if (!files) co_return files.error();
  io::TlsClientOptions out{io::TlsServerIdentity::name(target.host, std::move(files->ca)),
                           std::move(files->certificate),
                           std::move(files->key),
                           {"h2"}};
  co_return out;
}

Task<Result<io::StreamPtr>> Links::connect(const Target& target, StopToken stop) {
  io::Deadline deadline(context_.loop, kConnectTimeout, stop);
  const StopToken until = deadline.token();
  Result<io::StreamPtr> plain = Error(Code::kUnavailable, "not tried");
  if (target.host.empty()) {
    plain = co_await io::connect_unix(context_, target.unix_path, until);
  } else {
    plain = co_await io::connect_host(context_, target.host, target.port, until);
  }
  if (!plain && deadline.expired()) co_return Error(Code::kTimeout, "nobody answers");
  if (!plain || !target.tls) co_return plain;
  Result<io::TlsClientOptions> tls = co_await tls_options(target);
  if (!tls) co_return tls.error();
  auto secured = co_await io::tls_connect(context_, std::move(*plain), std::move(*tls), until);
  if (!secured && deadline.expired()) co_return Error(Code::kTimeout, "the TLS handshake does not end");
  if (!secured && secured.error().code() == Code::kIo) {
    co_return Error(Code::kIo, cat(secured.error().message(), " (an etcd without TLS is named by http://)"));
  }
  if (!secured) co_return secured.error();
  io::StreamPtr stream = std::move(*secured);
  co_return stream;
}

void Links::failed(std::size_t at, const Error& error) {
  ++failures_;
  const bool news = !errors_[at] || errors_[at]->message() != error.message();
  errors_[at] = error;
  if (news) {
    context_.log.warn("an etcd endpoint is not usable", {{"endpoint", targets_[at].url}, {"error", error.message()}});
  }
  // Each error is told when it is new; that nothing can be read or written is told as long as it lasts.
  const Instant now = context_.clock.now();
  if (failures_ == 1) told_ = now;
  if (!link_ && now - told_ >= kTellAgain) {
    told_ = now;
    context_.log.warn("no etcd endpoint is usable: nothing can be read or written", {{"errors", failures()}});
  }
  if (all_failed(Code::kGone)) events_.all_gone();
}

// Every endpoint gets its turn without a wait; then there is one, which grows, and differs between servers.
Duration Links::pause() {
  if (failures_ == 0 || failures_ % targets_.size() != 0) return Duration(0);
  const std::size_t rounds = std::min<std::size_t>(failures_ / targets_.size() - 1, 10);
  const Duration wait = std::min<Duration>(kFirstPause * (1 << rounds), kLongestPause);
  return wait / 2 +
         Duration(static_cast<std::int64_t>(context_.random.below(static_cast<std::uint64_t>(wait.count()))));
}

Task<void> Links::run(StopToken stop) {
  io::TaskScope connections(stop);
  for (std::size_t at = 0; !stop.stopped(); at = (at + 1) % targets_.size()) {
    Result<io::StreamPtr> stream = co_await connect(targets_[at], stop);
    if (stop.stopped()) break;
    if (stream) {
      co_await serve(at, std::move(*stream), &connections);
    } else {
      failed(at, stream.error());
    }
    const Duration wait = pause();
    if (wait > Duration(0)) (void)co_await context_.loop.sleep(wait, stop);
  }
  (void)co_await connections.join();
}

// Until the connection has ended or was left. Nobody gets it before it is known whose it is.
Task<void> Links::serve(std::size_t at, io::StreamPtr stream, io::TaskScope* connections) {
  const Target& target = targets_[at];
  EtcdKvOptions kv_options;
  kv_options.scheme = target.tls ? "https" : "http";
  kv_options.authority = target.authority();
  kv_options.timeout = call_timeout_;
  const io::Http2ClientOptions http_options;
  auto client = io::Http2Client::create(context_, std::move(stream), http_options);
  const LinkRef link = std::make_shared<Link>(target.url, std::move(client), std::move(kv_options));
  connections->spawn(carry(at, link, connections->token()));
  const Result<void> fine = co_await events_.introduced(link, connections->token());
  if (link->over.is_set()) co_return;
  if (!fine) {
    link->over.set();
    link->stop.stop();
    if (!connections->token().stopped()) failed(at, fine.error());
    co_return;
  }
  link->answered = context_.clock.now();
  link_ = link;
  there_.set();
  good();
  co_await link->over.wait();
}

Task<void> Links::carry(std::size_t at, LinkRef link, StopToken stop) {
  io::StopCallback on_stop(stop, [&link] { link->stop.stop(); });
  const Result<void> ended = co_await link->client->run(link->stop.token());
  link->linger.cancel();
  // When it was left before, it is known why.
  if (!link->over.is_set() && !stop.stopped()) {
    const bool perhaps_tls = link_ != link && !targets_[at].tls && !targets_[at].host.empty();
    const std::string what = ended ? std::string("the server closed the connection") : ended.error().message();
    const Code code = ended ? Code::kIo : ended.error().code();
    failed(at, Error(code, cat(what, perhaps_tls ? " (an etcd that serves over TLS is named by https://)" : "")));
  }
  if (link_ == link) {
    link_.reset();
    there_.reset();
  }
  link->over.set();
  link->left.stop();
}

void Links::good() {
  if (failures_ == 0) return;
  failures_ = 0;
  errors_.assign(targets_.size(), std::nullopt);
  if (link_) context_.log.info("an etcd endpoint is used", {{"endpoint", link_->url}});
}

void Links::leave(LinkRef link, std::string why) {
  if (link != link_) return;
  const auto target =
      std::find_if(targets_.begin(), targets_.end(), [&](const Target& t) { return t.url == link->url; });
  failed(static_cast<std::size_t>(target - targets_.begin()), Error(Code::kUnavailable, std::move(why)));
  link_.reset();
  there_.reset();
  link->over.set();
  link->left.stop();
  io::StopSource* end = &link->stop;
  link->linger = context_.loop.after(call_timeout_ + kLinger, [end] { end->stop(); });
}

Task<Result<LinkRef>> Links::get(Duration patience, StopToken stop) {
  if (link_ && !link_->client->usable()) leave(link_, "the connection has ended");
  if (link_) co_return link_;
  io::Deadline deadline(context_.loop, patience, stop);
  const StopToken until = deadline.token();
  for (;;) {
    const bool there = co_await there_.wait(until);
    if (!there) break;
    if (link_) co_return link_;
  }
  if (!deadline.expired()) co_return Error(Code::kCancelled, "stopped while waiting for an etcd endpoint");
  co_return Error(Code::kUnavailable, cat("no etcd endpoint answers: ", failures()));
}

std::string Links::failures() const {
  std::string out;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    out += cat(out.empty() ? "" : "; ", targets_[i].url, ": ", errors_[i] ? errors_[i]->message() : "no answer yet");
  }
  return out;
}

bool Links::all_failed(Code code) const {
  return std::all_of(errors_.begin(), errors_.end(),
                     [code](const auto& error) { return error && error->code() == code; });
}

}  // namespace kayak::store::etcd
