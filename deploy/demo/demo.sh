#!/bin/bash
# Starts the agent and the workload that it watches. Runs as root, on a kernel with kprobes: on this machine or in a guest. Nothing of
# the machine is changed: workload.sh writes into an /etc of its own. Prints the agent's lines, and lines for run.ts that begin with @.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$(<node_modules/.ktrail/node):$PATH
export PATH

port=${KTRAIL_DEMO_PORT:-2112}
agent='' workload=''

clean_up() {
  [ -z "$agent" ] || kill "$agent" 2>/dev/null || true
  [ -z "$workload" ] || kill "$workload" 2>/dev/null || true
  wait 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

# get PATH: the answer to a GET, with its head, in `answer`. By this shell itself: a child would show up as an event.
get() {
  local line
  answer=''
  { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
  while IFS= read -r -t 10 line <&3; do answer+=${line%$'\r'}$'\n'; done
  exec 3<&- 3>&-
}

# Speed of this machine: the start of the agent may take thirty times as long as its smallest command, 5 s, or minutes if emulated.
printf '@ agent\n'
before=${EPOCHREALTIME/./}
./ktrail version >/dev/null
limit=$(((${EPOCHREALTIME/./} - before) * 30 / 1000000 + 5))

# Before the agent: the demo does not show the preparation of /etc.
coproc workload_io { exec unshare --mount deploy/demo/workload.sh; }
workload=$workload_io_PID
read -r -u "${workload_io[0]}" answer && [ "$answer" = prepared ] || fail 'deploy/demo/workload.sh ended before it was ready: see its output above'
exec {from}<&"${workload_io[0]}" {to}>&"${workload_io[1]}"

rm -f build/demo/events.jsonl
./ktrail run --config deploy/demo/ktrail.yaml &
agent=$!
deadline=$((SECONDS + limit))
exec {quiet}<> <(:)
until get /readyz && [[ $answer == HTTP/1.?" 200"* ]]; do
  kill -0 "$agent" 2>/dev/null || fail 'the agent ended before it was ready: see its output above'
  [ $SECONDS -lt $deadline ] || fail "the agent was not ready after $limit s, thirty times the duration of ./ktrail version on this machine: expected 200 from http://127.0.0.1:$port/readyz, got \"${answer%%$'\n'*}\""
  read -rt 0.1 -u "$quiet" || true
done

printf '@ ready\n'
echo >&"$to"
while read -r -u "$from" line; do printf '%s\n' "$line"; done
get /metrics || fail "no answer from http://127.0.0.1:$port/metrics"
printf '%s' "$answer" >build/demo/metrics
kill -TERM "$agent"
code=0
wait "$agent" || code=$?
agent=''
[ $code = 0 ] || fail "the agent ended with exit code $code, expected 0"
printf '@ end\n'
