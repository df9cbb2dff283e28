// fuzz-deps: kayak_fuzz_agent
// Logs in CRI format: what is shown is what the lines say, within the options. The first byte chooses the options.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/logs/log_reader.h"
#include "base/assert.h"
#include "base/fd.h"
#include "base/strings.h"

namespace {

using namespace kayak;
using namespace kayak::io;
using namespace kayak::agent;

// The whole lines of `log` as they are shown without options.
std::string shown(std::string_view log) {
  std::string out;
  for (std::size_t end; (end = log.find('\n')) != log.npos; log.remove_prefix(end + 1)) {
    LogLine line;
    if (!parse_log_line(log.substr(0, end), &line)) continue;
    out += line.text;
    if (!line.partial) out += '\n';
  }
  return out;
}

Task<Result<void>> read_log(Context context, std::string path, LogReadOptions options, std::string* out) {
  auto body = co_await open_log(context, std::move(path), options, StopToken());
  if (!body) co_return body.error();
  auto text = co_await (*body)->read_all(1 << 20);
  if (!text) co_return text.error();
  *out = std::move(*text);
  co_return Result<void>();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static Loop loop;
  static SystemClock clock;
  static SystemRandom random;
  static Metrics metrics;
  const Context context{loop, clock, random, Log::discard(), metrics};
  const std::string_view log(reinterpret_cast<const char*>(data) + 1, size - 1);
  Fd file(::memfd_create("log", MFD_CLOEXEC));
  ASSERT(file && ::write(file.get(), log.data(), log.size()) == static_cast<ssize_t>(log.size()));
  LogReadOptions options;
  options.timestamps = (data[0] & 1) != 0;
  if ((data[0] & 2) != 0) options.tail_lines = data[0] >> 5;
  if ((data[0] & 4) != 0) options.limit_bytes = data[0] >> 4;
  if ((data[0] & 8) != 0) options.stream = (data[0] & 16) != 0 ? "Stdout" : "Stderr";
  std::string out;
  ASSERT(loop.run(read_log(context, cat("/proc/self/fd/", file.get()), options, &out)));
  const std::int64_t start = options.tail_lines ? find_tail(file.get(), *options.tail_lines) : 0;
  ASSERT(start >= 0 && start <= static_cast<std::int64_t>(log.size()));
  ASSERT(!options.limit_bytes || static_cast<std::int64_t>(out.size()) <= *options.limit_bytes);
  if ((data[0] & 13) == 0) ASSERT(out == shown(log.substr(static_cast<std::size_t>(start))));
  return 0;
}
