#!/bin/bash
# tools/install_packages.sh [--check]: installs the Debian packages that building
# and testing need. Does nothing, quickly, when all are there; otherwise needs
# root or sudo. --check only says what is missing (exit status 1 if anything is).
set -euo pipefail

packages=(
  # Build: compiler, Bazel (which runs on a Java virtual machine), generators.
  bazel-bootstrap g++ pkg-config protobuf-compiler protobuf-compiler-grpc
  # Libraries.
  libabsl-dev libgrpc++-dev libhwy-dev libicu-dev libopenmpi-dev libpcre2-dev
  libprotobuf-dev libspdlog-dev libssl-dev nlohmann-json3-dev
  # Tests: frameworks, ranks, certificates, the Python gRPC client.
  libbenchmark-dev libgmock-dev libgtest-dev openmpi-bin openssl python3
  python3-venv
)

fail() {
  echo "install_packages.sh: $*" >&2
  exit 1
}

is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

check_only=false
case ${1:-} in
  "") ;;
  --check) check_only=true ;;
  -h | --help)
    sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *) fail "unknown argument '$1'; see --help" ;;
esac

for tool in dpkg-query apt-get; do
  command -v "$tool" > /dev/null ||
    fail "needs Debian (12 is what it is tested on): there is no $tool here"
done

missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "All ${#packages[@]} Debian packages are installed."
  exit 0
fi
echo "Missing Debian packages: ${missing[*]}"
$check_only && exit 1

as_root=()
if ((EUID != 0)); then
  command -v sudo > /dev/null ||
    fail "run it as root, or install sudo: packages are missing"
  as_root=(sudo)
fi
# Another apt (such as unattended upgrades) may hold the lock: wait for it.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
  -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() {
  echo "+ $*"
  "$@" > "$log" 2>&1 || {
    tail -n 20 "$log" >&2
    return 1
  }
}

run "${apt[@]}" -q update ||
  fail "apt-get update failed (reason above): is Debian's mirror reachable?"
run "${apt[@]}" -q -y --no-install-recommends install "${missing[@]}" ||
  fail "apt-get install failed (reason above)"
for package in "${missing[@]}"; do
  is_installed "$package" || fail "$package is still missing after apt-get"
done
echo "Installed ${#missing[@]} Debian packages."
