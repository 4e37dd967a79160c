/**
 * A synthetic recording: ring bytes of a busy host, by a seed, for machines that cannot record real ones. About 150
 * long-lived services and a stream of short commands (fork, exec, some accesses, exit); some 4,000 paths of 3 to 7 components.
 */
import { NOP, typeNamed } from '../../../config/policy/arguments.ts'
import type { Hook } from '../../../exporters/contract/event.ts'
import { valueIndex } from '../../../collector/plan/layout/hook.ts'
import { PROCESS_FLAGS } from '../../../collector/wire/flags.ts'
import { RingRecords } from './ring-records.ts'
import type { HookValue, Stamp } from './ring-records.ts'
import type { RecordedHook, Recording } from './recording.ts'

const SERVICES = 150
const FILES = 4_000
const SPAN_MS = 10_000
const REGULAR = 0o100644
const ZERO: HookValue = { kind: 'int', value: 0n }

/** mulberry32: small, seeded, good enough to vary paths. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

function hookOf(id: number, functionName: string, types: readonly string[]): RecordedHook {
  const hook: Hook = {
    id,
    policy: 'file-monitoring',
    functionName,
    action: 'post',
    returnAction: 'post',
    message: '',
    tags: [],
    labels: types.map(() => ''),
    indexes: types.map((_, index) => index),
  }
  return { hook, args: types.map((type, index) => ({ index, type })), returned: 'int' }
}

/** Index of a parameter of this type in records. */
const called = (index: number, type: string): number => valueIndex({ index, type: typeNamed(type) ?? NOP })

const HOOKS = [
  hookOf(1, 'security_file_permission', ['file', 'int']),
  hookOf(2, 'security_mmap_file', ['file', 'uint32', 'nop']),
  hookOf(3, 'security_path_truncate', ['path']),
]

const WORDS = ['app', 'nginx', 'conf.d', 'ssl', 'default', 'pki', 'certs', 'systemd', 'user', 'locale', 'keys', 'main']
const COMMANDS = ['/usr/bin/grep', '/usr/bin/cat', '/usr/bin/python3.11', '/usr/bin/git', '/bin/sh', '/usr/sbin/sshd']

/** About `records` ring records; the same for the same seed. */
export function synthesize(records: number, seed = 1): Recording {
  const random = randomOf(seed)
  const pick = <T>(list: readonly T[], or: T): T => list[random(list.length)] ?? or
  const paths = Array.from({ length: FILES }, (_, i) => {
    const middle = Array.from({ length: 1 + random(5) }, () => `${pick(WORDS, 'x')}-${random(30)}`)
    return `/etc/${middle.join('/')}/${pick(WORDS, 'x')}-${i}.conf`
  })
  const ring = new RingRecords()
  const firstNs = 600n * 1_000_000_000n
  const stepNs = BigInt(Math.floor((SPAN_MS * 1e6) / records))
  let nowNs = firstNs
  let nextPid = 1000
  const stampOf = (pid: number, startNs: bigint): Stamp => ({ ns: (nowNs += stepNs), tgid: pid, tid: pid, startNs })
  const access = (pid: number, startNs: bigint): void => {
    const inode = random(FILES)
    const file: HookValue = { kind: 'file', path: paths[inode] ?? '/etc/x', inode: BigInt(inode), mode: REGULAR }
    const stamp = stampOf(pid, startNs)
    const kind = random(20)
    if (kind === 0) ring.hook(stamp, 3, [[called(0, 'path'), file]], ZERO)
    else if (kind < 4) {
      ring.hook(
        stamp,
        2,
        [
          [called(0, 'file'), file],
          [called(1, 'uint32'), { kind: 'uint', value: 1n }],
        ],
        ZERO,
      )
    } else {
      const mask = kind < 14 ? 4n : 2n
      ring.hook(
        stamp,
        1,
        [
          [called(0, 'file'), file],
          [called(1, 'int'), { kind: 'int', value: mask }],
        ],
        ZERO,
      )
    }
  }
  const start = (parentPid: number, parentStartNs: bigint, service: boolean): { pid: number; startNs: bigint } => {
    const pid = nextPid++
    const born = stampOf(pid, nowNs)
    ring.fork({ ...born, startNs: born.ns }, parentPid, parentStartNs)
    const run = stampOf(pid, nowNs)
    const binary = service ? `/usr/lib/app/bin/worker-${pid % 17}` : pick(COMMANDS, '/bin/true')
    ring.exec(
      { ...run, startNs: run.ns },
      {
        parentTgid: parentPid,
        parentStartNs,
        euid: random(4) === 0 ? 1000 : 0,
        flags: PROCESS_FLAGS.execve | PROCESS_FLAGS.clone,
        filename: binary,
        cwd: `/var/lib/app-${random(60)}`,
        cgroup: '',
        argv: [binary, '--config', pick(paths, '/etc/x'), '--worker', String(pid), ...(service ? ['--verbose'] : [])],
      },
    )
    return { pid, startNs: run.ns }
  }
  const services = Array.from({ length: SERVICES }, () => start(1, 10_000_000n, true))
  while (ring.count < records) {
    const parent = pick(services, { pid: 1, startNs: 10_000_000n })
    if (random(50) > 0) {
      access(parent.pid, parent.startNs)
      continue
    }
    const { pid, startNs } = start(parent.pid, parent.startNs, false)
    for (let i = 5 + random(40); i > 0; i--) access(pid, startNs)
    ring.exit(stampOf(pid, startNs), random(10) === 0 ? 1 << 8 : 0)
  }
  const init = {
    pid: 1,
    parentPid: 0,
    startNs: 10_000_000n,
    uid: 0,
    auid: 4294967295,
    nspid: 0,
    flags: PROCESS_FLAGS.procFS | PROCESS_FLAGS.rootcwd,
    binary: '/usr/lib/systemd/systemd',
    arguments: '--switched-root --system --deserialize 30',
    argv: '/usr/lib/systemd/systemd',
    cwd: '/',
    cgroup: '/init.scope',
    kernelThread: false,
  }
  return {
    source: `synthetic, seed ${seed}`,
    bytes: ring.bytes(),
    hooks: HOOKS,
    processes: [init],
    clockOffsetNs: 1_790_000_000n * 1_000_000_000n,
    spanMs: SPAN_MS,
  }
}
