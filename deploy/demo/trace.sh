#!/bin/bash
# The `ktrail trace` that README shows: a make of one small program. Runs as root, on a kernel with kprobes.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=/tmp/hello
mkdir "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo 'int main(void) { return 0; }' >hello.c
"$root/ktrail" trace --write -o tree -- make -s hello
