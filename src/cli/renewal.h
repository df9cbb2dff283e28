// renewal.h: this server's certificates, renewed while it runs: once a day those are made anew that are past two thirds
// of their life, so that a server that is never restarted does not stop one day to be let in.
// Owns the timer; which certificates are due, and their files, belong to pki.h, and who shows them to `renewed`.
// Source: design, "Security".
#pragma once

#include <functional>

#include "cli/pki.h"
#include "io/loop.h"

namespace kayak::cli {

class CertificateRenewal {
 public:
  struct Options {
    ServerKeyOptions keys;
    Duration period = std::chrono::hours(24);
  };
  // Given the new keys, of which at least one leaf is another than before.
  using Renewed = std::function<Task<Result<void>>(ServerKeys keys)>;
  CertificateRenewal(Context context, Options options, ServerKeys keys, Renewed renewed);
  // Until `stop`. What fails (a full disk) is logged and tried again a day later: four months are left for it.
  Task<Result<void>> run(StopToken stop);

 private:
  Task<Result<void>> look();

  Context context_;
  const Options options_;
  ServerKeys keys_;
  const Renewed renewed_;
};

}  // namespace kayak::cli
