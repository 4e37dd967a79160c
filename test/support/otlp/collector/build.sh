#!/bin/bash
# Builds the collector of the tests once into the cache and prints its path; exit 3 with the reason if there
# is no Go to build it with. Rebuilt if its sources change.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ktrail/collector
key=$(cat "$here"/{main.go,go.mod,go.sum} | sha256sum | cut -c1-16)
binary=$cache/collector-$key

if [ ! -x "$binary" ]; then
  if ! command -v go >/dev/null; then
    echo "no OpenTelemetry Collector in $cache and no go to build it: install Go 1.25 or newer" >&2
    exit 3
  fi
  mkdir -p "$cache"
  # Two tests that start together build once.
  exec 8>"$cache/lock"
  flock 8
  if [ ! -x "$binary" ]; then
    (cd "$here" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$binary.part" .) >&2
    mv "$binary.part" "$binary"
  fi
fi
echo "$binary"
