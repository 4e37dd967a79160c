#!/bin/bash
# Makes a Docker engine available without installing it and prints its folder in the cache, laid out as Debian's packages
# are. For machines on which no daemon answers. Fetched once.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../deploy/setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"

folder=$CACHE/docker/engine
if [ -x "$folder/usr/bin/ctr" ]; then
  echo "$folder"
  exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
  die 'no docker daemon answers, and one can be fetched on Debian only: start a docker daemon'
fi

mkdir -p "$CACHE/docker"
exec 7>"$CACHE/docker/.lock"
flock 7
# Another process may have fetched it while we waited.
if [ -x "$folder/usr/bin/ctr" ]; then
  echo "$folder"
  exit 0
fi

log "fetching a Docker engine into $folder"
fresh=$(mktemp -d "$CACHE/docker/.fresh.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
fetch() {
  unpack_packages "$fresh" "$@" || {
    die "cannot fetch $*: $(grep -m 1 '^E:' "$APT/log" || echo 'a package cannot be unpacked'); check the network and the apt sources"
  }
}
read_suite own || log 'not all package lists could be read, going on'
fetch docker.io containerd runc

programs=(usr/sbin/dockerd usr/bin/containerd usr/bin/containerd-shim-runc-v2 usr/bin/ctr usr/sbin/runc)
# Without clients, documentation and units: 145 of 250 MB.
keep=()
for program in "${programs[@]}"; do keep+=(! -path "$fresh/$program"); done
find "$fresh" ! -type d "${keep[@]}" -delete
unlinked() { (cd "$fresh" && ldd "${programs[@]}" 2>/dev/null) | grep 'not found' || true; }
if [ -n "$(unlinked)" ]; then fetch libdevmapper1.02.1 libseccomp2; fi
missing=$(export LD_LIBRARY_PATH; LD_LIBRARY_PATH=$(printf '%s:' "$fresh"/{usr/,}lib/*-linux-gnu); unlinked)
[ -z "$missing" ] || die "the Docker engine of this Debian lacks libraries: ${missing//$'\n'/,}"
find "$fresh" -type d -empty -delete

# Last, by an atomic rename: a broken fetch never looks like an engine.
chmod 755 "$fresh"
rm -rf "$folder"
mv -T "$fresh" "$folder"
echo "$folder"
