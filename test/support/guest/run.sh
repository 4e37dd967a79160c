#!/bin/bash
# Runs a command on a real kernel in an emulated guest whose root is this machine's file system.
#
#   run.sh KERNEL [--arch arm64] [--cpus N] [--memory MB] [--timeout S] [--append 'preempt=full'] [--system ROOT] [--network] [--measured | --counted] [--verbose] -- COMMAND ARGUMENT...
#
# --network: the guest reaches servers on this machine's 127.0.0.1 as 10.0.2.2, and nothing else (amd64).
# --system ROOT: the guest boots the Debian in the folder ROOT, with its systemd as init; the command is a unit there, and sees the checkout
# and the cache at their places.
# --measured: processor and kernel as on hardware, for benches; else without features that only cost an emulator time (amd64).
# --counted: --measured, and the clock of the one processor counts its instructions: each takes a nanosecond.
# --arch arm64: with a Debian root for arm64 that shows the checkout with what deploy/setup/cross.sh built.
# KERNEL is 5.10, 6.1, 6.12 or 7.3. The command runs as root in the checkout; its output (stdout and stderr) is
# streamed to stdout, its exit code becomes ours. 124: out of time. 125: the guest did not start or crashed.
# At most two guests of one user run at a time, or KTRAIL_GUESTS of them; another one waits.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../deploy/setup/lib.sh"

usage() {
  printf 'run.sh: %s\n' "$1" >&2
  printf 'usage: run.sh 5.10|6.1|6.12|7.3 [--arch arm64] [--cpus N] [--memory MB] [--timeout S] [--append TEXT] [--system ROOT] [--network] [--measured | --counted] [--verbose] -- COMMAND...\n' >&2
  exit 125
}

guest_fails() {
  printf 'guest: %s\n' "$*" >&2
  exit 125
}

kernel=${1:-}
shift || true
arch=amd64 cpus=1 memory=4096 timeout=600 append='' system='' network=no counted=() measured=no verbose=no
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in
    --cpus | --memory | --timeout)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage "$1: expected a positive number, got \"${2:-}\""
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    --arch)
      [[ ${2:-} =~ ^(amd64|arm64)$ ]] || usage "--arch: expected amd64 or arm64, got \"${2:-}\""
      arch=$2
      shift
      ;;
    --append)
      [ $# -ge 2 ] || usage '--append: expected kernel parameters'
      append=$2
      shift
      ;;
    --system)
      [ -x "${2:-}/lib/systemd/systemd" ] || usage "--system: expected a folder with a Debian that has systemd, got \"${2:-}\""
      system=$(readlink -f "$2")
      shift
      ;;
    --network) network=yes ;;
    --measured) measured=yes ;;
    --counted) measured=yes counted=(-icount shift=0,sleep=on) ;;
    --verbose) verbose=yes ;;
    *) usage "unknown option \"$1\"" ;;
  esac
  shift
done
[ "${1:-}" = -- ] || usage 'expected -- before the command'
shift
[ $# -gt 0 ] || usage 'expected a command after --'

[ "$(uname -m)" = x86_64 ] || guest_fails "guests run on x86_64 only, this machine is $(uname -m): use a machine whose own kernel has kprobes"
[ -z "${KTRAIL_GUEST:-}" ] || guest_fails 'this is a guest already: a guest inside a guest is not supported'
[ -r "$FACTS/node" ] || guest_fails "$ROOT is not built: run \`make build\` there"
"$ROOT/deploy/setup/packages.sh" guest || exit 125
# Later QEMU packages leave virtiofsd to another package, with other options.
[ -x /usr/lib/qemu/virtiofsd ] || guest_fails 'no /usr/lib/qemu/virtiofsd: expected the one of qemu-system-common (Debian 12)'
files=$("$ROOT/test/support/guest/kernel.sh" "$kernel" "$arch") || exit 125
root=/ facts=$FACTS
if [ "$arch" = arm64 ]; then
  "$ROOT/deploy/setup/packages.sh" guest-arm64 || exit 125
  root=$("$ROOT/deploy/setup/sysroot.sh" arm64) || exit 125
  facts=$ROOT/build/arm64/facts
  [ -r "$facts/node" ] || guest_fails "$ROOT is not built for arm64: run \`make arm64\` there"
fi

# One of the slots. The lock is inherited by QEMU, so the slot stays taken until the guest has ended;
# files that an earlier guest left in it are removed by the next one.
mkdir -p "$CACHE/guests"
take_place() {
  local place waiting=no
  # One waits for a slot, the others for their turn to wait: the kernel grants a lock in the order of the requests.
  exec 7>"$CACHE/guests/lock.turn"
  if ! flock -n 7; then
    log 'other guests are waiting for a slot, waiting after them'
    flock 7
  fi
  while :; do
    for ((place = 0; place < ${KTRAIL_GUESTS:-2}; place++)); do
      exec 9>"$CACHE/guests/lock.$place"
      if flock -n 9; then
        guest=$CACHE/guests/$place
        exec 7>&-
        return
      fi
    done
    if [ $waiting = no ]; then
      log "${KTRAIL_GUESTS:-2} guests are running already, waiting for one to end"
      waiting=yes
    fi
    sleep 0.5
  done
}
take_place
rm -rf "$guest"
mkdir -p "$guest"

qemu='' virtiofsd='' stream=''
# shellcheck disable=SC2317 # called by the trap
clean_up() {
  local process
  trap '' INT TERM HUP
  for process in $qemu $virtiofsd; do
    kill "$process" 2>/dev/null || as_root kill "$process" 2>/dev/null || true
  done
  [ -z "$stream" ] || kill "$stream" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$guest"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

printf '%q ' "$@" >"$guest/command"
{
  printf 'ROOT=%q\nNODE=%q\nKERNEL=%q\nMODULES=%q\nSYSTEM=%q\nNETWORK=%q\n' "$ROOT" "$(<"$facts/node")" "$kernel" "$files/root" \
    "$system" "$network"
  printf 'KEPT=(%q %q %q)\n' "$ROOT" "$CACHE" "$(dirname "$(<"$facts/node")")"
} >"$guest/settings"
cp "$ROOT/test/support/guest/init.sh" "$guest/init.sh"
: >"$guest/output"

# At this point, where a password can still be entered.
as_root true || guest_fails 'need root to share the file system with the guest'
# pdeathsig: the guest ends even if this script is killed without a chance to clean up.
# Root, because the guest's root reads and writes every file of this machine.
share=(/usr/lib/qemu/virtiofsd "--socket-path=$guest/socket" "--socket-group=$(id -gn)"
  -o "source=$root" -o sandbox=chroot -o cache=always -o no_posix_lock)
[ "$arch" = amd64 ] || share=("$ROOT/test/support/guest/foreign-root.sh" "$arch" "$root" "$CACHE" "${share[@]}")
as_root setpriv --pdeathsig KILL "${share[@]}" >"$guest/virtiofsd.log" 2>&1 9>&- &
virtiofsd=$!
for _ in {1..100}; do
  [ ! -S "$guest/socket" ] || break
  kill -0 "$virtiofsd" 2>/dev/null || break
  sleep 0.05
done
[ -S "$guest/socket" ] || guest_fails "virtiofsd did not start: $(tail -n 1 "$guest/virtiofsd.log")"

# Emulation, not /dev/kvm: it may exist and not work. One thread: with more, kernels for x86_64 crash now and then while they patch themselves
# at boot. On arm64, Node ended in two of four runs, by SIGSEGV or in V8's ThreadIsolation::WriteProtectMemory.
case $arch in
  amd64) emulator=(qemu-system-x86_64 -cpu max) console=ttyS0 ;;
  # The processor's own pointer authentication costs an emulator most of its time.
  arm64) emulator=(qemu-system-aarch64 -machine virt -cpu 'max,pauth-impdef=on') console=ttyAMA0 ;;
esac
# Each of these costs an emulator more than it costs hardware. Random addresses make it translate a program again at each start, and ERMS makes it
# fill pages byte by byte. A retpoline is a look-up at each return, and stac and clac (SMAP) end a block of code. Without them, Node starts in a third
# of the time, and other programs in half of it. The unpacked kernel starts by PVH, without its own decompressor.
fast='' image=vmlinuz
if [ "$arch" = amd64 ] && [ $measured = no ]; then
  emulator=(qemu-system-x86_64 -cpu 'max,erms=off,fsrm=off,smap=off,la57=off,pku=off')
  fast=' norandmaps mitigations=off' image=vmlinux
  # The clock of this machine's processor. The kernel mistakes it for unstable on a busy machine, and then reads the emulated HPET at each event. It
  # cannot measure the frequency here either: bogomips is twice the MHz. 5.10 does not have the second parameter.
  if [ "$kernel" != 5.10 ] && grep -qm 1 '^flags.* constant_tsc.* nonstop_tsc' /proc/cpuinfo; then
    fast+=" tsc=reliable tsc_early_khz=$(awk '/^bogomips/ { printf "%d", $3 * 500; exit }' /proc/cpuinfo)"
  fi
fi
kernel_line="root=rootfs rootfstype=virtiofs rw console=$console panic=-1 oops=panic quiet$fast"
# no_timer_check: on a busy host the first ticks come late, and kernels for x86_64 panic ("IO-APIC + timer doesn't work").
[ "$arch" != amd64 ] || kernel_line+=' no_timer_check'
kernel_line+=" lsm=landlock,lockdown,yama,integrity,apparmor,bpf init=$guest/init.sh $append"
nic=none
[ $network = no ] || nic=user,model=virtio-net-pci
# shellcheck disable=SC2054 # commas are QEMU's
machine=("${emulator[@]}" -accel tcg,thread=single -smp "$cpus" -m "$memory"
  -object "memory-backend-memfd,id=mem,size=${memory}M,share=on" -numa node,memdev=mem
  -chardev "socket,id=fs,path=$guest/socket" -device vhost-user-fs-pci,chardev=fs,tag=rootfs
  -display none -monitor none -serial "file:$guest/console" -nic "$nic" -no-reboot
  -kernel "$files/$image" -append "$kernel_line" "${counted[@]}")
[ ! -e "$files/initrd" ] || machine+=(-initrd "$files/initrd")
[ $verbose = no ] || log "kernel $(<"$files/release"), $cpus CPUs, $memory MB"
setpriv --pdeathsig TERM timeout -k 5 "$timeout" setpriv --pdeathsig KILL \
  "${machine[@]}" </dev/null >"$guest/qemu.log" 2>&1 &
qemu=$!

# Ends by itself, after a last read, once QEMU has ended.
tail -n +1 -s 0.1 -f "--pid=$qemu" "$guest/output" 2>/dev/null 9>&- &
stream=$!

ended=0
wait "$qemu" || ended=$?
qemu=''
wait "$stream" || true
stream=''

if [ -s "$guest/code" ]; then
  # 137: a program was killed. If the kernel did it, its console has the reason.
  [ "$(<"$guest/code")" != 137 ] || tail -n 60 "$guest/console" >&2
  exit "$(<"$guest/code")"
fi
if [ "$ended" = 124 ] || [ "$ended" = 137 ]; then
  printf 'guest: kernel %s was stopped after %s s: "%s" had not ended\n' "$kernel" "$timeout" "$*" >&2
  exit 124
fi
{
  tail -n 60 "$guest/console" "$guest/qemu.log" 2>/dev/null || true
  printf 'guest: kernel %s ended before its command "%s" did (QEMU exit %s); see the console output above\n' "$kernel" "$*" "$ended"
} >&2
exit 125
