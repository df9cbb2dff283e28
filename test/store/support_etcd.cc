#include "store/support_etcd.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

namespace kayak::store::test {

namespace {

std::string find_etcd() {
  for (const char* path : {"/usr/bin/etcd", "/usr/local/bin/etcd"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  throw std::runtime_error("etcd is not installed: apt-get install etcd-server (or ./dev deps)");
}

// Runs in the child: nothing but system calls.
[[noreturn]] void become(const char* folder, const char* log, char* const* args) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int out = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (::chdir(folder) == 0 && out >= 0 && ::dup2(out, 1) >= 0 && ::dup2(out, 2) >= 0) ::execv(args[0], args);
  ::_exit(127);
}

}  // namespace

EtcdServer::~EtcdServer() { kill(); }

void EtcdServer::start() {
  if (running()) return;
  // Sockets are named by "host:port" below the working directory. Elections are over at once.
  std::vector<std::string> args = {find_etcd(),
                                   "--data-dir=data",
                                   "--listen-client-urls=unix://client:1",
                                   "--advertise-client-urls=unix://client:1",
                                   "--listen-peer-urls=unix://peer:1",
                                   "--initial-advertise-peer-urls=http://localhost:1",
                                   "--initial-cluster=default=http://localhost:1",
                                   "--heartbeat-interval=10",
                                   "--election-timeout=50",
                                   "--max-request-bytes=20000000",
                                   "--logger=zap",
                                   "--log-level=error"};
  std::vector<char*> raw;
  for (std::string& arg : args) raw.push_back(arg.data());
  raw.push_back(nullptr);
  // It does not replace the sockets that it left behind when it was killed.
  for (const char* socket : {"client:1", "peer:1"}) ::unlink(folder_.file(socket).c_str());
  const std::string log = folder_.file("log");
  pid_ = ::fork();
  if (pid_ == 0) become(folder_.path().c_str(), log.c_str(), raw.data());
  if (pid_ < 0) throw std::runtime_error("fork failed");
}

void EtcdServer::kill() {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void EtcdServer::pause() { ::kill(pid_, SIGSTOP); }
void EtcdServer::resume() { ::kill(pid_, SIGCONT); }

}  // namespace kayak::store::test
