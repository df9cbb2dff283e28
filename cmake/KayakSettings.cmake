# Compiler and linker settings shared by every target.
option(KAYAK_STATIC "Link the programs fully static" OFF)
option(KAYAK_WERROR "Warnings are errors" ON) # OFF: for a compiler that is newer than those of Debian 12 and 13
option(KAYAK_TESTS "Build the tests" ON)
option(KAYAK_FUZZ "Build the libFuzzer targets (clang only)" OFF)
set(KAYAK_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them; empty for none")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g0")
set(CMAKE_C_FLAGS_RELEASE "-Os -g0")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths are hashed relative to the checkout, so that every checkout and a clean clone share one cache.
  set(ccache_launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${ccache_launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ccache_launcher})
endif()

add_library(kayak_settings INTERFACE)
target_compile_options(kayak_settings INTERFACE
  -Wall -Wextra -Wnon-virtual-dtor
  $<$<BOOL:${KAYAK_WERROR}>:-Werror> -Wno-missing-field-initializers
  -ffunction-sections -fdata-sections -fno-plt)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # The same bytes wherever the checkout stands.
  target_compile_options(kayak_settings INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
endif()
target_compile_definitions(kayak_settings INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_link_options(kayak_settings INTERFACE -Wl,--gc-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12's vectorizer of straight-line code (new at -O2) builds a vector of two members of a coroutine's frame before
  # they are loaded: a StopToken copied in a loop became garbage (docs/decisions.md).
  target_compile_options(kayak_settings INTERFACE -fno-tree-slp-vectorize -fno-tree-vectorize)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++'s <coroutine> asks for this macro; clang 14 implements the feature without defining it.
  target_compile_options(kayak_settings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-D__cpp_impl_coroutine=201902L> $<$<COMPILE_LANGUAGE:CXX>:-Wno-builtin-macro-redefined>
    -Wno-unused-private-field -Wno-unknown-warning-option -Wno-deprecated-experimental-coroutine)
endif()
if(KAYAK_SANITIZE)
  target_compile_options(kayak_settings INTERFACE -fsanitize=${KAYAK_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(kayak_settings INTERFACE -fsanitize=${KAYAK_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # clang 14 cannot emit its check of function types for coroutines ("a difference across sections").
    target_compile_options(kayak_settings INTERFACE -fno-sanitize=function)
  endif()
endif()
if(KAYAK_FUZZ)
  # Coverage in the libraries, too; optimised, as a fuzzer's worth is inputs per second.
  target_compile_options(kayak_settings INTERFACE -fsanitize=fuzzer-no-link -O1)
endif()
find_program(LLD_PROGRAM NAMES ld.lld ld.lld-14)
if(LLD_PROGRAM AND NOT CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_link_options(kayak_settings INTERFACE -fuse-ld=lld)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Release")
  target_link_options(kayak_settings INTERFACE -fuse-ld=gold)
endif()
