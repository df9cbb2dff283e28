# deps.sh: installs all that building and testing need, on Debian 12 or 13.
set -euo pipefail
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
. /etc/os-release
case "${VERSION_ID:-}" in
  12) boost="libboost1.81-dev libboost-json1.81-dev"; clang=14 ;;
  13) boost="libboost1.83-dev libboost-json1.83-dev"; clang=19 ;;
  *) echo "deps: this is ${PRETTY_NAME:-an unknown system}; the package names are those of Debian 12 and 13" >&2; exit 1 ;;
esac
build="build-essential cmake ninja-build ccache pkg-config git ca-certificates python3
  clang-$clang clang-format-$clang clang-tidy-$clang lld-$clang libclang-rt-$clang-dev
  libuv1-dev libsqlite3-dev protobuf-compiler libprotobuf-dev libmbedtls-dev libnghttp2-dev $boost
  libnl-3-dev libnl-route-3-dev libnl-genl-3-dev libc-ares-dev libarchive-dev zlib1g-dev libzstd-dev libbz2-dev
  liblzma-dev libxml2-dev libicu-dev nettle-dev libcli11-dev catch2"
tests="runc crun docker-registry busybox-static etcd-client etcd-server skopeo umoci curl jq openssl iproute2 nftables
  iptables procps strace e2fsprogs mount"
command -v kubectl >/dev/null || tests="$tests kubernetes-client"
missing=""
for package in $build $tests; do
  [[ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" == *"ok installed"* ]] || missing="$missing $package"
done
if [ -z "$missing" ]; then
  echo "deps: everything is installed"
  exit 0
fi
echo "deps: installing$missing"
$sudo apt-get update -q
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $missing
