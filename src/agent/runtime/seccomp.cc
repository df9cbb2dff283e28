// seccomp.cc: the default system call filter.
#include "agent/runtime/seccomp.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::agent {
namespace {

// Allowed for everybody, one topic a line group. Names that the kernel or libseccomp does not know are skipped by the
// runtime, so new calls and those of other architectures may stand here.
constexpr std::string_view kAlways =
    // files and directories
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
    "fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 "
    "fdatasync "
    "flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 "
    "ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at "
    "newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead "
    "readlink "
    "readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statx "
    "symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat "
    "utimensat_time64 utimes vmsplice write writev cachestat listmount statmount "
    // extended attributes
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr "
    "lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat "
    // waiting for things
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect poll ppoll "
    "ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 "
    // asynchronous I/O (io_uring stays out: too many holes have been found in it)
    "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get ioprio_set "
    // memory
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
    "mprotect "
    "mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages "
    // processes and threads
    "arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait "
    "futex_waitv futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority "
    "getrlimit "
    "getrusage getsid gettid landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open "
    "pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq "
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
    "sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setpgid setpriority "
    "setrlimit setsid ugetrlimit uretprobe vfork wait4 waitid waitpid "
    // users and groups
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid "
    "getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 "
    "setregid "
    "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32 "
    // signals
    "kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill "
    // time
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete "
    "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 times "
    // sockets (socket itself has a rule of its own)
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 "
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair "
    // System V and POSIX inter-process communication
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget "
    // the rest
    "getrandom sysinfo uname";

constexpr std::string_view kAmd64 = "modify_ldt";
constexpr std::string_view kArmFamily =
    "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

struct CapabilityRow {
  std::string_view capability, calls;
};
constexpr CapabilityRow kByCapability[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules "
     "lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname "
     "sethostname setns syslog umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module finit_module init_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"},
    {"CAP_SYS_RAWIO", "ioperm iopl"},
    {"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

// Address families that ordinary programs use. Left out: DECnet (12), Econet (19), ATM SVC (20), IrDA (23), WANPIPE
// (25), IUCV (34), CAIF (37), the kernel's crypto (38) and vsock (40), which reaches past the network namespace.
constexpr int kFirstUnlistedFamily = 12;  // all below it are allowed
constexpr int kFamilies[] = {13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29,
                             30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45};

// Execution domains that change nothing of note: PER_LINUX, PER_LINUX32, the same with UNAME26, and "ask".
constexpr std::int64_t kPersonalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

// All CLONE_NEW* flags but CLONE_NEWTIME.
constexpr std::int64_t kNamespaceFlags = 0x7e020000;
constexpr std::int64_t kEnosys = 38;

json::Value rule(std::string_view names, std::string_view action = "SCMP_ACT_ALLOW") {
  json::Array list;
  for (const std::string_view name : split(names, ' ')) {
    if (!name.empty()) list.emplace_back(name);
  }
  json::Value out;
  out["names"] = std::move(list);
  out["action"] = action;
  return out;
}

json::Value rule_with_argument(std::string_view name, std::string_view op, std::int64_t value,
                               const std::int64_t* value_two = nullptr) {
  json::Value argument;
  argument["index"] = 0;
  argument["value"] = value;
  if (value_two != nullptr) argument["valueTwo"] = *value_two;
  argument["op"] = op;
  json::Value out = rule(name);
  json::Array arguments;
  arguments.push_back(std::move(argument));
  out["args"] = std::move(arguments);
  return out;
}

json::Array architectures(Arch arch) {
  switch (arch) {
    case Arch::kAmd64:
      return json::Array({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"});
    case Arch::kArm64:
      return json::Array({"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"});
    case Arch::kArm:
      break;
  }
  return json::Array({"SCMP_ARCH_ARM"});
}

}  // namespace

Arch native_arch() {
#if defined(__x86_64__)
  return Arch::kAmd64;
#elif defined(__aarch64__)
  return Arch::kArm64;
#elif defined(__arm__)
  return Arch::kArm;
#else
#error "no seccomp profile for this architecture"
#endif
}

json::Value default_seccomp_profile(Arch arch, const std::vector<std::string>& capabilities) {
  const auto holds = [&](std::string_view capability) {
    return std::find(capabilities.begin(), capabilities.end(), capability) != capabilities.end();
  };
  json::Array rules;
  rules.push_back(rule(kAlways));
  rules.push_back(rule(arch == Arch::kAmd64 ? kAmd64 : kArmFamily));
  rules.push_back(rule_with_argument("socket", "SCMP_CMP_LT", kFirstUnlistedFamily));
  for (const int family : kFamilies) rules.push_back(rule_with_argument("socket", "SCMP_CMP_EQ", family));
  for (const std::int64_t persona : kPersonalities)
    rules.push_back(rule_with_argument("personality", "SCMP_CMP_EQ", persona));
  for (const CapabilityRow& row : kByCapability) {
    if (holds(row.capability)) rules.push_back(rule(row.calls));
  }
  if (!holds("CAP_SYS_ADMIN")) {
    // New namespaces need CAP_SYS_ADMIN. clone3 hides its flags in memory, where a filter cannot look: it "does not
    // exist", and every libc then falls back to clone.
    const std::int64_t none = 0;
    rules.push_back(rule_with_argument("clone", "SCMP_CMP_MASKED_EQ", kNamespaceFlags, &none));
    json::Value clone3 = rule("clone3", "SCMP_ACT_ERRNO");
    clone3["errnoRet"] = kEnosys;
    rules.push_back(std::move(clone3));
  }
  json::Value profile;
  profile["defaultAction"] = "SCMP_ACT_ERRNO";
  profile["defaultErrnoRet"] = 1;  // EPERM
  profile["architectures"] = architectures(arch);
  profile["syscalls"] = std::move(rules);
  return profile;
}

}  // namespace kayak::agent
