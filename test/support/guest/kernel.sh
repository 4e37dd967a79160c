#!/bin/bash
# kernel.sh 5.10|6.1|6.12|7.3 [arm64]: makes a Debian kernel for guests available and prints its folder in the cache:
#   vmlinuz, release (its version), root/lib/modules/<release>, and initrd where the kernel needs one to mount virtiofs.
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
if [ -e "$folder/vmlinuz" ]; then
  echo "$folder"
  exit 0
fi
[ "$(debian_arch)" = amd64 ] || die "guest kernels exist for x86_64 only: run on a machine whose own kernel has kprobes"
command -v apt-get >/dev/null || die "cannot fetch a guest kernel: this machine has no apt-get"

mkdir -p "$CACHE/kernels"
exec 7>"$CACHE/kernels/.lock"
flock 7
# Another one may have fetched it while we waited.
if [ -e "$folder/vmlinuz" ]; then
  echo "$folder"
  exit 0
fi

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
chmod 755 "$fresh"
rm -rf "$folder"
mv -T "$fresh" "$folder"
echo "$folder"
