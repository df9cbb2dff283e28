// files.h: whole small files, read and written so that a power cut leaves the old or the new one, never half.
// Blocking: call it at start-up or on the pool.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kayak {

// Errors: NotFound, Io, TooLarge (over `max_bytes`).
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = 16 * 1024 * 1024);
// Writes beside `path`, fsyncs, renames over it and fsyncs the folder. `mode` holds from the first byte on.
// Errors: Io, NoSpace, NotFound (no such folder).
Result<void> write_file_atomic(const std::string& path, std::string_view content, unsigned mode);
// mkdir -p; folders made get `mode`. Errors: Io.
Result<void> make_directories(const std::string& path, unsigned mode = 0755);
// The same with mode 0700, which the last folder is given also when it was there and was open to others. Errors: Io, as
// above and when the mode cannot be changed.
Result<void> make_private_directories(const std::string& path);
// The folder that holds `path`, so that names made, changed or removed in it last. Errors: Io.
Result<void> sync_folder_of(const std::string& path);
// One that is not there is removed already. Errors: Io.
Result<void> remove_file(const std::string& path);
bool file_exists(const std::string& path);

}  // namespace kayak
