/**
 * An attack for each policy of the library. attacks.test.ts runs each on a real kernel: under the file's name, under a hard link, and in a container
 * that has the host's root at /host.
 *
 * `does` is for busybox's shell: $F is the file, under the name in question; $R is empty, or /host in the container; $A is the program of
 * test/fixtures/library/attack.c, and $SERVER the path of a web server.
 */
export interface Attack {
  readonly policy: string
  /** The file whose name an event must have. It exists before the attack, with a line `x`, unless `absent`. */
  readonly file: string
  readonly does: string
  /** A text that the arguments of the event have; default: the last component of the file. */
  readonly shows?: string
  /** The path under which bash runs the commands on the host. */
  readonly as?: string
  readonly absent?: true
  /** The file is a socket on which the test listens. */
  readonly listens?: true
  /** Runs before the agent starts. */
  readonly prepare?: string
  /** The reason why a kernel without bpf_loop does not see it in this guest. */
  readonly old?: { readonly not: string }
  /** The reason why the policy does not see the host. */
  readonly outside?: { readonly not: string }
  /** The file of which a hard link is made, if it is another one; or the reason why a link is no attack. */
  readonly linked?: `/${string}` | { readonly not: string }
  /** The commands in a container, if they are others; or the reason why there is no such attack. */
  readonly inside?: string | { readonly not: string }
  /** An ordinary access, without an event: bash under the path of an excepted program, or busybox, runs the commands. */
  readonly ordinary: { readonly as?: string; readonly does: string }
}

const APPENDS = ': >>$F'
const READS = 'read line <$F || :'
const DPKG = '/usr/bin/dpkg'
const LOGROTATE = '/usr/sbin/logrotate'
export const SERVER = '/usr/local/sbin/php-fpm'
const MOUNTED = 'the guest mounts the folder, so the path of a dentry begins below it'
const TOKENS = '/run/secrets/kubernetes.io/serviceaccount'
const appends = (policy: string, file: string, as: string = DPKG, notLinked?: string): Attack => ({
  policy,
  file,
  does: APPENDS,
  ...(notLinked !== undefined && { linked: { not: notLinked } }),
  ordinary: { as, does: APPENDS },
})
const reads = (policy: string, file: string, as: string): Attack => ({
  policy,
  file,
  does: READS,
  ordinary: { as, does: READS },
})

export const ATTACKS: readonly Attack[] = [
  {
    policy: 'account-tools',
    file: '/etc/shadow',
    does: 'chroot ${R:-/} chage -M 90 root',
    old: { not: MOUNTED },
    linked: { not: 'a rename replaces a name' },
    ordinary: { does: 'chage -l root >/dev/null' },
  },
  {
    policy: 'secrets-by-tools',
    file: '/etc/shadow',
    as: '/usr/bin/tar',
    does: READS,
    inside: 'mkdir -p /usr/bin; cp /bin/busybox /usr/bin/tar; $A exec /usr/bin/tar sh -c "read line <$F"',
    ordinary: { as: '/usr/bin/passwd', does: READS },
  },
  appends('shadow-passwd', '/etc/passwd'),
  reads('shadow-read', '/etc/shadow', '/usr/bin/passwd'),
  appends('sudoers-pam', '/etc/sudoers'),
  appends('sudoers-pam', '/etc/pam.d/common-auth'),
  {
    policy: 'ssh-authorized-keys',
    file: '/root/.ssh/authorized_keys',
    does: APPENDS,
    ordinary: { does: READS },
  },
  {
    policy: 'dynamic-linker',
    file: '/etc/ld.so.preload',
    absent: true,
    does: ': >>$F; rm -f $R/etc/ld.so.preload',
    linked: '/etc/ld.so.conf',
    ordinary: { as: '/usr/sbin/ldconfig', does: ': >>/etc/ld.so.cache' },
  },
  appends('cron', '/etc/cron.d/job'),
  {
    policy: 'setuid-files',
    file: '/tmp/program',
    does: 'chmod 4755 $F',
    ordinary: { does: 'chmod 755 $F' },
  },
  reads('ssh-keys', '/root/.ssh/id_ed25519', '/usr/bin/ssh-keygen'),
  appends('sshd-config', '/etc/ssh/sshd_config'),
  reads('cloud-credentials', '/root/.aws/credentials', '/usr/local/bin/aws'),
  reads('kubernetes-credentials', '/etc/kubernetes/admin.conf', '/usr/local/bin/kubectl'),
  {
    policy: 'service-account-tokens',
    file: `${TOKENS}/token`,
    does: READS,
    linked: { not: 'matched by path' },
    inside: `mkdir -p ${TOKENS}; echo x >${TOKENS}/token; read line <${TOKENS}/token`,
    ordinary: { as: DPKG, does: READS },
  },
  appends('systemd-units', '/etc/systemd/system/own.service'),
  appends('user-units', '/home/user/.config/systemd/user/own.service', DPKG, 'matched by a part of the path'),
  appends('python-startup', '/usr/local/lib/python3.11/dist-packages/own.pth', DPKG, 'matched by the end of the path'),
  appends('git-hooks', '/home/user/project/.git/hooks/post-commit', DPKG, 'matched by a part of the path'),
  appends('init-scripts', '/etc/init.d/own'),
  appends('shell-profiles', '/root/.bashrc'),
  appends('package-sources', '/etc/apt/sources.list'),
  appends('system-programs', '/usr/local/bin/program'),
  appends('system-libraries', '/usr/local/lib/library.so'),
  appends('boot-files', '/boot/vmlinuz-own'),
  appends('kernel-modules', '/etc/modprobe.d/own.conf'),
  { policy: 'kernel-modules', file: '/tmp/module.ko', does: 'insmod $F || :', ordinary: { does: READS } },
  {
    policy: 'bpf-programs',
    file: '/tmp/none',
    does: '$A bpf',
    shows: 'bpf_attr_arg',
    linked: { not: 'no file takes part' },
    ordinary: { does: READS },
  },
  {
    policy: 'file-capabilities',
    file: '/tmp/capable',
    does: '$A capability $F',
    ordinary: { does: 'chmod 755 $F' },
  },
  {
    policy: 'links-to-secrets',
    file: '/etc/gshadow',
    does: 'ln $F $F-$$',
    old: { not: MOUNTED },
    ordinary: { does: ': >/tmp/other; ln /tmp/other /tmp/other-$$' },
  },
  {
    policy: 'links-to-secrets',
    file: '/etc/shadow',
    does: 'ln -s $F $R/tmp/secret-$$',
    linked: { not: 'a symbolic link has a path' },
    ordinary: { does: 'ln -s program /tmp/symbolic-$$' },
  },
  { policy: 'log-tampering', file: '/var/log/auth.log', does: ': >$F', ordinary: { as: LOGROTATE, does: ': >$F' } },
  {
    policy: 'log-tampering',
    file: '/var/log/wtmp',
    does: 'rm $F; echo x >$F',
    old: { not: MOUNTED },
    ordinary: { does: APPENDS },
  },
  {
    policy: 'shell-history',
    file: '/root/.bash_history',
    does: ': >$F',
    linked: { not: 'matched by the end of the path' },
    ordinary: { does: APPENDS },
  },
  {
    policy: 'container-new-programs',
    file: '/tmp/new-program',
    does: 'chmod 755 $F',
    outside: { not: 'sees containers only' },
    ordinary: { does: 'chmod 755 $F' },
  },
  {
    policy: 'temporary-programs',
    file: '/tmp/run-me',
    absent: true,
    prepare: 'cp /usr/local/bin/attack /tmp/run-me',
    does: '$F || :',
    linked: { not: 'its other name is in no temporary folder' },
    inside: 'mkdir -p /tmp; cp $A /tmp/run-me; /tmp/run-me || :',
    ordinary: { does: '/bin/true' },
  },
  {
    policy: 'programs-without-a-file',
    file: '/tmp/none',
    does: '$A memory $A exec $A || :',
    shows: 'memfd:attack',
    linked: { not: 'no file takes part' },
    ordinary: { does: '/bin/true' },
  },
  {
    policy: 'web-shells',
    file: '/var/www/shell.php',
    as: SERVER,
    does: APPENDS,
    inside: 'mkdir -p ${SERVER%/*}; cp /bin/busybox $SERVER; $A exec $SERVER sh -c ": >>$F"',
    ordinary: { does: APPENDS },
  },
  reads('database-files', '/var/lib/mysql/ibdata1', '/usr/local/bin/etcd'),
  {
    policy: 'runtime-sockets',
    file: '/run/docker.sock',
    absent: true,
    listens: true,
    prepare: 'cp /usr/local/bin/attack /usr/local/bin/docker',
    does: '$A connect $F',
    shows: 'docker.sock',
    ordinary: { does: '/usr/local/bin/docker connect $F' },
  },
  appends('static-pods', '/etc/kubernetes/manifests/pod.yaml', '/usr/local/bin/kubeadm'),
  {
    policy: 'process-memory',
    file: '/tmp/none',
    does: '$A attach',
    shows: '"attack"',
    linked: { not: 'no file takes part' },
    ordinary: { does: 'cat /proc/1/status >/dev/null' },
  },
  {
    policy: 'block-devices',
    file: '/tmp/disk',
    absent: true,
    // Else the first access loads the module, which the policy kernel-modules reports.
    prepare: '$(cat /proc/sys/kernel/modprobe) -q loop || :; mknod /tmp/disk b 7 0',
    does: READS,
    ordinary: { as: '/usr/sbin/blkid', does: READS },
  },
  {
    policy: 'device-nodes',
    file: '/tmp/node',
    absent: true,
    does: 'rm -f $F; mknod $F c 1 3',
    linked: { not: 'a node is made under one name' },
    ordinary: { does: 'mkfifo /tmp/fifo-$$' },
  },
  {
    policy: 'mounts-over-system',
    file: '/etc/covered',
    does: 'mount -o bind $F $F',
    linked: { not: 'matched by path' },
    inside: { not: 'it covers nothing of the host' },
    ordinary: { does: ': >/tmp/covered; mount -o bind /tmp/covered /tmp/covered' },
  },
  {
    policy: 'container-mounts',
    file: '/tmp/none',
    does: 'mkdir -p /tmp/mounted; mount -t tmpfs nodevice /tmp/mounted',
    shows: '"nodevice"',
    outside: { not: 'sees containers only' },
    ordinary: { does: 'mkdir -p /tmp/mounted; mount -t tmpfs nodevice /tmp/mounted' },
  },
  {
    policy: 'user-namespaces',
    file: '/tmp/none',
    does: '$A namespace',
    shows: 'process_credentials_arg',
    linked: { not: 'no file takes part' },
    ordinary: { does: '/bin/true' },
  },
  {
    policy: 'ransomware-names',
    file: '/tmp/document',
    does: 'cp $F $F-$$; mv $F-$$ $F-$$.locked',
    shows: '.locked"',
    linked: { not: 'a rename gives a name' },
    ordinary: { does: 'mv $F $F-2; mv $F-2 $F' },
  },
  {
    policy: 'mass-renames',
    file: '/home/user/document',
    does: 'mv $F $F-$$; mv $F-$$ $F',
    inside: 'mkdir -p /home; echo x >/home/document; mv /home/document /home/document-2',
    ordinary: { does: 'echo x >/tmp/moved; mv /tmp/moved /tmp/moved-2' },
  },
  appends('monitoring-config', '/etc/rsyslog.d/own.conf'),
  appends('name-resolution', '/etc/hosts'),
  appends('trusted-certificates', '/usr/local/share/ca-certificates/own.crt'),
  reads('tls-private-keys', '/etc/ssl/private/own.key', '/usr/bin/openssl'),
  {
    policy: 'kernel-helpers',
    file: '/proc/sys/kernel/core_pattern',
    does: APPENDS,
    linked: { not: 'procfs has no hard links' },
    ordinary: { does: READS },
  },
  {
    policy: 'kernel-helpers',
    file: '/proc/sys/kernel/modprobe',
    as: '/usr/sbin/sysctl',
    does: APPENDS,
    linked: { not: 'procfs has no hard links' },
    inside: { not: 'the program of the host' },
    ordinary: { as: '/usr/lib/systemd/systemd-sysctl', does: APPENDS },
  },
  appends('kernel-parameters', '/etc/sysctl.d/own.conf'),
  appends('runtime-config', '/etc/docker/daemon.json'),
]
