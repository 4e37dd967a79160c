#!/bin/bash
# release.sh [VERSION]: builds the tag vVERSION (default: of package.json) into build/release/VERSION. The Ed25519 key in the file KEY signs it, and
# the OpenPGP key in the file APT_KEY its apt repository. The tag is built in a clone, so that nothing of this checkout gets into it. A key that is
# not given is thrown away after the release: for a test.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"

version=${1:-$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die "expected a version such as 0.1.0, got \"$version\": run \`make release VERSION=0.1.0\`"
tag=v$version
git rev-parse --quiet --verify "refs/tags/$tag^{commit}" >/dev/null || die "no tag $tag: make it on the commit of the release"
at_tag() { git show "$tag:$1"; }
found=$(at_tag package.json | sed -n 's/^  "version": "\(.*\)",$/\1/p')
[ "$found" = "$version" ] || die "$tag: expected version $version in package.json, got $found: change it and the tag"
# A mistake in a key shows before the build, not after.
listed() { at_tag SECURITY.md | grep -q "$2" || die "$1: SECURITY.md of $tag does not list the fingerprint $2: add it, and move the tag"; }
if [ -n "${KEY:-}" ]; then
  key=$(readlink -e "$KEY") || die "KEY: no file $KEY"
  fingerprint=$(openssl pkey -in "$key" -pubout -outform DER | sha256sum | cut -d' ' -f1) || die "KEY: cannot read a private key from $KEY"
  listed KEY "$fingerprint"
fi
deploy/setup/packages.sh apt-repo
if [ -n "${APT_KEY:-}" ]; then
  apt_key=$(readlink -e "$APT_KEY") || die "APT_KEY: no file $APT_KEY"
  fingerprint=$(gpg --show-keys --with-colons "$apt_key" | awk -F: '$1 == "fpr" { print $10; exit }') || die "APT_KEY: cannot read an OpenPGP key from $APT_KEY"
  listed APT_KEY "$fingerprint"
fi

out=$ROOT/build/release/$version
source=$ROOT/build/release/source
trap 'rm -rf "$source"' EXIT
rm -rf "$out" "$source"
git clone --quiet --depth 1 --branch "$tag" "file://$ROOT" "$source"
"$source/deploy/release/artefacts.sh" "$out"
"$source/deploy/release/apt-repo.sh" "$out" "$out/apt"

if [ -z "${KEY:-}" ]; then
  key=$source/key
  (umask 077 && openssl genpkey -algorithm ed25519 -out "$key")
fi
FACTS=$source/node_modules/.ktrail use_node
# OpenSSL asks for the passphrase of a key that has one.
fingerprint=$(openssl pkey -in "$key" | node deploy/release/sign.ts "$out" "ktrail-$version" /dev/stdin)
ls -l "$out" >&2
log "signed by the key with the fingerprint $fingerprint"
[ -n "${KEY:-}" ] || log 'WARNING: NOT FOR PUBLICATION: signed by a key that nobody has any more; for a release, run with KEY=file'
