#!/bin/bash
# make bench: test/bench/*.bench.ts on this machine, test/bench/guest/*.bench.ts on a real kernel (KERNEL, default 6.12).
# What they print goes to the screen and to build/bench/NAME.json. ONLY=WORD runs those whose name contains WORD.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_node
kernel=${KERNEL:-6.12}
mkdir -p build/bench
failed=0

# bench FILE COMMAND...
bench() {
  local file=$1 name
  name=$(basename "$file" .bench.ts)
  shift
  [[ $name == *"${ONLY:-}"* ]] || return 0
  say "bench $name"
  "$@" | tee "build/bench/$name.json" || failed=1
}

for file in test/bench/*.bench.ts; do
  [ ! -e "$file" ] || bench "$file" node --disable-warning=ExperimentalWarning --expose-gc "$file"
done
for file in test/bench/guest/*.bench.ts; do
  [ ! -e "$file" ] || bench "$file" test/support/guest/run.sh "$kernel" --timeout 1200 --verbose -- \
    node --disable-warning=ExperimentalWarning --expose-gc "$file"
done
[ $failed = 0 ] || die 'a bench failed: see above'
