// fuzz-deps: kayak_shim_core
// What the shim reads: messages of the agent, its own state files, the output of containers. Lines come out the same
// for every way the bytes arrive, and within their length.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "shim/line_cutter.h"
#include "shim/text.h"

namespace {

using namespace kayak::shim;

void check(bool good) {
  if (!good) std::abort();
}

struct Lines final : LineSink {
  std::string all;
  void line(char tag, const char* text, std::size_t size) override {
    check((tag == 'F' || tag == 'P') && size <= kMaxLine);
    check(std::string_view(text, size).find('\n') == std::string_view::npos);
    all.append(1, tag).append(text, size).append(1, '\n');
  }
};

std::string cut(std::string_view bytes, std::size_t piece) {
  LineCutter cutter;
  Lines lines;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    cutter.feed(bytes.data(), std::min(piece, bytes.size()), lines);
  cutter.finish(lines);
  return lines.all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const char* fields[8];
  const int count = take_fields(text.data(), text.size(), fields, 8);
  check(count >= -1 && count <= 8);
  for (int i = 0; i < count; ++i) {
    check(fields[i] >= text.data() && fields[i] < text.data() + text.size());
    const std::string_view id(fields[i]);
    if (is_container_id(fields[i]))
      check(id.size() <= 64 && !id.empty() && id.find_first_not_of("0123456789abcdef") == id.npos);
    const char* at = fields[i];
    std::int64_t value = 0;
    while (take_number(at, &value)) check(at > fields[i] && at <= fields[i] + id.size());
  }
  // A few bytes become a long text: lines beyond the longest are part of the input, too.
  std::string output = text;
  if (size > 2) output.insert(data[0] % size, (data[1] | data[2] << 8) % (2 * kMaxLine + 10), 'x');
  const std::string whole = cut(output, output.size() + 1);
  check(whole == cut(output, 1) && whole == cut(output, 4096));
  return 0;
}
