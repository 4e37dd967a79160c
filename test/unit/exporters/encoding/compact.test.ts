import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Argument, Event } from '../../../../exporters/contract/event.ts'
import { createCompactEncoder } from '../../../../exporters/encoding/compact.ts'
import {
  file,
  int,
  long,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeChange,
  makeLoss,
  makeProcess,
  size,
  text,
  uint,
} from '../support/events.ts'
import { goldenEvents } from '../support/golden-events.ts'
import { matchesGolden } from '../support/golden.ts'

const print = (event: Event, options = {}): string =>
  Buffer.from(createCompactEncoder({ nodeName: 'ns/pod', ...options }).encode([event]).bytes).toString()

const curl = makeProcess({ binary: '/usr/bin/curl', arguments: 'cilium.io' })
const call = (functionName: string, ...args: Argument[]): Event =>
  makeKprobe({ process: curl, hook: makeHook({ functionName }), args })
const refused = (functionName: string, returned: Argument, ...args: Argument[]): Event =>
  makeKprobe({ process: curl, hook: makeHook({ functionName }), args, returned })
const path = file('/etc/password')
const pathArg = file('/etc/password', { field: 'path_arg' })

/** One row for each form of a compact line. */
const ROWS: ReadonlyArray<readonly [Event, string]> = [
  [makeExec({ process: curl }), '🚀 process ns/pod /usr/bin/curl cilium.io'],
  [makeExit({ process: curl, status: 1 }), '💥 exit    ns/pod /usr/bin/curl cilium.io 1'],
  [makeExit({ process: curl, signal: 'SIGKILL', status: 9 }), '💥 exit    ns/pod /usr/bin/curl cilium.io SIGKILL'],
  [call('unhandled_function'), '❓ syscall ns/pod /usr/bin/curl unhandled_function'],
  [call('__x64_sys_unhandled'), '❓ syscall ns/pod /usr/bin/curl __x64_sys_unhandled'],
  [call('fd_install'), '📬 open    ns/pod /usr/bin/curl '],
  [call('fd_install', int(3), path), '📬 open    ns/pod /usr/bin/curl /etc/password'],
  [call('__x64_sys_write'), '📝 write   ns/pod /usr/bin/curl  '],
  [call('__x64_sys_write', path, text('x'), size(1234n)), '📝 write   ns/pod /usr/bin/curl /etc/password 1234 bytes'],
  [call('__x64_sys_close', path), '📪 close   ns/pod /usr/bin/curl /etc/password'],
  [makeExec({ process: makeProcess({ binary: '/bin/sh', arguments: '' }) }), '🚀 process ns/pod /bin/sh '],
  [makeExec(), '🚀 process ns/pod /bin/vi /etc/passwd'],
  [makeKprobe({ args: [file('/etc/passwd'), int(4)] }), '📚 read    ns/pod /bin/vi /etc/passwd'],
  [makeKprobe({ args: [file('/etc/passwd'), int(2)] }), '📝 write   ns/pod /bin/vi /etc/passwd'],
  [
    makeKprobe({
      hook: makeHook({ functionName: 'security_path_truncate' }),
      args: [file('/etc/passwd', { field: 'path_arg' })],
    }),
    '📝 truncate ns/pod /bin/vi /etc/passwd',
  ],
  [makeExit(), '💥 exit    ns/pod /bin/vi /etc/passwd 0'],
  [makeExit({ process: makeProcess({ arguments: '' }) }), '💥 exit    ns/pod /bin/vi  0'],
  [makeExec({ process: makeProcess({ arguments: '-a "b c"' }) }), '🚀 process ns/pod /bin/vi "-a \\"b c\\""'],
  [
    makeExec({ process: makeProcess({ binary: '/usr/bin/\x1b[31mx' }) }),
    '🚀 process ns/pod "/usr/bin/\\x1b[31mx" /etc/passwd',
  ],
  [call('__arm64_sys_read', path, text(''), size(0n)), '📚 read    ns/pod /usr/bin/curl /etc/password 0 bytes'],
  [call('__ia32_sys_openat', int(0), text('a b')), '📬\ufe0f openat  ns/pod /usr/bin/curl "a b"'],
  [call('sys_open', int(0), text('x')), '📬\ufe0f open    ns/pod /usr/bin/curl x'],
  [call('sys_mount', text('a'), text('b')), '💾 mount   ns/pod /usr/bin/curl a b'],
  [call('sys_pivot_root', text('a')), '💾 pivot_root ns/pod /usr/bin/curl a '],
  [call('sys_setuid', int(0)), '🔑 setuid  ns/pod /usr/bin/curl 0'],
  [call('sys_clock_settime'), '⏰ clock_settime ns/pod /usr/bin/curl'],
  [call('proc_exec_connector'), '🔧 proc_exec_connector ns/pod /usr/bin/curl'],
  [call('sys_setns', int(3), int(0x40000000)), '🔧 setns   ns/pod /usr/bin/curl net'],
  [call('sys_setns', int(3), int(0)), '🔧 setns   ns/pod /usr/bin/curl any'],
  [call('sys_setns', int(3), int(5)), '🔧 setns   ns/pod /usr/bin/curl '],
  [call('security_file_permission', path, int(6)), '❓ security_file_permission ns/pod /usr/bin/curl /etc/password'],
  [call('security_file_permission'), '❓ security_file_permission ns/pod /usr/bin/curl '],
  [call('security_mmap_file', path, uint(3)), '📝 mmap-rw ns/pod /usr/bin/curl /etc/password'],
  [call('security_mmap_file', path, uint(7)), '📝 mmap-rwx ns/pod /usr/bin/curl /etc/password'],
  [call('security_mmap_file', path, uint(4)), '📝 mmap-x  ns/pod /usr/bin/curl /etc/password'],
  [call('security_mmap_file', path, int(3)), '📝 mmap-   ns/pod /usr/bin/curl /etc/password'],
  [call('security_mmap_file', path), '❓ security_mmap_file ns/pod /usr/bin/curl /etc/password'],
  [call('security_path_truncate'), '❓ security_path_truncate ns/pod /usr/bin/curl '],
  [call('security_file_truncate', path), '📝 truncate ns/pod /usr/bin/curl /etc/password'],
  [call('may_open', pathArg, int(4), int(0)), '📬 open    ns/pod /usr/bin/curl /etc/password'],
  [refused('may_open', int(-13), pathArg, int(4)), '📬 open    ns/pod /usr/bin/curl /etc/password EACCES'],
  [call('security_bprm_check', file('/bin/x y')), '🏃 execute ns/pod /usr/bin/curl "/bin/x y"'],
  [call('security_path_rename', path, file('/etc/b'), uint(0)), '🚚 rename  ns/pod /usr/bin/curl /etc/password /etc/b'],
  [call('vfs_link', path, file('/tmp/l')), '🔗 link    ns/pod /usr/bin/curl /etc/password /tmp/l'],
  [refused('vfs_unlink', int(-1), path), '🗑 unlink  ns/pod /usr/bin/curl /etc/password EPERM'],
  [refused('vfs_setxattr', int(-512), path, text('user.x')), '🔑 setxattr ns/pod /usr/bin/curl /etc/password -512'],
  [refused('vfs_truncate', long(-13n), path), '📝 truncate ns/pod /usr/bin/curl /etc/password EACCES'],
  [
    refused('vfs_truncate', long(-(2n ** 63n)), path),
    '📝 truncate ns/pod /usr/bin/curl /etc/password -9223372036854775808',
  ],
  [call('security_file_mprotect', path, size(6n)), '📝 mprotect-wx ns/pod /usr/bin/curl /etc/password'],
  [call('vfs_rmdir'), '🗑 rmdir   ns/pod /usr/bin/curl'],
  [call('fd_install', int(3), file('')), '📬 open    ns/pod /usr/bin/curl '],
  [makeChange(), '❗ change  ns/pod policy_removed read-secrets (enforce) by api uid=0 pid=812'],
  [makeChange({ by: 'file /a\nb' }), '❗ change  ns/pod policy_removed read-secrets (enforce) by file /a\\nb'],
  [makeLoss(), '❗ lost    ns/pod 123 events kernel ring_full_hook'],
  [
    makeLoss({ loss: { stage: 'exporter', exporter: 'loki', reason: 'expired' }, count: 1 }),
    '❗ lost    ns/pod 1 event exporter loki expired',
  ],
  [
    makeLoss({ loss: { stage: 'exporter', exporter: 'loki', reason: 'odd\nreason' } }),
    '❗ lost    ns/pod 123 events exporter loki "odd\\nreason"',
  ],
]
for (const [event, want] of ROWS) {
  test(`compact: prints ${JSON.stringify(want)}`, () => assert.equal(print(event), `${want}\n`))
}

test('compact: the golden lines are unchanged', () => {
  const encoder = createCompactEncoder({ nodeName: 'tetragon-dev-control-plane' })
  matchesGolden('events.compact', Buffer.from(encoder.encode(goldenEvents()).bytes).toString())
})

test('compact: timestamps come first, always with nine digits', () => {
  const event = makeExec({ process: curl, time: { sec: 0, nsec: 0 } })
  assert.equal(
    print(event, { timestamps: true }),
    '1970-01-01T00:00:00.000000000Z 🚀 process ns/pod /usr/bin/curl cilium.io\n',
  )
})

test('compact: colours are blue, green, magenta, cyan and red for the end of a process', () => {
  const want =
    '\x1b[34m💥 exit   \x1b[0m \x1b[32mns/pod\x1b[0m \x1b[35m/bin/vi\x1b[0m \x1b[36m/etc/passwd\x1b[0m \x1b[31m0\x1b[0m\n'
  assert.equal(print(makeExit(), { color: true }), want)
})

test('compact: a node name with a space is quoted', () => {
  assert.equal(
    print(makeExec({ process: curl }), { nodeName: 'my node' }),
    '🚀 process "my node" /usr/bin/curl cilium.io\n',
  )
})

test('compact: colours of stacks are green, blue and yellow', () => {
  const frame = { address: 16n, offset: 7, symbol: 'f', module: '' }
  const event = makeKprobe({ kernelStack: [frame], userStack: [{ ...frame, module: '/m' }] })
  const [, ...lines] = print(event, { color: true }).split('\n')
  assert.deepEqual(lines, [
    'Kernel:',
    '   \x1b[32m0x10:\x1b[0m \x1b[34mf\x1b[0m+\x1b[33m0x7\x1b[0m',
    'User:',
    '   \x1b[32m0x10:\x1b[0m \x1b[34mf\x1b[0m (/m+\x1b[33m0x7\x1b[0m)',
    '',
  ])
})

test('compact: every event is one line, with more for its stacks, and `ends` contains the line ends', () => {
  const { bytes, ends, count } = createCompactEncoder({ nodeName: 'n' }).encode(goldenEvents())
  assert.equal(count, ends.length)
  const lines = Buffer.from(bytes).toString().split('\n')
  assert.equal(lines.filter((line) => !/^(?: {3}0x|Kernel:$|User:$|$)/.test(line)).length, count)
  for (const end of ends) assert.equal(bytes[end - 1], 0x0a)
})
