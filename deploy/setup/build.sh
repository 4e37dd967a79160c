#!/bin/bash
# Makes the checkout one in which ./ktrail works. Each step is skipped when its inputs have not changed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
# Ours may be called by make: its job server is not for the makes below.
unset MAKEFLAGS MAKELEVEL MFLAGS

# Two builds of one checkout would tear each other's files: the second waits. The Makefile is the lock.
exec 8<Makefile
if ! flock -n 8; then
  log 'another build of this checkout is running; waiting for it'
  flock 8
fi

debian_arch >/dev/null
deploy/setup/packages.sh build
node=$(deploy/setup/node.sh)
export PATH=$node:$PATH

want=$(packages_fact "$node")
if [ "$(cat "$FACTS/packages" 2>/dev/null)" != "$want" ]; then
  command -v npm >/dev/null || deploy/setup/packages.sh npm
  log 'installing npm packages'
  # No package needs its install scripts: those that have some are only for tests.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    die 'cannot install the npm packages of package-lock.json: see the output of npm above; check the network and the npm registry'
  mkdir -p "$FACTS"
  echo "$want" >"$FACTS/packages"
fi

if ! make -q -C bpf >/dev/null 2>&1; then
  log 'building BPF objects'
  make -s -j"$(nproc)" --no-print-directory -C bpf >&2 || die 'cannot build the BPF objects: see the output of the compiler above'
fi

# N-API is stable, but the compiler flags come from the Node that node-gyp is pointed at.
want="$(digest native/binding.gyp native/*.cc native/*/*.cc native/*/*.h) $node"
# Beside the addon, which a clean installation of the packages leaves alone.
sources=native/build/.sources
if [ "$(cat $sources 2>/dev/null)" != "$want" ] || [ ! -e native/build/Release/ktrail.node ]; then
  log 'building the addon'
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # From the environment, because a .npmrc may point at the headers of another Node.
  if ! npm_config_nodedir=$(dirname "$node") node_modules/.bin/node-gyp rebuild --jobs max --directory native >"$log" 2>&1; then
    cat "$log" >&2
    die 'cannot build the addon in native/: see the output of node-gyp above'
  fi
  echo "$want" >$sources
fi

# ./ktrail starts the sources if one is newer. Old parts of the bundle stay: a running agent may still load them.
bundle=build/dist/collector/main.js
if [ ! -e $bundle ] || [ -n "$(find collector config exporters native deploy/package package-lock.json \( -name '*.[jt]s*' -o -name package-lock.json \) -newer $bundle -print -quit)" ]; then
  log 'bundling the sources'
  node deploy/package/bundle.ts build/dist || die 'cannot bundle the sources: see the output of esbuild above'
fi

# The parts of this build, in CycloneDX; npm does not list those from Debian.
sbom=build/sbom.cdx.json
if [ ! -e "$sbom" ] || [ package-lock.json -nt "$sbom" ] || [ $sources -nt "$sbom" ]; then
  mkdir -p build
  node deploy/setup/sbom.ts >"$sbom.part" || die 'cannot write the list of parts: see the output of deploy/setup/sbom.ts above'
  mv "$sbom.part" "$sbom"
fi

# Last: its presence shows the launcher that the build is complete.
echo "$node" >"$FACTS/node"

# Keeps the code that V8 compiles for a command, until an agent has started (deploy/package/main.ts).
./ktrail version >/dev/null || die "./ktrail does not start: see its output above"
