#!/bin/sh
# The workload for scripted.ts: a few of each kind of record, the same on each run. $1 is a file of two bytes.
cat "$1" >/dev/null
printf two >>"$1"
(read -r _ <"$1")
perl -e 'truncate $ARGV[0], 1 or die' "$1"
python3 -c 'import mmap, sys; f = open(sys.argv[1]); mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)' "$1"
sh -c 'kill -TERM $$' 2>/dev/null
exit 3
