#!/bin/bash
# make run: the demo, on this machine's kernel when it can attach kprobes and we are root, else in a guest.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# Why this kernel will not do, as a phrase; '' if it will.
reason() {
  if [ "$(id -u)" != 0 ]; then
    echo 'not root'
  elif [ ! -e /sys/kernel/btf/vmlinux ]; then
    echo 'no BTF'
  elif ! grep -qw register_kprobe /proc/kallsyms; then
    # The symbol is there exactly when CONFIG_KPROBES is on, whether tracefs is mounted or not.
    echo 'no kprobes'
  elif grep -q '\[confidentiality\]' /sys/kernel/security/lockdown 2>/dev/null; then
    echo 'the kernel is locked down'
  fi
}

# In a guest, the demo's output does not go to a terminal directly: decide here.
color=${KTRAIL_DEMO_COLOR:-never}
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then color=always; fi
export KTRAIL_DEMO_COLOR=$color

# step TEXT COMMAND...: a line with the seconds it took; on a terminal it turns, with the last line of COMMAND that begins with ==>.
step() {
  local text=$1 output start=$SECONDS pid code=0 i=0 frames='⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏' doing
  shift
  if [ ! -t 1 ]; then
    echo "$text"
    "$@"
    return
  fi
  output=$(mktemp)
  "$@" >"$output" 2>&1 &
  pid=$!
  while kill -0 $pid 2>/dev/null; do
    doing=$(sed -n 's/^==> //p' "$output" | tail -n 1)
    printf '\r\e[K%s %s %s s %.40s' "$text" "${frames:i++%${#frames}:1}" $((SECONDS - start)) "$doing"
    sleep 0.1
  done
  wait $pid || code=$?
  if [ $code = 0 ]; then
    printf '\r\e[K%s ✓ %s s\n' "$text" $((SECONDS - start))
  else
    printf '\r\e[K%s failed\n' "$text"
    cat "$output" >&2
  fi
  rm -f "$output"
  return $code
}

step '[1/4] ktrail is built' deploy/setup/build.sh
use_node
mkdir -p build/demo

why=$(reason)
if [ -z "$why" ]; then
  exec node --disable-warning=ExperimentalWarning deploy/demo/run.ts "this machine's own kernel $(uname -r) is used" deploy/demo/demo.sh
fi
kernel=${KERNEL:-6.12}
exec node --disable-warning=ExperimentalWarning deploy/demo/run.ts "a guest starts kernel $kernel ($why here)" \
  test/support/guest/run.sh "$kernel" --timeout 900 -- \
  env "KTRAIL_DEMO_COLOR=$color" "KTRAIL_DEMO_PAUSE=${KTRAIL_DEMO_PAUSE:-}" "NODE_NAME=${NODE_NAME:-}" deploy/demo/demo.sh
