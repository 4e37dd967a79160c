/**
 * `ktrail run` on a kernel that plays records: `node host-agent.ts CONFIG [OPTION…]`. With KTRAIL_BOOT_TIME=1 the records have the time at which they
 * are played, for agents that take over from one another; KTRAIL_STOPS names the stage in which the process stops itself: `asked` for its place, or
 * `opening` its exporters in another one's. A message of the parent is a number of reads of FILE by one process that
 * runs already, or a program that runs; the same message is the answer, when their records are in the ring.
 */
import { fileURLToPath } from 'node:url'
import { valueIndex } from '../../../collector/plan/layout/hook.ts'
import type { Lock, Successor } from '../../../collector/host/sockets/lock.ts'
import { HOST_KERNEL } from '../../../collector/kernel/open.ts'
import { PROCESS_FLAGS } from '../../../collector/wire/flags.ts'
import { NOP, typeNamed } from '../../../config/policy/arguments.ts'
import type { HookSpec, Selector } from '../../../config/policy/policy.ts'
import { kernel as factsOf } from '../../unit/collector/support/facts.ts'
import { RingRecords } from '../recording/ring-records.ts'
import type { HookValue, Stamp } from '../recording/ring-records.ts'
import { bootTime } from '../../../native/index.ts'
import { FILE, SYMBOLS } from './functions.ts'
import { ReplayKernel } from './replay.ts'

/** A program that starts, reads files, and ends. */
export interface Program {
  readonly words: readonly string[]
  readonly reads: readonly string[]
}

const MAIN = fileURLToPath(new URL('../../../collector/main.ts', import.meta.url))
const START_NS = 600_000_000_000n
const FIRST_PID = 2000
const READS = 'security_file_permission'
/** In the folder /run/ktrail that the tests give to each agent, or to those that take over from one another. */
const lockPath = '/run/ktrail/lock'
const kernel = new ReplayKernel({ facts: factsOf(6, 12), symbols: SYMBOLS, lockPath })
let played = 0n
let pid = FIRST_PID

/** The name that records have for a parameter of this type. */
const called = (index: number, type: string): number => valueIndex({ index, type: typeNamed(type) ?? NOP })
const fileAt = (path: string): HookValue => ({ kind: 'file', path, inode: 7n, mode: 0o100644 })
const READ: HookValue = { kind: 'int', value: 4n }
const ZERO: HookValue = { kind: 'int', value: 0n }
const now = (): bigint => {
  played++
  return process.env['KTRAIL_BOOT_TIME'] === '1' ? bootTime() : START_NS + 1000n * played
}

function reads(count: number): Buffer {
  const ring = new RingRecords(played)
  for (let i = 0; i < count; i++) {
    const values = [
      [called(0, 'file'), fileAt(FILE)],
      [called(1, 'int'), READ],
    ] as const
    ring.hook({ ns: now(), tgid: 1000, tid: 1000, startNs: START_NS }, 1, values, ZERO)
  }
  return ring.bytes()
}

/** Whether the file's path passes; other filters than Equal and Prefix on it are the kernel's. */
function selects({ matchArgs }: Selector, path: string): boolean {
  return matchArgs.every((filter) => {
    if (filter.class !== 'path') throw new Error(`a played kernel has no filters of class ${filter.class}`)
    if (filter.operator === 'Equal') return filter.values.includes(path)
    if (filter.operator === 'Prefix') return filter.values.some((value) => path.startsWith(value))
    throw new Error(`a played kernel has no operator ${filter.operator}`)
  })
}

function passes({ call, selectors }: HookSpec, path: string): boolean {
  return call === READS && (selectors.length === 0 || selectors.some((selector) => selects(selector, path)))
}

/** Records of a program under the attached policies. */
function run({ words, reads: paths }: Program): Buffer {
  const ring = new RingRecords(played)
  const startNs = now()
  const stamp = (ns: bigint): Stamp => ({ ns, tgid: pid, tid: pid, startNs })
  const [filename = ''] = words
  const flags = PROCESS_FLAGS.execve | PROCESS_FLAGS.clone
  const parent = { parentTgid: 1, parentStartNs: 1n }
  ring.exec(stamp(startNs), { ...parent, euid: 0, flags, filename, cwd: '/', cgroup: '', argv: words })
  for (const path of paths) {
    for (const { hook, spec } of [...kernel.attached].flatMap(({ hooks }) => hooks)) {
      if (!passes(spec, path)) continue
      const values = spec.args.map((arg) => [valueIndex(arg), arg.index === 0 ? fileAt(path) : READ] as const)
      ring.hook(stamp(now()), hook.id, values, spec.return ? ZERO : undefined)
    }
  }
  ring.exit(stamp(now()), 0)
  pid++
  return ring.bytes()
}

process.on('message', (message: number | Program) => {
  kernel.play(typeof message === 'number' ? reads(message) : run(message))
  process.send?.(message)
})
// The channel alone does not keep the agent alive.
process.channel?.unref()
Object.assign(HOST_KERNEL, {
  ...kernel.source,
  lock: async (takesOver: boolean, temporary: boolean): Promise<Lock> => {
    const lock = await kernel.source.lock(takesOver, temporary)
    const { asked } = lock
    if (process.env['KTRAIL_STOPS'] === 'opening') process.kill(process.pid, 'SIGSTOP')
    if (process.env['KTRAIL_STOPS'] !== 'asked') return lock
    const stops = (successor: Successor): Successor => (process.kill(process.pid, 'SIGSTOP'), successor)
    return Object.assign(lock, { asked: () => asked().then(stops) })
  },
})
process.argv = [process.execPath, MAIN, 'run', '--config', process.argv[2] ?? '', ...process.argv.slice(3)]
await import(MAIN)
