# test.sh: runs the tests of the release build; arguments go to ctest.
set -euo pipefail
exec ctest --test-dir build/release --output-on-failure -j 2 "$@"
