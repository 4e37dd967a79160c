#!/bin/bash
# selinux.sh MODULE FOLDER: compiles an SELinux module together with Debian's policy into FOLDER: `policy`, and `contexts` of files.
# It fails if a rule names what that policy does not have, or what it forbids for ever (`neverallow`). Packages are unpacked, not installed.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../deploy/setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"
module=$(readlink -e "$1")
folder=$(readlink -e "$2")

tools=$CACHE/selinux
packages=(secilc policycoreutils libsepol2 selinux-policy-default)
if [ ! -e "$tools/complete" ]; then
  rm -rf "$tools"
  read_suite own || log 'not all package lists could be read, going on'
  unpack_packages "$tools" "${packages[@]}" ||
    die "cannot fetch ${packages[*]}: $(grep -m 1 '^E:' "$APT/log" || echo 'a package cannot be unpacked'); check the network and the apt sources"
  touch "$tools/complete"
fi
LD_LIBRARY_PATH=$(dirname "$(find "$tools" -name 'libsepol.so.2')")
export LD_LIBRARY_PATH
# Its users belong to modules that are left out.
bunzip2 --stdout "$tools/usr/share/selinux/default/base.pp.bz2" | "$tools/usr/libexec/selinux/hll/pp" 2>/dev/null |
  grep -v '^(selinuxuser' >"$folder/base.cil"
"$tools/usr/bin/secilc" --output "$folder/policy" --filecontext "$folder/contexts" "$folder/base.cil" "$module"
