#!/bin/bash
# packages.sh build|cross|guest|guest-arm64|npm|package|rpm|apt-repo|root|reproducible|lint-deb|test: installs the Debian packages that are missing for that purpose.
# Does nothing, fast, when all are there. Building never pulls QEMU in: that is `guest`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# The versions that bpf/Makefile accepts; Debian 12 has 16, later releases have later ones.
compiler() {
  local version
  for version in 16 17 18 19; do
    if command -v "clang-$version" >/dev/null && command -v "llvm-strip-$version" >/dev/null; then return 0; fi
  done
  return 1
}

# Packages that some tests use; these tests are skipped without them.
optional=()
case ${1:-} in
  build)
    # bpf/Makefile: clang, llvm-strip; addon: g++, make, python3 (node-gyp), libbpf and what it links to, the compressors, and what ./ktrail allocates with.
    packages=(libbpf-dev libelf-dev zlib1g-dev libisal-dev libzstd-dev libjemalloc2 g++ make python3 ca-certificates)
    compiler || packages+=(clang-16 llvm-16)
    ;;
  cross) packages=(g++-aarch64-linux-gnu) ;;
  guest-arm64) packages=(qemu-system-arm) ;;
  guest)
    packages=(qemu-system-x86 qemu-system-common busybox-static cpio kmod iproute2 procps util-linux xz-utils zstd)
    # Tools that tests call inside the guest.
    packages+=(bpftool runc crun dmsetup e2fsprogs xfsprogs btrfs-progs)
    ;;
  npm) packages=(npm) ;;
  package) packages=(patchelf binutils) ;;
  rpm) packages=(rpm) ;;
  apt-repo) packages=(apt-utils gpg gpg-agent) ;;
  root) packages=(debootstrap) ;;
  # A shifted clock, and the differences of two artefacts.
  reproducible)
    packages=(faketime)
    optional=(diffoscope-minimal)
    ;;
  lint-deb) packages=(lintian) ;;
  # Programs that ktrail is tested against here, outside of guests.
  test)
    packages=(logrotate)
    optional=(chromium-headless-shell fonts-dejavu-core prometheus)
    ;;
  *) die "packages.sh: expected build, cross, guest, guest-arm64, npm, package, rpm, apt-repo, root, reproducible, lint-deb or test, got \"${1:-}\"" ;;
esac

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if ! command -v dpkg-query >/dev/null; then
  die "this machine has no dpkg: install the equivalents of ${packages[*]} yourself, or use Debian 12"
fi
look() {
  local package
  missing=() extra=()
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
  for package in "${optional[@]}"; do
    installed "$package" || extra+=("$package")
  done
  [ $((${#missing[@]} + ${#extra[@]})) -gt 0 ] || exit 0
}
look
# apt-get waits for another one that installs, but not for one that reads lists. This file is the lock; another process may have installed them.
exec 5<"$0"
flock 5
look

log "installing Debian packages: ${missing[*]} ${extra[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >"$log" 2>&1
}
# Lists may be absent or stale, so they are read first; a foreign source that fails must not stop us.
quietly update || log "apt-get update reported errors, continuing: $(grep -m1 -E '^(E|Err|W):' "$log" || tail -n1 "$log")"
# A release newer than Debian 12 has dropped clang-16.
if [ "$1" = build ] && ! compiler && [ -z "$(apt-cache show clang-16 2>/dev/null)" ]; then
  missing=("${missing[@]/clang-16/clang-19}")
  missing=("${missing[@]/llvm-16/llvm-19}")
fi
if [ ${#missing[@]} -gt 0 ] && ! quietly install --no-install-recommends "${missing[@]}"; then
  tail -n 20 "$log" >&2
  die "cannot install ${missing[*]}: see the output of apt-get above; check the network and the machine's apt sources"
fi
if [ ${#extra[@]} -gt 0 ] && ! quietly install --no-install-recommends "${extra[@]}"; then
  log "cannot install ${extra[*]}, so some tests are skipped: $(grep -m1 '^E:' "$log" || tail -n1 "$log")"
fi
