#!/bin/bash
# apt-repo.sh PACKAGES FOLDER: adds the Debian packages of the folder PACKAGES to the apt repository FOLDER, whose earlier packages stay.
# The OpenPGP key in the file APT_KEY signs it. Without APT_KEY the key is thrown away: for a test. The same packages and key give the same bytes.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"

[ -n "${2:-}" ] || die "expected the folder of the packages and that of the repository, got \"$*\": run \`make apt-repo VERSION=0.1.0 DIR=folder\`"
"$ROOT/deploy/setup/packages.sh" apt-repo
debs=("$1"/*.deb)
[ -e "${debs[0]}" ] || die "no Debian package in $1: run \`make release\`"
[ -z "${APT_KEY:-}" ] || key=$(readlink -e "$APT_KEY") || die "APT_KEY: no file $APT_KEY"
pool=$2/pool/main/k/ktrail
for deb in "${debs[@]}"; do
  published=$pool/$(basename "$deb")
  [ ! -e "$published" ] || cmp -s "$deb" "$published" || die "$published: expected the bytes of $deb, because hosts may have installed it: give the package another version"
done
mkdir -p "$pool"
cp "${debs[@]}" "$pool"
cd "$2"

# The date of the newest package, as its ar archive has it: apt ignores a list that is older than the one it has.
SOURCE_DATE_EPOCH=$(for deb in pool/main/k/ktrail/*.deb; do head -c 36 "$deb" | tail -c 12 && echo; done | sort -n | tail -n 1)
# The earlier lists stay until the next are complete.
rm -rf dists.next
suite=dists.next/stable
options=(-q -o APT::FTPArchive::MD5=no -o APT::FTPArchive::SHA1=no)
for arch in amd64 arm64; do
  list=$suite/main/binary-$arch/Packages
  mkdir -p "${list%/*}"
  apt-ftparchive "${options[@]}" --arch "$arch" packages pool >"$list"
  gzip -9nk "$list"
done
for field in Origin=ktrail Label=ktrail Suite=stable Codename=stable 'Architectures=amd64 arm64' Components=main; do
  options+=(-o "APT::FTPArchive::Release::$field")
done
release=$(apt-ftparchive "${options[@]}" release "$suite" | sed "s/^Date: .*/Date: $(LC_ALL=C date -uR -d "@$SOURCE_DATE_EPOCH")/")
echo "$release" >"$suite/Release"

GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
gpg() { command gpg --quiet --faked-system-time "$SOURCE_DATE_EPOCH!" --pinentry-mode loopback "$@" 2> >(grep -v 'running with faked system time' >&2); }
if [ -n "${key:-}" ]; then
  gpg --import "$key"
else
  gpg --batch --passphrase '' --quick-generate-key 'ktrail, a key that nobody has any more' ed25519 sign never
fi
# gpg asks for the passphrase of a key that has one.
gpg --digest-algo SHA512 --clearsign --output "$suite/InRelease" "$suite/Release"
gpg --armor --export --export-options export-minimal >ktrail.asc
rm -rf dists
mv dists.next dists
log "$2: signed by the key with the fingerprint $(gpg --list-keys --with-colons | awk -F: '$1 == "fpr" { print $10; exit }')"
[ -n "${key:-}" ] || log 'WARNING: NOT FOR PUBLICATION: the repository is signed by a key that nobody has any more; run with APT_KEY=file'
