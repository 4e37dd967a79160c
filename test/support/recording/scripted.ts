/**
 * Records the output of each kernel for scripted.sh in test/golden/recorded/KERNEL.json, a small file that is committed: `make record
 * KERNEL=6.12`. test/unit/recording/recorded.test.ts plays it to the real agent.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { CallEnd } from '../../../collector/wire/decode.ts'
import type { ScannedProcess } from '../../../collector/process/procfs.ts'
import { EVENT_FORK, EVENT_HEADER, FORK_BODY } from '../../../collector/wire/wire.ts'

/** The kernels of make test. */
export const KERNELS = ['5.10', '6.1', '6.12', '7.3'] as const
const FOLDER = new URL('../../golden/recorded/', import.meta.url)
/** In the guest's own file system, so that no path of this machine is recorded. */
const PLACE = '/tmp/ktrail-recorded'

export interface Scripted {
  readonly source: string
  /** The process that starts the workload. */
  readonly parent: ScannedProcess
  readonly ends: readonly CallEnd[]
  readonly bytes: Buffer
}

/** The digest of the layouts: records of others decode to nonsense. */
const wireHash = (): string =>
  createHash('sha256')
    .update(readFileSync(new URL('../../../collector/wire/wire.ts', import.meta.url)))
    .digest('hex')

/** undefined without a recording of these layouts. */
export function loadScripted(kernel: string): Scripted | undefined {
  const file = new URL(`${kernel}.json`, FOLDER)
  if (!existsSync(file)) return undefined
  const { wire, bytes, parent, ...rest } = JSON.parse(readFileSync(file, 'utf8'))
  if (wire !== wireHash()) return undefined
  return { ...rest, parent: { ...parent, startNs: BigInt(parent.startNs) }, bytes: Buffer.from(bytes, 'base64') }
}

/** The records of a process and those that it starts, with numbers that leave none out. */
function recordsOf(bytes: Buffer, first: number): Buffer {
  const tgids = new Set([first])
  const numbers = new Map<number, bigint>()
  const kept: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + ((bytes.readUInt32LE(at + EVENT_HEADER.size) + 7) & ~7)
    const record = Buffer.from(bytes.subarray(at, end))
    at = end
    const tgid = record.readUInt32LE(EVENT_HEADER.tgid)
    const isFork = record[EVENT_HEADER.type] === EVENT_FORK
    if (isFork && tgids.has(record.readUInt32LE(EVENT_HEADER.bytes + FORK_BODY.parentTgid))) tgids.add(tgid)
    if (!tgids.has(tgid)) continue
    const cpu = record.readUInt16LE(EVENT_HEADER.cpu)
    const number = numbers.get(cpu) ?? 0n
    record.writeBigUInt64LE(number, EVENT_HEADER.seq)
    numbers.set(cpu, number + 1n)
    kept.push(record)
  }
  return Buffer.concat(kept)
}

if (import.meta.main) {
  const kernel = process.argv[2] ?? ''
  const { record } = await import('./record.ts')
  mkdirSync(PLACE, { recursive: true })
  process.chdir(PLACE)
  writeFileSync('f', 'x\n')
  copyFileSync(new URL('scripted.sh', import.meta.url), 'workload')
  const command = ['workload', 'f'].map((name) => `${PLACE}/${name}`)
  const { source, bytes, ends, processes, pid, hooks } = await record(command, [`${PLACE}/f`])
  const ids = hooks.map(({ hook }) => hook.id).join()
  if (ids !== '1,2,3') throw new Error(`the hooks have the numbers ${ids}: expected 1,2,3, as ReplayKernel gives them`)
  const own = processes.find((each) => each.pid === process.pid)
  if (own === undefined) throw new Error('this process is not in its own scan of /proc')
  // Its start depends on this machine.
  const plain = { parentPid: 0, binary: '/usr/bin/recorder', argv: 'recorder', arguments: '', cwd: '/', cgroup: '/' }
  const parent = { ...own, ...plain, startNs: String(own.startNs) }
  const records = recordsOf(bytes, pid)
  mkdirSync(FOLDER, { recursive: true })
  const stored = { wire: wireHash(), source, parent, ends, bytes: records.toString('base64') }
  writeFileSync(new URL(`${kernel}.json`, FOLDER), `${JSON.stringify(stored, undefined, 1)}\n`)
  console.log(`${records.length} bytes of records, ${ends.length} ends of calls, ${source}`)
}
