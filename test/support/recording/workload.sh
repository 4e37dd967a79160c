#!/bin/bash
# What record.ts records: many short commands and many files, as a busy host has them. Runs in a guest, whose root is
# the host's file system: it only reads there, and writes into a small file system of its own at /etc/opt's place.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

find /etc -xdev -type f -size -64k -readable 2>/dev/null | head -n 1500 >"$folder/etc"
find /usr/share /usr/lib/python3* -xdev -type f -size -64k 2>/dev/null | head -n 6000 >"$folder/usr"

# One program, many files.
xargs -d '\n' cat <"$folder/etc" >/dev/null 2>&1
xargs -d '\n' grep -l root <"$folder/etc" >/dev/null 2>&1
xargs -d '\n' -n 200 md5sum <"$folder/usr" >/dev/null 2>&1
# Many programs, few files each.
while read -r file; do
  head -c 100 "$file"
  wc -l "$file"
done < <(awk 'NR % 12 == 0' "$folder/etc") >/dev/null 2>&1
for i in 1 2 3 4 5 6 7 8; do
  getent passwd root
  id -un
  ls -l "/usr/share/doc" | sort | uniq -c | tail -n "$i"
  python3 -c "import json, re, argparse; print($i)"
  perl -MPOSIX -e "print $i"
  bash -c "for f in /etc/*.conf; do read -r line <\"\$f\"; done; exit $i"
  sh -c 'kill -TERM $$'
done >/dev/null 2>&1
exit 0
