// renewal.cc: see renewal.h.
#include "cli/renewal.h"

#include "base/strings.h"

namespace kayak::cli {

namespace {

bool same_leaves(const ServerKeys& a, const ServerKeys& b) {
  const auto same = [](const KeyPair& one, const KeyPair& other) {
    return one.certificate_pem == other.certificate_pem && one.key_pem == other.key_pem;
  };
  return same(a.serving, b.serving) && same(a.admin, b.admin) && same(a.recovery, b.recovery) &&
         same(a.etcd_server, b.etcd_server) && same(a.etcd_client, b.etcd_client) && same(a.peer, b.peer);
}

}  // namespace

CertificateRenewal::CertificateRenewal(Context context, Options options, ServerKeys keys, Renewed renewed)
    : context_(std::move(context)),
      options_(std::move(options)),
      keys_(std::move(keys)),
      renewed_(std::move(renewed)) {}

Task<Result<void>> CertificateRenewal::run(StopToken stop) {
  for (;;) {
    const Result<void> slept = co_await context_.loop.sleep(options_.period, stop);
    if (!slept) co_return Result<void>();
    const Result<void> looked = co_await look();
    if (!looked && !stop.stopped()) {
      context_.log.warn("certificates could not be renewed; this is tried again tomorrow",
                        {{"error", looked.error().message()}});
    }
  }
}

Task<Result<void>> CertificateRenewal::look() {
  const WallTime now = context_.clock.wall();
  auto work = [keys = keys_, options = options_.keys, now]() mutable -> Result<ServerKeys> {
    SystemRandom random;  // the loop's is not for other threads
    if (auto done = renew_leaves(random, now, options, &keys); !done) return done.error();
    return std::move(keys);
  };
  Result<ServerKeys> keys = co_await context_.loop.offload(std::move(work));
  if (!keys) co_return keys.error();
  if (same_leaves(keys_, *keys)) co_return Result<void>();
  const Result<void> shown = co_await renewed_(*keys);
  if (!shown) co_return shown;
  keys_ = std::move(*keys);
  context_.log.info("certificates renewed");
  co_return Result<void>();
}

}  // namespace kayak::cli
