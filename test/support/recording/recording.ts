/**
 * A recording: ring bytes with the data needed to turn them into events again, so that user space can be measured and
 * tested without a kernel. Two files in build/recording/ (ignored): `ring.bin` (records back to back) and `about.json`.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { NOP, typeNamed } from '../../../config/policy/arguments.ts'
import type { Hook } from '../../../exporters/contract/event.ts'
import type { KnownHook } from '../../../collector/ingest/call.ts'
import type { ScannedProcess } from '../../../collector/process/procfs.ts'
import { valueIndex } from '../../../collector/plan/layout/hook.ts'
import { EVENT_HEADER } from '../../../collector/wire/wire.ts'

export interface Recording {
  /** Its origin, for the report: `synthetic, seed 1` or `recorded on 6.12.95`. */
  readonly source: string
  readonly bytes: Buffer
  readonly hooks: readonly RecordedHook[]
  readonly processes: readonly ScannedProcess[]
  /** CLOCK_REALTIME − CLOCK_BOOTTIME. */
  readonly clockOffsetNs: bigint
  /** Time that the records span: ended processes leave the table by this clock when they are replayed. */
  readonly spanMs: number
}

/** A KnownHook with its types by name. */
export interface RecordedHook {
  readonly hook: Hook
  readonly args: ReadonlyArray<{ readonly index: number; readonly type: string }>
  readonly returned: string
}

type Stored = Omit<Recording, 'bytes' | 'processes' | 'clockOffsetNs'> & {
  readonly layout: string
  readonly clockOffsetNs: string
  readonly processes: ReadonlyArray<Omit<ScannedProcess, 'startNs'> & { readonly startNs: string }>
}

const ROOT = new URL('../../../', import.meta.url)
const FOLDER = new URL('build/recording/', ROOT)

/** Guards against bytes of another layout, which would decode to nonsense: the digest of bpf/event.h. */
const layout = (): string =>
  createHash('sha256')
    .update(readFileSync(new URL('bpf/event.h', ROOT)))
    .digest('hex')

/** Writes the recording to where `loadRecording` finds it. */
export function saveRecording(recording: Recording): string {
  mkdirSync(FOLDER, { recursive: true })
  const { bytes, processes, clockOffsetNs, ...rest } = recording
  const stored: Stored = {
    ...rest,
    layout: layout(),
    clockOffsetNs: String(clockOffsetNs),
    processes: processes.map((process) => ({ ...process, startNs: String(process.startNs) })),
  }
  writeFileSync(new URL('ring.bin', FOLDER), bytes)
  // Last, because its presence means that the bytes are complete.
  writeFileSync(new URL('about.json', FOLDER), JSON.stringify(stored))
  return fileURLToPath(FOLDER)
}

/** The recording of this checkout; undefined if there is none, or one of an older layout. */
export function loadRecording(): Recording | undefined {
  const about = new URL('about.json', FOLDER)
  if (!existsSync(about)) return undefined
  const { layout: was, ...stored } = JSON.parse(readFileSync(about, 'utf8')) as Stored
  if (was !== layout()) return undefined
  return {
    ...stored,
    bytes: readFileSync(new URL('ring.bin', FOLDER)),
    clockOffsetNs: BigInt(stored.clockOffsetNs),
    processes: stored.processes.map((process) => ({ ...process, startNs: BigInt(process.startNs) })),
  }
}

/**
 * Moves the clock so that the last record is of `wallMs`: then a sink that rejects old events does not depend on
 * the age of the recording.
 */
export function endingAt(recording: Recording, wallMs: number): Recording {
  const { bytes, spanMs } = recording
  const firstNs =
    BigInt(bytes.readUInt32LE(EVENT_HEADER.timeSec)) * 1_000_000_000n +
    BigInt(bytes.readUInt32LE(EVENT_HEADER.timeNsec))
  const lastNs = firstNs + BigInt(Math.ceil(spanMs)) * 1_000_000n
  return { ...recording, clockOffsetNs: BigInt(Math.floor(wallMs)) * 1_000_000n - lastNs }
}

// `node recording.ts`: exit code 0 if there is a usable recording.
if (import.meta.main) process.exitCode = loadRecording() === undefined ? 1 : 0

/** The hook as the normalizer takes it. */
export function knownHook({ hook, args, returned }: RecordedHook): KnownHook {
  const type = (name: string): KnownHook['returned'] => typeNamed(name) ?? NOP
  const known = args.map(({ index, type: name }) => ({ index, type: type(name) }))
  return {
    hook,
    bySelector: [],
    args: known.flatMap((arg) => (arg.type === NOP ? [] : [{ index: valueIndex(arg), type: arg.type }])),
    returned: type(returned),
  }
}
