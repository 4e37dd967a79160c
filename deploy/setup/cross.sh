#!/bin/bash
# cross.sh arm64: builds BPF objects and addon for another processor into build/arm64/. Only after build.sh. Each step is skipped when its
# inputs have not changed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_node
# Ours may be called by make: its job server is not for the makes below.
unset MAKEFLAGS MAKELEVEL MFLAGS

arch=${1:-}
[ "$arch" = arm64 ] || die "cross.sh: expected arm64, got \"$arch\""
deploy/setup/packages.sh cross
node=$(deploy/setup/node.sh "$arch")
root=$(deploy/setup/sysroot.sh "$arch")
out=$ROOT/build/$arch
mkdir -p "$out/facts"

exec 8<deploy/setup/cross.sh
flock 8

make -s -j"$(nproc)" --no-print-directory -C bpf "ARCH=$arch" "OUT=$out/bpf" >&2 ||
  die "cannot build the BPF objects for $arch: see the output of the compiler above"

sources=(native/binding.gyp native/*.cc native/*/*.cc native/*/*.h)
want="$(cat "${sources[@]}" | sha256sum | cut -d' ' -f1) $node $root"
if [ "$(cat "$out/facts/addon" 2>/dev/null)" != "$want" ] || [ ! -e "$out/native/build/Release/ktrail.node" ]; then
  log "building the addon for $arch"
  # node-gyp builds below its sources, where the addon of this machine lies.
  rm -rf "$out/native"
  mkdir -p "$out/native"
  cp --parents "${sources[@]}" "$out"
  # node-gyp takes the Node's processor for the target, gcc its headers and libraries from the root.
  if ! env "npm_config_nodedir=$(dirname "$node")" "CC=aarch64-linux-gnu-gcc --sysroot=$root" "CXX=aarch64-linux-gnu-g++ --sysroot=$root" \
    node_modules/.bin/node-gyp rebuild --jobs max "--arch=$arch" --directory "$out/native" >"$out/log" 2>&1; then
    cat "$out/log" >&2
    die "cannot build the addon for $arch: see the output of node-gyp above"
  fi
  echo "$want" >"$out/facts/addon"
fi
echo "$node" >"$out/facts/node"
