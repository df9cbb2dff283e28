// blob.cc: embeds the kayak-shim program (KAYAK_SHIM_FILE is its path at build time).
#include "shim/blob.h"

__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "kayak_shim_blob_begin:\n"
    ".incbin \"" KAYAK_SHIM_FILE
    "\"\n"
    "kayak_shim_blob_end:\n"
    ".byte 0\n"
    ".previous\n");

extern "C" {
extern const char kayak_shim_blob_begin[];
extern const char kayak_shim_blob_end[];
}

namespace kayak::shim {

std::string_view shim_program() {
  return std::string_view(kayak_shim_blob_begin, static_cast<std::size_t>(kayak_shim_blob_end - kayak_shim_blob_begin));
}

}  // namespace kayak::shim
