#!/bin/bash
# daemon.sh ENGINE DATA RUN: runs the Docker daemon of engine.sh until standard input ends, also by a kill of the process
# at the other end. Its socket is RUN/docker.sock, images are kept in DATA. At the end RUN is removed, and
# DATA too if it failed.
#
# It runs in process and mount namespaces of its own: when their first process ends, all others end and all mounts
# are gone. It makes no bridge and no iptables rules: containers use the network of this machine.
set -euo pipefail
engine=$1 data=$2 run=$3
cgroup=ktrail-test
fixed=(/etc/docker /opt/containerd /run/docker /run/containerd)

mkdir -p "$data"
exec 9>"$data.lock"
# All processes inherit it: it is free once the last process of an earlier daemon has ended.
if ! flock -n 9; then
  echo 'another test uses the daemon, waiting for it' >&2
  flock 9
fi

made=()
for folder in "${fixed[@]}"; do
  [ -d "$folder" ] || { mkdir -p "$folder" && made+=("$folder"); }
done
code=0
unshare --mount --pid --fork --kill-child --mount-proc "${BASH_SOURCE[0]%.sh}-inside.sh" \
  "$engine" "$data" "$run" "$cgroup" "${fixed[@]}" 3<&0 || code=$?
if [ $code != 0 ]; then
  tail -n 1 "$run/log" >&2 || true
  # A killed daemon may have damaged images; they are made again.
  rm -rf "$data"
fi
# The tree of cgroups stays after the containers have ended.
find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
[ ${#made[@]} = 0 ] || rmdir "${made[@]}" || true
rm -rf "$run"
exit $code
