#!/bin/bash
# artefacts.sh FOLDER: builds this checkout, and puts into FOLDER what a release has, unsigned, with SBOMs and provenance. The same commit and
# packages of Debian give the same bytes.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"

out=${1:-}
[ -n "$out" ] || die 'artefacts.sh: expected a folder'
use_commit_date
make --no-print-directory package ARCH=arm64
use_node
[[ $(<"$FACTS/node") == "$CACHE"/* ]] || die "expected the Node of deploy/setup/node.sh in a release, got $(<"$FACTS/node"): remove it from PATH, and run \`make clean\`"
version=$(node -p "require('./package.json').version")
packages=build/packages
rm -rf "$out"
mkdir -p "$out"

# add FILE NAME PURL OPTION...: a file of the release and its SBOM.
add() {
  cp "$1" "$out/$2"
  node deploy/setup/sbom.ts --artefact "$out/$2" --purl "$3" "${@:4}" >"$out/$2.cdx.json"
}
add "$packages/ktrail-$version.tgz" "ktrail-npm-$version.tgz" "pkg:npm/ktrail@$version" --npm all
add "$packages/helm/ktrail-$version.tgz" "ktrail-chart-$version.tgz" "pkg:helm/ktrail@$version"

image=$ROOT/build/release-image
rm -rf "$image"
mkdir -p "$image"
platforms=() parts=() options=()
for arch in amd64 arm64; do
  cpu=$(cpu_of "$arch")
  add "$packages/ktrail-linux-$cpu-$version.tgz" "ktrail-linux-$cpu-$version.tgz" "pkg:npm/%40ktrail/linux-$cpu@$version" --parts "$packages/parts/linux-$cpu"
  add "$packages/ktrail_${version}_$arch.deb" "ktrail_${version}_$arch.deb" "pkg:deb/ktrail@$version?arch=$arch" --npm "$cpu" --parts "$packages/parts/deb-$arch"
  [ "$arch" = arm64 ] && rpm=ktrail-$version-1.aarch64.rpm || rpm=ktrail-$version-1.x86_64.rpm
  add "$packages/$rpm" "$rpm" "pkg:rpm/ktrail@$version?arch=$arch" --npm "$cpu" --parts "$packages/parts/deb-$arch"

  log "making the image for $arch"
  base=$image/base-$arch layer=$image/layer-$arch
  deploy/release/base.sh "$base" "$arch"
  # Every package of the base, by the checksum that apt has verified.
  # shellcheck disable=SC2016 # dpkg's variables
  dpkg-query --admindir="$base/var/lib/dpkg" -W -f '${Package} ${Version} ${Architecture} ${source:Package} sha256:${SHA256}\n' >"$packages/parts/base-$arch"
  deploy/docker/layer.sh "$layer" "$arch"
  fixed_tar "$base.tar" "$base" .
  fixed_tar "$layer.tar" "$layer" usr etc var
  gzip -6nk "$base.tar" "$layer.tar"
  platforms+=("$arch=$base.tar,$layer.tar")
  parts+=("$packages/parts/layer-$arch" "$packages/parts/base-$arch")
  options+=(--npm "$cpu" --parts "$packages/parts/layer-$arch" --parts "$packages/parts/base-$arch")
done
node deploy/release/oci.ts "$image/layout" "ktrail:$version" "$(git rev-parse HEAD)" "${platforms[@]}"
fixed_tar "$image/oci.tar" "$image/layout" blobs index.json oci-layout
add "$image/oci.tar" "ktrail-image-$version.oci.tar" "pkg:oci/ktrail?tag=$version" "${options[@]}"
rm -rf "$image"

{
  cat "${parts[@]}"
  # shellcheck disable=SC2016 # dpkg's variables
  dpkg-query -W -f 'tool ${Package} ${Version}\n' 'clang-1?' 'llvm-1?' 'g++-1?' 'g++-1?-aarch64-linux-gnu' binutils patchelf dpkg rpm tar gzip make bash |
    awk 'NF == 3'
  echo "tool node $(node -p process.versions.node)"
  echo "tool npm $(npm --version)"
} >"$packages/materials"
node deploy/release/provenance.ts "$out" <"$packages/materials" >"$packages/provenance.json"
mv "$packages/provenance.json" "$out"
cp deploy/release/VERIFY.md "$out"
