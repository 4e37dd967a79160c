#!/bin/bash
# containerd.sh ENGINE FOLDER: runs containerd of engine.sh with its CRI API on FOLDER/s, and FOLDER/image.tar as its only image, until standard input
# ends. It prints a line when it is ready. Run it in its own process and mount namespaces, because everything ends with them.
set -euo pipefail
engine=$1 folder=$2

# containerd writes to this folder, whatever its config.
for at in /run/containerd /opt/containerd; do mkdir -p "$at" && mount -t tmpfs tmpfs "$at"; done
cat >"$folder/config.toml" <<CONFIG
version = 2
root = "$folder/root"
state = "$folder/state"
[grpc]
address = "$folder/s"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/ktrail/busybox:1"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
CONFIG
"$engine/run" containerd --config "$folder/config.toml" >"$folder/log" 2>&1 </dev/null &
daemon=$!
until "$engine/run" ctr --address "$folder/s" version >/dev/null 2>&1; do
  kill -0 "$daemon" || exit 1
  sleep 0.1
done
"$engine/run" ctr --address "$folder/s" --namespace k8s.io images import "$folder/image.tar" >&2
echo ready
cat >/dev/null
kill -TERM "$daemon"
wait "$daemon" || true
