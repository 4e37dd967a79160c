#!/bin/bash
# make bypass-matrix: all tools in a guest; SIGKILL to them; their costs, where the clock counts instructions. BROUGHT: a folder with builds of the user.
set -euo pipefail
. "$(dirname "$0")/../../deploy/setup/lib.sh"
cd "$ROOT"
use_node
kernel=${KERNEL:-6.12}
out=build/bypass
mkdir -p "$out"
case ${BROUGHT:-} in
  /tmp | /tmp/* | /run | /run/*) die "DIR=$BROUGHT: expected a folder outside of /tmp and /run, because a guest has its own" ;;
esac
node test/support/programs.ts
tools=$(test/bypass/tools.sh)
in_guest() {
  local script=$1
  shift
  test/support/guest/run.sh "$kernel" --timeout 5400 --verbose "$@" -- env "BROUGHT=${BROUGHT:-}" \
    node --disable-warning=ExperimentalWarning "test/bypass/$script.ts" "$out/$script.json" "$tools"
}
in_guest run --cpus 2
# auditd's manual page advises audit=1. With it, the kernel keeps records while no daemon runs.
in_guest killed --cpus 2 --append 'audit=1 audit_backlog_limit=8192'
in_guest cost --counted
node test/bypass/write-page.ts "$out/run.json" "$out/killed.json" "$out/cost.json"
node_modules/.bin/oxfmt test/bypass/results.json
