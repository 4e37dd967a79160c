#!/bin/bash
# Builds Grafana Loki of a version (3.7.6) once into the cache from its Go module, and prints the path of its program.
# With --cached, only prints it. Exit 3 with the reason if there is none.
set -euo pipefail
[ "$1" = --cached ] && cached=1 && shift || cached=
version=$1
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ktrail/loki
binary=$cache/loki-$version

if [ ! -x "$binary" ]; then
  if [ -n "$cached" ]; then
    echo "no Loki $version in $cache: run make loki LOKI=$version" >&2
    exit 3
  fi
  if ! command -v go >/dev/null; then
    echo "no Loki $version in $cache and no go to build it: install Go 1.25 or newer" >&2
    exit 3
  fi
  mkdir -p "$cache"
  exec 8>"$cache/lock"
  flock 8
  if [ ! -x "$binary" ]; then
    module=$(cd "$cache" && go mod download -json "github.com/grafana/loki/v3@v$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    source=$cache/source-$version
    rm -rf "$source"
    cp -r "$module" "$source"
    chmod -R u+w "$source"
    cd "$source"
    # A module lacks the modules in its folders: this one comes at the version that go.mod requires.
    go mod edit -dropreplace=github.com/grafana/loki/pkg/push
    version_of=github.com/grafana/loki/v3/pkg/util/build.Version
    CGO_ENABLED=0 go build -mod=mod -trimpath -buildvcs=false -tags netgo -ldflags "-s -w -X $version_of=$version" \
      -o "$binary.part" ./cmd/loki >&2
    cp cmd/loki/loki-docker-config.yaml "$cache/config-$version.yaml"
    mv "$binary.part" "$binary"
    rm -rf "$source"
  fi
fi
echo "$binary"
