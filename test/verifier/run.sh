#!/bin/bash
# run.sh KERNEL...: statistics of the verifier on these kernels, each in a guest, into build/verifier/KERNEL.json.
set -euo pipefail
. "$(dirname "$0")/../../deploy/setup/lib.sh"
cd "$ROOT"
use_node
[ $# -gt 0 ] || die 'test/verifier/run.sh: expected a kernel or several, such as 6.12'

# Two runs of one checkout would write the same files: the second waits. This file is the lock.
exec 8<test/verifier/run.sh
flock 8

folder=build/verifier
mkdir -p $folder
gcc -shared -fPIC -O1 -Wall -Werror -o $folder/log.so test/verifier/log.c -ldl
for kernel in "$@"; do
  rm -f "$folder/$kernel.json" $folder/loads
  test/support/guest/run.sh "$kernel" --timeout 1800 --verbose -- \
    env "LD_PRELOAD=$ROOT/$folder/log.so" "KTRAIL_VERIFIER=$ROOT/$folder/loads" \
    node --disable-warning=ExperimentalWarning test/verifier/collect.ts $folder
  [ -s "$folder/$kernel.json" ] || die "verifier: the guest with $kernel wrote no $folder/$kernel.json: see its output above"
done
