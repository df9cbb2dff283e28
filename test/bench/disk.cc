// disk.cc: what one flush of this disk takes, to hold the store's times against.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/fd.h"
#include "base/strings.h"
#include "bench/bench.h"

namespace kayak::bench {

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPages = 256;  // of a file that has its length before, as a log that is used again

Result<Load> flush_for(const Clock& clock, const std::string& path, Duration length) {
  const Fd file(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (!file) return error_from_errno(errno, path);
  const std::string page(kPage, 'x');
  const auto write_page = [&](std::size_t at) {
    const ssize_t written = ::pwrite(file.get(), page.data(), kPage, static_cast<off_t>(at % kPages * kPage));
    return written == static_cast<ssize_t>(kPage);
  };
  for (std::size_t at = 0; at < kPages; ++at) {
    if (!write_page(at)) return error_from_errno(errno, path);
  }
  if (::fsync(file.get()) != 0) return error_from_errno(errno, path);
  Load load;
  const Instant end = clock.now() + length;
  while (clock.now() < end) {
    const Instant start = clock.now();
    if (!write_page(load.requests) || ::fdatasync(file.get()) != 0) return error_from_errno(errno, path);
    load.latencies_us.push_back(static_cast<double>((clock.now() - start).count()) / 1e3);
    ++load.requests;
  }
  std::sort(load.latencies_us.begin(), load.latencies_us.end());
  return load;
}

}  // namespace

Task<Result<void>> measure_disk(Context context, Options options) {
  const std::string path = options.text("dir") + "/fdatasync";
  const Duration length = std::chrono::milliseconds(options.number("ms", 1000));
  Result<Load> load = flush_for(context.clock, path, length);
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  if (!load) co_return load.error();
  report("fdatasync_p50_us", load->percentile_us(0.50), "4 KiB written over others, then fdatasync: median");
  report("fdatasync_p99_us", load->percentile_us(0.99), "99th percentile");
  co_return Result<void>();
}

}  // namespace kayak::bench
