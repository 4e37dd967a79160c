/** The events of the golden files: each type of record and of argument, in a fixed order. */
import type { Event, Members, MemberValue, ProcessDetails, StackFrame } from '../../../../exporters/contract/event.ts'
import {
  bytes,
  file,
  int,
  long,
  makeContainer,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeLoss,
  makeParent,
  makePod,
  makeProcess,
  size,
  struct,
  text,
  uint,
  unread,
} from './events.ts'

const hook = (functionName: string, change = {}): ReturnType<typeof makeHook> => makeHook({ functionName, ...change })

/** The event as a client of Tetragon gets it, which skips our field `aggregate`. */
export function asTetragons(event: Event): Event {
  if (!('aggregate' in event)) return event
  const { aggregate: _, ...rest } = event
  return rest
}

const members = (of: Readonly<Record<string, MemberValue>>): Members => new Map(Object.entries(of))
const CAPABILITIES = members({ permitted: ['CAP_CHOWN', 'DAC_OVERRIDE'], inheritable: ['CAP_BPF'] })
const HOSTS = members({ inum: 4026531836, is_host: true })
const DETAILS: ProcessDetails = {
  cap: CAPABILITIES,
  ns: members({ uts: members({ inum: 4026532001 }), pid: HOSTS }),
  process_credentials: members({
    uid: 0,
    gid: 1,
    euid: 2,
    egid: 3,
    suid: 4,
    sgid: 5,
    fsuid: 6,
    fsgid: 7,
    securebits: ['SecBitNoRoot', 'SecBitKeepCaps'],
    caps: CAPABILITIES,
    user_ns: members({ level: 0, uid: 0, gid: 0, ns: HOSTS }),
  }),
  user: members({ name: 'www-"data"' }),
}

const frame = (of: Partial<StackFrame>): StackFrame => ({ address: 0n, offset: 0, symbol: '', module: '', ...of })
const ANCESTORS = [makeParent({ pid: 5, forked: true, details: DETAILS }), makeParent({ pid: 1, arguments: 'init' })]

export function goldenEvents(): Event[] {
  const events: Event[] = [
    makeExec(),
    makeExec({ parent: undefined, process: makeProcess({ pid: 0, binary: '<kernel>', parentExecId: '', cwd: '' }) }),
    makeExec({ process: makeProcess({ docker: '', inInitTree: true, arguments: ' "two words" "" x' }) }),
    makeExec({ process: makeProcess({ inInitTree: false, startTime: { sec: 1713061082, nsec: 0 } }), refcnt: 0 }),
    makeExec({ time: { sec: 1713061094, nsec: 120_000_000 }, process: makeProcess({ auid: 1000, uid: 1000 }) }),
    makeExec({ time: { sec: 1713061094, nsec: 1000 }, process: makeProcess({ flags: 'procFS', arguments: '' }) }),
    makeExec({ process: makeProcess({ details: DETAILS, unlinkedInode: 9n, inInitTree: true }), refcnt: 2 }),
    makeExec({ process: makeProcess({ details: { cap: new Map() } }), parent: makeParent({ details: DETAILS }) }),
    makeExec({
      process: makeProcess({ arguments: 'the begin', flags: 'execve truncArgs dataArgs', unlinkedInode: 9n }),
      executed: {
        arguments: 'the beginning and the rest',
        flags: 'execve dataArgs',
        environment: [
          ['PATH', '/usr/bin:/bin'],
          ['EMPTY', ''],
          ['', 'no name'],
          ['ODD', '"a"\n'],
        ],
        raised: new Map<string, MemberValue>([
          ['setuid', 0],
          ['setgid', 7],
          ['privileges_changed', ['PRIVILEGES_RAISED_EXEC_FILE_CAP', 'PRIVILEGES_RAISED_EXEC_FILE_SETUID']],
        ]),
      },
    }),
    makeExec({ executed: { raised: new Map([['privileges_changed', ['PRIVILEGES_RAISED_EXEC_FILE_CAP']]]) } }),
    makeExec({ ancestors: [] }),
    makeExec({ ancestors: ANCESTORS }),
    makeExit({ ancestors: ANCESTORS, signal: 'SIGKILL' }),
    makeKprobe({ ancestors: ANCESTORS }),
    makeExit(),
    makeExit({ status: 1 }),
    makeExit({ signal: 'SIGKILL', refcnt: 0 }),
    makeKprobe(),
    makeKprobe({ args: [file('/etc/passwd'), int(4)], tid: 64750, refcnt: 2 }),
    makeKprobe({ args: [file('/etc/shadow', { mode: 0o100000 }), int(4)], returned: int(-13) }),
    makeKprobe({ hook: hook('security_mmap_file'), args: [file('/etc/passwd'), uint(3)] }),
    makeKprobe({ hook: hook('security_path_truncate'), args: [file('/etc/passwd', { field: 'path_arg' })] }),
    makeKprobe({
      hook: hook('__x64_sys_write'),
      args: [file('/etc/passwd'), text(''), size(1234n)],
      returned: long(-1n),
    }),
    makeKprobe({ hook: hook('fd_install'), args: [int(3), file('', { mode: 0o010600 })], returned: undefined }),
    makeKprobe({ hook: hook('do_exit'), args: [], returned: undefined }),
    makeKprobe({
      hook: hook('sys_mount', { dataLabels: ['', 'program'], tags: ['a'] }),
      args: [text('none')],
      data: [text('bash'), file('/usr/bin/bash'), uint(7)],
      returned: undefined,
    }),
    makeKprobe({
      hook: hook('tty_write', { labels: ['', 'typed', '', ''] }),
      args: [
        bytes(Buffer.from('password\n')),
        bytes(Uint8Array.of(0, 255, 0x41)),
        bytes(Buffer.from('begin'), 5000),
        bytes(new Uint8Array()),
        bytes(new Uint8Array(), 7),
      ],
      returned: long(9n),
    }),
    makeKprobe({
      hook: hook('vfs_thing', {
        message: 'odd "things"',
        tags: ['a.b', 'é'],
        labels: ['', 'how', '', 'wide', 'wider'],
      }),
      args: [
        uint(4294967295),
        int(-2147483648),
        text('tab\t\u2028 quote" \u0001 \u{1f600} \ufffd'),
        long(-9007199254740993n),
        size(2n ** 64n - 1n),
      ],
      returned: unread('Bad address for basic type'),
    }),
    makeKprobe({
      args: [
        file('/long/tail', { unresolved: true, mode: 0o107755 }),
        file('/tmp/x (deleted)', { deleted: true, mode: 0 }),
        file('/a/or/b', { unstable: true }),
        file('', { unresolved: true, unstable: true }),
        unread(''),
      ],
      parent: undefined,
    }),
    makeKprobe({ process: makeProcess({ pid: 7, binary: '/usr/bin/\x1b[31mx' }), parent: makeParent(), tid: 0 }),
    makeExec({
      process: makeProcess({ binary: '/memfd:x (deleted)', unlinkedInode: 18446744073709551615n, inInitTree: false }),
    }),
    makeLoss(),
    makeLoss({
      loss: { stage: 'exporter', exporter: 'loki', reason: 'queue_full' },
      count: 5_000_000_000,
      firstSeq: 88_213,
      lastSeq: 90_000,
    }),
    makeExec({ process: makeProcess({ nspid: 7, pod: makePod() }), parent: makeParent({ nspid: 1, pod: makePod() }) }),
    makeExec({
      process: makeProcess({
        execProbe: true,
        pod: makePod({
          labels: { app: 'web', 'pod-template-hash': '7d9f' },
          workload: 'web',
          workloadKind: 'Deployment',
          container: makeContainer({ privileged: true, image: 'busybox', imageId: '' }),
        }),
      }),
    }),
    makeKprobe({
      args: [file('/etc/passwd'), int(4)],
      aggregate: { count: 1_000_000, bytes: 4_096_000_000, last: { sec: 1713061103, nsec: 7 } },
    }),
    // Only its cgroup is known yet.
    makeKprobe({
      process: makeProcess({ pod: makePod({ workload: 'x', workloadKind: 'Rollout', container: undefined }) }),
      args: [file('/etc/passwd'), int(4)],
    }),
    makeKprobe({
      hook: hook('tcp_connect', { labels: ['where'] }),
      args: [
        struct(
          'sock_arg',
          'tcp 10.0.0.1:40000 -> 10.0.0.2:443',
          ['family', 'AF_INET'],
          ['type', 'SOCK_STREAM'],
          ['protocol', 'IPPROTO_TCP'],
          ['saddr', '10.0.0.1'],
          ['daddr', '10.0.0.2'],
          ['sport', 40000],
          ['dport', 443],
          ['cookie', 18446623346734432256n],
          ['state', 'TCP_SYN_SENT'],
        ),
      ],
    }),
    makeKprobe({
      hook: hook('ip6_output'),
      args: [
        struct(
          'skb_arg',
          'udp [fd00::1]:53 -> [fd00::2]:5353',
          ['len', 49],
          ['saddr', 'fd00::1'],
          ['daddr', 'fd00::2'],
          ['sport', 53],
          ['dport', 5353],
          ['proto', 17],
          ['protocol', 'IPPROTO_UDP'],
          ['family', 'AF_INET6'],
        ),
        struct('sockaddr_arg', '10.0.0.2:443', ['family', 'AF_INET'], ['addr', '10.0.0.2'], ['port', 443]),
        struct('sockaddrun_arg', '@name', ['family', 'AF_UNIX'], ['path', '@name']),
        struct('sock_arg', ''),
      ],
    }),
    makeKprobe({
      ancestors: ANCESTORS,
      hook: hook('kfree_skb_reason', { message: 'dropped', tags: ['a.b'] }),
      args: [int(2)],
      returned: undefined,
      kernelStack: [
        frame({ symbol: 'kfree_skb_reason', offset: 5 }),
        frame({ symbol: 'tcp_v4_rcv', offset: 70_000, address: 18446744071595876353n }),
        frame({}),
      ],
      userStack: [
        frame({ symbol: 'send', offset: 1_100_000, module: '/usr/lib/x86_64-linux-gnu/libc.so.6' }),
        frame({ module: '/opt/a "b" (deleted)', offset: 4_294_967_296, address: 94107112939520n }),
        frame({ address: 1n }),
      ],
    }),
    makeKprobe({
      type: 'process_lsm',
      ancestors: ANCESTORS,
      hook: hook('file_open', {
        type: 'process_lsm',
        message: 'opened',
        tags: ['a.b'],
        labels: ['what'],
        action: 'sigkill',
      }),
      args: [file('/etc/shadow')],
      returned: undefined,
    }),
    makeKprobe({
      type: 'process_lsm',
      hook: hook('task_alloc', { type: 'process_lsm' }),
      args: [],
      returned: undefined,
      parent: undefined,
    }),
    makeKprobe({
      type: 'process_tracepoint',
      ancestors: ANCESTORS,
      hook: hook('raw_syscalls:sys_enter', { type: 'process_tracepoint', labels: ['call'], message: 'called' }),
      args: [struct('syscall_id', '59', ['id', 59], ['abi', 'x64'])],
      returned: undefined,
    }),
    makeKprobe({
      type: 'process_tracepoint',
      hook: hook('sched:sched_process_exec', { type: 'process_tracepoint', tags: ['a.b'], action: 'signal' }),
      args: [],
      returned: undefined,
      parent: undefined,
    }),
  ]
  return events.map((event, i) => ({ ...event, seq: i + 1 }))
}
