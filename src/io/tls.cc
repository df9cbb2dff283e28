// tls.cc: handshakes between a stream on the loop and a session on the TLS thread, and the streams that come of them.
// The thread only computes: a peer that stalls its handshake holds no thread, and before its first whole record not
// even a session.
#include "io/tls.h"

#include <algorithm>
#include <fstream>

#include "base/strings.h"
#include "io/fd_stream.h"
#include "io/tls_runtime.h"
#include "io/tls_session.h"

namespace kayak::io {

namespace {

using namespace std::chrono_literals;

constexpr Duration kClientHandshakeTimeout = 10s;
constexpr std::size_t kRecordHeader = 5;
constexpr std::size_t kMaxRecord = 16 * 1024 + 2048;    // RFC 5246 6.2.3
constexpr std::size_t kMaxHandshakeBytes = 256 * 1024;  // all that a peer may send before it is done
constexpr std::size_t kMaxBundleBytes = 8 * 1024 * 1024;
constexpr const char* kSystemBundle = "/etc/ssl/certs/ca-certificates.crt";
constexpr const char* kPlainHttpAnswer =
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

// ---- the stream

class MbedTlsStream final : public TlsStream {
 public:
  MbedTlsStream(Loop& loop, std::unique_ptr<FdStream> plain, std::unique_ptr<TlsSession> session, TlsPeer peer)
      : loop_(loop), plain_(std::move(plain)), session_(std::move(session)), peer_(std::move(peer)) {
    session_->attach(plain_.get());
  }
  ~MbedTlsStream() override { close(); }

  Task<Result<std::size_t>> read(std::span<char> buffer, StopToken stop) override;
  Task<Result<void>> wait_readable(StopToken stop) override;
  Task<Result<void>> write(Slices data, StopToken stop) override;
  Task<Result<void>> shutdown(StopToken stop) override;
  void close() override;
  Endpoint peer() const override { return plain_->peer(); }
  Endpoint local() const override { return plain_->local(); }
  const TlsPeer& tls_peer() const override { return peer_; }

 private:
  // Sends `unsent_` as far as it goes without waiting.
  Result<void> try_flush();
  Task<Result<void>> flush(StopToken stop);
  void park_if_idle() {
    if (reader_waits_ && !writing_) session_->park();
  }

  Loop& loop_;
  std::unique_ptr<FdStream> plain_;
  std::unique_ptr<TlsSession> session_;
  TlsPeer peer_;
  std::string unsent_;  // records that the kernel has not taken yet
  bool reader_waits_ = false, writing_ = false, shut_ = false, closed_ = false, broken_ = false;
};

Result<void> MbedTlsStream::try_flush() {
  // What reading provoked comes first; both are whole records.
  if (!session_->unsent().empty()) {
    unsent_ += session_->unsent();
    session_->unsent().clear();
  }
  if (unsent_.empty()) return Result<void>();
  const iovec piece{unsent_.data(), unsent_.size()};
  auto sent = plain_->try_write(&piece, 1);
  if (!sent) return sent.error();
  if (*sent == unsent_.size()) {
    std::string().swap(unsent_);
  } else {
    unsent_.erase(0, *sent);
  }
  return Result<void>();
}

Task<Result<void>> MbedTlsStream::flush(StopToken stop) {
  for (;;) {
    if (auto flushed = try_flush(); !flushed) co_return flushed;
    if (unsent_.empty()) co_return Result<void>();
    if (auto waited = co_await plain_->wait_writable(stop); !waited) co_return waited;
  }
}

Task<Result<std::size_t>> MbedTlsStream::read(std::span<char> buffer, StopToken stop) {
  for (;;) {
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
    if (closed_) co_return Error(Code::kCancelled, "the stream was closed");
    if (plain_->turn_is_over()) co_await loop_.yield();
    auto got = session_->try_read(buffer);
    if (!session_->unsent().empty() && !writing_) {
      if (auto flushed = try_flush(); !flushed) co_return flushed.error();
    }
    if (!got) co_return got.error();
    if (*got) co_return **got;
    reader_waits_ = true;
    park_if_idle();
    auto waited = co_await plain_->wait_readable(stop);
    reader_waits_ = false;
    if (!waited) co_return waited.error();
  }
}

Task<Result<void>> MbedTlsStream::wait_readable(StopToken stop) {
  if (closed_) co_return Error(Code::kCancelled, "the stream was closed");
  if (session_->has_input()) co_return Result<void>();
  reader_waits_ = true;
  park_if_idle();
  auto waited = co_await plain_->wait_readable(stop);
  reader_waits_ = false;
  co_return waited;
}

Task<Result<void>> MbedTlsStream::write(Slices data, StopToken stop) {
  ASSERT(!writing_);
  if (closed_ || shut_) co_return Error(Code::kCancelled, "the stream was closed");
  if (broken_) co_return Error(Code::kIo, "an earlier write was cut off");
  writing_ = true;
  std::size_t first = 0, skip = 0;
  Result<void> result;
  while (first < data.size() || !unsent_.empty()) {
    if (stop.stopped()) result = Error(Code::kCancelled, "stopped");
    if (!result) break;
    if (plain_->turn_is_over()) co_await loop_.yield();
    if (closed_) result = Error(Code::kCancelled, "the stream was closed");
    if (result && unsent_.empty()) {
      // Encrypted into memory that all sessions share, so there is no waiting before it is empty again.
      std::string& cork = session_->cork();
      cork.clear();
      result = session_->encrypt(data, &first, &skip, &cork);
      const iovec piece{cork.data(), cork.size()};
      auto sent = result && !cork.empty() ? plain_->try_write(&piece, 1) : Result<std::size_t>(std::size_t(0));
      if (!sent) result = sent.error();
      if (result) unsent_.assign(cork, *sent, std::string::npos);
    }
    if (result && !unsent_.empty()) result = co_await flush(stop);
    if (!result) break;
  }
  writing_ = false;
  broken_ = !result;
  if (!closed_) park_if_idle();
  co_return result;
}

Task<Result<void>> MbedTlsStream::shutdown(StopToken stop) {
  if (closed_) co_return Error(Code::kCancelled, "the stream was closed");
  if (shut_) co_return Result<void>();
  ASSERT(!writing_);
  if (broken_) co_return Error(Code::kIo, "an earlier write was cut off");
  shut_ = true;
  std::string notice;
  if (auto closing = session_->close_notify(&notice); !closing) co_return closing;
  unsent_ += notice;
  if (auto flushed = co_await flush(stop); !flushed) co_return flushed;
  park_if_idle();
  co_return co_await plain_->shutdown(stop);
}

void MbedTlsStream::close() {
  if (closed_) return;
  closed_ = true;
  // Without a close_notify many clients take an ordinary end for a cut connection: tell them when it costs no wait.
  if (!shut_ && !broken_ && !writing_ && unsent_.empty()) {
    std::string notice;
    if (session_->close_notify(&notice)) {
      const iovec piece{notice.data(), notice.size()};
      static_cast<void>(plain_->try_write(&piece, 1));
    }
  }
  plain_->close();
}

// ---- the handshake

// Whether `bytes` start with what can be a TLS record, and how many bytes its whole records have.
struct Records {
  bool possible = true;
  std::size_t whole = 0;
};
Records scan_records(std::string_view bytes) {
  Records out;
  while (bytes.size() - out.whole >= kRecordHeader) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[out.whole + i]); };
    const std::size_t length = std::size_t(byte(3)) << 8 | byte(4);
    out.possible = byte(0) >= 20 && byte(0) <= 23 && byte(1) == 3 && length <= kMaxRecord;
    if (!out.possible || bytes.size() - out.whole - kRecordHeader < length) break;
    out.whole += kRecordHeader + length;
  }
  return out;
}

bool looks_like_http(std::string_view bytes) {
  for (const std::string_view start : {"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"}) {
    if (bytes.starts_with(start)) return true;
  }
  return false;
}

struct Handshake {
  Loop& loop;
  TlsRuntime& runtime;
  FdStream& plain;
  std::string input;  // not handed to the session yet
  std::size_t total = 0;

  // Until `input` starts with a whole record. Errors: Invalid (no TLS), TooLarge, Io, Cancelled.
  Task<Result<void>> receive(StopToken stop);
  Task<Result<void>> send(std::string output, StopToken stop);
  // To the end, or the first failure.
  Task<Result<void>> run(TlsSession& session, StopToken stop);
};

Task<Result<void>> Handshake::receive(StopToken stop) {
  for (;;) {
    const Records records = scan_records(input);
    if (!records.possible) {
      if (total == input.size() && looks_like_http(input)) {
        static_cast<void>(co_await send(kPlainHttpAnswer, stop));  // a courtesy: it may be gone already
        co_return Error(Code::kInvalid, "client sent an HTTP request to an HTTPS server");
      }
      co_return Error(Code::kInvalid, "tls: first record does not look like a TLS handshake");
    }
    if (records.whole > 0) co_return Result<void>();
    if (auto waited = co_await plain.wait_readable(stop); !waited) co_return waited;
    auto got = plain.try_read(runtime.read_ahead);
    if (!got) co_return got.error();
    if (!*got) continue;
    if (**got == 0) co_return Error(Code::kIo, "the peer closed the connection during the TLS handshake");
    input.append(runtime.read_ahead.data(), **got);
    total += **got;
    if (total > kMaxHandshakeBytes) co_return Error(Code::kTooLarge, "the TLS handshake is too large");
  }
}

Task<Result<void>> Handshake::send(std::string output, StopToken stop) {
  if (output.empty()) co_return Result<void>();
  Slices data;
  data.push_back(Slice::of(std::move(output)));
  co_return co_await plain.write(std::move(data), stop);
}

struct Step {
  Result<TlsSession::Progress> progress;
  std::string output;
};

Task<Result<void>> Handshake::run(TlsSession& session, StopToken stop) {
  for (;;) {
    if (stop.stopped()) co_return Error(Code::kCancelled, "stopped during a TLS handshake");
    std::string ready = std::exchange(input, std::string());
    // The thread is never left alone with the session: this wait ends only when the step has.
    auto work = [&session, ready = std::move(ready)]() mutable {
      std::string output;
      auto progress = session.advance(std::move(ready), &output);
      return Step{std::move(progress), std::move(output)};
    };
    auto step = co_await runtime.worker.run(loop, std::move(work));
    if (!step) co_return Error(Code::kTooManyRequests, "too many TLS handshakes at once");
    auto sent = co_await send(std::move(step->output), stop);
    if (!step->progress) co_return step->progress.error();
    if (!sent) co_return sent;
    if (*step->progress == TlsSession::Progress::kDone) co_return Result<void>();
    if (auto received = co_await receive(stop); !received) co_return received;
  }
}

// The end of a handshake: Timeout instead of Cancelled when it was the deadline that fired.
Error ended(const Error& error, const Deadline& deadline) {
  if (error.code() == Code::kCancelled && deadline.expired()) return deadline.error("TLS handshake");
  return error;
}

Result<std::unique_ptr<FdStream>> plain_stream(StreamPtr stream) {
  auto* plain = dynamic_cast<FdStream*>(stream.get());
  if (plain == nullptr) return Error(Code::kInvalid, "TLS runs over sockets alone");
  (void)stream.release();  // it is `plain` from here on
  return std::unique_ptr<FdStream>(plain);
}

// ---- the server

class MbedTlsServer final : public TlsServer {
 public:
  MbedTlsServer(Context context, TlsServerOptions options, std::shared_ptr<TlsConfig> config)
      : context_(context.named("tls")), options_(std::move(options)), config_(std::move(config)) {}

  Result<void> replace(TlsServerOptions options) override {
    auto config = TlsConfig::server(options, realm_ ? &*realm_ : nullptr);
    if (!config) return config.error();
    options_ = std::move(options);
    config_ = std::move(*config);  // sessions keep the one they began with
    return Result<void>();
  }
  Result<void> set_realm(TlsRealm realm) override {
    auto config = TlsConfig::server(options_, &realm);
    if (!config) return config.error();
    realm_ = std::move(realm);
    config_ = std::move(*config);
    return Result<void>();
  }
  Task<Result<std::unique_ptr<TlsStream>>> handshake(StreamPtr plain, StopToken stop) override {
    // Nothing of `this` beyond these: the server may go while handshakes end.
    return serve(context_, config_, options_.handshake_timeout, std::move(plain), std::move(stop));
  }

 private:
  static Task<Result<std::unique_ptr<TlsStream>>> serve(Context context, std::shared_ptr<TlsConfig> config,
                                                        Duration timeout, StreamPtr stream, StopToken stop) {
    auto plain = plain_stream(std::move(stream));
    if (!plain) co_return plain.error();
    TlsRuntime& runtime = context.loop.tls();
    Deadline deadline(context.loop, timeout, stop);
    Handshake handshake{context.loop, runtime, **plain, std::string(), 0};
    auto received = co_await handshake.receive(deadline.token());
    if (!received) co_return ended(received.error(), deadline);
    auto place = co_await runtime.places.take((*plain)->peer().ip, deadline.token());
    if (!place) co_return ended(place.error(), deadline);
    PeerRule rule;
    rule.now = context.clock.wall();
    auto session = std::make_unique<TlsSession>(runtime, std::move(config), std::move(rule));
    auto done = co_await handshake.run(*session, deadline.token());
    if (!done) co_return ended(done.error(), deadline);
    TlsPeer peer = session->take_peer();
    co_return std::make_unique<MbedTlsStream>(context.loop, std::move(*plain), std::move(session), std::move(peer));
  }
  Context context_;
  TlsServerOptions options_;
  std::optional<TlsRealm> realm_;
  std::shared_ptr<TlsConfig> config_;
};

// ---- the client

Result<std::string> read_system_bundle() {
  std::ifstream file(kSystemBundle, std::ios::binary);
  std::string text;
  char buffer[16 * 1024];
  while (text.size() < kMaxBundleBytes && (file.read(buffer, sizeof(buffer)), file.gcount() > 0)) {
    text.append(buffer, static_cast<std::size_t>(file.gcount()));
  }
  if (text.empty()) return Error(Code::kUnauthorized, cat("no CA certificates in ", kSystemBundle));
  return text;
}

struct ClientSetup {
  std::string ca_pem, certificate_pem, key_pem;
  std::vector<std::string> alpn;
  bool pinned = false;
  // On the TLS thread: a system bundle takes 10 ms to read.
  Result<std::shared_ptr<TlsConfig>> make() const {
    std::string cas = ca_pem;
    if (!pinned && cas.empty()) {
      auto bundle = read_system_bundle();
      if (!bundle) return bundle.error();
      cas = std::move(*bundle);
    }
    return TlsConfig::client(cas, certificate_pem, key_pem, alpn);
  }
};

}  // namespace

struct TlsClientAccess {
  static const std::string& ca_pem(const TlsServerIdentity& identity) { return identity.ca_pem_; }
  static PeerRule rule(const TlsServerIdentity& identity) {
    using Kind = TlsServerIdentity::Kind;
    PeerRule rule;
    rule.kind = identity.kind_ == Kind::kName        ? PeerRule::Kind::kServerName
                : identity.kind_ == Kind::kPinnedKey ? PeerRule::Kind::kServerKey
                                                     : PeerRule::Kind::kServerRealm;
    rule.name = identity.name_;
    rule.keys = identity.keys_;
    return rule;
  }
};

TlsServerIdentity TlsServerIdentity::name(std::string dns_name_or_ip, std::string ca_pem) {
  TlsServerIdentity identity;
  const bool brackets = dns_name_or_ip.starts_with('[') && dns_name_or_ip.ends_with(']');
  identity.name_ = brackets ? dns_name_or_ip.substr(1, dns_name_or_ip.size() - 2) : std::move(dns_name_or_ip);
  identity.ca_pem_ = std::move(ca_pem);
  return identity;
}

TlsServerIdentity TlsServerIdentity::pinned_key(std::string public_key_sha256_hex) {
  TlsServerIdentity identity;
  identity.kind_ = Kind::kPinnedKey;
  identity.keys_ = {to_lower(public_key_sha256_hex)};
  return identity;
}

TlsServerIdentity TlsServerIdentity::realm_keys(std::string realm, std::string ca_pem, std::vector<std::string> keys) {
  ASSERT(!keys.empty());  // would be "any"
  TlsServerIdentity identity = realm_any_key(std::move(realm), std::move(ca_pem));
  for (const std::string& key : keys) identity.keys_.push_back(to_lower(key));
  return identity;
}

TlsServerIdentity TlsServerIdentity::realm_any_key(std::string realm, std::string ca_pem) {
  TlsServerIdentity identity = name(std::move(realm), std::move(ca_pem));
  identity.kind_ = Kind::kRealm;
  return identity;
}

TlsServerIdentity TlsServerIdentity::stranger() {
  TlsServerIdentity identity;
  identity.kind_ = Kind::kPinnedKey;
  return identity;
}

Result<std::unique_ptr<TlsServer>> TlsServer::create(Context context, TlsServerOptions options) {
  auto config = TlsConfig::server(options, nullptr);
  if (!config) return config.error();
  return std::unique_ptr<TlsServer>(new MbedTlsServer(context, std::move(options), std::move(*config)));
}

void prefer_handshakes(Loop& loop, const std::vector<std::string>& addresses) {
  loop.tls().places.prefer(std::set<std::string>(addresses.begin(), addresses.end()));
}

Task<Result<std::unique_ptr<TlsStream>>> tls_connect(Context context, StreamPtr stream, TlsClientOptions options,
                                                     StopToken stop) {
  auto plain = plain_stream(std::move(stream));
  if (!plain) co_return plain.error();
  PeerRule rule = TlsClientAccess::rule(options.server);
  rule.now = context.clock.wall();
  const bool pinned = rule.kind == PeerRule::Kind::kServerKey;
  const std::string& ca_pem = TlsClientAccess::ca_pem(options.server);
  if (!pinned && rule.name.empty()) co_return Error(Code::kInvalid, "a TLS client without a server's name");
  if (rule.kind == PeerRule::Kind::kServerRealm && ca_pem.empty()) {
    co_return Error(Code::kInvalid, "a TLS client of a realm without its CA");
  }
  ClientSetup setup{ca_pem, std::move(options.certificate_pem), std::move(options.key_pem), std::move(options.alpn),
                    pinned};

  TlsRuntime& runtime = context.loop.tls();
  Deadline deadline(context.loop, kClientHandshakeTimeout, stop);
  auto make = [setup = std::move(setup)] { return setup.make(); };
  auto config = co_await runtime.worker.run(context.loop, std::move(make));
  if (!config) co_return Error(Code::kTooManyRequests, "too many TLS handshakes at once");
  if (!*config) co_return config->error();
  auto session = std::make_unique<TlsSession>(runtime, std::move(**config), std::move(rule));
  Handshake handshake{context.loop, runtime, **plain, std::string(), 0};
  auto done = co_await handshake.run(*session, deadline.token());
  if (!done) co_return ended(done.error(), deadline);
  TlsPeer peer = session->take_peer();
  co_return std::make_unique<MbedTlsStream>(context.loop, std::move(*plain), std::move(session), std::move(peer));
}

}  // namespace kayak::io
