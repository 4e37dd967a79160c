#!/bin/bash
# layer.sh FOLDER [arm64]: replaces FOLDER by the files that the container image adds to its base, on this machine's or another processor; only
# after deb.sh, whose package it unpacks.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"
use_node

root=${1:-} arch=${2:-$(debian_arch)}
[ -n "$root" ] || die 'layer.sh: expected a folder'
version=$(node -p "require('./package.json').version")
deb=$ROOT/build/packages/ktrail_${version}_$arch.deb
[ -e "$deb" ] || die "no $deb: run \`make package\`"

rm -rf "$root"
mkdir -p "$root"
dpkg-deb --extract "$deb" "$root"
# Files that only a host with systemd, a shell and man needs.
rm -rf "$root"/usr/lib/systemd "$root"/usr/share/{man,lintian,zsh,fish,bash-completion}
# Debian's default, which no package can bring here: apt would need the network.
from=''
[ "$arch" = "$(debian_arch)" ] || from=$(deploy/setup/sysroot.sh "$arch")
jemalloc=$(cd "$from/usr/lib" && echo *-linux-gnu/libjemalloc.so.2)
install -D -m 644 "$from/usr/lib/$jemalloc" "$root/usr/lib/$jemalloc"
install -D -m 644 "$from/usr/share/doc/libjemalloc2/copyright" "$root/usr/share/doc/libjemalloc2/copyright"
install -m 755 deploy/docker/healthcheck "$root/usr/lib/ktrail/healthcheck"
install -m 755 deploy/oci-hook/install "$root/usr/lib/ktrail/install-oci-hook"
install -m 644 deploy/oci-hook/ktrail.json "$root/usr/lib/ktrail/oci-hook.json"
mkdir -p "$root/usr/share/ktrail"
{
  cat "build/packages/parts/deb-$arch"
  debian_part "$from" libjemalloc2 "$arch" "$root/usr/lib/$jemalloc"
} >"build/packages/parts/layer-$arch"
node deploy/setup/sbom.ts --npm "$(cpu_of "$arch")" --parts "build/packages/parts/layer-$arch" >"$root/usr/share/ktrail/sbom.cdx.json"
install -d -m 750 "$root"/var/{lib,log}/ktrail
install -d -m 755 "$root/var/cache/ktrail"
