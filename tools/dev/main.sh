# main.sh: the commands of ./dev. Longer ones live beside this file, a file per command.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cd "$root"

usage() {
  cat <<TEXT
usage: ./dev COMMAND [ARGS]

  deps            install the Debian packages that building and testing need (Debian 12 or 13; root or sudo)
  build [PRESET]  configure and build (default: release, which leaves build/release/kayak)
  run [--once]    start a cluster, deploy a small app on it and show it; --once stops and cleans up
  test [ARGS]     build and run the tests; ARGS go to ctest (-L unit, -R name)
  sim [ARGS]      simulate whole clusters: --seeds N, --start S; prints the seed that fails
  bench [WHAT]    measure: boot, api, pods, store; --quick, --json
  lint [--all]    check formatting and coroutines, run clang-tidy on changed files
  fuzz [SECONDS]  run every fuzz target for a bounded time each
  help            this text
TEXT
}

jobs() { nproc; }

# build [PRESET [TARGET...]]
build() {
  local preset="${1:-release}"
  [ $# -gt 0 ] && shift
  [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" >/dev/null
  cmake --build "build/$preset" -j "$(jobs)" ${1:+--target "$@"}
}

command="${1:-help}"
[ $# -gt 0 ] && shift
case "$command" in
  deps) exec bash "$here/deps.sh" "$@" ;;
  build) build "$@" ;;
  test) build release; exec bash "$here/test.sh" "$@" ;;
  sim)
    [ -f build/release/build.ninja ] || cmake --preset release >/dev/null
    cmake --build build/release -j "$(jobs)" --target kayak_sim
    exec build/release/test/kayak_sim "$@"
    ;;
  lint) exec bash "$here/lint.sh" "$@" ;;
  run) build release; exec bash "$here/run.sh" "$@" ;;
  bench) build release kayak kayak_bench; exec bash "$here/bench.sh" "$@" ;;
  fuzz) build fuzz; exec bash "$here/fuzz.sh" "$@" ;;
  help | -h | --help) usage ;;
  *) echo "./dev: unknown command '$command'" >&2; usage >&2; exit 2 ;;
esac
