#!/bin/bash
# Starts the agent, does something worth seeing, and sums up. Runs as root, on a kernel with kprobes: on this machine
# or in a guest. Nothing of the machine is changed: workload.sh writes into an /etc of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$(<node_modules/.ktrail/node):$PATH
export PATH

port=${KTRAIL_DEMO_PORT:-2112}
# Root's own folder, not /tmp: nobody else can put a link in the agent's way.
folder=$(mktemp -d /run/ktrail-demo.XXXXXX)
export KTRAIL_DEMO_FOLDER=$folder
agent=''

clean_up() {
  [ -z "$agent" ] || kill "$agent" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$folder"
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

echo "--- the agent starts: ./ktrail run --config deploy/demo/ktrail.yaml"
./ktrail run --config deploy/demo/ktrail.yaml &
agent=$!
# On an emulated machine a start takes seconds, on a busy one a minute.
deadline=$((SECONDS + 180))
exec {quiet}<> <(:)
until get /readyz && [[ $answer == HTTP/1.?" 200"* ]]; do
  kill -0 "$agent" 2>/dev/null || fail 'the agent ended before it was ready: see its output above'
  [ $SECONDS -lt $deadline ] || fail "the agent was not ready after 180 s: expected 200 from http://127.0.0.1:$port/readyz"
  read -rt 0.1 -u "$quiet" || true
done

unshare --mount deploy/demo/workload.sh
get /metrics || fail "no answer from http://127.0.0.1:$port/metrics"
printf '%s' "$answer" >"$folder/metrics"
kill -TERM "$agent"
code=0
wait "$agent" || code=$?
agent=''
[ $code = 0 ] || fail "the agent ended with exit code $code, expected 0"

# Readable by the owner of the checkout, also when root in a guest writes it.
mkdir -p build/demo
install -m 644 -o "$(stat -c %u build/demo)" "$folder/events.jsonl" build/demo/events.jsonl
node --disable-warning=ExperimentalWarning deploy/demo/summary.ts build/demo/events.jsonl "$folder/metrics"
