// sys.h: the system calls that the shim uses, without a C library: one shim lives beside every pod, and a static libc
// alone would cost it 640 KB of resident memory (measured; this way the whole program needs some 40 KB).
// Owns nothing. Every call returns the kernel's answer: a value, or -errno.
#pragma once

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <stddef.h>
#include <stdint.h>

#include <initializer_list>

namespace kayak::shim {

long syscall6(long number, long a, long b, long c, long d, long e, long f);

template <typename A = long, typename B = long, typename C = long, typename D = long, typename E = long,
          typename F = long>
inline long call(long number, A a = A(), B b = B(), C c = C(), D d = D(), E e = E(), F f = F()) {
  return syscall6(number, (long)a, (long)b, (long)c, (long)d, (long)e, (long)f);
}

constexpr int kAtCwd = -100;
constexpr int kSigKill = 9, kSigTerm = 15, kSigHup = 1, kSigInt = 2, kSigChld = 17, kSigPipe = 13;

struct IoVec {
  const void* base;
  size_t length;
};

[[noreturn]] inline void exit_now(int code) {
  for (;;) call(__NR_exit_group, code);
}
inline long read(int fd, void* to, size_t n) { return call(__NR_read, fd, to, n); }
inline long write(int fd, const void* from, size_t n) { return call(__NR_write, fd, from, n); }
inline long writev(int fd, const IoVec* parts, int n) { return call(__NR_writev, fd, parts, n); }
inline int close(int fd) { return (int)call(__NR_close, fd); }
inline int open_at(int dir, const char* path, int flags, int mode = 0) {
  return (int)call(__NR_openat, dir, path, flags | O_CLOEXEC, mode);
}
inline int open(const char* path, int flags, int mode = 0) { return open_at(kAtCwd, path, flags, mode); }
inline int mkdir(const char* path, int mode) { return (int)call(__NR_mkdirat, kAtCwd, path, mode); }
inline int unlink(const char* path) { return (int)call(__NR_unlinkat, kAtCwd, path, 0); }
inline int rmdir(const char* path) { return (int)call(__NR_unlinkat, kAtCwd, path, 0x200); }
inline int rename(const char* from, const char* to) { return (int)call(__NR_renameat2, kAtCwd, from, kAtCwd, to, 0); }
inline int make_fifo(const char* path, int mode) { return (int)call(__NR_mknodat, kAtCwd, path, 0010000 | mode, 0); }
inline long getpid() { return call(__NR_getpid); }
// Forks; no threads and no locks here, so this is all there is to it.
inline long fork() { return call(__NR_clone, kSigChld); }
inline long kill(long pid, int signal) { return call(__NR_kill, pid, signal); }
int64_t file_size(int fd);  // -errno when it cannot be told
int64_t now_ns();           // CLOCK_REALTIME
int64_t monotonic_ms();

}  // namespace kayak::shim

extern "C" {
void* memcpy(void* to, const void* from, size_t n);
void* memmove(void* to, const void* from, size_t n);
void* memset(void* to, int value, size_t n);
int memcmp(const void* a, const void* b, size_t n);
size_t strlen(const char* text);
}
