// version.h: the version that the API, the Node and `kayak version` report.
#pragma once

namespace kayak {
inline constexpr const char* kVersion = "v1.36.0+kayak1";
inline constexpr const char* kVersionMajor = "1";
inline constexpr const char* kVersionMinor = "36";
}  // namespace kayak
