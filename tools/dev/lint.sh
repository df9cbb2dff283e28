# lint.sh: what a machine can check of our style.
set -euo pipefail
format="$(command -v clang-format-14 || command -v clang-format-19 || command -v clang-format)"
failed=0
# GCC 12 destroys braced temporaries twice in a statement with co_await (docs/decisions.md).
if grep -nE '(^|[^r]) co_await [^;]*[A-Za-z_:>]\{' -r src --include='*.cc' --include='*.h' | grep -vE '^\S+\s*//' ; then
  echo "lint: a braced temporary in a statement with co_await: name it, or call its constructor with ()" >&2
  failed=1
fi
# It does the same to the temporaries of a conditional (one worker's StopToken was freed once too often).
if grep -nE 'co_await [^;]*\([^;]*\?[^;]*:' -r src --include='*.cc' --include='*.h' | grep -vE '^\S+\s*//' ; then
  echo "lint: a conditional within a statement with co_await: name its value" >&2
  failed=1
fi
if ! git ls-files 'src/*.cc' 'src/*.h' 'test/*.cc' 'test/*.h' | xargs -r "$format" --dry-run --Werror 2>/tmp/kayak-lint.$$; then
  grep -E 'error:' /tmp/kayak-lint.$$ | head -20 >&2
  echo "lint: run $format -i on the files above" >&2
  failed=1
fi
rm -f /tmp/kayak-lint.$$
exit $failed
