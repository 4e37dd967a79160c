#!/bin/bash
# manifest.sh: writes build/packages/kubernetes/ktrail.yaml, the chart with its defaults for users without helm. Needs helm itself.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"

folder=build/packages/kubernetes
rm -rf "$folder"
if programs=$(test/support/kubernetes/build.sh --helm-if-built 2>/dev/null); then
  helm=$programs/helm
elif ! helm=$(command -v helm); then
  log "cannot make $folder/ktrail.yaml without helm: install helm, or run \`make kubernetes\`"
  exit 0
fi
mkdir -p "$folder"
{
  cat <<'HEAD'
# ktrail on every node: kubectl apply -f ktrail.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: ktrail
  labels:
    # The agents load BPF programs and read the /proc of the host.
    pod-security.kubernetes.io/enforce: privileged
HEAD
  # Without the parts that only helm needs.
  "$helm" template ktrail deploy/helm/ktrail --include-crds --namespace ktrail --kube-version 1.36.0 --no-hooks \
    2> >(grep -v 'found symbolic link in path' >&2) |
    sed '/^ *helm.sh\/chart: /d; /^ *app.kubernetes.io\/managed-by: /d; /^# Source: /d'
} >"$folder/ktrail.yaml.part"
mv "$folder/ktrail.yaml.part" "$folder/ktrail.yaml"
ls -l "$folder/ktrail.yaml" >&2
