# fuzz.sh [SECONDS]: runs every fuzz target for SECONDS (default 10), from its seeds in test/fuzz/seeds/<name>, as many
# at a time as there are cores. A failure prints the input's path and the command that repeats it, and fails the run.
set -euo pipefail
seconds="${1:-10}"
case "$seconds" in '' | *[!0-9]*) echo "fuzz: SECONDS must be a number, not '$seconds'" >&2; exit 2 ;; esac
root="$PWD"
# shellcheck source=lib.sh
. tools/dev/lib.sh
begin_run fuzz "$@"
corpus="$work/corpus"
mkdir "$corpus"
# What was found stays; not what a target had in memory when it ended.
on_exit() {
  local folder pid
  end_run "$work" || true
  for folder in /dev/shm/kayak-layer.* /tmp/kayak-layer.*; do
    pid="${folder#*kayak-layer.}"
    [ -e "/proc/${pid%%.*}" ] || rm -rf "$folder"
  done
}
trap on_exit EXIT

# run_one TARGET: says how it went; leaves $corpus/<name>.failed when it failed.
run_one() {
  local target="$1" name runs coverage input options=()
  name="$(basename "$target")"
  name="${name#fuzz_}"
  mkdir -p "$corpus/$name"
  [ -f "test/fuzz/seeds/$name.dict" ] && options+=("-dict=test/fuzz/seeds/$name.dict")
  options+=("$corpus/$name") # where new inputs go; the seeds are read alone
  [ -d "test/fuzz/seeds/$name" ] && options+=("test/fuzz/seeds/$name")
  if "$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$corpus/$name-" "${options[@]}" >"$corpus/$name.log" 2>&1; then
    runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$corpus/$name.log")"
    coverage="$(grep -oE 'cov: [0-9]+' "$corpus/$name.log" | tail -1)"
    echo "fuzz: $name ok ($runs inputs in $seconds s, ${coverage:-cov: ?})"
    return
  fi
  : >"$corpus/$name.failed"
  {
    echo "fuzz: $name FAILED"
    grep -E 'ERROR|assertion failed|runtime error|SUMMARY' "$corpus/$name.log" | head -5 || true
    input="$(ls -t "$corpus/$name"-* 2>/dev/null | head -1 || true)"
    [ -n "$input" ] && echo "fuzz: the input is $input; repeat with: $target $input"
    echo "fuzz: the log is $corpus/$name.log"
  } >&2
}

ran=0
for target in build/fuzz/test/fuzz/fuzz_*; do
  [ -x "$target" ] && [ -f "$target" ] || continue
  name="$(basename "$target")"
  [ -f "test/fuzz/${name#fuzz_}_fuzz.cc" ] || continue # built from a file that is gone
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  run_one "$target" &
  ran=$((ran + 1))
done
wait
[ "$ran" -gt 0 ] || { echo "fuzz: no target is built; run ./dev fuzz" >&2; rm -rf "$work"; exit 1; }
failed="$(find "$corpus" -maxdepth 1 -name '*.failed' -printf '%f ')"
if [ -n "$failed" ]; then
  echo "fuzz: failed: ${failed//.failed/}" >&2
  exit 1
fi
rm -rf "$work"
