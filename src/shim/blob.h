// blob.h: the kayak-shim program as bytes inside this one.
#pragma once

#include <string_view>

namespace kayak::shim {

// The whole ELF file. Static data.
std::string_view shim_program();

}  // namespace kayak::shim
