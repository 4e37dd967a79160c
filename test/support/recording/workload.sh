#!/bin/bash
# The workload for record.ts: many short commands and many files, as on a busy host. Runs in a guest, whose root is
# the host's file system: outside a folder in /tmp, which is the guest's own, it only reads.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

find /etc -xdev -type f -size -64k -readable 2>/dev/null | head -n 1500 >"$folder/etc"
find /usr/share /usr/lib/python3* -xdev -type f -size -64k 2>/dev/null | head -n 6000 >"$folder/usr"

# One program, many files: names come by standard input or by a walk; command lines hold few.
readall='while (<STDIN>) { chomp; open my $f, "<", $_ or next; 1 while read $f, my $b, 4096 }'
perl -e "$readall" <"$folder/usr" >/dev/null 2>&1
grep -rs --exclude-dir=ssl PermitRootLogin /etc >/dev/null 2>&1
tar -cf - -T "$folder/etc" 2>/dev/null | gzip -1 >/dev/null
# Many programs, few files each.
while read -r file; do
  head -c 100 "$file"
  wc -l "$file"
done < <(awk 'NR % 6 == 0' "$folder/etc") >/dev/null 2>&1
awk 'NR % 30 == 0' "$folder/usr" | xargs -d '\n' -n 3 md5sum >/dev/null 2>&1
for i in 1 2 3 4 5 6 7 8; do
  getent passwd root
  id -un
  ls -l /usr/share/doc | sort | uniq -c | tail -n "$i"
  python3 -c "import json, re, argparse; print($i)"
  perl -MPOSIX -e "print $i"
  bash -c "for f in /etc/*.conf; do read -r line <\"\$f\"; done; exit $i"
  sh -c 'kill -TERM $$'
done >/dev/null 2>&1
exit 0
