#!/bin/bash
# manifest.sh [--print]: writes deploy/kubernetes/ktrail.yaml, the chart with its defaults for those who do not use helm. --print: without the
# definitions of the kinds, which deploy/crds/write-crds.ts puts there.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"
programs=$(test/support/kubernetes/build.sh --if-built) || die 'there is no helm to write the manifest with: run `make kubernetes` first'

manifest() {
  cat <<'HEAD'
# ktrail on every node: kubectl apply -f ktrail.yaml
# Written by deploy/kubernetes/manifest.sh from the chart in deploy/helm/ktrail.
apiVersion: v1
kind: Namespace
metadata:
  name: ktrail
  labels:
    # The agents load BPF programs and read the /proc of the host.
    pod-security.kubernetes.io/enforce: privileged
---
# crds:begin
# crds:end
HEAD
  # Without what only helm needs.
  "$programs/helm" template ktrail deploy/helm/ktrail --namespace ktrail --kube-version 1.36.0 --no-hooks \
    2> >(grep -v 'found symbolic link in path' >&2) |
    sed '/^ *helm.sh\/chart: /d; /^ *app.kubernetes.io\/managed-by: /d; /^# Source: /d'
}

if [ "${1:-}" = --print ]; then
  manifest
else
  manifest >deploy/kubernetes/ktrail.yaml.part
  mv deploy/kubernetes/ktrail.yaml.part deploy/kubernetes/ktrail.yaml
  deploy/setup/with-node.sh node deploy/crds/write-crds.ts
fi
