// scratch.h: a folder for one test, which goes with all that is in it when the test ends. What a test program that was
// killed has left, the next one removes.
#pragma once

#include <string>

namespace kayak::test {

class Scratch {
 public:
  // `fast`: in memory, where there is such a file system, so that syncing costs nothing.
  explicit Scratch(bool fast = false);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  // Ends in a dash and six characters that no other folder has.
  const std::string& path() const { return path_; }
  // Of something in it.
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace kayak::test
