#!/bin/bash
# deb.sh [arm64]: makes the Debian package in build/packages/, for this machine or another processor, with its own Node. The same sources give the same bytes. Only after npm.sh, whose folders
# it installs. COMPRESSION=none: for a test.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"
use_node

use_commit_date
packages=$ROOT/build/packages
arch=${1:-$(debian_arch)}
cpu=$(cpu_of "$arch")
node=$(deploy/setup/node.sh "$arch")
[ "$arch" = arm64 ] && triplet=aarch64-linux-gnu || triplet=x86_64-linux-gnu
version=$(node -p "require('./package.json').version")
root=$packages/deb
home=$root/usr/lib/ktrail
rm -rf "$root" "$packages"/*_"$arch".deb
mkdir -p "$home/node/bin" "$root"/usr/{bin,lib/systemd/system,lib/systemd/system-generators,share/doc/ktrail} "$root"/etc/ktrail/{policies,config.d} "$root/DEBIAN"

cp -a "$packages"/npm/ktrail/{dist,ktrail,package.json} "$home"
# Types are for authors of exporters, who have the npm package.
find "$home/dist" -name '*.d.ts' -delete
log 'installing the npm packages that the agent runs with'
cp package.json package-lock.json "$root"
npm ci --prefix "$root" --cpu="$cpu" --os=linux --libc=glibc --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error >&2
[ -e "$root/node_modules/@node-rs/crc32-linux-$cpu-gnu" ] || die "npm $(npm --version) installed no packages for $cpu: npm 10 or newer has the option --cpu"
mv "$root/node_modules" "$home"
rm "$root"/package{,-lock}.json
# Only files that run: no TypeScript (Node takes none below node_modules), documents, tests, tools, and settings of their authors' tools.
find "$home/node_modules" \( -name '*.ts' -o -name '*.cts' -o -name '*.mts' -o -name '*.map' -o -name '*.md' -o -name '*.html' -o -name '.*' -o -name test -o -name bin -o -name bin.js \
  -o -name bin.mjs -o -name '*.sh' -o -name node-addon-api \) -prune -exec rm -rf {} +
mkdir -p "$home/node_modules/@ktrail" "$home/node_modules/.ktrail"
cp -a "$packages/npm/linux-$cpu" "$home/node_modules/@ktrail"
chmod 644 "$home"/node_modules/@ktrail/*/*.{node,so.*}
# Where the launcher looks first.
echo /usr/lib/ktrail/node/bin >"$home/node_modules/.ktrail/node"
cp "$node/node" "$home/node/bin/node"
cp "$node/../LICENSE" "$home/node"
"$triplet-strip" --strip-unneeded "$home/node/bin/node"
{
  cat "$packages/parts/linux-$cpu"
  echo "node $(awk '$2 ~ /^NODE_(MAJOR|MINOR|PATCH)_VERSION$/ { printf "%s%s", dot, $3; dot = "." }' "$node/../include/node/node_version.h") $arch -" \
    "sha256:$(digest "$home/node/bin/node")"
} >"$packages/parts/deb-$arch"

ln -s ../lib/ktrail/ktrail "$root/usr/bin/ktrail"
cp deploy/systemd/ktrail.service "$root/usr/lib/systemd/system"
generator=$root/usr/lib/systemd/system-generators/ktrail
cp deploy/systemd/ktrail-generator "$generator"
cp deploy/debian/ktrail.yaml "$root/etc/ktrail"
cp deploy/debian/copyright "$root/usr/share/doc/ktrail"
gzip -9n >"$root/usr/share/doc/ktrail/changelog.gz" <<CHANGELOG
ktrail (${version/-/\~}) unstable; urgency=medium

  * CHANGELOG.md.gz says what has changed.

 -- The ktrail authors <ktrail@example.org>  $(LC_ALL=C date -uR -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
for page in CHANGELOG.md docs/reference/configuration.md; do gzip -9n <"$page" >"$root/usr/share/doc/ktrail/$(basename "$page").gz"; done
install -d "$root"/usr/share/{man/man1,bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
install -D -m 644 deploy/oci-hook/ktrail.json "$root/usr/share/doc/ktrail/examples/oci-hook.json"
cp config/policies/optional/*.yaml "$root/usr/share/doc/ktrail/examples"
gzip -9n <docs/reference/ktrail.1 >"$root/usr/share/man/man1/ktrail.1.gz"
./ktrail completion bash >"$root/usr/share/bash-completion/completions/ktrail"
./ktrail completion zsh >"$root/usr/share/zsh/vendor-completions/_ktrail"
./ktrail completion fish >"$root/usr/share/fish/vendor_completions.d/ktrail.fish"
install -D -m 644 deploy/debian/lintian-overrides "$root/usr/share/lintian/overrides/ktrail"

cp deploy/debian/{postinst,prerm,postrm} "$root/DEBIAN"
cp deploy/debian/{take-over,metrics-token} "$home"
(cd "$root" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$root/DEBIAN/conffiles"
find "$root" -type f -exec chmod 644 {} +
find "$root" -type d -exec chmod 755 {} +
chmod 755 "$root"/DEBIAN/p* "$home/ktrail" "$home/take-over" "$home/metrics-token" "$home/node/bin/node" "$generator"
chmod 600 "$root/etc/ktrail/ktrail.yaml"
# The newest symbols that its programs use, as rpm.sh requires them of other distributions.
newest() {
  find "$home" -type f \( -name '*.node' -o -name '*.so.*' -o -path '*/node/bin/node' \) -exec readelf --version-info --wide {} + |
    grep -o "Name: $1_[0-9.]*" | cut -d_ -f2 | sort --version-sort | tail -n 1
}
glibc=$(newest GLIBC)
# By the ABI policy of libstdc++: the release of GCC that brought a version of its symbols.
declare -A releases=([3.4.29]=11 [3.4.30]=12 [3.4.31]=13 [3.4.32]=13 [3.4.33]=14)
symbols=$(newest GLIBCXX)
gcc=${releases[$symbols]:-}
[ "$gcc" ] || die "deb.sh: expected symbols of libstdc++ of GCC 11 to 14, got GLIBCXX_$symbols: add its release to \`releases\`"
# Counts as dpkg-gencontrol: the result of du depends on the file system, and on data that is not written yet.
size=$(find "$root" -mindepth 1 -path "$root/DEBIAN" -prune -o -printf '%y %s\n' |
  awk '{ kib += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print kib }')
cat >"$root/DEBIAN/control" <<CONTROL
Package: ktrail
Version: ${version/-/\~}
Architecture: $arch
Maintainer: The ktrail authors <ktrail@example.org>
Installed-Size: $size
Depends: libc6 (>= $glibc), libstdc++6 (>= $gcc)
Recommends: libjemalloc2
Section: admin
Priority: optional
Description: records kernel activity by tracing policies
 ktrail loads Tetragon-compatible tracing policies, filters in the kernel, and
 ships matching events to files, Grafana Loki, OpenTelemetry and Kafka. Every
 event is delivered or counted.
CONTROL

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
# Level 1: a sixth larger, and twenty times faster.
dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" -z1 --build "$root" "$packages/ktrail_${version}_$arch.deb" >/dev/null
ls -l "$packages"/*_"$arch".deb >&2
