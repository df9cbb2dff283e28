// support_vfs.h: a disk that tests can fill, break, slow down and cut the power of: a SQLite VFS over real files that
// records what is written and synced.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.h"

namespace kayak::store::test {

class TestDisk {
 public:
  TestDisk();
  ~TestDisk();
  TestDisk(const TestDisk&) = delete;
  TestDisk& operator=(const TestDisk&) = delete;
  const char* vfs() const;

  // All files together may grow to so many bytes; beyond, writes that extend a file fail with "disk full".
  std::atomic<std::int64_t> capacity{INT64_MAX};
  std::atomic<int> fail_syncs{0};   // so many of the next syncs fail
  std::atomic<int> fail_writes{0};  // so many of the next writes fail with an I/O error
  std::atomic<int> sync_delay_us{0};
  std::atomic<bool> recording{false};
  std::atomic<bool> lying{false};  // syncs succeed and do nothing

  // After `count` more operations (writes, truncations, syncs, removals) each one waits, and with it its caller, until
  // let_go(): what a process killed between two of them leaves behind is what lies in the folder now. What waits
  // already is counted, too. With 0 it returns when nothing is under way that began before.
  void hold_after(std::size_t count);
  bool held() const;  // something waits
  void let_go();
  // Removed and renamed files come back unless their folder was synced since. What is not done through SQLite has to be
  // told, but for one rename: that a database was replaced by its copy (store/database_copy.h) shows when it is opened
  // again.
  std::atomic<bool> folders_lag{false};
  void renamed(const std::string& from, const std::string& to);
  void folder_synced();

  // How many operations are recorded so far.
  std::size_t operations() const;
  // The files as they may be found when the power goes after `count` operations: what was synced is there; of what was
  // written since, each 512-byte sector is there or not, as `random` likes. Paths as opened.
  std::map<std::string, std::string> after_power_loss(std::size_t count, Random& random) const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace kayak::store::test
