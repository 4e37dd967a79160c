# shellcheck shell=bash disable=SC2034
# Shared by the scripts of this folder, of test/bench and of test/support/guest: sourced, never run.
# Sets ROOT (the checkout) and CACHE (files that may be thrown away and fetched again), both absolute.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ktrail
# Facts of this build, kept where `npm ci` removes them together with the packages they describe; facts.sh writes them anew.
# The launcher reads `node` from here, so that it also works where HOME is another one (sudo, guest).
FACTS=$ROOT/node_modules/.ktrail

# Files get one mode, whatever the umask of the user.
umask 022

digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

# packages_fact NODE: the facts that determine the npm packages of this checkout.
packages_fact() { echo "$(digest "$ROOT/package-lock.json") $1"; }

log() { printf '==> %s\n' "$*" >&2; }

# One sentence: the failure, its object, and the next step.
die() {
  printf 'ktrail setup: %s\n' "$*" >&2
  exit 1
}

# Runs a command as root: directly, or by sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "need root to run \"$1\", and sudo is not installed: run this as root"
  fi
}

# The processor as Debian names it; only these two have BPF headers here.
debian_arch() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "unsupported processor \"$(uname -m)\": expected x86_64 or aarch64" ;;
  esac
}

# Node's name of a processor, from Debian's.
cpu_of() { [ "$1" = amd64 ] && echo x64 || echo "$1"; }

# Dates in packages are those of the commit. Only in the folder of the checkout.
use_commit_date() {
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
  export SOURCE_DATE_EPOCH
}

# fixed_tar FILE FOLDER NAME...: the same files give the same bytes. Only after use_commit_date.
fixed_tar() {
  tar --create --file "$1" --directory "$2" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu "${@:3}"
}

# debian_part ROOT PACKAGE ARCH HASHED: a line for deploy/setup/sbom.ts. HASHED: the file in an artefact, or sha256:SUM.
debian_part() { dpkg-query --admindir="$1/var/lib/dpkg" -W -f "\${Package} \${Version} \${Architecture} \${source:Package} $4\n" "$2:$3"; }

# Puts the Node of the build first in PATH. Only after build.sh.
use_node() {
  PATH=$(<"$FACTS/node"):$PATH
  export PATH
}
