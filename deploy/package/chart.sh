#!/bin/bash
# chart.sh: makes the Helm chart in build/packages/helm/. The same sources give the same bytes.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"

use_commit_date
version=$(sed -n 's/^version: //p' deploy/helm/ktrail/Chart.yaml)
chart=build/packages/helm/ktrail-$version.tgz
rm -rf build/packages/helm
mkdir -p build/packages/helm
# `helm package` without helm: files in a folder with the name of the chart, links as the files they point to.
find deploy/helm/ktrail -follow -type f ! -name '*.ts' -printf 'ktrail/%P\n' | LC_ALL=C sort |
  tar -C deploy/helm --create --dereference --no-recursion --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rw,go=r \
    --mtime="@$SOURCE_DATE_EPOCH" --files-from=- | gzip -9n >"$chart"
ls -l "$chart" >&2
