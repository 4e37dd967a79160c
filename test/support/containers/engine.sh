#!/bin/bash
# Makes a Docker engine, its containerd and podman available without installing them and prints their folder in the cache, laid out as Debian's
# packages are; FOLDER/run COMMAND... runs a program of it. For machines on which no daemon answers, and for guests. Fetched once.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../deploy/setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"

folder=$CACHE/docker/engine
if [ -x "$folder/run" ]; then
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
if [ -x "$folder/run" ]; then
  echo "$folder"
  exit 0
fi

log "fetching a Docker engine and podman into $folder"
fresh=$(mktemp -d "$CACHE/docker/.fresh.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
fetch() {
  unpack_packages "$fresh" "$@" || {
    die "cannot fetch $*: $(grep -m 1 '^E:' "$APT/log" || echo 'a package cannot be unpacked'); check the network and the apt sources"
  }
}
read_suite own || log 'not all package lists could be read, going on'
packages=(docker.io containerd runc podman conmon)
fetch "${packages[@]}"

programs=(usr/sbin/dockerd usr/bin/containerd usr/bin/containerd-shim-runc-v2 usr/bin/ctr usr/sbin/runc usr/bin/podman usr/bin/conmon)
# Without Docker's clients, documentation and units: some 180 of 300 MB.
keep=()
for program in "${programs[@]}"; do keep+=(! -path "$fresh/$program"); done
find "$fresh" ! -type d "${keep[@]}" -delete
unlinked() { (cd "$fresh" && ldd "${programs[@]}" 2>/dev/null) | grep 'not found' || true; }
# Their names differ between releases.
libraries() { private_apt apt-cache depends --important "$@" | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p' | grep -v '^libc6' | sort -u; }
if [ -n "$(unlinked)" ]; then
  mapfile -t direct < <(libraries "${packages[@]}")
  mapfile -t all < <({ printf '%s\n' "${direct[@]}" && libraries "${direct[@]}"; } | sort -u)
  fetch "${all[@]}"
fi
missing=$(export LD_LIBRARY_PATH; LD_LIBRARY_PATH=$(printf '%s:' "$fresh"/{usr/,}lib/*-linux-gnu); unlinked)
[ -z "$missing" ] || die "the container engines of this Debian lack libraries: ${missing//$'\n'/,}"
cat >"$fresh/run" <<'RUN'
#!/bin/bash
# run COMMAND...: with the programs and the libraries of this folder.
here=$(dirname "$(readlink -f "$0")")
export PATH=$here/usr/sbin:$here/usr/bin:$PATH
for at in "$here"/{usr/,}lib/*-linux-gnu; do
  if [ -d "$at" ]; then export LD_LIBRARY_PATH=$at${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; fi
done
exec "$@"
RUN
chmod 755 "$fresh/run"
find "$fresh" -type d -empty -delete

# Last, by an atomic rename, so that a broken fetch never resembles an engine.
chmod 755 "$fresh"
rm -rf "$folder"
mv -T "$fresh" "$folder"
echo "$folder"
