#!/bin/bash
# installed.sh ROOT COMMAND...: in a guest, runs an installed ktrail in another Debian root: waits until it is ready, reads /etc/passwd there,
# stops it, and prints its events. COMMAND starts the agent in the foreground.
set -euo pipefail
root=$1
shift

for folder in sys dev; do mount --rbind "/$folder" "$root/$folder"; done
mount -t proc proc "$root/proc"
for folder in run tmp; do mount -t tmpfs tmpfs "$root/$folder"; done
in_root() { exec chroot "$root" env -i PATH=/opt/node/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }

(in_root "$@") >/run/events 2>/run/log &
agent=$!
# A log rotator's signal, every 10 ms from the first line of the launcher on: it ignores SIGUSR1, which is bit 9 of the masks.
mkfifo /run/never
takes_usr1=$'Sig(Blk|Ign|Cgt):\t[0-9a-f]*[2367abef][0-9a-f][0-9a-f]\n'
signals() {
  until [[ $(<"/proc/$agent/status") =~ $takes_usr1 ]]; do kill -0 $agent || return; done 2>/dev/null
  : >/run/signalled
  while kill -USR1 $agent 2>/dev/null; do read -r -t 0.01 <>/run/never || true; done
}
signals &
signals=$!
# Its own shell sends the request: another program would be one more event.
ready() {
  { exec 3<>/dev/tcp/127.0.0.1/2112; } 2>/dev/null || return 1
  printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  read -r -t 10 answer <&3 && [[ $answer == *" 200"* ]]
}
until ready; do
  kill -0 $agent 2>/dev/null || { cat /run/log; exit 1; }
  sleep 0.3
done
kill $signals
[ -e /run/signalled ] || { echo 'no SIGUSR1 was sent during the start'; exit 1; }
# 9229: Node's debugger.
! { exec 4<>/dev/tcp/127.0.0.1/9229; } 2>/dev/null || { echo 'SIGUSR1 has opened the debugger'; exit 1; }
(in_root cat /etc/passwd) >/dev/null
# In a container image.
healthcheck=/usr/lib/ktrail/healthcheck
if [ -e "$root$healthcheck" ]; then (in_root "$healthcheck") || { echo 'the healthcheck failed'; exit 1; }; fi
for _ in {1..100}; do
  ! grep -q 'exit .*/cat' /run/events || break
  sleep 0.1
done
kill $agent
wait $agent || { echo "the agent ended with exit code $?, expected 0"; cat /run/log; exit 1; }
cat /run/events
