// shim.cc: the program kayak-shim: `run` is the shim of a pod, `sandbox` makes a pod's namespaces.
#include "shim/daemon.h"
#include "shim/sandbox.h"
#include "shim/sys.h"
#include "shim/text.h"

extern "C" void __cxa_pure_virtual() { kayak::shim::exit_now(124); }

namespace kayak::shim {

int shim_main(int argc, char** argv, char** env);

int shim_main(int argc, char** argv, char**) {
  // 0, 1 and 2 must be taken, so that nothing of ours ends up as somebody's stdio.
  for (;;) {
    const int fd = (int)call(__NR_openat, kAtCwd, "/dev/null", O_RDWR, 0);
    if (fd < 0) return 1;
    if (fd > 2) {
      close(fd);
      break;
    }
  }
  if (argc >= 3 && same(argv[1], "run")) return run_daemon(argv[2], argv + 3, argc - 3);
  if (argc >= 3 && same(argv[1], "sandbox")) return run_sandbox(argc - 2, argv + 2);
  return complain("usage", "run DIRECTORY CGROUP_PROCS... | sandbox DIRECTORY WHAT...", -EINVAL);
}

}  // namespace kayak::shim
