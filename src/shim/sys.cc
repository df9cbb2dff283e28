// sys.cc: entry point and system calls of the shim program, per architecture.
#include "shim/sys.h"

namespace kayak::shim {

int shim_main(int argc, char** argv, char** env);

#if defined(__x86_64__)
long syscall6(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
__asm__(
    ".text\n.global _start\n.type _start,@function\n_start:\n"
    "xor %ebp,%ebp\nmov %rsp,%rdi\nand $-16,%rsp\ncall kayak_shim_start\nud2\n");
#elif defined(__aarch64__)
long syscall6(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return x0;
}
__asm__(
    ".text\n.global _start\n.type _start,%function\n_start:\n"
    "mov x29,#0\nmov x30,#0\nmov x0,sp\nand sp,x0,#-16\nbl kayak_shim_start\nbrk #1\n");
#elif defined(__arm__)
long syscall6(long number, long a, long b, long c, long d, long e, long f) {
  register long r7 __asm__("r7") = number;
  register long r0 __asm__("r0") = a;
  register long r1 __asm__("r1") = b;
  register long r2 __asm__("r2") = c;
  register long r3 __asm__("r3") = d;
  register long r4 __asm__("r4") = e;
  register long r5 __asm__("r5") = f;
  __asm__ volatile("swi 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory", "cc");
  return r0;
}
__asm__(
    ".text\n.arm\n.global _start\n.type _start,%function\n_start:\n"
    "mov r11,#0\nmov lr,#0\nmov r0,sp\nbic sp,sp,#15\nbl kayak_shim_start\n.inst 0xe7f000f0\n");
#else
#error "the shim does not know this architecture"
#endif

int64_t file_size(int fd) {
  struct statx stat;
  const long result = call(__NR_statx, fd, "", 0x1000 /* AT_EMPTY_PATH */, STATX_SIZE, &stat);
  return result < 0 ? result : (int64_t)stat.stx_size;
}

static int64_t clock_ns(int clock) {
  struct __kernel_timespec time = {0, 0};
#if defined(__NR_clock_gettime64)
  call(__NR_clock_gettime64, clock, &time);
#else
  call(__NR_clock_gettime, clock, &time);
#endif
  return (int64_t)time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

int64_t now_ns() { return clock_ns(0); }
int64_t monotonic_ms() { return clock_ns(1) / 1'000'000; }

}  // namespace kayak::shim

// What the compiler may call although nobody wrote it. Byte by byte: no hot path copies much here.
extern "C" {
void* memcpy(void* to, const void* from, size_t n) {
  char* t = (char*)to;
  const char* f = (const char*)from;
  while (n-- > 0) *t++ = *f++;
  return to;
}
void* memmove(void* to, const void* from, size_t n) {
  char* t = (char*)to;
  const char* f = (const char*)from;
  if (t <= f) return memcpy(to, from, n);
  while (n-- > 0) t[n] = f[n];
  return to;
}
void* memset(void* to, int value, size_t n) {
  char* t = (char*)to;
  while (n-- > 0) *t++ = (char)value;
  return to;
}
int memcmp(const void* a, const void* b, size_t n) {
  const unsigned char* x = (const unsigned char*)a;
  const unsigned char* y = (const unsigned char*)b;
  for (; n > 0; --n, ++x, ++y) {
    if (*x != *y) return *x - *y;
  }
  return 0;
}
size_t strlen(const char* text) {
  size_t n = 0;
  while (text[n] != 0) ++n;
  return n;
}

__attribute__((noreturn, used)) void kayak_shim_start(long* stack) {
  const int argc = (int)*stack;
  char** argv = (char**)(stack + 1);
  kayak::shim::exit_now(kayak::shim::shim_main(argc, argv, argv + argc + 1));
}
}
