#!/bin/bash
# facts.sh: notes the Node and the npm packages of this checkout where the launcher and build.sh look. A clean installation by npm removes the notes with
# the packages and then runs this (package.json), so that nothing is fetched or built again. Does nothing in a checkout that was never built.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

[ -e native/build/Release/ktrail.node ] || exit 0
# npm_config_omit: npm has left out packages that tests and tools need.
[ -z "${npm_config_omit:-}" ] || exit 0
node=$(deploy/setup/node.sh)
mkdir -p "$FACTS"
packages_fact "$node" >"$FACTS/packages"
echo "$node" >"$FACTS/node"
