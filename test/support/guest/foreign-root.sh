#!/bin/bash
# foreign-root.sh ARCH ROOT CACHE COMMAND...: becomes COMMAND with a view of the file system of its own. ROOT is a Debian for ARCH, with this
# checkout, the build for ARCH (deploy/setup/cross.sh) in the places of its own build, and the cache.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../deploy/setup/lib.sh"

if [ "${KTRAIL_UNSHARED:-}" = '' ]; then KTRAIL_UNSHARED=yes exec unshare --mount "$0" "$@"; fi
build=$ROOT/build/$1 root=$2 cache=$3
shift 3
show() {
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
}
show "$cache" "$cache"
show "$ROOT" "$ROOT"
show "$build/bpf" "$ROOT/bpf/build"
show "$build/native/build" "$ROOT/native/build"
show "$build/facts" "$FACTS"
exec "$@"
