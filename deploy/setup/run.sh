#!/bin/bash
# make run: the demo, on this machine's kernel when it can attach kprobes and we are root, else in a guest.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# Why not here, as a phrase; '' when this kernel will do.
reason() {
  if [ "$(id -u)" != 0 ]; then
    echo 'not root'
  elif [ ! -e /sys/kernel/btf/vmlinux ]; then
    echo 'its kernel has no BTF'
  elif ! grep -qw register_kprobe /proc/kallsyms; then
    # The symbol is there exactly when CONFIG_KPROBES is on, whether tracefs is mounted or not.
    echo 'its kernel has no kprobes'
  elif grep -q '\[confidentiality\]' /sys/kernel/security/lockdown 2>/dev/null; then
    echo 'its kernel is locked down'
  fi
}

# What the demo's output goes through in a guest is no terminal: decide here.
color=${KTRAIL_DEMO_COLOR:-never}
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then color=always; fi
export KTRAIL_DEMO_COLOR=$color

why=$(reason)
if [ -z "$why" ]; then
  log "running on this machine's kernel $(uname -r)"
  exec deploy/demo/demo.sh
fi
log "not on this machine ($why): running in a guest with kernel ${KERNEL:-6.12}"
mkdir -p build/demo
exec test/support/guest/run.sh "${KERNEL:-6.12}" --timeout 300 -- \
  env "KTRAIL_DEMO_COLOR=$color" "KTRAIL_DEMO_PAUSE=${KTRAIL_DEMO_PAUSE:-}" "NODE_NAME=${NODE_NAME:-}" deploy/demo/demo.sh
