#!/usr/bin/env bash
# crash_test.sh: kill -9 of the server during a stream of writes, KAYAK_CRASH_ROUNDS times (200): see crash_load.py.
# KAYAK_CRASH_SEED repeats a run's decisions.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start_crashes() {
  python3 "$root/test/e2e/crash_load.py" --kayak "$kayak" --work "$work" --port "$(free_port)" \
    --rounds "${KAYAK_CRASH_ROUNDS:-200}" ${KAYAK_CRASH_SEED:+--seed "$KAYAK_CRASH_SEED"}
}
start_crashes | tee "$work/crash.out"
check_output "every acknowledged write survived, watches went on" '^0 violations$' cat "$work/crash.out"
check_output "watches resumed from before a kill" 'earlier state: [1-9]' cat "$work/crash.out"
finish
