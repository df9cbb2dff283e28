# lib.sh: the frame of an end-to-end test: a scratch folder, a server of its own, checks that print what they saw.
# A test sources it, calls `check`s, and ends with `finish`. Exit 77: skipped.
set -uo pipefail
root="$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# shellcheck source=../../tools/dev/lib.sh
. "$root/tools/dev/lib.sh"
kayak="$(realpath -m "${KAYAK:-$root/build/release/kayak}")"
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "needs root for containers and namespaces"
export PATH="$PATH:/usr/sbin:/sbin"
for tool in kubectl runc docker-registry skopeo busybox curl jq python3 openssl perl ip ss nft pgrep; do
  command -v "$tool" >/dev/null || skip "$tool is not installed (./dev deps)"
done
[ -x "$kayak" ] || skip "$kayak is not built"
begin_run e2e "$@"
pod_prefix="${cluster_cidr%.0.0/16}"
export KUBECONFIG="$work/kubeconfig.yaml" # nobody else's, also before there is a server
failures=0 checks=0

# A run that failed or ended early keeps its folder, one that was interrupted does not.
on_exit() {
  local status=$?
  trap '' INT TERM
  clean_up
  disown -a # or bash would tell of each that is killed
  end_run "$work"
  case "$status" in
    0 | 77 | 130 | 143) rm -rf "$work" ;;
    *) echo "kept for a look: $work" ;;
  esac
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
# matches REGEX TEXT: one of its lines at least; '^$' is for no text at all. No pipe: grep leaves it at the first match, and
# with pipefail that is the failure of whoever still writes.
matches() {
  if [ "$1" = '^$' ]; then [ -z "$2" ]; else grep -qE -- "$1" <<<"$2"; fi
}
# check_output WHAT REGEX COMMAND...: its output (both streams) must match the extended regular expression.
check_output() {
  local what="$1" regex="$2" out
  shift 2
  checks=$((checks + 1))
  out="$("$@" 2>&1)" || true
  if matches "$regex" "$out"; then
    echo "ok   $what"
  else
    failures=$((failures + 1))
    printf 'FAIL %s\n     command: %s\n     wanted:  %s\n%s\n' "$what" "$*" "$regex" "$(printf '%s' "$out" | head -n 30 | sed 's/^/     | /')"
  fi
}
# check_absent WHAT REGEX COMMAND...: the command must succeed, and no line of its output may match.
check_absent() { check "$1" without "${@:2}"; }
without() {
  local regex="$1" out
  shift
  out="$("$@" 2>&1)" || { printf 'exit status %s: %s\n' $? "$out"; return 1; }
  ! grep -E -- "$regex" <<<"$out"
}
# eventually SECONDS WHAT REGEX COMMAND...: check_output, tried until then. The seconds are those of a machine with nothing
# else to do; a busy one has three times as long, as who waits for an event loses nothing by patience.
eventually() {
  local deadline=$((SECONDS + 3 * $1))
  shift
  while [ "$SECONDS" -lt "$deadline" ]; do
    if matches "$2" "$("${@:3}" 2>&1)"; then break; fi
    sleep 0.2
  done
  check_output "$@"
}
# wait_for SECONDS COMMAND...: until it succeeds or the time (threefold, as above) is over; whoever needs it finds out then.
wait_for() {
  local deadline=$((SECONDS + 3 * $1))
  until "${@:2}" >/dev/null 2>&1 || [ "$SECONDS" -ge "$deadline" ]; do sleep 0.1; done
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
