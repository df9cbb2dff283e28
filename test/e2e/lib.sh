# lib.sh: the frame of an end-to-end test: a scratch folder, a server of its own, checks that print what they saw.
# A test sources it, calls `check`s, and ends with `finish`. Exit 77: skipped.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# shellcheck source=../../tools/dev/lib.sh
. "$root/tools/dev/lib.sh"
kayak="${KAYAK:-$root/build/release/kayak}"
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "needs root for containers and namespaces"
for tool in kubectl runc docker-registry skopeo busybox curl jq; do
  command -v "$tool" >/dev/null || skip "$tool is not installed (./dev deps)"
done
[ -x "$kayak" ] || skip "$kayak is not built"
work="$(mktemp -d /tmp/kayak-e2e.XXXXXX)"
# A range of pod addresses of its own: other servers of this machine may have the usual one.
cluster_cidr="10.$((64 + $(printf %d "'${work: -1}") % 64 * 2 + $(printf %d "'${work: -2:1}") % 2)).0.0/16"
pod_prefix="${cluster_cidr%.0.0/16}"
failures=0 checks=0

on_exit() {
  clean_up
  if [ "$failures" = 0 ]; then rm -rf "$work"; else echo "kept for a look: $work"; fi
}
trap on_exit EXIT

# check WHAT COMMAND...: the command must succeed.
check() {
  local what="$1" out
  shift
  checks=$((checks + 1))
  if out="$("$@" 2>&1)"; then
    echo "ok   $what"
  else
    failures=$((failures + 1))
    printf 'FAIL %s\n     command: %s\n%s\n' "$what" "$*" "$(printf '%s' "$out" | head -n 30 | sed 's/^/     | /')"
  fi
}
# check_output WHAT REGEX COMMAND...: its output (both streams) must match the extended regular expression.
check_output() {
  local what="$1" regex="$2" out
  shift 2
  checks=$((checks + 1))
  out="$("$@" 2>&1)" || true
  if printf '%s\n' "$out" | grep -qE -- "$regex"; then  # '^$' matches no output
    echo "ok   $what"
  else
    failures=$((failures + 1))
    printf 'FAIL %s\n     command: %s\n     wanted:  %s\n%s\n' "$what" "$*" "$regex" "$(printf '%s' "$out" | head -n 30 | sed 's/^/     | /')"
  fi
}
# eventually SECONDS WHAT REGEX COMMAND...: check_output, tried until then.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  while [ "$SECONDS" -lt "$deadline" ]; do
    if printf '%s\n' "$("${@:3}" 2>&1)" | grep -qE -- "$2"; then break; fi
    sleep 0.2
  done
  check_output "$@"
}
finish() {
  if [ "$failures" != 0 ]; then
    echo "--- the server's last lines:"
    tail -n 15 "$work/server.log" 2>/dev/null
  fi
  echo "$checks checks, $failures failed"
  [ "$failures" = 0 ]
  exit $?
}
