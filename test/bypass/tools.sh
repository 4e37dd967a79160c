#!/bin/bash
# tools.sh: fetches the other tools of `make bypass-matrix` from this machine's Debian archive, unpacks them into the cache, and prints the folder.
# Nothing is installed. The second time nothing is done.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../deploy/setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"

packages=(aide auditd bpftrace fatrace inotify-tools samhain tripwire)
folder=$CACHE/bypass
mkdir -p "$CACHE"
exec 7>"$CACHE/bypass.lock"
flock 7
if [ "$(cat "$folder/.complete" 2>/dev/null)" != "${packages[*]}" ]; then
  log "fetching ${packages[*]} into $folder"
  rm -rf "$folder"
  mkdir -p "$folder"/usr/{bin,sbin,lib,lib64}
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$folder/$name"; done
  if ! read_suite own || ! unpack_packages "$folder" --whole "${packages[@]}"; then
    tail -n 5 "$APT/log" >&2
    die "cannot fetch ${packages[*]}: see the output of apt-get above; check the network and the apt sources"
  fi
  echo "${packages[*]}" >"$folder/.complete"
fi
echo "$folder"
