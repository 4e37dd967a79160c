#!/bin/bash
# build.sh [--if-built | --helm-if-built]: makes a real Kubernetes API server available and prints its folder in the cache, with etcd, kube-apiserver,
# kubectl and helm in it. The first time it builds them, which takes a quarter of an hour; then nothing is done.
#   --if-built        builds nothing: exit 3 with the reason if they are not there
#   --helm-if-built   the same for helm alone, which takes a minute of it
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../../deploy/setup/lib.sh"
here=$ROOT/test/support/kubernetes
helm=v3.22.0

key=$({ echo "$helm" && cat "$here"/apiserver/{tools.go,go.mod,go.sum}; } | sha256sum | cut -c1-16)
folder=$CACHE/kubernetes/$key
if [ -e "$folder/whole" ]; then
  echo "$folder"
  exit 0
fi
if [ "${1:-}" = --if-built ]; then
  echo 'no Kubernetes API server in the cache: make kubernetes builds one, in a quarter of an hour' >&2
  exit 3
fi
if [ "${1:-}" = --helm-if-built ]; then
  [ -x "$folder/helm" ] || {
    echo 'no helm in the cache: make kubernetes builds it' >&2
    exit 3
  }
  echo "$folder"
  exit 0
fi
[ $# -eq 0 ] || die "build.sh: expected --if-built, --helm-if-built or nothing, got \"$1\""
command -v go >/dev/null || die 'no go to build the Kubernetes API server with: install Go 1.26 or newer'

mkdir -p "$folder"
exec 8>"$CACHE/kubernetes/lock"
if ! flock -n 8; then
  log 'another build of the Kubernetes API server is running, waiting for it'
  flock 8
fi
[ ! -e "$folder/whole" ] || {
  echo "$folder"
  exit 0
}

# In a shell of its own: the lock of apt.sh, for which other fetches wait, ends with it.
[ -x "$folder/etcd" ] || (
  log 'fetching etcd'
  . "$ROOT/deploy/setup/apt.sh"
  fresh=$(mktemp -d "$folder/.fresh.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  read_suite own && unpack_packages "$fresh" etcd-server || {
    tail -n 5 "$APT/log" >&2
    die 'cannot fetch the Debian package etcd-server: see the output of apt-get above'
  }
  mv "$fresh/usr/bin/etcd" "$folder/etcd"
)

# Unpatched, as published: the checksums of apiserver/go.sum and of the module proxy's log hold.
# At low priority: a quarter of an hour on all cores is felt.
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
log "building helm $helm"
[ -x "$folder/helm" ] || GOBIN=$folder nice -n 10 go install -trimpath -ldflags='-s -w' "helm.sh/helm/v3/cmd/helm@$helm" >&2 ||
  die "cannot build helm $helm: see the output of go above"
version=$(cd "$here/apiserver" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
# Else the server reports v0.0.0, which charts and clients compare with.
stamp="-s -w -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1"
stamp+=" -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$version") -X k8s.io/component-base/version.gitTreeState=clean"
for program in kubectl kube-apiserver; do
  log "building $program $version"
  [ -x "$folder/$program" ] || (cd "$here/apiserver" && nice -n 10 go build -trimpath -ldflags="$stamp" -o "$folder/$program" \
    "k8s.io/kubernetes/cmd/$program") >&2 || die "cannot build $program $version: see the output of go above"
done
touch "$folder/whole"
echo "$folder"
