#include "support/scratch.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/assert.h"
#include "base/strings.h"

namespace kayak::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDisk = "/tmp";
constexpr const char* kMemory = "/dev/shm";
constexpr const char* kPrefix = "kayak-test.";

// When the process began, in clock ticks: tells it from a later one of its number. "": there is none, or only what its
// parent has not asked for.
std::string start_of(const std::string& pid) {
  std::ifstream in("/proc/" + pid + "/stat");
  std::string stat((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::size_t name_end = stat.rfind(')');  // the second field may hold anything
  if (name_end == std::string::npos) return "";
  std::istringstream rest(stat.substr(name_end + 1));
  std::string field;
  rest >> field;
  if (field == "Z") return "";
  for (int i = 4; i <= 22; ++i) rest >> field;
  return field;
}

// The number of the namespace that process numbers are of.
std::string pid_space() {
  std::error_code error;
  const std::string link = fs::read_symlink("/proc/self/ns/pid", error).string();  // pid:[4026531836]
  const std::size_t open = link.find('[');
  return open == std::string::npos ? "0" : link.substr(open + 1, link.size() - open - 2);
}

void remove_what_killed_ones_left() {
  for (const char* parent : {kDisk, kMemory}) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with(kPrefix)) continue;
      const std::vector<std::string_view> parts =
          split(std::string_view(name).substr(std::string(kPrefix).size()), '-');
      if (parts.size() != 4 || parts[2] != pid_space() || parts[1] == start_of(std::string(parts[0]))) continue;
      std::error_code ignored;  // somebody else's, or another test program is at it
      fs::remove_all(entry.path(), ignored);
    }
  }
}

}  // namespace

Scratch::Scratch(bool fast) {
  static const bool once = (remove_what_killed_ones_left(), true);
  (void)once;
  const std::string pid = std::to_string(::getpid());
  path_ = cat(fast && fs::is_directory(kMemory) ? kMemory : kDisk, "/", kPrefix, pid, "-", start_of(pid), "-",
              pid_space(), "-XXXXXX");
  ASSERT(::mkdtemp(path_.data()) != nullptr);
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace kayak::test
