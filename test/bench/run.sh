#!/bin/bash
# make bench: test/bench/*.bench.ts on this machine, test/bench/guest/*.bench.ts on a real kernel in a guest with one CPU.
# Each result goes to build/bench/NAME.json. At the end report.ts prints the targets, and writes test/bench/results.json and the pages.
#   KERNEL=6.12             kernel of the guest; another one than 6.12 leaves results.json and the pages alone
#   ONLY=WORD               only those whose name contains WORD; prints all tables of build/bench, leaves results.json and the pages alone
#   TETRAGON=DIR            a build of Tetragon (make compare-tetragon)
#   KTRAIL_BENCH_QUICK=1    fewer and shorter rounds, rougher numbers; leaves results.json and the pages alone
set -euo pipefail
. "$(dirname "$0")/../../deploy/setup/lib.sh"
cd "$ROOT"
use_node
kernel=${KERNEL:-6.12}
quick=${KTRAIL_BENCH_QUICK:-}
results=build/bench
mkdir -p "$results"
failed=0

# Two benches of one checkout would slow each other and write the same files: the second waits. This file is the lock.
exec 8<test/bench/run.sh
if ! flock -n 8; then
  log 'another bench of this checkout is running, waiting for it'
  flock 8
fi

# The guest sees neither: its processor is an emulated one, and git there distrusts another user's checkout.
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit+=+
machine="$(nproc) × $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)"
flags=(--disable-warning=ExperimentalWarning --expose-gc)
# A bench that measures its own process runs as ./ktrail runs the agent: with its flags and its allocator.
read -ra launch < <(sed -n 's/^exec "$node" \(--.*\) "$main" .*/\1/p' ktrail) || die 'the line that starts node is not found in ./ktrail'
allocator=$(sed -n '/^jemalloc=/,/^fi$/p' ktrail)
[ -n "$allocator" ] || die 'the lines that choose the allocator are not found in ./ktrail'

as_agent() (
  eval "$allocator"
  exec node "${flags[@]}" "${launch[@]}" "$@"
)

# in_guest [--counted] FILE; --counted: the guest's clock counts instructions, so that load does not matter.
in_guest() {
  local clock=--measured command=(node "${flags[@]}")
  if [ "$1" = --counted ]; then
    clock=--counted command=(bash -c "$allocator; exec \"\$@\"" bash node "${flags[@]}" "${launch[@]}")
    shift
  fi
  test/support/guest/run.sh "$kernel" --timeout 1200 "$clock" --verbose -- env "KTRAIL_BENCH_QUICK=$quick" "TETRAGON=${TETRAGON:-}" \
    "KTRAIL_BENCH_COMMIT=$commit" "KTRAIL_BENCH_MACHINE=emulated on $machine" "KTRAIL_BENCH_CLOCK=$clock" "${command[@]}" "$@"
}

# bench FILE COMMAND...: lines of the output that are JSON are the result, the rest is for the screen. The command's exit code 77: left out.
bench() {
  local file=$1 name
  name=$(basename "$file" .bench.ts)
  shift
  [[ $name == *"${ONLY:-}"* ]] || return 0
  log "bench $name"
  local output=$results/$name.output status=0 began=$SECONDS
  "$@" "$file" >"$output" || status=$?
  if [ $status = 77 ]; then
    # It printed why. An older result would pass for one of this run.
    rm -f "$results/$name.json"
  elif [ $status = 0 ] && grep '^{' "$output" | tail -n 1 >"$output.json"; then
    grep -v '^{' "$output" || true
    log "bench $name took $((SECONDS - began)) s"
    mv "$output.json" "$results/$name.json"
  else
    status=1
    cat "$output" >&2
    log "bench $name failed, or printed no result"
  fi
  rm -f "$output" "$output.json"
  [ $status != 1 ]
}

# Ring bytes for the user space bench: real ones where a guest can be had, else it generates some and reports that.
if [[ user-space == *"${ONLY:-}"* ]] && ! node "${flags[@]}" test/support/recording/recording.ts; then
  log 'recording ring bytes in a guest'
  in_guest test/support/recording/record.ts || log 'could not record: the bench uses synthetic ring bytes'
fi

export KTRAIL_BENCH_COMMIT=$commit KTRAIL_BENCH_MACHINE=$machine
for file in test/bench/*.bench.ts; do bench "$file" as_agent || failed=1; done
# The longest first, because two of them run at a time: a clock that counts instructions does not see the other one. The rest run alone.
counted=(user-instructions watch agent kernel-instructions tetragon)
for file in test/bench/guest/*.bench.ts; do
  [[ " ${counted[*]} " == *" $(basename "$file" .bench.ts) "* ]] || bench "$file" in_guest || failed=1
done
running=0
for name in "${counted[@]}"; do
  if [ $running = 2 ]; then
    wait -n || failed=1
    running=1
  fi
  bench "test/bench/guest/$name.bench.ts" in_guest --counted &
  running=$((running + 1))
done
while [ $running -gt 0 ]; do
  wait -n || failed=1
  running=$((running - 1))
done

[ $failed = 0 ] || die 'a bench failed: see above'
if [ -n "${TETRAGON:-}" ]; then
  node "${flags[@]}" test/bench/report.ts --add tetragon
  node_modules/.bin/oxfmt test/bench/results.json
elif [ -n "$quick" ] || [ -n "${ONLY:-}" ] || [ "$kernel" != 6.12 ]; then
  node "${flags[@]}" test/bench/report.ts --print
else
  node "${flags[@]}" test/bench/report.ts
  node_modules/.bin/oxfmt test/bench/results.json
fi
# Benches whose rows guard.ts compares.
guarded=()
for name in "${counted[@]}"; do
  if [[ $name == *"${ONLY:-}"* && $name == *-instructions && -e $results/$name.json ]]; then guarded+=("$name"); fi
done
if [ ${#guarded[@]} -gt 0 ] && [ -z "${KTRAIL_BENCH_BASE:-}" ]; then exec node "${flags[@]}" test/bench/guard/guard.ts "${guarded[@]}"; fi
