/**
 * Features of the language that the policies shipped by Tetragon 1.7.0 (its folder `examples/`) need: each of the 83 documents has one policy of our own
 * with the same hooks, types, operators and actions. A row is a path, hooks in a short form (short-hooks.ts), and the other keys of `spec`.
 */
import { shortHooks } from './short-hooks.ts'

type Row = readonly [path: string, ...hooks: Array<string | Readonly<Record<string, unknown>>>]

export interface ShippedPolicy {
  readonly path: string
  readonly spec: Readonly<Record<string, unknown>>
}

const NO_NAMESPACE = 'metadata.namespace: missing; expected the namespace of the pods, which kubectl would add'

/** The text of a policy file. Its name is made of the path. */
export function textOf({ path, spec }: ShippedPolicy, kind = 'TracingPolicy'): string {
  const name = path.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return JSON.stringify({ apiVersion: 'cilium.io/v1alpha1', kind, metadata: { name }, spec })
}

function namespaced(hooks: readonly string[]): string {
  return textOf({ path: 'namespaced', spec: shortHooks(hooks) }, 'TracingPolicyNamespaced')
}

const SET_CALLS =
  'setuid(int) setgid(int) setreuid(int,int) setregid(int,int) setresuid(int,int,int) setresgid(int,int,int) setfsuid(int) setfsgid(int)'
const sets = (prefix: string, rest: string): string[] => SET_CALLS.split(' ').map((call) => `${prefix}${call}${rest}`)
const fileHooks = (name: string, action = '', flags = 'uint32'): string[] => [
  `security_file_permission(file,int):int | 0 ${name} & 1 Equal 4${action}`,
  `security_mmap_file(file,uint32,${flags}):int | 0 ${name} & 1 Mask 2${action}`,
  `security_path_truncate(path):int | 0 ${name}${action}`,
]
const networks = (call: string, values: string, action = ''): string => `${call}(sock) | 0 NotDAddr ${values}${action}`
const tcp = (selector: string): string[] =>
  ['tcp_connect(sock)', 'tcp_close(sock)', 'tcp_sendmsg(sock,_,int)'].map((call) => `${call}${selector}`)
const datagrams = (call: string): string =>
  `${call}(_,sock,skb) | 2 Protocol IPPROTO_UDP & 2 DAddr 127.0.0.1/32,::1/128`
const fds = (selector: string): string => `fd_install(int,file) | ${selector}`
const syscallList = { lists: [{ name: 'dups', type: 'syscalls', values: ['sys_dup', 'sys_dup2'] }] }

const RATE = '> Post 1m'
const KILL = ' > Sigkill'
const DENY = ' > Override -1'
const BASH = 'binaries In /usr/bin/bash'
const CURL = 'binaries In /usr/bin/curl'
const OTHER_PIDS = 'namespace Pid NotIn host_ns'
const OUTSIDE_INIT = 'pids NotIn 1 & pids NotIn 0'
const NO_ADMIN = 'capabilities NotIn CAP_SYS_ADMIN'
const MODULES = ['security_kernel_module_request(string):int', 'security_kernel_read_file(file,int):int | 1 Equal 2']
const BPF = [
  'bpf_check(_,bpf_attr)',
  'security_perf_event_alloc(perf_event)',
  'security_bpf_map_alloc(bpf_map)?',
  'security_bpf_map_create(bpf_map)?',
]
const LINK = 'sys_linkat(int,string,int,string,int) | 1 Equal /etc/passwd\\0'
const SYMLINK = 'sys_symlinkat(string,int,string) | 0 Equal /etc/passwd\\0'
const FILTER_SKB = '__cgroup_bpf_run_filter_skb(sock,skb,int)'
const FREED = '__sk_free(sock) | 0 Family AF_INET > UntrackSock 0'
const ALLOCATED = 'sk_alloc(_,int):sock~TrackSock | 1 Equal 2'
const ACCEPTED = [
  'tcp_set_state(sock,int) | 0 State TCP_SYN_RECV & 1 Equal 1',
  'tcp_create_openreq_child(sock):sock~TrackSock',
]

/** The version of the policies. */
export const TETRAGON = 'v1.7.0'

/** These load as they are. */
export const LOADING: readonly Row[] = [
  ['policylibrary/bpf', ...BPF, ...fileHooks('Prefix /sys/fs/bpf').slice(0, 2)],
  ['policylibrary/modules', ...MODULES],
  [
    'policylibrary/privileges/privileges-raise',
    `security_capset(cred,cred,cap_effective,cap_inheritable,cap_permitted) | 2 NotEqual 0x0 ${RATE}`,
    `create_user_ns(nop) | ${NO_ADMIN}`,
    ...sets('__sys_', ` | 0 Equal 0 ${RATE}`),
  ],
  ['policylibrary/privileges/privileges-setuid-root', ...sets('__sys_', ':int | 0 Equal 0 > Post 1m')],
  [
    'quickstart/file_monitoring',
    ...fileHooks('Prefix /boot,/root/.ssh'),
    'security_file_open(file) | 0 Postfix .bashrc',
  ],
  ['tracingpolicy/bpf', ...BPF],
  [
    'tracingpolicy/cves/cve-2023-2640-overlayfs-ubuntu',
    `security_inode_copy_up_xattr(string):int | namespace User NotIn host_ns & 0 Equal security.capability\\0 > Override 1`,
  ],
  [
    'tracingpolicy/cves/cve-2024-3094-xz-ssh',
    `security_mmap_file(file,uint32,nop):int | binaries In /usr/sbin/sshd & 0 Postfix liblzma.so.5.6.0 ${RATE}`,
  ],
  ['tracingpolicy/datagram', FILTER_SKB],
  ['tracingpolicy/dev_hard_start_xmit', 'dev_hard_start_xmit(_,net_device) | 1 Equal lo'],
  ['tracingpolicy/dev_queue_xmit', 'dev_queue_xmit(skb)'],
  ['tracingpolicy/fd_install_cap_changes', fds('capabilityChanges In CAP_SYS_ADMIN,CAP_NET_RAW')],
  ['tracingpolicy/fd_install_caps', fds('capabilities In CAP_CHOWN,CAP_NET_RAW')],
  ['tracingpolicy/fd_install_ns', fds('namespace Pid In 4026531836 & namespace Mnt In 4026531834')],
  ['tracingpolicy/fd_install_ns_host', fds('namespace Pid In host_ns')],
  ['tracingpolicy/filename_monitoring', ...fileHooks('Prefix /etc/', '', 'nop')],
  ['tracingpolicy/filename_monitoring_filtered', ...fileHooks('Equal /etc/passwd', '', 'nop')],
  ['tracingpolicy/hardlink-observe', LINK],
  ['tracingpolicy/hardlink-override', LINK + DENY],
  ['tracingpolicy/host-changes/monitor-kernel-modules', ...MODULES, 'do_init_module(module)', 'free_module(module)'],
  ['tracingpolicy/host-changes/monitor-signed-kernel-modules', ...MODULES, 'find_module_sections(nop,load_info)'],
  ['tracingpolicy/kprobe_commit_creds', 'commit_creds(cred)'],
  [
    'tracingpolicy/list-generated-ftrace',
    `list:ksys | ${BASH}`,
    { lists: [{ name: 'ksys', type: 'generated_ftrace', pattern: '^ksys_*' }] },
  ],
  [
    'tracingpolicy/list-syscalls-generated',
    `list:all | ${BASH}`,
    { lists: [{ name: 'all', type: 'generated_syscalls' }] },
  ],
  ['tracingpolicy/list-syscalls', 'list:dups', syscallList],
  ['tracingpolicy/lsm_file_open', 'lsm:file_open(file) | binaries In /usr/bin/cat & 0 Equal /etc/passwd'],
  [
    'tracingpolicy/lsm_track_grandparent',
    'lsm:bprm_check_security(string@mm.owner.real_parent.real_parent.comm) | > Post',
  ],
  [
    'tracingpolicy/modules-nohost',
    `security_kernel_module_request(string):int | ${OTHER_PIDS}${DENY}${KILL}`,
    `security_kernel_load_data(int):int | 0 Equal 2 & ${OTHER_PIDS}${DENY}${KILL}`,
    { podSelector: { matchLabels: {} } },
  ],
  [
    'tracingpolicy/openat_write',
    'sys_openat(int,string,int):int | 1 Equal /etc/passwd\\0 & 2 Mask 0x40,0x1,0x2 & return GT 0',
  ],
  ['tracingpolicy/override-security', `security_inode_mkdir() | ${BASH} | ${DENY}`],
  [
    'tracingpolicy/process-credentials/creds-capability-usage',
    `cap_capable(nop,user_namespace,capability):int | ${OTHER_PIDS} ${RATE}`,
  ],
  [
    'tracingpolicy/process-credentials/process-creds-changed',
    `commit_creds(cred) | ${OTHER_PIDS} ${RATE}`,
    `override_creds(cred) | ${RATE}`,
    `revert_creds(cred) | ${RATE}`,
  ],
  ['tracingpolicy/process-credentials/process-creds-installed', `commit_creds(cred) | ${OTHER_PIDS} ${RATE}`],
  ['tracingpolicy/process-credentials/process.credentials.changes.at.syscalls', ...sets('sys_', ` | ${OTHER_PIDS}`)],
  ['tracingpolicy/process-exec/process-exec-elf-begin', 'security_bprm_creds_from_file(nop,file)'],
  [
    'tracingpolicy/sandbox/linux-namespaces/kill_unprivileged_user_namespace',
    `create_user_ns(nop) | ${NO_ADMIN}${KILL} -1`,
  ],
  [
    'tracingpolicy/sandbox/linux-namespaces/kill_unprivileged_user_namespace_in_pid_namespace',
    `create_user_ns(nop) | ${OTHER_PIDS} & ${NO_ADMIN}${KILL} -1`,
  ],
  [
    'tracingpolicy/security-socket-connect',
    'security_socket_connect(_,sockaddr,int) | 1 Family AF_INET,AF_INET6,AF_UNIX',
  ],
  ['tracingpolicy/stack_traces', 'kfree_skb_reason(skb,int) | > Post stack'],
  ['tracingpolicy/security_bprm_check', 'security_bprm_check(linux_binprm)=int | 0 Equal /usr/bin/true'],
  ['tracingpolicy/security_inode_follow_link', 'security_inode_follow_link(dentry)=int'],
  ['tracingpolicy/symlink-observe', SYMLINK],
  ['tracingpolicy/symlink-override', SYMLINK + DENY],
  ['tracingpolicy/sys_clock_settime', `sys_clock_settime(int) | ${OUTSIDE_INIT}`],
  ['tracingpolicy/sys_mount', '__x64_sys_mount(string,string)'],
  ['tracingpolicy/sys_pivot_root', `sys_pivot_root(string,string) | ${OUTSIDE_INIT}`],
  ['tracingpolicy/sys_ptrace', '__x64_sys_ptrace(_,_,int)'],
  ['tracingpolicy/sys_setuid', 'sys_setuid(int)'],
  ['tracingpolicy/tcp-connect-only-local-addrs', networks('tcp_connect', '127.0.0.0/8', ` & ${CURL}${KILL}`)],
  ['tracingpolicy/tcp-connect-only-private-addrs', networks('tcp_connect', '10.0.0.0/8,192.168.0.0/16', KILL)],
  ['tracingpolicy/tcp-connect-with-selectors', ...tcp(' | 0 DAddr 127.0.0.1/8')],
  ['tracingpolicy/tcp-connect', ...tcp('')],
  ['tracingpolicy/tty', 'tty_write(kiocb,iov_iter!)'],
  ['tracingpolicy/tty_54', 'tty_write(file,char_buf#3,size_t)'],
  ['tracingpolicy/raw_syscalls', 'tracepoint:raw_syscalls/sys_enter(4 syscall64)'],
  ['tracingpolicy/rawtp', 'rawTracepoint:sched/sched_process_exec(2 linux_binprm)'],
  [
    'tracingpolicy/killer',
    `tracepoint:raw_syscalls/sys_enter(4 syscall64) | 0 InMap list:dups & ${BASH} > NotifyEnforcer -1`,
    { ...syscallList, enforcers: [{ calls: ['list:dups'] }] },
  ],
]

/**
 * These load with one value corrected. Some versions of Tetragon ship them with `written` in the text of the policy, instead of `corrected`;
 * then they are refused.
 */
export const CORRECTED: ReadonlyArray<{
  readonly row: Row
  readonly corrected: string
  readonly written: string
  readonly refusal: string
  /** The value in TETRAGON. */
  readonly shipped: 'corrected' | 'written'
}> = [
  {
    row: ['policylibrary/egress', networks('tcp_connect', '127.0.0.1,10.0.0.0/8')],
    corrected: '"10.0.0.0/8"',
    written: '"${PODCIDR}"',
    refusal: 'got "${PODCIDR}"; replace the variable first, for example with envsubst',
    shipped: 'written',
  },
  {
    row: [
      'tracingpolicy/lsm_bprm_check',
      `lsm:bprm_check_security(linux_binprm) | binaries In /usr/bin/bash & 0 Postfix tester-progs/nop${DENY} > Post`,
    ],
    corrected: '{"action":"Post"}',
    written: '{"action":"Post","imaHash":true}',
    refusal: 'Tetragon field "imaHash" is not supported by this version of ktrail',
    shipped: 'written',
  },
  {
    row: [
      'tracingpolicy/datagram-with-selectors',
      `${FILTER_SKB} | 1 DAddr 127.0.0.1/8 & 1 Protocol IPPROTO_UDP > Post 5`,
    ],
    corrected: '"rateLimit":"5"',
    written: '"rateLimit":5',
    refusal: 'put it in quotes: "5"',
    shipped: 'corrected',
  },
  {
    row: [
      'tracingpolicy/dns-only-specified-servers',
      `ip_output(_,_,skb) | 2 Protocol IPPROTO_TCP,IPPROTO_UDP & 2 DPort 53 & 2 NotDAddr 127.0.0.53${KILL}`,
    ],
    corrected: '["53"]',
    written: '[53]',
    refusal: 'put it in quotes: "53"',
    shipped: 'corrected',
  },
  {
    row: [
      'tracingpolicy/security-socket-connect-block-others',
      `security_socket_connect(socket,sockaddr,int) | 0 Protocol IPPROTO_TCP & 1 Family AF_INET & 1 SAddr 192.168.1.1 & 1 SPort 80 & ${CURL} > Post | 0 Protocol IPPROTO_TCP & ${CURL} > Override 1`,
    ],
    corrected: '["80"]',
    written: '[80]',
    refusal: 'put it in quotes: "80"',
    shipped: 'corrected',
  },
  {
    row: ['tracingpolicy/write', 'sys_write(int,char_buf#3,size_t) | pids NotIn 1 & 0 Equal 1'],
    corrected: '"sizeArgIndex":3',
    written: '"sizeArgIndex":2',
    refusal: '2 is the buffer itself',
    shipped: 'corrected',
  },
  {
    row: [
      'tracingpolicy/list-syscalls-tracepoint',
      'tracepoint:raw_syscalls/sys_enter(4 syscall64) | 4 InMap list:dups',
      syscallList,
    ],
    corrected: '"syscall64"',
    written: '"uint64"',
    refusal: 'of type syscall64 of a tracepoint; got type uint64',
    shipped: 'written',
  },
]

/** These do not load yet; each problem names the missing feature. */
export const WAITING: readonly Row[] = [
  ['policylibrary/library', { loader: true, options: [{ name: 'disable-kprobe-multi', value: '1' }] }],
  [
    'policylibrary/sshd',
    ALLOCATED,
    'sk_free(sock) | 0 Family AF_INET > UntrackSock 0',
    ...ACCEPTED,
    { options: [{ name: 'disable-kprobe-multi', value: '1' }] },
  ],
  [
    'tracingpolicy/datagram-with-sock-tracking',
    ALLOCATED,
    FREED,
    `${FILTER_SKB} | 1 DAddr 127.0.0.1/32 & 1 Protocol IPPROTO_UDP > Post 5`,
  ],
  [
    'tracingpolicy/datagram_518',
    ALLOCATED,
    FREED,
    'sk_filter_trim_cap(sock,skb) | 1 Protocol IPPROTO_UDP',
    datagrams('ip_output'),
    datagrams('ip_mc_output'),
    datagrams('ip6_output'),
  ],
  ['tracingpolicy/loader', { loader: true }],
  ['tracingpolicy/open_dnsrequest', fds('1 Equal /etc/passwd > DnsLookup example.com')],
  ['tracingpolicy/open_geturl', fds('1 Equal /etc/passwd > GetUrl http://example.com')],
  ['tracingpolicy/tcp-accept', ALLOCATED, FREED, ...ACCEPTED, 'tcp_close(sock) | 0 DAddr 127.0.0.1/32'],
  [
    'tracingpolicy/tcp-listen',
    `${ALLOCATED} > NoPost`,
    `${FREED} > NoPost`,
    'inet_csk_listen_start(sock) | 0 SPort 1337,31337',
  ],
  ['tracingpolicy/uprobe', { uprobes: [{ path: '/bin/bash', symbols: ['readline'] }] }],
  ['tracingpolicy/uprobe-binaries', { uprobes: [{ path: '/lib64/libc.so.6', symbols: ['malloc'], selectors: [] }] }],
  ['tracingpolicy/uprobe-host', { uprobes: [{ path: '/procRoot/1/root/usr/bin/bash', symbols: ['readline'] }] }],
  ['tracingpolicy/uprobe-pid', { uprobes: [{ path: '/bin/bash', symbols: ['readline'], selectors: [] }] }],
  [
    'tracingpolicy/usdt',
    { usdts: [{ path: '/bin/a', provider: 'a', name: 'b', args: [{ index: 0, type: 'int32' }] }] },
  ],
  [
    'tracingpolicy/usdt-set',
    { usdts: [{ path: '/bin/a', provider: 'a', name: 'b', selectors: [{ matchActions: [{ action: 'Set' }] }] }] },
  ],
]

/** These are no policies until a person or kubectl completes them, for Tetragon neither. */
export const INCOMPLETE: ReadonlyArray<readonly [path: string, text: string, refusal: string]> = [
  [
    'other/file-block-kubectl-exec-access',
    'kind: Pod\n---\nkind: TracingPolicy',
    'got a Pod in front of a policy: move the policy to a file of its own',
  ],
  [
    'quickstart/file_monitoring_enforce',
    namespaced(['security_file_open(file) | 0 Prefix /etc > Sigkill']),
    NO_NAMESPACE,
  ],
  [
    'quickstart/network_egress_cluster',
    textOf({ path: 'egress', spec: shortHooks([networks('tcp_connect', '127.0.0.1,${PODCIDR}')]) }),
    'got "${PODCIDR}"; replace the variable first, for example with envsubst',
  ],
  ['quickstart/network_egress_cluster_enforce', namespaced([networks('tcp_connect', '127.0.0.1', KILL)]), NO_NAMESPACE],
]

export function policyOf([path, ...parts]: Row): ShippedPolicy {
  const hooks = parts.filter((part) => typeof part === 'string')
  const others = parts.filter((part) => typeof part !== 'string')
  return { path, spec: Object.assign(shortHooks(hooks), ...others) }
}
