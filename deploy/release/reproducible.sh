#!/bin/bash
# reproducible.sh: builds the commit of this checkout twice: in folders with other paths and as other users, who have another time zone, language,
# umask, home and clock. Fails if a file of the release differs, and shows how.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"

deploy/setup/packages.sh reproducible
[ "$(id -u)" = 0 ] || die 'make reproducible builds as two users: run it as root'
# Packages that a build would install, which only root may.
for purpose in build cross package rpm; do deploy/setup/packages.sh "$purpose"; done
command -v npm >/dev/null || deploy/setup/packages.sh npm
# Both start from the same cache; each has a copy that it may write to.
deploy/setup/node.sh arm64 >/dev/null
deploy/setup/sysroot.sh arm64 >/dev/null

commit=$(git rev-parse HEAD)
work=$(mktemp -d /var/tmp/ktrail-reproducible.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir -p "$CACHE/apt"
chmod 755 "$work"

# build FOLDER USER ENV...: into FOLDER/out.
build() {
  local folder=$work/$1 user=$2
  mkdir -p "$folder"/{home,cache/ktrail/roots}
  cp -a "$CACHE/node" "$CACHE/apt" "$folder/cache/ktrail"
  cp -a "$CACHE/roots/arm64" "$folder/cache/ktrail/roots"
  (
    umask "$UMASK"
    git clone --quiet --no-checkout "file://$ROOT" "$folder/source"
    git -C "$folder/source" checkout --quiet --detach "$commit"
  )
  # npm asks the registry of this machine's settings.
  [ ! -e ~/.npmrc ] || cp ~/.npmrc "$folder/home"
  chown -R "$user:$user" "$folder"
  log "building in $folder as user $user"
  # libfaketime of the new user cannot open the semaphore of root: env comes after setpriv.
  setpriv --reuid "$user" --regid "$user" --clear-groups \
    env -u NODE_OPTIONS HOME="$folder/home" XDG_CACHE_HOME="$folder/cache" "${@:3}" \
    bash -c 'umask "$1"; cd "$2" && deploy/release/artefacts.sh ../out' - "$UMASK" "$folder/source"
}
UMASK=022 build one 0 TZ=UTC LANG=C.UTF-8 USER=root
UMASK=077 build another/deeper-and-longer 12345 TZ=Pacific/Kiritimati LC_ALL=C USER=another FAKETIME=+30h \
  LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 FAKETIME_DONT_FAKE_MONOTONIC=1

one=$work/one/out other=$work/another/deeper-and-longer/out
differ=0
for file in $( (ls "$one" && ls "$other") | LC_ALL=C sort -u); do
  if cmp -s "$one/$file" "$other/$file"; then
    echo "same    $(sha256sum <"$one/$file" | cut -c-16)  $file"
    continue
  fi
  differ=1
  echo "differs                   $file"
  # Its first lines name the member that differs.
  { command -v diffoscope >/dev/null && diffoscope --text - "$one/$file" "$other/$file" || cmp "$one/$file" "$other/$file"; } 2>&1 | head -n 40 || true
done
exit $differ
