// catch_main.cc: the one place that compiles Catch2's own code.
#define CATCH_CONFIG_RUNNER
#include <stdlib.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>

int main(int argc, char** argv) {
  // What tests run besides (curl, openssl, coreutils) speaks English and goes straight to loopback.
  ::setenv("LC_ALL", "C", 1);
  for (const char* proxy : {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}) {
    ::unsetenv(proxy);
  }
  // Tests hold hundreds of descriptors; what a user's shell allows at first says nothing of what may be had.
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    constexpr rlim_t kEnough = 20'000;
    files.rlim_cur = std::max(files.rlim_cur, std::min(files.rlim_max, kEnough));
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  return Catch::Session().run(argc, argv);
}
