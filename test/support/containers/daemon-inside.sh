#!/bin/bash
# The first process of the namespaces that daemon.sh makes: when it ends, all other processes in them are killed.
# Descriptor 3 is the standard input of daemon.sh. The daemon writes to the folders after CGROUP whatever its options are.
set -euo pipefail
engine=$1 data=$2 run=$3 cgroup=$4
shift 4

for folder in "$@"; do mount -t tmpfs tmpfs "$folder"; done
cd "$run"
"$engine/run" dockerd --data-root "$data" --exec-root "$run/exec" --pidfile "$run/pid" --host "unix://$run/docker.sock" \
  --bridge none --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false \
  --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$cgroup" --shutdown-timeout 5 >"$run/log" 2>&1 3<&- &
daemon=$!
cat <&3 >/dev/null &
# Either the input has ended or the daemon.
wait -n || true
kill -TERM "$daemon" 2>/dev/null || true
(sleep 20 && kill -KILL "$daemon") &
code=0
wait "$daemon" || code=$?
exit "$code"
