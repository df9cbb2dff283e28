# fuzz.sh [SECONDS]: runs every fuzz target for SECONDS (default 10) each, from its seeds in test/fuzz/seeds/<name>.
# A failure prints the input's path and the command that repeats it, and fails the whole run.
set -euo pipefail
seconds="${1:-10}"
case "$seconds" in '' | *[!0-9]*) echo "fuzz: SECONDS must be a number, not '$seconds'" >&2; exit 2 ;; esac
corpus="$(mktemp -d "${TMPDIR:-/tmp}/kayak-fuzz.XXXXXX")"
failed=""
ran=0
for target in build/fuzz/test/fuzz/fuzz_*; do
  [ -x "$target" ] && [ -f "$target" ] || continue
  name="$(basename "$target")"
  name="${name#fuzz_}"
  [ -f "test/fuzz/${name}_fuzz.cc" ] || continue # built from a file that is gone
  mkdir -p "$corpus/$name"
  seeds=""
  [ -d "test/fuzz/seeds/$name" ] && seeds="test/fuzz/seeds/$name"
  dictionary=""
  [ -f "test/fuzz/seeds/$name.dict" ] && dictionary="-dict=test/fuzz/seeds/$name.dict"
  ran=$((ran + 1))
  if "$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 $dictionary \
    -artifact_prefix="$corpus/$name-" "$corpus/$name" $seeds >"$corpus/$name.log" 2>&1; then
    runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$corpus/$name.log")"
    coverage="$(grep -oE 'cov: [0-9]+' "$corpus/$name.log" | tail -1)"
    echo "fuzz: $name ok ($runs inputs in $seconds s, ${coverage:-cov: ?})"
    continue
  fi
  failed="$failed $name"
  echo "fuzz: $name FAILED" >&2
  grep -E 'ERROR|assertion failed|runtime error|SUMMARY' "$corpus/$name.log" | head -5 >&2 || true
  input="$(ls -t "$corpus/$name"-* 2>/dev/null | head -1 || true)"
  [ -n "$input" ] && echo "fuzz: the input is $input; repeat with: $target $input" >&2
  echo "fuzz: the log is $corpus/$name.log" >&2
done
[ "$ran" -gt 0 ] || { echo "fuzz: no target is built; run ./dev fuzz" >&2; exit 1; }
if [ -n "$failed" ]; then
  echo "fuzz: failed:$failed" >&2
  exit 1
fi
rm -rf "$corpus"
