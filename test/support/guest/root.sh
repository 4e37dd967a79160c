#!/bin/bash
# root.sh bookworm|trixie: makes a fresh Debian root with Node 24 and nothing to compile with, in the cache, and prints its folder. The second
# time nothing is done. Tests install into a copy.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../deploy/setup/lib.sh"

suite=${1:-}
case $suite in
  bookworm | trixie) ;;
  *) die "root.sh: expected bookworm or trixie, got \"$suite\"" ;;
esac
folder=$CACHE/roots/$suite
if [ -e "$folder/.complete" ]; then
  echo "$folder"
  exit 0
fi
"$ROOT/deploy/setup/packages.sh" root
mkdir -p "$CACHE/roots"
exec 7>"$CACHE/roots/.lock"
flock 7
if [ ! -e "$folder/.complete" ]; then
  log "making a Debian $suite root in $folder"
  as_root rm -rf "$folder"
  as_root debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,udev,procps,iproute2,ca-certificates "$suite" "$folder" \
    http://deb.debian.org/debian >"$CACHE/roots/$suite.log" 2>&1 || {
    tail -n 5 "$CACHE/roots/$suite.log" >&2
    die "cannot make a Debian $suite root: see the output of debootstrap above; check the network and the machine's apt sources"
  }
  as_root mkdir -p "$folder/opt/node/bin"
  as_root cp "$(<"$FACTS/node")/node" "$folder/opt/node/bin/node"
  # With the machine's own certificates and name servers, so that npm works in it.
  # A lock file, so that npm takes nothing but the package with this checksum.
  lock=$(mktemp -d)
  echo '{ "dependencies": { "npm": "11.6.2" } }' >"$lock/package.json"
  echo '{ "lockfileVersion": 3, "packages": { "": { "dependencies": { "npm": "11.6.2" } }, "node_modules/npm": { "version": "11.6.2",
    "integrity": "sha512-7iKzNfy8lWYs3zq4oFPa8EXZz5xt9gQNKJZau3B1ErLBb6bF7sBJ00x09485DOvRT2l5Gerbl3VlZNT57MxJVA==" } } }' >"$lock/package-lock.json"
  npm ci --silent --no-audit --no-fund --prefix "$lock"
  as_root cp -a --no-preserve=ownership "$lock/node_modules" "$folder/opt/node/node_modules"
  rm -r "$lock"
  as_root ln -s ../node_modules/npm/bin/npm-cli.js "$folder/opt/node/bin/npm"
  as_root cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
  as_root touch "$folder/.complete"
fi
echo "$folder"
