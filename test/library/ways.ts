/**
 * Ways to change what a policy of the library watches, by test/fixtures/library/way.c: each policy with each of its ways, by each kind of user.
 * attacks.test.ts runs them, and docs/reference/library.md lists the missed ones.
 */
const list = (text: string): readonly string[] => text.split(' ')

/** Words for readers, by the names of way.c. */
export const WORDS: Readonly<Record<string, string>> = {
  write_to: 'written',
  append: 'appended',
  open_truncate: 'opened with `O_TRUNC`',
  read_truncate: 'opened for reading with `O_TRUNC`',
  truncate_path: '`truncate(2)`',
  truncate_open: '`ftruncate` of a descriptor that appends',
  punch: 'a hole punched',
  zero_range: 'zeros by `fallocate`',
  collapse: 'blocks taken out by `fallocate`',
  overwrite: 'overwritten with zeros',
  map: 'written by a mapping',
  unappend: 'overwritten after `O_APPEND` was taken from a descriptor',
  no_append: 'overwritten by `pwritev2` with `RWF_NOAPPEND`',
  copy_range: '`copy_file_range`',
  clone_onto: 'a clone (`FICLONE`)',
  by_handle: 'written by a file handle',
  by_link: 'written by a new hard link elsewhere',
  by_bind: 'written by a bind mount, which has the name of a temporary file',
  create: 'made empty by `open`',
  create_write: 'made and written',
  make_empty: 'made empty by `mknod`',
  make_pipe: 'a named pipe in its place',
  rename_into: 'a new file renamed there',
  rename_over: 'another file renamed onto it',
  exchange: 'exchanged with another file',
  exchange_back: 'exchanged with another file, the other way round',
  rename_away: 'renamed away',
  link_into: 'a hard link made there',
  symlink_into: 'a symbolic link made there',
  symlink_over: 'a symbolic link renamed onto it',
  tmpfile_into: 'an unnamed file linked there',
  remove_name: 'removed',
  change_mode: '`chmod`',
  folder_into: 'a folder renamed into the place of its folder',
  folder_link: 'a symbolic link in the place of its folder',
  setuid_chmod: '`chmod`',
  setuid_fchmod: '`fchmod`',
  setuid_create: 'made by `open`',
  setuid_mknod: 'made by `mknod`',
  setuid_link: 'a hard link of a setuid file',
  setuid_tmpfile: 'made without a name (`O_TMPFILE`)',
  setting: 'by its path',
  setting_chroot: 'in a chroot of its folder',
  setting_bind: 'by a bind mount of its folder',
  setting_tree: 'in a detached mount of its folder (`open_tree`)',
  setting_new_proc: 'in a new procfs (`fsopen`)',
  setting_descriptor: 'by a descriptor of its folder',
  cover: 'a file bound over it',
  cover_by_bind: 'a file bound over it, in a bind mount of its folder',
  cover_by_move: 'a detached mount moved over it',
  cover_process: 'a folder bound over a process in /proc',
  cover_process_by_bind: 'a folder bound over a process, in a bind mount of /proc',
  mount_new: '`mount(2)`',
  mount_fsopen: '`fsopen` and `fsmount` of a tmpfs',
  mount_fsopen_proc: '`fsopen` and `fsmount` of a procfs',
  mount_tree: '`open_tree`',
  mount_move: '`open_tree` and `move_mount`',
}

/** Files that a way makes do not exist before. */
export const MAKES: ReadonlySet<string> = new Set(
  list(
    'create create_write make_empty make_pipe rename_into link_into symlink_into tmpfile_into folder_into folder_link setuid_create setuid_mknod setuid_link setuid_tmpfile',
  ),
)
export const FOLDERS: ReadonlySet<string> = new Set(['folder_into', 'folder_link'])

const CONTENT = list(
  'write_to append open_truncate read_truncate truncate_path truncate_open overwrite map copy_range clone_onto by_handle by_link by_bind create create_write make_empty',
)
const NAMES = list(
  'make_pipe rename_into rename_over exchange exchange_back rename_away link_into symlink_into symlink_over tmpfile_into',
)
const REMOVALS = ['remove_name']
const MODES = ['change_mode']
const GROWING = list(
  'open_truncate read_truncate truncate_path truncate_open punch zero_range collapse overwrite map unappend no_append copy_range clone_onto by_handle remove_name rename_over exchange exchange_back rename_away symlink_over',
)

export type User = 'root' | 'user' | 'chroot' | 'container'

export interface Ways {
  readonly policy: string
  /** `%`: another name in each try. */
  readonly file: string
  /** A folder on the file system of the file that nothing watches; the root of the chroot. */
  readonly beside: string
  readonly ways: readonly string[]
  readonly users: readonly User[]
  /** The ways that the policy does not see, as its head says. */
  readonly missed: readonly string[]
  /** An excepted program, which starts one of the ways; what it comes to. */
  readonly excepted?: { readonly as: string; readonly is: 'hidden' | 'reported' }
}

const DPKG = { as: '/usr/bin/dpkg', is: 'hidden' } as const
const ALL: readonly User[] = ['root', 'chroot', 'container']
const BOTH = [...CONTENT, ...NAMES, ...REMOVALS]

const folder = (policy: string, file: string, beside: string, ways: readonly string[] = BOTH): Ways => ({
  policy,
  file,
  beside,
  ways,
  users: ALL,
  missed: ['make_empty'],
  excepted: DPKG,
})
const named = (policy: string, file: string, ways: readonly string[], excepted?: Ways['excepted']): Ways => ({
  policy,
  file,
  beside: file.startsWith('/home/user/') ? '/home/user' : '/usr/local',
  ways,
  users: file.startsWith('/home/user/') ? ['root', 'user', 'chroot', 'container'] : ALL,
  missed: ['make_empty'],
  ...(excepted !== undefined && { excepted }),
})

export const WAYS: readonly Ways[] = [
  {
    ...folder('sudoers-pam', '/etc/sudoers.d/%', '/etc', [...BOTH, ...MODES]),
    excepted: { as: '/usr/sbin/visudo', is: 'reported' },
  },
  {
    ...folder('shadow-passwd', '/etc/subuid', '/etc', [...BOTH, ...MODES]),
    users: ['root', 'chroot'],
    excepted: { as: '/usr/sbin/vipw', is: 'reported' },
  },
  folder('package-sources', '/etc/apt/%.list', '/etc', [...BOTH, ...MODES]),
  folder('trusted-certificates', '/etc/ssl/certs/%.pem', '/etc'),
  folder('cron', '/etc/cron.d/%', '/etc', [...BOTH, ...MODES]),
  folder('sshd-config', '/etc/ssh/%.conf', '/etc', [...BOTH, ...MODES]),
  folder('monitoring-config', '/etc/rsyslog.d/%.conf', '/etc', [...BOTH, ...MODES]),
  folder('init-scripts', '/etc/init.d/%', '/etc', [...BOTH, ...MODES]),
  folder('kernel-parameters', '/etc/sysctl.d/%.conf', '/etc'),
  folder('kernel-modules', '/etc/modprobe.d/%.conf', '/etc'),
  folder('systemd-units', '/etc/systemd/system/%.service', '/etc'),
  folder('dynamic-linker', '/etc/ld.so.conf.d/%.conf', '/etc'),
  folder('runtime-config', '/etc/docker/%.json', '/etc'),
  folder(
    'boot-files',
    '/boot/%',
    '/boot',
    BOTH.filter((way) => !/rename|exchange|link/.test(way)),
  ),
  folder('system-programs', '/usr/local/bin/%', '/usr/local'),
  folder('system-libraries', '/usr/local/lib/%.so', '/usr/local'),
  {
    ...folder('static-pods', '/etc/kubernetes/manifests/%.yaml', '/etc'),
    excepted: { as: '/usr/local/bin/kubeadm', is: 'reported' },
  },
  {
    ...folder('name-resolution', '/etc/hosts', '/etc'),
    users: ['root', 'chroot'],
    ways: BOTH.filter((way) => way !== 'by_link'),
  },
  named('shell-profiles', '/home/user/%/.bashrc', [...CONTENT, ...NAMES], { as: '/usr/sbin/useradd', is: 'reported' }),
  named('ssh-authorized-keys', '/home/user/%/.ssh/authorized_keys', [...CONTENT, ...NAMES, ...FOLDERS]),
  named('user-units', '/home/user/%/.config/systemd/user/own.service', [...CONTENT, ...NAMES, ...FOLDERS], DPKG),
  named('git-hooks', '/home/user/%/.git/hooks/post-commit', [...CONTENT, ...NAMES, ...FOLDERS], DPKG),
  named('python-startup', '/usr/local/lib/python3.11/dist-packages/%.pth', [...CONTENT, ...NAMES], DPKG),
  {
    ...folder('log-tampering', '/var/log/%.log', '/var', GROWING),
    missed: ['no_append'],
    excepted: { as: '/usr/sbin/logrotate', is: 'hidden' },
  },
  {
    ...named('shell-history', '/home/user/%/.bash_history', [...GROWING, 'make_pipe', 'link_into', 'symlink_into']),
    missed: ['no_append'],
  },
  {
    policy: 'setuid-files',
    file: '/home/user/%',
    beside: '/home/user',
    ways: list('setuid_chmod setuid_fchmod setuid_create setuid_mknod setuid_link setuid_tmpfile'),
    users: ['root', 'user'],
    missed: [],
    excepted: DPKG,
  },
  {
    policy: 'kernel-helpers',
    file: '/proc/sys/kernel/core_pattern',
    beside: '/tmp',
    ways: list('setting setting_chroot setting_bind setting_tree setting_new_proc setting_descriptor'),
    users: ['root'],
    missed: [],
    excepted: { as: '/usr/lib/systemd/systemd-sysctl', is: 'reported' },
  },
  {
    policy: 'mounts-over-system',
    file: '/etc/%',
    beside: '/tmp',
    ways: list('cover cover_by_bind cover_by_move'),
    users: ['root'],
    missed: [],
  },
  {
    policy: 'mounts-over-system',
    file: '/etc/%',
    beside: '/etc',
    ways: list('cover cover_by_move'),
    users: ['chroot'],
    missed: [],
  },
  {
    policy: 'mounts-over-system',
    file: '/proc/1',
    beside: '/tmp',
    ways: list('cover_process cover_process_by_bind'),
    users: ['root'],
    missed: [],
  },
  {
    policy: 'container-mounts',
    file: '/tmp',
    beside: '/tmp',
    ways: list('mount_new mount_fsopen mount_fsopen_proc mount_tree mount_move'),
    users: ['container'],
    missed: [],
  },
]
