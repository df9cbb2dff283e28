// fuzz-deps: kayak_fuzz_api
// Times and durations: what is read is written so that it reads back as the same.
#include "api/schema_impl.h"
#include "base/assert.h"
#include "base/clock.h"

using namespace kayak;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  WallTime time, again;
  if (parse_time(text, &time)) {
    const std::string written = format_micro_time(time);
    // An offset can lead out of the years that have four digits.
    if (written.size() == 27 && written.front() != '-') ASSERT(parse_time(written, &again) && again == time);
    if (format_time(time).size() == 20) ASSERT(format_time(time).substr(0, 19) == written.substr(0, 19));
  }
  std::int64_t nanoseconds = 0, back = 0;
  if (api::detail::parse_duration(text, &nanoseconds)) {
    ASSERT(api::detail::parse_duration(api::detail::duration_text(nanoseconds), &back) && back == nanoseconds);
  }
  return 0;
}
