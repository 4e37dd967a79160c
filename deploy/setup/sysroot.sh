#!/bin/bash
# sysroot.sh arm64: makes a Debian of another processor available and prints its folder in the cache: what the addon is linked with there, and
# the root of its guests. The packages are fetched by apt-get, which checks its signatures, and unpacked, never configured; this machine's
# dpkg learns of no other processor. The second time nothing is done.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/deploy/setup/apt.sh"

arch=${1:-}
[ "$arch" = arm64 ] || die "sysroot.sh: expected arm64, got \"$arch\""
# Packages of `build` in packages.sh; the agent's allocator; programs that a guest boots with or tests call.
packages=(libbpf-dev libelf-dev zlib1g-dev libisal-dev libzstd-dev libjemalloc2
  base-files base-passwd bash dash coreutils mount util-linux util-linux-extra procps iproute2 kmod
  findutils grep sed mawk perl gcc libc6-dev libstdc++6 clang-16 llvm-16 bpftool libc-bin)
folder=$CACHE/roots/$arch
# Another list of packages is another root.
want=$(printf '%s ' "${packages[@]}")
complete() { [ "$(cat "$folder/.complete" 2>/dev/null)" = "$want" ] && [ -e "$folder/var/lib/dpkg/status" ]; }
if complete; then
  echo "$folder"
  exit 0
fi
command -v apt-get >/dev/null || die "cannot fetch packages for $arch: this machine has no apt-get"

mkdir -p "$CACHE/roots"
exec 7>"$CACHE/roots/.lock"
flock 7
if ! complete; then
  log "fetching Debian packages for $arch into $folder"
  fresh=$(mktemp -d "$CACHE/roots/.fresh.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  APT_ARCH=$arch
  unpack_debian "$fresh" packages "${packages[@]}"
  ln -s mawk "$fresh/usr/bin/awk"
  # A linker here would follow a link such as libz.so -> /lib/… out of the folder.
  while read -r link; do ln -sfrT "$fresh$(readlink "$link")" "$link"; done < <(find "$fresh/usr/lib" -name '*.so' -lname '/*')
  chmod 755 "$fresh"
  echo "$want" >"$fresh/.complete"
  rm -rf "$folder"
  mv -T "$fresh" "$folder"
fi
echo "$folder"
