#!/bin/bash
# make test: the checks, the unit tests, real sinks here, and the others on a real kernel in a guest.
#   KERNEL=6.12   kernel of the guest: 5.10, 6.1, 6.12 or 7.3
#   ONLY=WORD     only the runs whose name contains WORD: format, lint, types, unit, integration (host: those with real sinks), e2e, full, packages, instructions
#   FILES=GLOB    only the test files that match, for instance FILES='*burst*'
#   ARCH=arm64    only tests on a kernel for arm64, with what deploy/setup/cross.sh built: make arm64
#   KTRAIL_SEED, KTRAIL_FULL_HITS: for test/e2e/crash.test.ts and test/e2e-full
#   KTRAIL_LONG=1: also slow tests, which take minutes, every row of tables that are sampled by day (test/support/long.ts), and more rounds in guests
# One guest runs from the first minute on, beside real sinks and then packages, two afterwards, and beside these a guest whose tests mostly wait.
# The unit tests take the time that these leave.
# Lines of all but unit tests begin with the name of the run.
# Everything runs even if something fails; the last line is `N passed, N failed`, with `, N skipped` if some were.
set -euo pipefail
. "$(dirname "$0")/../deploy/setup/lib.sh"
[ $# -eq 0 ] || die "test/run.sh takes no arguments, got \"$1\": choose by ONLY, FILES and KERNEL, see its first lines"
cd "$ROOT"
use_node
deploy/setup/packages.sh test
# A third of the time of a short test, and more in a guest (test/support/guest/init.sh), is compiling the same code again.
[ ! -O node_modules ] || export NODE_COMPILE_CACHE=$ROOT/node_modules/.ktrail/compile-cache

kernel=${KERNEL:-6.12}
only=${ONLY:-}
files=${FILES:-*}
case $kernel in
  5.10 | 6.1 | 6.12 | 7.3) ;;
  *) die "KERNEL=$kernel: expected 5.10, 6.1, 6.12 or 7.3" ;;
esac

# Seconds for one guest.
guest_s=1800
[ "${KTRAIL_LONG:-}" != 1 ] || guest_s=7200

arch=${ARCH:-}
[[ $arch =~ ^(arm64)?$ ]] || die "ARCH=$arch: expected arm64, or nothing for this machine's"

# Two tests of one checkout would overwrite each other's results: the second waits. This file is the lock.
exec 8<test/run.sh
if ! flock -n 8; then
  log "another test of this checkout is running, waiting for it"
  flock 8
fi

# Also read and written inside the guest, which sees this folder.
results=$ROOT/build/test
rm -rf "$results"
# A test file in guests that is taken has a folder here.
taken=$results/taken
mkdir -p "$taken"

wanted() { [[ $1 == *"$only"* ]]; }

# Each guest takes one core.
jobs=()
end_guests() {
  trap '' INT TERM HUP
  local job
  for job in "${jobs[@]}"; do kill -TERM -- "-$job" 2>/dev/null || true; done
  wait
}
trap 'end_guests; exit 130' INT
trap 'end_guests; exit 143' TERM HUP

# run NAME COMMAND...: for test/support/tally.ts.
run() {
  local name=$1 code=0
  shift
  wanted "$name" || return 0
  log "$name"
  : >"$results/$name.started"
  # In a shell of its own, which has no other children to count. A guest's programs are the time of its QEMU.
  (
    "$@" || code=$?
    times >"$results/$name.times"
    exit "$code"
  ) || code=$?
  echo "$code" >"$results/$name.code"
}

# tests NAME [--serial | --nice | --untaken | --one-process | --kubernetes and guest options] -- FOLDER OR FILE...: one run of `node --test`, here
# or in one guest boot, whose lines begin with NAME; --untaken: for 15 minutes, files that no other guest has taken, and exit code 1 if there is none;
# --one-process: all files share what the first has started; --kubernetes: beside a real API server, if `make kubernetes` has built one, else here,
# where they are skipped.
tests() {
  local name=$1 guest=() program=(test/support/guest/run.sh) serial=() nice=() process=() untaken=no folder found=()
  shift
  wanted "$name" || return 0
  while [ "$1" != -- ]; do
    case $1 in
      --serial) serial=(--test-concurrency=1) ;;
      # Beside a guest, whose clock and deadlines take a whole core for granted.
      --nice) nice=(nice -n 10) ;;
      --one-process) process=(--test-isolation=none) ;;
      --untaken) untaken=yes ;;
      --kubernetes) program=(node --disable-warning=ExperimentalWarning test/support/kubernetes/beside-guest.ts) ;;
      *) guest+=("$1") ;;
    esac
    shift
  done
  shift
  for folder in "$@"; do
    if [ -e "$folder" ]; then
      mapfile -t -O ${#found[@]} found < <(find "$folder" -name '*.test.ts' -path "$files" | LC_ALL=C sort)
    fi
  done
  [ ${#found[@]} -gt 0 ] || log "$name: no test files in $*"
  if [ $untaken = yes ]; then
    until [ ${#found[@]} -eq 0 ] || mkdir "$taken/${found[0]//\//:}" 2>/dev/null; do found=("${found[@]:1}"); done
    [ ${#found[@]} -gt 0 ] || return 1
  fi
  [ ${#found[@]} -gt 0 ] || return 0
  [ "${program[0]}" != node ] || test/support/kubernetes/build.sh --if-built >/dev/null 2>&1 || guest=()
  # Made here, so that a guest that crashes before node starts is a run without a summary.
  : >"$results/$name.tally"
  local command=(node --disable-warning=ExperimentalWarning --import ./test/support/preload.js)
  if [ $untaken = yes ]; then
    command+=(test/support/guest/files.ts "build/test/$name.tally" "$taken")
  else
    command+=(--test --test-reporter=spec --test-reporter-destination=stdout
      --test-reporter=./test/support/tally-reporter.ts "--test-reporter-destination=build/test/$name.tally" "${process[@]}")
    # One kernel, one agent: these tests must not run side by side.
    [ ${#guest[@]} -eq 0 ] || command+=(--test-concurrency=1)
  fi
  if [ ${#guest[@]} -gt 0 ]; then
    # The guest gets no variable of this environment by itself.
    command=(env "KTRAIL_SEED=${KTRAIL_SEED:-}" "KTRAIL_LONG=${KTRAIL_LONG:-}" "KTRAIL_FULL_HITS=${KTRAIL_FULL_HITS:-}" "${command[@]}")
    run "$name" "${program[@]}" "$kernel" "${guest[@]}" --verbose -- "${command[@]}" "${found[@]}" \
      > >(sed -u "s/^/$name: /") 2>&1
  else
    # A file that does not end is named when the time is over. Guests have a time limit of their own.
    local limit=40m
    [ "${KTRAIL_LONG:-}" != 1 ] || limit=4h
    # timeout leaves the group that end_guests ends.
    run "$name" env "KTRAIL_TEST_CPU=$results/$name.cpu" "${nice[@]}" setpriv --pdeathsig TERM timeout "$limit" "${command[@]}" "${serial[@]}" \
      "${found[@]}"
  fi
}

# The tests in guests, which two workers take. The longest files first, so that both workers end at nearly the same time.
# By the table of durations of a whole run.
LONGEST=(test/e2e/{hostile/flood,policies,burst,engine/aggregate,files/link-races,identity/workloads,idle/idle}.test.ts test/library/attacks.test.ts
  test/e2e/{api,engine/returns}.test.ts)
mapfile -t apart < <(find test/e2e -mindepth 1 -maxdepth 1 -not -name one-agent | sort)
guest_worker() {
  local part number=1
  for part in kubernetes one-agent; do
    mkdir "$taken/$part" 2>/dev/null || continue
    case $part in
      kubernetes) tests 7-e2e-kubernetes --kubernetes --cpus 2 --timeout "$guest_s" -- test/e2e-kubernetes/api-server.test.ts ;;
      one-agent) tests 7-e2e-one-agent --one-process --cpus 2 --timeout "$guest_s" -- test/e2e/one-agent ;;
    esac
  done
  wanted 7-integration-e2e || return 0
  while :; do
    until mkdir "$taken/$number" 2>/dev/null; do number=$((number + 1)); done
    tests "7-integration-e2e-$number" --untaken --cpus 2 --timeout "$guest_s" -- "${LONGEST[@]}" test/integration "${apart[@]}" || break
  done
}

# Tests that wait for the intervals of the guard or of the reconciliation use half of a processor: their guest runs beside the others. So do the rows of
# the kernel afterwards, in a guest of their own (test/bench/guard/guard.ts), which counts instructions: load does not change them.
export KTRAIL_GUESTS=3
waiting_guest() {
  tests 7-e2e-guard --untaken --cpus 2 --timeout "$guest_s" -- test/e2e/guard test/e2e/hostile/process-reconcile.test.ts || true
  [ "$files" = '*' ] && [ "$kernel" = 6.12 ] || return 0
  run 9-instructions env ONLY=kernel-instructions test/bench/run.sh > >(sed -u 's/^/9-instructions: /') 2>&1
}

# Full preemption is a boot option on kernels with PREEMPT_DYNAMIC; one kernel is enough to test it.
guests() {
  [ "$kernel" != 6.12 ] || tests 8-e2e-full --cpus 2 --timeout "$guest_s" --append preempt=full -- test/e2e-full
  guest_worker
}

# start FUNCTION: in the background. Job control gives it a process group of its own, which end_guests ends.
start() {
  set -m
  "$1" &
  set +m
  jobs+=($!)
}

# Fetches and builds the programs that tests on this machine need, once for all later runs. The tests report failures.
fetch_ahead() {
  local step
  for step in 'guest/root.sh bookworm' 'guest/root.sh trixie' otlp/collector/build.sh 'compose.sh version' containers/engine.sh; do
    # A machine with a daemon needs no engine.
    [ "$step" != containers/engine.sh ] || ! docker version >/dev/null 2>&1 || continue
    # shellcheck disable=SC2086 # words
    nice -n 15 test/support/$step >/dev/null 2>&1 || true
  done
}

# Real brokers and collectors, one after the other: they are large, and their tests have deadlines. They often wait; the unit tests use that time.
# KTRAIL_LONG=1: all of them. Then packages, which are built, installed and booted, mostly by one program at a time, and nothing there has a tight
# deadline. Their guests take a slot of test/support/guest/run.sh.
host_tests() {
  if [ "$files" = '*' ] && { wanted 5-integration-host || wanted 6-packages; }; then fetch_ahead; fi
  tests 5-integration-host --serial -- test/integration-host > >(sed -u 's/^/5-integration-host: /') 2>&1
  tests 6-packages --serial -- test/packages > >(sed -u 's/^/6-packages: /') 2>&1
  guest_worker
}

# Unit tests that only compute. In one process they take half of the processor time: there, Node starts and loads the sources once.
ONLY_COMPUTE='^test/unit/(config|exporters/(audit|buffer|contract|dead-letter|encoding|filtering)|collector/(cli|enrich|guard|identity|ingest|kernel|plan|policies|process|telemetry|wire))/'
# Unit tests with sinks, files and timers also share a process. Tests that replace functions of Node or watch its timers run alone.
SEND='^test/unit/(exporters/((runtime|sending|sinks)/|[^/]*$)|collector/(delivery|kubernetes|reload)/|(bench|native|recording|soak|support/policies)/)'
ALONE='/(file/(crash|disk-full)|kafka/client/(bounded-answers|guard)|npm/example|otlp/pace)\.test\.ts$'
unit_tests() { find test/unit -name '*.test.ts' | LC_ALL=C sort; }
mapfile -t computing < <(unit_tests | grep -E "$ONLY_COMPUTE")
mapfile -t sending < <(unit_tests | grep -E "$SEND" | grep -vE "$ALONE")
mapfile -t others < <(unit_tests | grep -vE "$ONLY_COMPUTE" | grep -vE "$SEND")
mapfile -t -O ${#others[@]} others < <(unit_tests | grep -E "$SEND" | grep -E "$ALONE")

unit_computing() { tests 4-unit-one-process --nice --one-process -- "${computing[@]}"; }

all() {
  node test/support/programs.ts || die 'cannot compile the C programs of test/fixtures: see the output of the compiler above'
  start guests
  start host_tests
  start waiting_guest
  run 1-format npm run --silent format:check
  run 2-lint npm run --silent lint
  run 3-types npm run --silent types
  # ONLY=unit, as in `make check`: nothing else runs beside them, and they take both processors.
  if [ "$only" = unit ]; then start unit_computing; fi
  tests 4-unit --nice -- "${others[@]}"
  if [ "$only" != unit ]; then unit_computing; fi
  tests 4-unit-sending --nice --one-process -- "${sending[@]}"
}

# Tests that depend on the processor: registers, system calls, the ways to attach, and the seed's policy as a whole.
on_arm64() {
  tests arm64-e2e --arch arm64 --cpus 2 --timeout 3300 -- \
    test/e2e/{kernel,one-agent/numbers,one-agent/operators,policies,seed}.test.ts
}

if [ "$arch" = arm64 ]; then start on_arm64; else all; fi
wait

log "results (kernel $kernel${arch:+, $arch})"
exec node test/support/tally.ts "$results"
