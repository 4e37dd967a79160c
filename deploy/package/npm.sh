#!/bin/bash
# npm.sh: makes the npm packages in build/packages/: ktrail (JavaScript, types, configs) and @ktrail/linux-x64 (addon, BPF objects, the
# libraries that the addon needs and a machine may lack). The same sources give the same bytes. Only after build.sh.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"
use_node
deploy/setup/packages.sh package

packages=$ROOT/build/packages
main=$packages/npm/ktrail
platform=$packages/npm/linux-$(node -p process.arch)
rm -rf "$packages/npm"
mkdir -p "$main" "$platform/licenses"

log 'translating TypeScript'
node_modules/.bin/tsc -p deploy/package/tsconfig.json
# What the agent reads at run time, beside the sources that read it.
cp --parents package.json config/ktrail.yaml config/schema.json config/policies/*.yaml "$main/dist"
find collector -type f ! -name '*.ts' ! -name README.md -exec cp --parents {} "$main/dist" \;
cp --parents ktrail LICENSE README.md CHANGELOG.md "$main"
cp --parents bpf/build/*.bpf.o native/build/Release/ktrail.node "$packages/npm"
mv "$packages"/npm/bpf/build/*.bpf.o "$packages"/npm/native/build/Release/ktrail.node "$platform"
rm -r "$packages/npm/bpf" "$packages/npm/native"

# Each library that libc does not bring, with its licence; they find each other in their own folder.
bundle() {
  local library owner
  while read -r library; do
    [ ! -e "$platform/$(basename "$library")" ] || continue
    cp -L "$library" "$platform"
    # By its name: dpkg knows some by their folder before Debian merged /lib into /usr/lib.
    owner=$(dpkg-query -S "*/$(basename "$(readlink -f "$library")")" | head -n 1 | cut -d: -f1)
    cp "/usr/share/doc/$owner/copyright" "$platform/licenses/$owner"
  done < <(ldd "$1" | awk '$3 ~ /^\// && $1 !~ /^(libc|libm|libgcc_s|libstdc\+\+|libpthread|libdl)\.so/ { print $3 }')
}
bundle "$platform/ktrail.node"
cp LICENSE "$platform"
for file in "$platform/ktrail.node" "$platform"/*.so.*; do
  chmod 755 "$file"
  strip --strip-unneeded "$file"
  # shellcheck disable=SC2016 # the loader's variable
  patchelf --set-rpath '$ORIGIN' "$file"
done

node deploy/package/manifests.ts "$main" "$platform"
for folder in "$main" "$platform"; do
  # npm gives every file the same date and owner.
  npm pack --silent --pack-destination "$packages" "$folder" >/dev/null
done
ls -l "$packages"/*.tgz >&2
