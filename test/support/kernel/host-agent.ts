/**
 * `ktrail run` on a kernel that plays records: `node host-agent.ts CONFIG`. Each message of the parent is a number of reads of FILE by one process;
 * the answer comes when their records are in the ring.
 */
import { configOrThrow, parseConfigFile } from '../../../config/agent/check.ts'
import { startAgent } from '../../../collector/agent.ts'
import { valueIndex } from '../../../collector/kernel/layout/hook.ts'
import { NOP, typeNamed } from '../../../config/policy/arguments.ts'
import { live } from '../../../collector/cli/run.ts'
import { createLog } from '../../../collector/host/log.ts'
import { kernel as factsOf } from '../../unit/collector/support/facts.ts'
import { RingRecords } from '../recording/ring-records.ts'
import { FILE, SYMBOLS } from './functions.ts'
import { ReplayKernel } from './replay.ts'

const configFile = process.argv[2] ?? ''
const loaded = configOrThrow(await parseConfigFile(configFile, process.env))
const log = createLog(loaded.config.log)
const kernel = new ReplayKernel({ facts: factsOf(6, 12), symbols: SYMBOLS })
const START_NS = 600_000_000_000n
let played = 0n

/** The name that records have for a parameter of this type. */
const called = (index: number, type: string): number => valueIndex({ index, type: typeNamed(type) ?? NOP })

function reads(count: number): Buffer {
  const ring = new RingRecords(played)
  for (let i = 0; i < count; i++) {
    const stamp = { ns: START_NS + 1000n * ++played, tgid: 1000, tid: 1000, startNs: START_NS }
    const file = { kind: 'file', path: FILE, inode: 7n, mode: 0o100644 } as const
    const values = [
      [called(0, 'file'), file],
      [called(1, 'int'), { kind: 'int', value: 4n }],
    ] as const
    ring.hook(stamp, 1, values, { kind: 'int', value: 0n })
  }
  return ring.bytes()
}

process.on('message', (count: number) => {
  kernel.play(reads(count))
  process.send?.(count)
})
// The channel alone does not keep the agent alive.
process.channel?.unref()
process.exitCode = await live((stop) => startAgent({ loaded, configFile, log, stop, source: kernel.source }), log)
process.exit()
