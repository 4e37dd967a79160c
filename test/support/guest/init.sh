#!/bin/bash
# The guest's first process. Its root is the host's file system, writable: mounts stay in the guest,
# other writes change the host. Reads $GUEST/settings, leaves $GUEST/output and $GUEST/code behind.
# Not `set -e`: after any failure here, the guest must still reach the end and power off.
GUEST=$(dirname "$0")
. "$GUEST/settings"

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
# Normally made by udev; <( ) in bash needs the first.
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# Work files belong to the guest: a file that tests leave in /tmp must not reach the host. Needed folders
# below /tmp stay visible.
# shellcheck disable=SC2153 # from settings
for kept in "${KEPT[@]}"; do
  if [[ $kept == /tmp/* ]]; then
    mkdir -p "/run/kept$kept"
    mount --bind "$kept" "/run/kept$kept"
  fi
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
for kept in "${KEPT[@]}"; do
  if [[ $kept == /tmp/* ]]; then
    mkdir -p "$kept"
    mount --bind "/run/kept$kept" "$kept"
  fi
done

export PATH=$NODE:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/tmp TMPDIR=/tmp KTRAIL_TMP=/tmp KTRAIL_GUEST=$KERNEL TERM=dumb LANG=C.UTF-8
# Code that an earlier run has compiled, as the launcher keeps it. Node needs ten seconds to load a test file here, and three with it. Not in a
# checkout of another user, who could not remove root's files.
[ ! -O "$ROOT/node_modules" ] || export NODE_COMPILE_CACHE=$ROOT/node_modules/.ktrail/compile-cache
echo ktrail-guest >/proc/sys/kernel/hostname
ip link set lo up
# Modules (overlay, ext4, xfs, loop) come from the unpacked package, also if the kernel requests one itself.
# The machine's own /lib/modules stays unchanged.
printf '#!/bin/bash\nexec /sbin/modprobe -d %q "$@"\n' "$MODULES" >/run/modprobe
chmod 755 /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
# No route to other networks: tests must not depend on other machines.
if [ "$NETWORK" = yes ]; then
  /run/modprobe virtio_net
  ip address add 10.0.2.15/24 dev eth0
  ip link set eth0 up
fi

# A Debian with its own init: this process becomes it.
if [ -n "$SYSTEM" ]; then
  mount --bind "$SYSTEM" "$SYSTEM"
  for kept in "${KEPT[@]}"; do
    mkdir -p "$SYSTEM$kept"
    mount --bind "$kept" "$SYSTEM$kept"
  done
  for folder in dev proc sys run; do mount --move "/$folder" "$SYSTEM/$folder"; done
  mkdir -p "$SYSTEM"/run/systemd/{system/multi-user.target.wants,system-generators}
  cat >"$SYSTEM/run/systemd/system/guest.service" <<UNIT
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
WorkingDirectory=$ROOT
Environment=PATH=$PATH HOME=/tmp KTRAIL_TMP=/tmp KTRAIL_GUEST=$KERNEL TERM=dumb LANG=C.UTF-8 ${NODE_COMPILE_CACHE:+NODE_COMPILE_CACHE=$NODE_COMPILE_CACHE}
ExecStart=bash $GUEST/command
ExecStopPost=sh -c 'echo \$EXIT_STATUS >$GUEST/code; sync'
StandardOutput=file:$GUEST/output
StandardError=inherit
UNIT
  ln -s ../guest.service "$SYSTEM/run/systemd/system/multi-user.target.wants/guest.service"
  # Without units that neither the package nor its unit needs (an empty file masks a unit): each program costs a boot a tenth of a second, udev ten
  # seconds. No tmpfs on /tmp, as Debian 13 mounts: it would hide a checkout below /tmp.
  for unit in {apt-daily,apt-daily-upgrade,dpkg-db-backup,e2scrub_all,fstrim,systemd-tmpfiles-clean}.timer {dbus,systemd-logind,e2scrub_reap}.service \
    dbus.socket getty.target console-getty.service tmp.mount {dev-hugepages,dev-mqueue,sys-fs-fuse-connections}.mount modprobe@.service \
    systemd-{udevd,udev-trigger,modules-load,remount-fs,random-seed,sysusers,tmpfiles-setup-dev,tmpfiles-setup-dev-early,tmpfiles-setup,journal-flush}.service \
    systemd-{update-utmp,update-utmp-runlevel,user-sessions,networkd,resolved}.service systemd-udevd-{control,kernel}.socket; do
    : >"$SYSTEM/run/systemd/system/$unit"
  done
  # Each daemon-reload starts all of them.
  for generator in "$SYSTEM"/lib/systemd/system-generators/systemd-*; do
    : >"$SYSTEM/run/systemd/system-generators/${generator##*/}"
  done
  cd "$SYSTEM" && mount --move . / && exec chroot . /lib/systemd/systemd </dev/console >/dev/console 2>&1
fi

# A session of its own, so that a kill of its group does not reach init.
cd "$ROOT" && setsid -w bash "$GUEST/command" </dev/null >"$GUEST/output" 2>&1
echo $? >"$GUEST/code"
sync
echo o >/proc/sysrq-trigger
# init must not return: that causes a panic.
while :; do sleep 10; done
