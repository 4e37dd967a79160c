#!/bin/bash
# base.sh FOLDER amd64|arm64: replaces FOLDER by a Debian that has only what the agent in the container image calls. It stands in for the
# image that `docker build` fetches. The newest packages of the machine's apt sources, checked by apt's signatures and never configured.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"

root=${1:-}
APT_ARCH=${2:-}
[[ $root && $APT_ARCH =~ ^(amd64|arm64)$ ]] || die "base.sh: expected a folder and amd64 or arm64, got \"$*\""
packages=(base-files base-passwd bash dash coreutils findutils grep sed libstdc++6 libjemalloc2)

rm -rf "$root"
mkdir -p "$root/usr/lib64"
ln -s usr/lib64 "$root/lib64"
unpack_debian "$root" "the image's base" "${packages[@]}"
chmod 1777 "$root/tmp"
# As in Debian's own slim images: licences stay.
rm -rf "$root"/usr/share/{man,info,locale,lintian,doc-base}
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -type d -empty -delete
