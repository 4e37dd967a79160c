#!/bin/bash
# kernel.sh 5.10|6.1|6.12|7.3 [arm64]: makes a Debian kernel for guests available and prints its folder in the cache:
#   vmlinuz, release (its version), root/lib/modules/<release>, initrd where the kernel needs one to mount virtiofs, and on amd64 vmlinux, the
#   kernel unpacked from vmlinuz.
# The packages are fetched by apt-get, which checks its signatures, and unpacked, never installed. The second time nothing is done.
set -euo pipefail
. "$(dirname "$0")/../../../deploy/setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"

kernel=${1:-} arch=${2:-amd64}
initrd=no
case $kernel in
  5.10) patterns=("linux-image-5\.10\.0-[0-9]+-$arch") suites=(own bullseye) initrd=yes ;;
  6.1) patterns=("linux-image-6\.1\.0-[0-9]+-$arch") suites=(own bookworm) initrd=yes ;;
  6.12) patterns=("linux-image-6\.12\.[0-9]+\+deb1[23](\+[0-9]+)?-$arch") suites=(bookworm-backports own trixie) ;;
  7.3)
    patterns=("linux-binary-7\.3\.[0-9]+\+deb13-$arch" "linux-modules-7\.3\.[0-9]+\+deb13-$arch")
    suites=(trixie-backports own)
    ;;
  *) die "no such guest kernel \"$kernel\": expected 5.10, 6.1, 6.12 or 7.3" ;;
esac
[ "$arch" = amd64 ] || [ $initrd = no ] || die "no guest kernel $kernel for $arch: its first root would need a busybox for $arch; use 6.12 or 7.3"
APT_ARCH=$arch
folder=$CACHE/kernels/$kernel
[ "$arch" = amd64 ] || folder+=-$arch

# Unpacks the kernel out of a folder's vmlinuz. The header's fields are setup_sects, payload_offset and payload_length (Linux,
# Documentation/arch/x86/boot.rst); the last four bytes of the payload are its unpacked size. The name appears at once, with the whole file.
unpack_kernel() {
  local from=$1/vmlinuz sectors offset length tool fresh
  sectors=$(od -An -t u1 -j $((0x1f1)) -N 1 "$from")
  read -r offset length < <(od -An -t u4 -j $((0x248)) -N 8 "$from")
  offset=$(((sectors + 1) * 512 + offset))
  case $(od -An -t x4 -j $offset -N 4 "$from") in
    *587a37fd) tool=xz ;;
    *fd2fb528) tool=zstd ;;
    *) die "cannot unpack the kernel in $from: expected xz or zstd data at byte $offset, got $(od -An -t x4 -j $offset -N 4 "$from")" ;;
  esac
  fresh=$(mktemp "$1/.vmlinux.XXXXXX")
  dd "if=$from" bs=64K iflag=skip_bytes,count_bytes skip=$offset count=$((length - 4)) status=none | $tool -dc >"$fresh" ||
    die "cannot unpack the kernel in $from: expected whole $tool data at byte $offset; remove the folder $1 to fetch it again"
  chmod 644 "$fresh"
  mv "$fresh" "$1/vmlinux"
}

# Prints the folder and ends, if it has a kernel. An earlier checkout may have left one without vmlinux.
end_if_complete() {
  [ -e "$folder/vmlinuz" ] || return 0
  [ "$arch" != amd64 ] || [ -e "$folder/vmlinux" ] || unpack_kernel "$folder"
  echo "$folder"
  exit 0
}

end_if_complete
[ "$(debian_arch)" = amd64 ] || die "guest kernels exist for x86_64 only: run on a machine whose own kernel has kprobes"
command -v apt-get >/dev/null || die "cannot fetch a guest kernel: this machine has no apt-get"

mkdir -p "$CACHE/kernels"
exec 7>"$CACHE/kernels/.lock"
flock 7
# Another one may have fetched it while we waited.
end_if_complete

log "fetching the Debian kernel $kernel into $folder"
fresh=$(mktemp -d "$CACHE/kernels/.fresh.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

# Searches every pattern in one suite; the names are stored in `found`.
find_in() {
  local pattern name
  found=()
  read_suite "$1" || return 1
  for pattern in "${patterns[@]}"; do
    name=$(newest_package "$pattern") || return 1
    found+=("$name")
  done
}

found=()
for suite in "${suites[@]}"; do
  if find_in "$suite"; then break; fi
  found=()
done
[ ${#found[@]} -gt 0 ] || {
  tail -n 5 "$APT/log" >&2
  die "no kernel $kernel in the suites ${suites[*]} of this machine's Debian archive: check the network and the apt sources"
}
unpack_packages "$fresh/root" "${found[@]}" || {
  tail -n 5 "$APT/log" >&2
  die "cannot fetch ${found[*]}: see the output of apt-get above"
}

# Since 7.3 everything lies under /usr; modprobe searches below lib.
[ -e "$fresh/root/lib" ] || ln -s usr/lib "$fresh/root/lib"
release=$(basename "$(find "$fresh/root/lib/modules/" -mindepth 1 -maxdepth 1 -type d)")
image=$(find "$fresh/root" -name 'vmlinuz*' -type f | head -n 1)
[ -n "$image" ] || die "no vmlinuz in the packages ${found[*]}"
echo "$release" >"$fresh/release"
# The 7.3 package has no list of built-in modules, about which depmod warns.
PATH=$PATH:/usr/sbin:/sbin depmod -b "$fresh/root" "$release" 2>"$fresh/log" || {
  cat "$fresh/log" >&2
  die "depmod cannot index the modules of ${found[*]}"
}
rm -f "$fresh/log"

# A first root that loads virtiofs, and the way to its device, and continues from there. The order of the modules
# differs between kernels, even between updates of one, so modprobe lists it.
build_initrd() {
  local image=$fresh/image modules='' verb file
  mkdir -p "$image/bin" "$image/modules" "$image/new" "$image/proc"
  cp /bin/busybox "$image/bin/busybox"
  while read -r verb file _; do
    # A module that is built in has the verb `builtin`.
    if [ "$verb" != insmod ] || [[ " $modules " == *" ${file##*/} "* ]]; then continue; fi
    cp "$file" "$image/modules/"
    modules+=" ${file##*/}"
  done < <(PATH=$PATH:/usr/sbin:/sbin modprobe -d "$fresh/root" -S "$release" --show-depends -a virtio_pci virtiofs)
  [[ $modules == *virtiofs* ]] || die "kernel $release has no virtiofs module: guests need one"
  cat >"$image/init" <<INIT
#!/bin/busybox sh
cd /modules
for module in $modules; do /bin/busybox insmod \$module; done
/bin/busybox mount -t proc proc /proc
for word in \$(/bin/busybox cat /proc/cmdline); do case \$word in init=*) init=\${word#init=} ;; esac; done
/bin/busybox umount /proc
/bin/busybox mount -t virtiofs rootfs /new
exec /bin/busybox switch_root /new "\$init"
INIT
  chmod +x "$image/init"
  (cd "$image" && find . | cpio --quiet -o -H newc | gzip -1) >"$fresh/initrd"
  rm -rf "$image"
}
[ $initrd = no ] || build_initrd

# Last, and into a folder whose name appears at once, so that a broken fetch never resembles a kernel.
mv "$image" "$fresh/vmlinuz"
[ "$arch" != amd64 ] || unpack_kernel "$fresh"
chmod 755 "$fresh"
rm -rf "$folder"
mv -T "$fresh" "$folder"
echo "$folder"
