// tls_session.cc: the handshake state by state, the verdict on the peer's certificate, and records.
// Source: RFC 5246; alerts in Go's words, as kubectl shows them.
#include "io/tls_session.h"

#include <malloc.h>
#include <mbedtls/platform.h>

#include <algorithm>
#include <cstring>

namespace kayak::io {

namespace {

constexpr int kTransportFailed = -0x004c;  // what net_sockets.h calls MBEDTLS_ERR_NET_RECV_FAILED
constexpr std::size_t kMaxUnsentAlerts = 16 * 1024;

Error unauthorized(std::string message) { return Error(Code::kUnauthorized, std::move(message)); }

// The alert that a peer ended the handshake with, as Go's crypto/tls names it.
Error remote_alert(int alert) {
  const char* text = nullptr;
  switch (alert) {
    case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
      text = "bad certificate";
      break;
    case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
      text = "unsupported certificate";
      break;
    case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
      text = "revoked certificate";
      break;
    case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
      text = "expired certificate";
      break;
    case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
      text = "unknown certificate";
      break;
    case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
      text = "unknown certificate authority";
      break;
    case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
      text = "access denied";
      break;
    case 116:
      text = "certificate required";
      break;
    default:
      break;
  }
  if (text != nullptr) return unauthorized(cat("remote error: tls: ", text));
  switch (alert) {
    case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
      text = "handshake failure";
      break;
    case MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION:
      text = "protocol version not supported";
      break;
    case MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL:
      text = "no application protocol";
      break;
    default:
      return Error(Code::kIo, cat("remote error: tls: alert(", alert, ")"));
  }
  return Error(Code::kIo, cat("remote error: tls: ", text));
}

// The five places in a record buffer that mbedTLS keeps.
template <typename Context>
std::array<unsigned char**, 5> in_places(Context& ssl) {
  return {&ssl.MBEDTLS_PRIVATE(in_ctr), &ssl.MBEDTLS_PRIVATE(in_hdr), &ssl.MBEDTLS_PRIVATE(in_len),
          &ssl.MBEDTLS_PRIVATE(in_iv), &ssl.MBEDTLS_PRIVATE(in_msg)};
}
template <typename Context>
std::array<unsigned char**, 5> out_places(Context& ssl) {
  return {&ssl.MBEDTLS_PRIVATE(out_ctr), &ssl.MBEDTLS_PRIVATE(out_hdr), &ssl.MBEDTLS_PRIVATE(out_len),
          &ssl.MBEDTLS_PRIVATE(out_iv), &ssl.MBEDTLS_PRIVATE(out_msg)};
}

}  // namespace

TlsSession::TlsSession(TlsRuntime& runtime, std::shared_ptr<TlsConfig> config, PeerRule rule)
    : runtime_(runtime), config_(std::move(config)), rule_(std::make_unique<PeerRule>(std::move(rule))) {
  mbedtls_ssl_init(&ssl_);
}

TlsSession::~TlsSession() { mbedtls_ssl_free(&ssl_); }

Result<void> TlsSession::setup() {
  if (set_up_) return Result<void>();
  int rc = mbedtls_ssl_setup(&ssl_, config_->get());
  if (rc != 0) return mbed_error(rc, "setting up TLS");
  mbedtls_ssl_set_bio(&ssl_, this, on_send, on_receive, nullptr);
  mbedtls_ssl_set_verify(&ssl_, on_certificate, this);
  // The name is for SNI alone (which takes no addresses); mbedTLS's own check of it is overruled in judge().
  const bool named = rule_->kind == PeerRule::Kind::kServerName || rule_->kind == PeerRule::Kind::kServerRealm;
  const bool sni = named && !is_numeric_address(rule_->name);
  if (rule_->kind != PeerRule::Kind::kClient) rc = mbedtls_ssl_set_hostname(&ssl_, sni ? rule_->name.c_str() : nullptr);
  if (rc != 0) return Error(Code::kInvalid, cat(quote(rule_->name), " cannot be the name of a TLS server"));
  set_up_ = true;
  return Result<void>();
}

// ---- whom the peer asked for

int TlsSession::on_server_name(void*, mbedtls_ssl_context* ssl, const unsigned char* name, std::size_t length) {
  TlsSession& session = *static_cast<TlsSession*>(ssl->MBEDTLS_PRIVATE(p_bio));
  const TlsRealmConfig& realm = *session.config_->realm();
  const std::string_view asked(reinterpret_cast<const char*>(name), length);
  return iequals(asked, realm.name) ? session.enter_realm() : 0;
}

int TlsSession::enter_realm() {
  if (std::exchange(in_realm_, true)) return 0;
  TlsRealmConfig& realm = *config_->realm();
  mbedtls_ssl_set_hs_authmode(&ssl_, MBEDTLS_SSL_VERIFY_REQUIRED);
  mbedtls_ssl_set_hs_ca_chain(&ssl_, &realm.cas.crt, nullptr);
  return mbedtls_ssl_set_hs_own_cert(&ssl_, &realm.own.crt, &realm.key.pk);
}

// Once the client's hello is read: a realm's name and its protocols come together or not at all.
std::optional<Error> TlsSession::judge_protocol() {
  protocol_judged_ = true;
  const TlsRealmConfig* realm = config_->realm();
  if (realm == nullptr) return std::nullopt;
  const char* chosen = mbedtls_ssl_get_alpn_protocol(&ssl_);
  const std::string protocol = chosen != nullptr ? chosen : "";
  const bool of_realm = std::find(realm->alpn.begin(), realm->alpn.end(), protocol) != realm->alpn.end();
  if (of_realm == in_realm_) return std::nullopt;
  mbedtls_ssl_send_alert_message(&ssl_, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL);
  if (!in_realm_) return unauthorized(cat("tls: the protocol ", protocol, " was asked for without ", realm->name));
  return unauthorized(cat("tls: ", realm->name, " does not speak ", quote(protocol)));
}

// ---- who the peer is

int TlsSession::on_certificate(void* self, mbedtls_x509_crt* crt, int depth, std::uint32_t* flags) {
  static_cast<TlsSession*>(self)->judge(*crt, depth, flags);
  return 0;
}

// Called for each certificate of the chain, the leaf (depth 0) last. A refusal is kept in `failure_`, and in `flags` so
// that mbedTLS ends a client's handshake with a fitting alert.
void TlsSession::judge(const mbedtls_x509_crt& crt, int depth, std::uint32_t* flags) {
  constexpr std::uint32_t kOursToJudge =
      MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE | MBEDTLS_X509_BADCERT_CN_MISMATCH;
  *flags &= ~kOursToJudge;
  const bool pinned = rule_->kind == PeerRule::Kind::kServerKey;
  const bool timeless = pinned || in_realm_ || rule_->kind == PeerRule::Kind::kServerRealm;
  if (pinned) *flags = 0;
  if (failure_ || (pinned && depth > 0)) return;
  auto info = describe(crt);
  if (!info) {
    failure_ = unauthorized(info.error().message());
    *flags |= MBEDTLS_X509_BADCERT_OTHER;
  } else if ((*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
    failure_ = unauthorized("x509: certificate signed by unknown authority");
  } else if (*flags != 0) {
    char text[256] = "";
    mbedtls_x509_crt_verify_info(text, sizeof(text), "", *flags);
    failure_ = unauthorized(cat("x509: ", trim(text)));
  } else if (!timeless && (rule_->now < info->not_before || rule_->now > info->not_after)) {
    const bool early = rule_->now < info->not_before;
    failure_ = unauthorized(cat("x509: certificate has expired or is not yet valid: current time ",
                                format_time(rule_->now), early ? " is before " : " is after ",
                                format_time(early ? info->not_before : info->not_after)));
    *flags |= early ? MBEDTLS_X509_BADCERT_FUTURE : MBEDTLS_X509_BADCERT_EXPIRED;
  } else if (depth == 0) {
    failure_ = judge_leaf(crt, *info, flags);
    if (!failure_) leaf_ = std::move(*info);
  }
}

bool TlsSession::is_key_wanted(const std::string& key) const {
  return rule_->keys.empty() || std::find(rule_->keys.begin(), rule_->keys.end(), key) != rule_->keys.end();
}

std::optional<Error> TlsSession::judge_leaf(const mbedtls_x509_crt& crt, const CertificateInfo& info,
                                            std::uint32_t* flags) {
  if (!is_key_wanted(info.public_key_sha256)) {
    *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return unauthorized(
        cat("the server's public key is ", info.public_key_sha256, ", not the pinned ", join(rule_->keys, " or ")));
  }
  if (rule_->kind == PeerRule::Kind::kServerKey) return std::nullopt;
  const bool client = rule_->kind == PeerRule::Kind::kClient;
  // A client certificate says so itself. A server's may leave its usages open, as Go allows; mbedTLS then finds no
  // extension and agrees, else serverAuth has to be among them.
  const char* server_oid = MBEDTLS_OID_SERVER_AUTH;
  const bool usable = client ? info.client_auth
                             : mbedtls_x509_crt_check_extended_key_usage(
                                   &crt, server_oid, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) == 0;
  if (!usable) {
    *flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
    return unauthorized("x509: certificate specifies an incompatible key usage");
  }
  if (mbedtls_x509_crt_check_key_usage(&crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0) {
    *flags |= MBEDTLS_X509_BADCERT_KEY_USAGE;
    return unauthorized("x509: certificate's key usage does not include digital signatures");
  }
  if (client || rule_->kind == PeerRule::Kind::kServerRealm) return std::nullopt;
  auto named = check_server_name(info, rule_->name);
  if (named) return std::nullopt;
  *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
  return named.error();
}

// ---- the handshake

Result<TlsSession::Progress> TlsSession::advance(std::string input, std::string* output) {
  sink_ = output;
  if (auto set = setup(); !set) return set.error();
  unpark();
  input_.erase(0, input_used_);
  input_used_ = 0;
  input_ += input;
  while (ssl_.MBEDTLS_PRIVATE(state) != MBEDTLS_SSL_HANDSHAKE_OVER) {
    const int rc = mbedtls_ssl_handshake_step(&ssl_);
    if (failure_) {
      // With optional verification mbedTLS goes on: the end, and the alert, are ours.
      if (rc == 0) {
        mbedtls_ssl_send_alert_message(&ssl_, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
      }
      return Error(failure_->code(), cat("tls: failed to verify certificate: ", failure_->message()));
    }
    if (rc == MBEDTLS_ERR_SSL_WANT_READ) {
      park();
      sink_ = nullptr;
      return Progress::kNeedsInput;
    }
    if (rc != 0) return handshake_error(rc);
    if (!protocol_judged_ && ssl_.MBEDTLS_PRIVATE(state) > MBEDTLS_SSL_CLIENT_HELLO) {
      if (auto refused = judge_protocol()) return *refused;
    }
  }
  sink_ = nullptr;
  if (in_realm_ && !leaf_) return unauthorized("tls: client didn't provide a certificate");
  if (rule_->kind != PeerRule::Kind::kClient) {
    if (!leaf_) return unauthorized("tls: the server showed no certificate");  // no end without a verdict
    config_->forget_cas();
  }
  return Progress::kDone;
}

Error TlsSession::handshake_error(int rc) {
  if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) return remote_alert(ssl_.MBEDTLS_PRIVATE(in_msg)[1]);
  if (rc == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE) {
    mbedtls_ssl_send_alert_message(&ssl_, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
    return unauthorized("tls: client didn't provide a certificate");
  }
  return Error(Code::kIo, mbed_error(rc, "TLS handshake").message());
}

TlsPeer TlsSession::take_peer() {
  TlsPeer peer;
  const char* alpn = mbedtls_ssl_get_alpn_protocol(&ssl_);
  if (alpn != nullptr) peer.alpn = alpn;
  const bool tells = rule_->kind == PeerRule::Kind::kClient || rule_->kind == PeerRule::Kind::kServerRealm;
  if (tells && leaf_) peer.certificate = std::move(*leaf_);
  if (in_realm_) peer.realm = config_->realm()->name;
  leaf_.reset();
  rule_.reset();
  // The parsed chain of the peer is several KiB, and all that matters of it is in `peer` now.
  mbedtls_ssl_session* session = ssl_.MBEDTLS_PRIVATE(session);
  if (session != nullptr && session->MBEDTLS_PRIVATE(peer_cert) != nullptr) {
    mbedtls_x509_crt_free(session->MBEDTLS_PRIVATE(peer_cert));
    mbedtls_free(session->MBEDTLS_PRIVATE(peer_cert));
    session->MBEDTLS_PRIVATE(peer_cert) = nullptr;
  }
  return peer;
}

// ---- bytes in and out

int TlsSession::on_send(void* self, const unsigned char* data, std::size_t length) {
  TlsSession& session = *static_cast<TlsSession*>(self);
  std::string& sink = session.sink_ != nullptr ? *session.sink_ : session.unsent_;
  // A peer that provokes alerts without end and does not read them.
  if (&sink == &session.unsent_ && sink.size() > kMaxUnsentAlerts) return kTransportFailed;
  sink.append(reinterpret_cast<const char*>(data), length);
  return static_cast<int>(length);
}

int TlsSession::on_receive(void* self, unsigned char* data, std::size_t length) {
  TlsSession& session = *static_cast<TlsSession*>(self);
  std::string& input = session.input_;
  if (session.input_used_ == input.size() && session.stream_ != nullptr) {
    // A record's header is asked for first: more is read along with it, which for a small record is all of it.
    // Larger pieces go straight to where they belong.
    const bool ahead = length < TlsRuntime::kReadAhead;
    std::span<char> place(reinterpret_cast<char*>(data), length);
    if (ahead) place = std::span<char>(session.runtime_.read_ahead);
    auto got = session.stream_->try_read(place);
    if (!got) {
      session.failure_ = got.error();
      return kTransportFailed;
    }
    if (!*got) return MBEDTLS_ERR_SSL_WANT_READ;
    if (**got == 0) {
      session.end_ = true;
      return 0;
    }
    if (!ahead) return static_cast<int>(**got);
    input.assign(place.data(), **got);
    session.input_used_ = 0;
  }
  const std::size_t n = std::min(length, input.size() - session.input_used_);
  if (n == 0) return MBEDTLS_ERR_SSL_WANT_READ;
  std::memcpy(data, input.data() + session.input_used_, n);
  session.input_used_ += n;
  return static_cast<int>(n);
}

Result<std::optional<std::size_t>> TlsSession::try_read(std::span<char> buffer) {
  ASSERT(!buffer.empty());  // mbedTLS would answer 0 without end
  if (broken_) return Error(Code::kIo, "the TLS session failed before");
  for (;;) {
    if (end_ && input_used_ == input_.size()) return std::optional<std::size_t>(0);
    unpark();
    const int rc = mbedtls_ssl_read(&ssl_, reinterpret_cast<unsigned char*>(buffer.data()), buffer.size());
    if (rc > 0) return std::optional<std::size_t>(static_cast<std::size_t>(rc));
    if (rc == MBEDTLS_ERR_SSL_WANT_READ) {
      if (has_input()) continue;  // a warning alert was taken off
      return std::optional<std::size_t>();
    }
    if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
      end_ = true;
      input_.clear();  // nothing counts after it
      input_used_ = 0;
      return std::optional<std::size_t>(0);
    }
    if (rc == 0) {
      if (!end_) continue;  // two empty records in a row
      // Between records a missing close_notify is let pass, as Go does; inside one, bytes are missing.
      if (ssl_.MBEDTLS_PRIVATE(in_left) == 0) return std::optional<std::size_t>(0);
      broken_ = true;
      return Error(Code::kIo, "the peer closed the connection in the middle of a TLS record");
    }
    broken_ = true;
    if (failure_) return *failure_;
    if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
      const Error alert = remote_alert(ssl_.MBEDTLS_PRIVATE(in_msg)[1]);
      return Error(Code::kIo, alert.message());
    }
    return Error(Code::kIo, mbed_error(rc, "TLS read").message());
  }
}

bool TlsSession::has_input() const {
  return input_used_ < input_.size() || mbedtls_ssl_get_bytes_avail(&ssl_) > 0 || end_ || broken_;
}

Result<void> TlsSession::encrypt(Slices& data, std::size_t* first, std::size_t* skip, std::string* cork) {
  if (broken_) return Error(Code::kIo, "the TLS session failed before");
  unpark();
  sink_ = cork;
  Result<void> result;
  while (*first < data.size() && cork->size() < TlsRuntime::kCork) {
    // A large slice is encrypted from where it is; small ones are gathered, for a record costs 29 bytes and a hash.
    std::string_view plain = data[*first].bytes.substr(*skip);
    std::size_t gathered = 0;
    if (plain.size() < TlsRuntime::kRecord && *first + 1 < data.size()) {
      std::size_t skipped = *skip;
      for (std::size_t i = *first; i < data.size() && gathered < TlsRuntime::kRecord; ++i, skipped = 0) {
        const std::string_view piece = data[i].bytes.substr(skipped, TlsRuntime::kRecord - gathered);
        std::copy(piece.begin(), piece.end(), runtime_.gather.begin() + static_cast<std::ptrdiff_t>(gathered));
        gathered += piece.size();
      }
      plain = std::string_view(runtime_.gather.data(), gathered);
    }
    std::size_t done = 0;
    if (!plain.empty()) {
      const int rc = mbedtls_ssl_write(&ssl_, reinterpret_cast<const unsigned char*>(plain.data()), plain.size());
      if (rc <= 0) {
        broken_ = true;
        result = Error(Code::kIo, mbed_error(rc, "TLS write").message());
        break;
      }
      done = static_cast<std::size_t>(rc);
    }
    while (*first < data.size() && data[*first].bytes.size() - *skip <= done) {
      done -= data[*first].bytes.size() - *skip;
      data[*first] = Slice();
      *skip = 0;
      ++*first;
    }
    *skip += done;
  }
  sink_ = nullptr;
  return result;
}

Result<void> TlsSession::close_notify(std::string* cork) {
  if (broken_) return Error(Code::kIo, "the TLS session failed before");
  unpark();
  sink_ = cork;
  const int rc = mbedtls_ssl_close_notify(&ssl_);
  sink_ = nullptr;
  if (rc != 0) return Error(Code::kIo, mbed_error(rc, "TLS close").message());
  return Result<void>();
}

// ---- memory while idle

void TlsSession::park() {
  if (input_used_ == input_.size()) {
    std::string().swap(input_);
    input_used_ = 0;
  }
  if (unsent_.empty()) std::string().swap(unsent_);
  if (parked_ || !set_up_) return;
  // Nothing may be in the buffers: no part of a record, no plaintext not yet taken, no message of a handshake.
  // (mbedTLS 3.6 keeps the parts of a fragmented message in front of the next record: the header has moved then.)
  const bool handshake_message =
      (ssl_.MBEDTLS_PRIVATE(in_hslen) != 0 && ssl_.MBEDTLS_PRIVATE(in_hslen) < ssl_.MBEDTLS_PRIVATE(in_msglen)) ||
      ssl_.MBEDTLS_PRIVATE(in_hdr) != ssl_.MBEDTLS_PRIVATE(in_buf) + in_counter_.size();
  if (ssl_.MBEDTLS_PRIVATE(in_left) != 0 || ssl_.MBEDTLS_PRIVATE(in_offt) != nullptr ||
      ssl_.MBEDTLS_PRIVATE(out_left) != 0 || ssl_.MBEDTLS_PRIVATE(keep_current_message) != 0 || handshake_message) {
    return;
  }
  unsigned char*& in = ssl_.MBEDTLS_PRIVATE(in_buf);
  unsigned char*& out = ssl_.MBEDTLS_PRIVATE(out_buf);
  std::memcpy(in_counter_.data(), ssl_.MBEDTLS_PRIVATE(in_ctr), in_counter_.size());
  const auto ins = in_places(ssl_), outs = out_places(ssl_);
  for (std::size_t i = 0; i < ins.size(); ++i) {
    in_offsets_[i] = static_cast<std::uint16_t>(*ins[i] - in);
    out_offsets_[i] = static_cast<std::uint16_t>(*outs[i] - out);
    *ins[i] = *outs[i] = nullptr;
  }
  // Plaintext was wiped by mbedtls_ssl_read, and what went out was encrypted in place.
  const std::size_t in_size = malloc_usable_size(in), out_size = malloc_usable_size(out);
  if (stream_ != nullptr) {
    runtime_.record_buffer_size(std::max(in_size, out_size));
    runtime_.give_buffer(in, in_size);
    runtime_.give_buffer(out, out_size);
  } else {
    mbedtls_free(in);  // the TLS thread does not touch the loop's spares
    mbedtls_free(out);
  }
  buffer_size_ = static_cast<std::uint32_t>(std::max(in_size, out_size));
  in = out = nullptr;
  parked_ = true;
}

void TlsSession::unpark() {
  if (!parked_) return;
  parked_ = false;
  unsigned char*& in = ssl_.MBEDTLS_PRIVATE(in_buf);
  unsigned char*& out = ssl_.MBEDTLS_PRIVATE(out_buf);
  if (stream_ != nullptr) {
    runtime_.record_buffer_size(buffer_size_);
    in = runtime_.take_buffer();
    out = runtime_.take_buffer();
  } else {
    in = static_cast<unsigned char*>(mbedtls_calloc(1, buffer_size_));
    out = static_cast<unsigned char*>(mbedtls_calloc(1, buffer_size_));
    ASSERT(in != nullptr && out != nullptr);
  }
  const auto ins = in_places(ssl_), outs = out_places(ssl_);
  for (std::size_t i = 0; i < ins.size(); ++i) {
    *ins[i] = in + in_offsets_[i];
    *outs[i] = out + out_offsets_[i];
  }
  std::memcpy(ssl_.MBEDTLS_PRIVATE(in_ctr), in_counter_.data(), in_counter_.size());
}

}  // namespace kayak::io
