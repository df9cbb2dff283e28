# lint.sh [--all]: what a machine can check of our style. clang-tidy sees changed files, with --all every one.
set -euo pipefail
format="$(command -v clang-format-14 || command -v clang-format-19 || command -v clang-format)"
failed=0
complaints="$(mktemp /tmp/kayak-lint.XXXXXX)"
trap 'rm -f "$complaints"' EXIT
# What GCC 12 miscompiles in coroutines (docs/decisions.md).
python3 tools/dev/lint_coroutines.py --self-test || failed=1
if ! git ls-files 'src/*.cc' 'src/*.h' 'test/*.cc' 'test/*.h' | xargs -r python3 tools/dev/lint_coroutines.py; then
  echo "lint: name the value above on a line before the co_await" >&2
  failed=1
fi
if ! git ls-files 'src/*.cc' 'src/*.h' 'test/*.cc' 'test/*.h' | xargs -r "$format" --dry-run --Werror 2>"$complaints"; then
  grep -m 20 'error:' "$complaints" >&2
  echo "lint: run $format -i on the files above" >&2
  failed=1
fi
bash tools/dev/tidy.sh "$@" || failed=1
exit $failed
