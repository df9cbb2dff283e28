// support_etcd.h: Debian's etcd-server on a unix socket in a folder of its own, for tests of the store that stands on
// it.
#pragma once

#include <sys/types.h>

#include <string>

#include "store/support_store.h"

namespace kayak::store::test {

class EtcdServer {
 public:
  EtcdServer() = default;  // starts nothing
  ~EtcdServer();
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;

  // Returns at once; whoever connects has to wait. Throws when etcd is not installed, which fails the test.
  void start();
  void kill();  // SIGKILL
  void pause();
  void resume();
  bool running() const { return pid_ > 0; }
  std::string url() const { return "unix://" + folder_.file("client:1"); }

 private:
  TempFolder folder_;
  pid_t pid_ = 0;
};

}  // namespace kayak::store::test
