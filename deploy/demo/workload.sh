#!/bin/bash
# The accesses that the demo shows. Runs as root in a mount namespace of its own (unshare --mount), in which
# /etc is a small file system in memory with made-up users: the machine's /etc is never touched.
set -euo pipefail

mount -t tmpfs -o mode=755 tmpfs /etc
[ "$(stat -f -c %T /etc)" = tmpfs ] || exit 1
cat >/etc/passwd <<'USERS'
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/bash
USERS
echo 'root:!:20000:0:99999:7:::' >/etc/shadow
chmod 600 /etc/shadow

# Lets the lines of one step appear before the next heading. A `sleep` would be an event itself.
exec {quiet}<> <(:)
pause() { read -rt "${KTRAIL_DEMO_PAUSE:-0.7}" -u "$quiet" || true; }

step() {
  pause
  printf -- '--- %s\n' "$1"
  shift
  # The outer redirection is for what bash itself prints about a killed child.
  { "$@" >/dev/null 2>&1; } 2>/dev/null || true
}

# Plain system calls each, so that it is plain which event belongs to which.
# shellcheck disable=SC2016 # Perl's variables
editor='open my $f, "+<", "/etc/passwd" or die; my @lines = <$f>; s/Alice/Alice B./ for @lines;
  seek $f, 0, 0; print $f @lines; close $f'
mapper='import mmap
with open("/etc/passwd", "rb") as f: mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:]'

step 'a shell reads /etc/passwd' bash -c 'read -r line </etc/passwd'
step 'an editor rewrites it' perl -e "$editor"
step 'a shell appends to it with >>' bash -c 'echo bob:x:1001: >>/etc/passwd'
step 'a program truncates it' perl -e 'truncate "/etc/passwd", 64'
step 'a program maps it into memory' python3 -ISc "$mapper"
step 'a shell empties it with >' bash -c ': >/etc/passwd'
step 'another user is denied /etc/shadow' setpriv --reuid 65534 --regid 65534 --clear-groups cat /etc/shadow
step 'a program is killed by a signal' bash -c 'kill -SEGV $$'
pause
