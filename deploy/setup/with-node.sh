#!/bin/bash
# with-node.sh COMMAND...: runs it in the checkout with the Node of the build first in PATH.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_node
exec "$@"
