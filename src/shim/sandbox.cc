// sandbox.cc: makes and pins the namespaces of a pod, sets them up, and leaves.
#include "shim/sandbox.h"

#include <linux/if.h>
#include <linux/sched.h>
#include <linux/sockios.h>

#include "shim/daemon.h"
#include "shim/sys.h"
#include "shim/text.h"

namespace kayak::shim {
namespace {

constexpr unsigned kMsBind = 4096, kMsNoSuid = 2, kMsNoDev = 4, kMsNoExec = 8, kMntDetach = 2;
using Path = Text<1024>;

struct Plan {
  const char* directory = nullptr;
  bool net = false, ipc = false, uts = false, pid = false;
  const char* hostname = nullptr;
  const char* shm_bytes = nullptr;
};

const char* after(const char* text, const char* prefix) {
  for (; *prefix != 0; ++text, ++prefix) {
    if (*text != *prefix) return nullptr;
  }
  return text;
}

Path pin_path(const Plan& plan, const char* name) {
  Path path;
  path.add(plan.directory).add('/').add(name);
  return path;
}

int pin(const Plan& plan, const char* name, const char* source) {
  const Path target = pin_path(plan, name);
  const int fd = open(target.get(), O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0400);
  if (fd < 0 && fd != -EEXIST) return complain("creating", target.get(), fd);
  if (fd >= 0) close(fd);
  const long mounted = call(__NR_mount, source, target.get(), 0, kMsBind, 0);
  return mounted < 0 ? complain("pinning", target.get(), mounted) : 0;
}

void unpin(const Plan& plan, const char* name) {
  const Path target = pin_path(plan, name);
  call(__NR_umount2, target.get(), kMntDetach);
  unlink(target.get());
}

int loopback_up() {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, "lo", 3);
  const int fd = (int)call(__NR_socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  request.ifr_flags = IFF_UP;
  const int result = (int)call(__NR_ioctl, fd, SIOCSIFFLAGS, &request);
  close(fd);
  return result;
}

// "net.ipv4.tcp_syncookies=1" into /proc/sys/net/ipv4/tcp_syncookies. A missing file is an error unless `lenient`.
int set_sysctl(const char* assignment, bool lenient) {
  Path path;
  path.add("/proc/sys/");
  const char* at = assignment;
  for (; *at != 0 && *at != '='; ++at) path.add(*at == '.' ? '/' : *at);
  if (*at != '=') return complain("sysctl", assignment, -EINVAL);
  const char* value = at + 1;
  const int fd = open(path.get(), O_WRONLY | O_NOFOLLOW);
  if (fd < 0) return lenient ? 0 : complain("sysctl", assignment, fd);
  const long written = write(fd, value, strlen(value));
  close(fd);
  return written < 0 && !lenient ? complain("sysctl", assignment, written) : 0;
}

// An empty root of its own: what shares a process namespace with pid 1 must not find the host behind /proc/1/root.
int leave_host_files(const Plan& plan) {
  constexpr unsigned kMsRec = 16384, kMsPrivate = 1 << 18, kMsReadOnly = 1;
  if (const long result = call(__NR_unshare, CLONE_NEWNS); result < 0) return (int)result;
  if (const long result = call(__NR_mount, "", "/", 0, kMsRec | kMsPrivate, 0); result < 0) return (int)result;
  if (const long result = call(__NR_mount, "none", plan.directory, "tmpfs", kMsReadOnly, "size=4k"); result < 0)
    return (int)result;
  if (const long result = call(__NR_chdir, plan.directory); result < 0) return (int)result;
  if (const long result = call(__NR_pivot_root, ".", "."); result < 0) return (int)result;
  if (const long result = call(__NR_umount2, ".", kMntDetach); result < 0) return (int)result;
  return (int)call(__NR_chdir, "/");
}

// Pid 1 of a pod that shares its process namespace: takes in orphans, ends by SIGTERM, never wakes up otherwise.
// `ready` hears one byte when it stands alone.
[[noreturn]] void be_init(const Plan& plan, int argc, char** argv, int ready) {
  call(__NR_prctl, 15 /* PR_SET_NAME */, "kayak-init");
  call(__NR_setsid);
  uint64_t mask = (1ULL << (kSigChld - 1)) | (1ULL << (kSigTerm - 1));
  call(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &mask, 0, sizeof mask);
  for (int i = 0; i < argc; ++i) {
    const char* file = after(argv[i], "cgroup=");
    if (file == nullptr) continue;
    const int fd = open(file, O_WRONLY);
    const long joined = fd < 0 ? fd : write(fd, "0", 1);
    if (joined < 0) exit_now(complain("cgroup", file, joined));
    close(fd);
  }
  const int null = open("/dev/null", O_RDWR);
  if (const int result = leave_host_files(plan); result < 0) exit_now(complain("leaving the host's files", "", result));
  write(ready, "+", 1);
  for (int fd = 0; fd < 3; ++fd) call(__NR_dup3, null, fd, 0);
  if (call(__NR_close_range, 3, ~0U, 0) < 0) {
    for (int fd = 3; fd < 1024; ++fd) close(fd);
  }
  for (;;) {
#if defined(__NR_rt_sigtimedwait_time64)
    const long signal = call(__NR_rt_sigtimedwait_time64, &mask, 0, 0, sizeof mask);
#else
    const long signal = call(__NR_rt_sigtimedwait, &mask, 0, 0, sizeof mask);
#endif
    if (signal == kSigTerm) exit_now(0);
    while (call(__NR_wait4, -1, 0, 1 /* WNOHANG */, 0) > 0) {
    }
  }
}

int make_init(const Plan& plan, int argc, char** argv, long* init) {
  int ready[2];
  if (const long result = call(__NR_pipe2, ready, O_CLOEXEC); result < 0) return complain("pipe", "", result);
  const long pid = fork();
  if (pid < 0) return complain("fork", "", pid);
  if (pid == 0) be_init(plan, argc, argv, ready[1]);
  *init = pid;
  close(ready[1]);
  char byte = 0;
  const long told = read(ready[0], &byte, 1);
  close(ready[0]);
  if (told != 1) return 1;
  Path source;
  source.add("/proc/").add_number(pid).add("/ns/pid");
  if (pin(plan, "pid", source.get()) != 0) return 1;
  Text<24> text;
  text.add_number(pid).add('\n');
  const Path path = pin_path(plan, "init.pid");
  const int fd = open(path.get(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  const long written = fd < 0 ? fd : write(fd, text.get(), text.size());
  return written < 0 ? complain("writing", path.get(), written) : 0;
}

int mount_shm(const Plan& plan) {
  const Path target = pin_path(plan, "shm");
  const int made = mkdir(target.get(), 0755);
  if (made < 0 && made != -EEXIST) return complain("creating", target.get(), made);
  Text<64> options;
  options.add("mode=1777,size=").add(plan.shm_bytes);
  const long mounted = call(__NR_mount, "shm", target.get(), "tmpfs", kMsNoSuid | kMsNoDev | kMsNoExec, options.get());
  return mounted < 0 ? complain("mounting", target.get(), mounted) : 0;
}

int set_up(const Plan& plan, int argc, char** argv, long* init) {
  const unsigned flags = (plan.net ? CLONE_NEWNET : 0) | (plan.ipc ? CLONE_NEWIPC : 0) | (plan.uts ? CLONE_NEWUTS : 0) |
                         (plan.pid ? CLONE_NEWPID : 0);
  if (const long result = call(__NR_unshare, flags); result < 0) return complain("new namespaces", "", result);
  if (plan.uts && plan.hostname != nullptr) {
    if (const long result = call(__NR_sethostname, plan.hostname, strlen(plan.hostname)); result < 0)
      return complain("hostname", plan.hostname, result);
  }
  if (plan.net) {
    if (const int result = loopback_up(); result < 0) return complain("loopback", "", result);
    // CVE-2020-10749: no pod takes a route from a neighbour that says it is a router.
    for (const char* name : {"net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.default.accept_ra=0"})
      set_sysctl(name, true);
  }
  for (int i = 0; i < argc; ++i) {
    if (const char* assignment = after(argv[i], "sysctl=")) {
      if (set_sysctl(assignment, false) != 0) return 1;
    }
    if (const char* assignment = after(argv[i], "default-sysctl=")) set_sysctl(assignment, true);
  }
  if (plan.shm_bytes != nullptr && mount_shm(plan) != 0) return 1;
  if (plan.pid && make_init(plan, argc, argv, init) != 0) return 1;
  if (plan.net && pin(plan, "net", "/proc/self/ns/net") != 0) return 1;
  if (plan.ipc && pin(plan, "ipc", "/proc/self/ns/ipc") != 0) return 1;
  if (plan.uts && pin(plan, "uts", "/proc/self/ns/uts") != 0) return 1;
  return 0;
}

}  // namespace

int run_sandbox(int argc, char** argv) {
  if (argc < 1) return complain("usage", "sandbox DIRECTORY WHAT...", -EINVAL);
  Plan plan;
  plan.directory = argv[0];
  for (int i = 1; i < argc; ++i) {
    const char* word = argv[i];
    if (same(word, "net"))
      plan.net = true;
    else if (same(word, "ipc"))
      plan.ipc = true;
    else if (same(word, "uts"))
      plan.uts = true;
    else if (same(word, "pid"))
      plan.pid = true;
    else if (const char* hostname = after(word, "hostname="))
      plan.hostname = hostname;
    else if (const char* bytes = after(word, "shm="))
      plan.shm_bytes = bytes;
    else if (after(word, "sysctl=") == nullptr && after(word, "default-sysctl=") == nullptr &&
             after(word, "cgroup=") == nullptr)
      return complain("unknown word", word, -EINVAL);
  }
  long init = 0;
  const int failed = set_up(plan, argc - 1, argv + 1, &init);
  if (failed != 0) {
    for (const char* name : {"net", "ipc", "uts", "pid", "shm"}) unpin(plan, name);
    rmdir(pin_path(plan, "shm").get());
    if (init > 0) kill(init, kSigKill);
  }
  return failed;
}

}  // namespace kayak::shim
