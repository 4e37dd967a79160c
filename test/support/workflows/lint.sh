#!/bin/bash
# lint.sh: actionlint about .github/workflows, built by Go from its checked module.
set -euo pipefail
. "$(dirname "$0")/../../../deploy/setup/lib.sh"
command -v go >/dev/null || die 'make workflows: no go to build actionlint: install Go 1.21 or newer'
cd "$ROOT/test/support/workflows"
# shellcheck checks `run:` lines, if it is there; each is one make.
go tool actionlint "$ROOT"/.github/workflows/*.yml
log "actionlint: no finding in $(ls "$ROOT"/.github/workflows | wc -l) workflows"
