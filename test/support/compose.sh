#!/bin/bash
# compose.sh ARGUMENT...: docker compose 2: this machine's, else that of Debian 13, which is fetched into the cache once and never installed.
# 69: it cannot be had here.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../deploy/setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"

if docker compose version >/dev/null 2>&1; then exec docker compose "$@"; fi
folder=$CACHE/docker/compose
program=$folder/usr/libexec/docker/cli-plugins/docker-compose
if [ ! -x "$program" ]; then
  mkdir -p "$CACHE/docker"
  exec 7>"$CACHE/docker/.compose-lock"
  flock 7
fi
if [ ! -x "$program" ]; then
  log "fetching docker compose into $folder"
  fresh=$(mktemp -d "$CACHE/docker/.fresh.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  if ! read_suite trixie || ! unpack_packages "$fresh" docker-compose; then
    printf 'docker compose is missing, and cannot be fetched: %s\n' "$(grep -m 1 '^E:' "$APT/log" || echo 'see the output of apt-get above')" >&2
    exit 69
  fi
  chmod 755 "$fresh"
  rm -rf "$folder"
  mv -T "$fresh" "$folder"
fi
exec "$program" "$@"
