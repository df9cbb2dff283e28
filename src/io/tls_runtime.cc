// tls_runtime.cc: see tls_runtime.h.
#include "io/tls_runtime.h"

#include <mbedtls/platform.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#include <algorithm>

namespace kayak::io {

// ---- places

bool HandshakePlaces::free_for(const std::string& source) const {
  const auto found = by_source_.find(source);
  const std::size_t most = preferred_.count(source) > 0 ? kMax + kMaxPreferred : kMax;
  return taken_ < most && (found == by_source_.end() || found->second < kMaxPerSource);
}

void HandshakePlaces::occupy(const std::string& source) {
  ++taken_;
  ++by_source_[source];
}

void HandshakePlaces::give_back(const std::string& source) {
  ASSERT(taken_ > 0);
  --taken_;
  const auto found = by_source_.find(source);
  if (--found->second == 0) by_source_.erase(found);
  for (Waiting& waiting : line_) {
    if (waiting.called.is_set() || !free_for(waiting.source)) continue;
    occupy(waiting.source);
    waiting.called.set();
    return;
  }
}

Task<Result<HandshakePlaces::Place>> HandshakePlaces::take(std::string source, StopToken stop) {
  if (free_for(source)) {
    occupy(source);
    co_return Place(this, std::move(source));
  }
  const bool preferred = preferred_.count(source) > 0;
  const std::size_t longest = preferred ? kMaxWaiting + kMaxPreferred : kMaxWaiting;
  if (line_.size() >= longest) co_return Error(Code::kTooManyRequests, "too many TLS handshakes are waiting");
  auto waiting = line_.emplace(preferred ? line_.begin() : line_.end());
  waiting->source = source;
  co_await waiting->called.wait(stop);
  const bool called = waiting->called.is_set();
  line_.erase(waiting);
  if (!called) co_return Error(Code::kCancelled, "stopped while waiting for a TLS handshake");
  // Called and stopped at once: the place is given back by the caller who finds out.
  co_return Place(this, std::move(source));
}

// ---- shared memory

namespace {
constexpr std::size_t kMaxQueuedSteps = 1024;
constexpr std::size_t kMaxSpare = 4;
}  // namespace

TlsRuntime::TlsRuntime() : worker("kayak-tls", kMaxQueuedSteps), read_ahead(kReadAhead), gather(kRecord) {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
  ASSERT(psa_crypto_init() == PSA_SUCCESS);
#endif
}

TlsRuntime::~TlsRuntime() {
  for (unsigned char* buffer : spare_) mbedtls_free(buffer);
}

unsigned char* TlsRuntime::take_buffer() {
  if (spare_.empty()) {
    auto* made = static_cast<unsigned char*>(mbedtls_calloc(1, size_));
    ASSERT(made != nullptr);
    return made;
  }
  unsigned char* buffer = spare_.back();
  spare_.pop_back();
  return buffer;
}

void TlsRuntime::give_buffer(unsigned char* buffer, std::size_t size) {
  if (size >= size_ && spare_.size() < kMaxSpare) {
    spare_.push_back(buffer);
  } else {
    mbedtls_free(buffer);
  }
}

}  // namespace kayak::io
