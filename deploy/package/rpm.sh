#!/bin/bash
# rpm.sh DEB FOLDER: makes the RPM package of a Debian package in FOLDER, with the same files. The same package and commit give the same bytes.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"

[ -n "${2:-}" ] || die "rpm.sh: expected a Debian package and a folder, got \"$*\""
deb=$(readlink -e "$1") || die "rpm.sh: no file $1"
folder=$(readlink -e "$2") || die "rpm.sh: no folder $2"
cd "$ROOT"
deploy/setup/packages.sh rpm
use_commit_date
work=$(mktemp -d "$folder/rpm.XXXXXX")
trap 'rm -rf "$work"' EXIT
tree=$work/tree
dpkg-deb --raw-extract "$deb" "$tree"
mv "$tree/DEBIAN" "$work/control"
field() { sed -n "s/^$1: //p" "$work/control/control"; }
[ "$(field Architecture)" = arm64 ] && machine=aarch64 || machine=x86_64
name=ktrail-$(basename "$deb" | cut -d_ -f2)-1.$machine.rpm

# Other distributions keep these elsewhere, or not at all.
rm -r "$tree"/usr/share/{lintian,doc/ktrail/changelog.gz}
mv "$tree"/usr/share/zsh/{vendor-completions,site-functions}
install -D -m 644 LICENSE "$tree/usr/share/licenses/ktrail/LICENSE"
install -D -m 644 deploy/package/ktrail.cil "$tree/usr/share/selinux/packages/ktrail.cil"
# The package's own folders, and all files.
(cd "$tree" && find . \( -path '*/ktrail' -o -path '*/ktrail/*' \) -type d -printf '%%dir "/%P"\n' -o ! -type d -printf '"/%P"\n') |
  LC_ALL=C sort >"$work/files"
while read -r file; do sed -i "s,^\"$file\"\$,%config(noreplace) &," "$work/files"; done <"$work/control/conffiles"
# The symbols that the programs use of the system's libraries, in place of versions of packages, which each distribution names in its own way.
needed=$(find "$tree" -type f \( -name '*.node' -o -name '*.so.*' -o -path '*/node/bin/node' \) | /usr/lib/rpm/elfdeps --requires |
  grep -E '^(ld-|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so|rtld)' | LC_ALL=C sort -u | paste -sd,)

rpmbuild -bb --quiet --target "$machine-linux" --define "_topdir $work/build" --define "_rpmdir $work" --define "_rpmfilename $name" \
  --define "upstream $(field Version)" --define "text $(sed -n '/^Description/,$ s/^ //p' "$work/control/control" | paste -sd' ')" \
  --define "needed $needed" --define "tree $tree" --define "list $work/files" deploy/package/ktrail.spec >"$work/log" 2>&1 || {
  tail -n 20 "$work/log" >&2
  die 'rpmbuild failed: see its output above'
}
mv "$work/$name" "$folder"
ls -l "$folder/$name" >&2
