#!/bin/bash
# layer.sh FOLDER: replaces FOLDER by the files that the container image adds to its base; only after deb.sh, whose package it unpacks.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"
use_node

root=${1:-}
[ -n "$root" ] || die 'layer.sh: expected a folder'
version=$(node -p "require('./package.json').version")
deb=$ROOT/build/packages/ktrail_${version}_$(debian_arch).deb
[ -e "$deb" ] || die "no $deb: run \`make package\`"

rm -rf "$root"
mkdir -p "$root"
dpkg-deb --extract "$deb" "$root"
# Files that only a host with systemd, a shell and man needs.
rm -rf "$root"/usr/lib/systemd "$root"/usr/share/{man,lintian,zsh,fish,bash-completion}
# Debian's default, which no package can bring here: apt would need the network.
install -D -m 644 -t "$root/usr/lib/$(uname -m)-linux-gnu" "/usr/lib/$(uname -m)-linux-gnu/libjemalloc.so.2"
install -D -m 644 /usr/share/doc/libjemalloc2/copyright "$root/usr/share/doc/libjemalloc2/copyright"
install -m 755 deploy/docker/healthcheck "$root/usr/lib/ktrail/healthcheck"
install -m 755 deploy/oci-hook/install "$root/usr/lib/ktrail/install-oci-hook"
install -m 644 deploy/oci-hook/ktrail.json "$root/usr/lib/ktrail/oci-hook.json"
mkdir -p "$root/usr/share/ktrail"
node deploy/setup/sbom.ts >"$root/usr/share/ktrail/sbom.cdx.json"
install -d -m 750 "$root"/var/{lib,log}/ktrail
install -d -m 755 "$root/var/cache/ktrail"
