# tidy.sh [--all]: clang-tidy (.clang-tidy) on the sources of src/ that differ from origin/main, on a checkout of main on
# those of the last commit; --all: on every one. With CI set at most ten, the largest changes first. It needs the compile
# commands of a build and the generated headers; a checkout that was never built is configured for that.
set -euo pipefail
tidy="$(command -v clang-tidy-14 || command -v clang-tidy-19 || command -v clang-tidy)" || {
  echo "lint: clang-tidy is not installed; ./dev deps installs it" >&2
  exit 1
}
changed() {
  if [ "${1:-}" = --all ]; then
    git ls-files 'src/*.cc'
    return
  fi
  local base
  base="$(git merge-base HEAD origin/main 2>/dev/null || true)"
  if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
    base="$(git rev-parse --verify --quiet HEAD~1 || true)" # a shallow clone has none
  fi
  [ -n "$base" ] || return 0
  git diff --numstat --diff-filter=d "$base" -- 'src/*.cc' | sort -rn | cut -f3
}
# The shim is freestanding: its commands are not those of this machine's C library.
files="$(changed "${1:-}" | grep -v '^src/shim/' || true)"
if [ -z "$files" ]; then
  echo "lint: no changed sources for clang-tidy"
  exit 0
fi
if [ -n "${CI:-}" ] && [ "$(wc -l <<<"$files")" -gt 10 ]; then
  echo "lint: clang-tidy takes the ten largest changes of $(wc -l <<<"$files")"
  files="$(head -n 10 <<<"$files")"
fi
build=build/release
[ -f "$build/compile_commands.json" ] || build=build/debug
[ -f "$build/compile_commands.json" ] || cmake --preset debug >/dev/null
ninja -C "$build" generated/api/messages.h >/dev/null
# libstdc++ asks for the macro before it declares coroutines; warnings are the compilers' business, errors are ours.
xargs -P "$(nproc)" -n 1 "$tidy" -p "$build" --quiet --extra-arg=-D__cpp_impl_coroutine=201902L \
  --extra-arg=-Wno-everything <<<"$files" 2>/dev/null
