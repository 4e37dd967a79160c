#!/bin/bash
# The accesses that the demo shows. Runs as root in a mount namespace of its own (unshare --mount), in which /etc is a small file system
# in memory with made-up users: the machine's /etc is never touched. Prepares it, prints "prepared", and begins once it reads a line.
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
cp /bin/true /etc/updater
echo prepared
read -r _

# Lets the lines of one step appear before the next heading. A `sleep` would be an event itself.
exec {quiet}<> <(:)
pause() { read -rt "${KTRAIL_DEMO_PAUSE:-0.7}" -u "$quiet" || true; }

step() {
  pause
  printf '@ step %s\n' "$1"
  shift
  # The outer redirection is for what bash itself prints about a killed child.
  { "$@" >/dev/null 2>&1; } 2>/dev/null || true
}

# The first event of a process follows one of each of its ancestors: these belong to no step.
read -r _ </etc/passwd
step 'a program reads /etc/passwd' head -n1 /etc/passwd
step 'a copy of it is made' cp /etc/passwd /etc/passwd-
step 'a user is added to it' tee -a /etc/passwd <<<'mallory:x:0:0::/:/bin/sh'
step 'it is cut to 64 bytes' truncate -s 64 /etc/passwd
step 'a program under /etc is run' /etc/updater
step 'another user tries to read /etc/shadow' setpriv --reuid 65534 --regid 65534 --clear-groups cat /etc/shadow
step 'a program is killed by a signal' bash -c 'kill -SEGV $$'
pause
printf '@ done\n'
