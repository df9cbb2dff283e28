// start_checks.cc: see start_checks.h.
#include "cli/start_checks.h"

#include <sys/stat.h>

#include "base/files.h"
#include "base/strings.h"
#include "cli/snapshot_save.h"
#include "io/tls.h"

namespace kayak::cli {

namespace {

constexpr std::size_t kMaxPemBytes = 1 << 20;

Result<io::CertificateInfo> certificate_in(std::string_view flag, const std::string& path) {
  const Result<std::string> pem = read_file(path, kMaxPemBytes);
  if (!pem) return pem.error().while_doing(flag);
  Result<io::CertificateInfo> info = io::parse_certificate_pem(*pem);
  if (info) return info;
  return Error(Code::kInvalid, cat(flag, " ", path, " holds no certificate in PEM: ", info.error().message()));
}

Result<void> check_datastore_files(Random& random, const ServerOptions& options) {
  if (!options.datastore_cafile.empty()) {
    const Result<io::CertificateInfo> ca = certificate_in("--datastore-cafile", options.datastore_cafile);
    if (!ca) return ca.error();
  }
  if (options.datastore_certfile.empty()) return Result<void>();
  const Result<io::CertificateInfo> own = certificate_in("--datastore-certfile", options.datastore_certfile);
  if (!own) return own.error();
  const Result<std::string> key = read_file(options.datastore_keyfile, kMaxPemBytes);
  if (!key) return key.error().while_doing("--datastore-keyfile");
  const Result<std::string> public_key = io::public_key_of(random, *key);
  if (!public_key) {
    return Error(Code::kInvalid, cat("--datastore-keyfile ", options.datastore_keyfile,
                                     " holds no private key in PEM: ", public_key.error().message()));
  }
  if (own->public_key_sha256 != hex_encode(io::sha256(*public_key))) {
    return Error(Code::kInvalid, cat("--datastore-keyfile ", options.datastore_keyfile,
                                     " is not the key of --datastore-certfile ", options.datastore_certfile));
  }
  return Result<void>();
}

Result<void> check_schedule_files(const ServerOptions& options) {
  if (options.snapshot_schedule_cron.empty()) return Result<void>();
  if (!options.snapshot_passphrase_file.empty()) {
    const Result<std::string> passphrase = read_passphrase(options.snapshot_passphrase_file);
    if (!passphrase) return passphrase.error().while_doing("--snapshot-passphrase-file");
  }
  struct stat info {};
  const bool there = !options.snapshot_dir.empty() && ::stat(options.snapshot_dir.c_str(), &info) == 0;
  if (there && !S_ISDIR(info.st_mode)) {
    return Error(Code::kInvalid, cat("--snapshot-dir ", options.snapshot_dir, " is not a folder"));
  }
  return Result<void>();
}

}  // namespace

Result<void> check_named_files(Random& random, const ServerOptions& options) {
  if (auto fine = check_datastore_files(random, options); !fine) return fine;
  return check_schedule_files(options);
}

}  // namespace kayak::cli
