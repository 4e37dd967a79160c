/** Sums and answers of `ktrail trace`, from events of known calls. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jsonText, lettersOf, listText, treeText } from '../../../../../collector/cli/trace/report.ts'
import { Tally } from '../../../../../collector/cli/trace/tally.ts'
import type { Argument, HookEvent, Process } from '../../../../../exporters/contract/event.ts'
import {
  file,
  int,
  long,
  makeHook,
  makeKprobe,
  makeParent,
  makeProcess,
  uint,
} from '../../../exporters/support/events.ts'

const MAKE = makeProcess({ pid: 10, binary: '/usr/bin/make', arguments: 'all' })
const CC = makeProcess({ pid: 11, binary: '/usr/bin/cc', arguments: '-c a.c' })

function call(functionName: string, args: readonly Argument[], more: Partial<HookEvent> = {}): HookEvent {
  const process: Process = more.process ?? MAKE
  return makeKprobe({
    hook: makeHook({ functionName }),
    args,
    returned: undefined,
    parent: makeParent({ pid: 1 }),
    ...more,
    process,
  })
}

function tallied(): Tally {
  const tally = new Tally()
  const last = { sec: 0, nsec: 0 }
  tally.add(call('security_file_permission', [file('/w/Makefile'), int(4)], { aggregate: { count: 3, last } }))
  tally.add(call('vfs_read', [file('/w/Makefile')], { aggregate: { count: 3, bytes: 2048, last } }))
  const cc = { process: CC, parent: MAKE }
  tally.add(call('security_bprm_check', [file('/usr/bin/cc')], cc))
  tally.add(call('security_file_permission', [file('/w/a.o'), int(2)], cc))
  tally.add(call('vfs_write', [file('/w/a.o')], { ...cc, returned: long(7n) }))
  tally.add(call('vfs_copy_file_range', [file('/w/from'), file('/w/to')], { ...cc, returned: long(9n) }))
  tally.add(call('security_mmap_file', [file('/lib/libc.so'), uint(5), uint(2)], cc))
  tally.add(call('security_file_mprotect', [file('/lib/libc.so'), uint(1)], cc))
  tally.add(call('security_path_mknod', [file('/w/tmp (deleted)')], cc))
  tally.add(call('vfs_unlink', [file('/w/tmp')], cc))
  tally.add(call('security_path_rename', [file('/w/old'), file('/w/new')], cc))
  tally.add(call('chmod_common', [file('/w/a.o'), int(0o644)], cc))
  tally.add(call('may_open', [file('/etc/shadow'), int(4)], { ...cc, returned: int(-13) }))
  return tally
}

test('trace: letters, calls and bytes of each file', () => {
  const { processes } = tallied()
  const files = new Map([...processes.values()].flatMap((each) => [...each.files]))
  const letters = Object.fromEntries([...files].map(([path, use]) => [path, lettersOf(use)]))
  assert.deepEqual(letters, {
    '/w/Makefile': 'r----',
    '/usr/bin/cc': '--x--',
    '/w/a.o': '-w--+',
    '/w/from': 'r----',
    '/w/to': '-w---',
    '/lib/libc.so': 'r-x--',
    '/w/tmp': '---d+',
    '/w/old': '---d+',
    '/w/new': '----+',
    '/etc/shadow': '----+',
  })
  assert.deepEqual(files.get('/w/Makefile')?.read, { calls: 3, bytes: 2048 })
  assert.deepEqual(files.get('/w/a.o')?.write, { calls: 1, bytes: 7 })
  assert.deepEqual([...(files.get('/etc/shadow')?.others ?? [])], ['open EACCES'])
})

test('trace: the list sums all processes; the tree has the child below its parent; only changes', () => {
  const tally = tallied()
  tally.add(call('security_file_permission', [file('/w/Makefile'), int(4)], { process: CC, parent: MAKE }))
  assert.match(listText(tally), /^r---- +4 +2\.0 KiB +\/w\/Makefile$/m)
  assert.match(listText(tally), /^----\+ +\/etc\/shadow \(open EACCES\)$/m)
  const tree = treeText(tally).split('\n')
  assert.deepEqual(
    tree.filter((line) => line.includes('pid')).map((line) => line.trimEnd()),
    ['/usr/bin/make all  pid 10', '  /usr/bin/cc -c a.c  pid 11'],
  )
  const changes = listText(tally.changes())
  assert.doesNotMatch(changes, /Makefile|libc/)
  assert.match(changes, /\/w\/a\.o/)
})

test('trace: a process has the name of its last image, in whatever order events come', () => {
  const at = (sec: number, binary: string): Process => makeProcess({ pid: 12, binary, startTime: { sec, nsec: 0 } })
  for (const order of [
    [1, 2],
    [2, 1],
  ]) {
    const tally = new Tally()
    for (const sec of order)
      tally.add(call('security_bprm_check', [file('/x')], { process: at(sec, sec === 1 ? '/bin/sh' : '/bin/ls') }))
    assert.deepEqual(
      [...tally.processes.values()].map(({ process }) => process.binary),
      ['/bin/ls'],
    )
  }
})

test('trace: hostile names stay in their line, and JSON has them whole', () => {
  const tally = new Tally()
  tally.add(call('vfs_unlink', [file('/w/\n\x1b[2J')]))
  assert.equal(listText(tally).trimEnd().split('\n').length, 2)
  assert.ok(!(listText(tally) + treeText(tally)).includes('\x1b'))
  const { processes, exitCode } = JSON.parse(jsonText(tally, 7)) as {
    exitCode: number
    processes: Array<{ files: unknown[]; parent: unknown }>
  }
  assert.deepEqual([exitCode, processes[0]?.parent], [7, null])
  assert.match(JSON.stringify(processes[0]?.files), /\/w\/\\n\\u001b\[2J/)
})
