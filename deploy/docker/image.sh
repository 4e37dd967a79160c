#!/bin/bash
# image.sh [TAG]: builds the container image from the Debian package in build/packages/; only after deb.sh. Default tag: ktrail:VERSION.
#   BASE=debian:bookworm-slim   the image it stands on: a Debian 12 or later with bash and libstdc++6
#   DOCKER=docker               or podman
# SOURCE_DATE_EPOCH is that of the last change. A builder that honours it (BuildKit) gives the same image, others the same layer.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"
use_node

version=$(node -p "require('./package.json').version")
tag=${1:-ktrail:$version}
use_commit_date

context=$ROOT/build/image
root=$context/root
rm -rf "$context"
mkdir -p "$context"
deploy/docker/layer.sh "$root"
cp "$root/usr/share/ktrail/sbom.cdx.json" "build/packages/ktrail-$version.sbom.cdx.json"
fixed_tar "$context/root.tar" "$root" usr etc var
rm -r "$root"
cp deploy/docker/Dockerfile "$context"

log "building the image $tag"
${DOCKER:-docker} build --tag "$tag" --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" ${BASE:+--build-arg "BASE=$BASE"} \
  --build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --build-arg "CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" "$context" >&2
