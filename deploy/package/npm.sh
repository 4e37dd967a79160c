#!/bin/bash
# npm.sh [arm64]: makes the npm packages in build/packages/: ktrail (JavaScript, types, configs) and @ktrail/linux-x64 (addon, BPF objects,
# the libraries that the addon needs and a machine may lack); with arm64 also @ktrail/linux-arm64. The same sources give the same bytes. Only
# after build.sh, and cross.sh.
set -euo pipefail
. "$(dirname "$0")/../setup/lib.sh"
cd "$ROOT"
use_node
deploy/setup/packages.sh package

packages=$ROOT/build/packages
main=$packages/npm/ktrail
other=${1:-}
[[ $other =~ ^(arm64)?$ ]] || die "npm.sh: expected arm64 or nothing, got \"$other\""
rm -rf "$packages/npm" "$packages/parts" "$packages"/*.tgz
mkdir -p "$main" "$packages/parts"

log 'bundling the sources, and writing their types'
node deploy/package/bundle.ts "$main/dist"
node_modules/.bin/tsc -p deploy/package/tsconfig.json
# Files that the agent reads at run time, beside the sources that read them.
cp --parents package.json config/ktrail.yaml config/{,policy-}schema.json config/policies/{optional,library}/*.yaml "$main/dist"
find collector -type f ! -name '*.ts' ! -name README.md -exec cp --parents {} "$main/dist" \;
cp --parents ktrail LICENSE README.md CHANGELOG.md "$main"
install -D -m 644 docs/reference/ktrail.1 "$main/man/ktrail.1"
install -D -m 644 -t "$main/systemd" deploy/systemd/ktrail.service
install -m 755 -t "$main/systemd" deploy/systemd/ktrail-generator

# Each library of a file that libc does not bring, with its licence; they find each other in their own folder. `parts` lists them for the SBOMs.
bundle() {
  local file=$1 name library owner
  while read -r name; do
    if [[ $name =~ ^(libc|libm|libgcc_s|libstdc\+\+|libpthread|libdl|ld-linux.*)\.so ]] || [ -e "$platform/$name" ]; then continue; fi
    library=$root/usr/lib/$triplet/$name
    cp -L "$library" "$platform"
    # By file name: dpkg lists some in /lib, which Debian merged into /usr/lib. Packages have one name for all processors.
    owner=$(dpkg-query -S "*/$(basename "$(readlink -f "$library")")" | head -n 1 | cut -d: -f1)
    debian_part "$root" "$owner" "$arch" "$platform/$name" >>"$parts"
    cp "$root/usr/share/doc/$owner/copyright" "$platform/licenses/$owner"
    bundle "$library"
  done < <(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
}

# make_platform NAME TRIPLET ROOT BPF ADDON: the package of a processor, with libraries from ROOT.
platforms=()
make_platform() {
  local platform=$packages/npm/$1 parts=$packages/parts/$1 triplet=$2 root=$3 arch=amd64 file
  [ "$1" = linux-x64 ] || arch=arm64
  mkdir -p "$platform/licenses"
  cp "$4"/*.bpf.o "$5/Release/ktrail.node" LICENSE "$platform"
  bundle "$platform/ktrail.node"
  for file in "$platform/ktrail.node" "$platform"/*.so.*; do
    chmod 755 "$file"
    "$triplet-strip" --strip-unneeded "$file"
    # shellcheck disable=SC2016 # the loader's variable
    patchelf --set-rpath '$ORIGIN' "$file"
  done
  platforms+=("$platform")
}
make_platform "linux-$(node -p process.arch)" "$(uname -m)-linux-gnu" '' bpf/build native/build
[ "$other" = '' ] ||
  make_platform linux-arm64 aarch64-linux-gnu "$(deploy/setup/sysroot.sh arm64)" build/arm64/bpf build/arm64/native/build

node deploy/package/manifests.ts "$main" "${platforms[@]}"
chmod -R u=rwX,go=rX "$packages/npm"
for folder in "$main" "${platforms[@]}"; do
  # npm gives every file the same date and owner.
  npm pack --silent --pack-destination "$packages" "$folder" >/dev/null
done
ls -l "$packages"/*.tgz >&2
