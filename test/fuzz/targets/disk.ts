/** Files of a spool, and texts of sinks in dead-letter records. */
import { ExportError } from '../../../exporters/contract/errors.ts'
import { segmentName } from '../../../exporters/buffer/disk/format/format.ts'
import { anyPieceOf, frameOf } from '../../../exporters/buffer/disk/format/payload.ts'
import { unpack } from '../../../exporters/buffer/disk/format/packing.ts'
import { list, verify } from '../../../exporters/buffer/disk/inspect/inspect.ts'
import { linesOf } from '../../../exporters/buffer/disk/inspect/replay.ts'
import { openSpool } from '../../../exporters/buffer/disk/spool.ts'
import type { Spool } from '../../../exporters/buffer/disk/spool.ts'
import { recordsOf } from '../../../exporters/dead-letter/record.ts'
import { Disk } from '../../simulation/spool/disk.ts'
import { Seeded } from '../../simulation/spool/random.ts'
import { FakeClock } from '../../unit/exporters/support/fake-clock.ts'
import { batch, describedLines } from '../../unit/exporters/support/lines.ts'
import type { Target } from '../target.ts'

const DIR = '/spool'
const EVENTS = 6
/** The first byte of an input: the file that it is. */
const [SEGMENT, CURSOR, PAYLOAD, PACKED] = [0, 1, 2, 3]

function open(disk: Disk): Promise<Spool> {
  const options = {
    dir: DIR,
    fsync: 'batch',
    max_size: 1 << 20,
    min_free: 0,
    segment_size: 64 << 10,
    epoch: 'e',
  } as const
  return openSpool(options, { files: disk.files, clock: new FakeClock(), random: () => 0.5, onLoss: () => {} })
}

/** The files of a spool with some events, of which a part is delivered. */
async function written(): Promise<ReadonlyMap<string, Buffer>> {
  const disk = new Disk(new Seeded(1))
  const spool = await open(disk)
  await spool.append([frameOf(describedLines(0, EVENTS)), frameOf(describedLines(EVENTS, EVENTS))])
  const read = await spool.next(1)
  if (read.status === 'frames') spool.ack(read.token)
  await spool.close()
  return new Map(disk.paths.map((path) => [path.slice(DIR.length + 1), disk.bytesOf(path)]))
}

const marked = (kind: number, bytes: Uint8Array): Buffer => Buffer.concat([Buffer.from([kind]), bytes])

/** Reads everything from a spool whose segment or cursor has these bytes. */
async function readAll(name: string, bytes: Buffer): Promise<void> {
  const disk = new Disk(new Seeded(1))
  for (const [other, content] of await files) disk.put(`${DIR}/${other}`, content)
  disk.put(`${DIR}/${name}`, bytes)
  await list(DIR, disk.files)
  for await (const { badBytes } of verify(DIR, disk.files)) if (badBytes < 0) throw new Error(`${badBytes} bad bytes`)
  const spool = await open(disk)
  let events = 0
  for (;;) {
    const read = await spool.next(1 << 10)
    if (read.status !== 'frames') break
    for (const frame of read.frames) {
      events += frame.count
      const piece = anyPieceOf(frame)
      if (!('why' in piece) && linesOf(piece).length > frame.payload.length) throw new Error('more lines than bytes')
    }
    spool.ack(read.token)
  }
  if (events > 2 * EVENTS) throw new Error(`${events} events in a spool of ${2 * EVENTS}`)
  await spool.close()
}

const files: Promise<ReadonlyMap<string, Buffer>> = written()

export const spool: Target = {
  name: 'spool',
  text: false,
  seeds: async () => {
    const payload = Buffer.concat(frameOf(describedLines(0, EVENTS)).parts)
    const { zstdCompressSync } = await import('node:zlib')
    const head = Buffer.alloc(4)
    head.writeUInt32LE(payload.length)
    const content = [...(await files)].map(([name, bytes]) => marked(name === 'cursor' ? CURSOR : SEGMENT, bytes))
    return [...content, marked(PAYLOAD, payload), marked(PACKED, Buffer.concat([head, zstdCompressSync(payload)]))]
  },
  words: ['json', 'process_exec', 'events_lost', 'agent_change'],
  covers: /^exporters\/buffer\//,
  async run(input) {
    const [kind = 0] = input
    const bytes = Buffer.from(input.subarray(1))
    if (kind % 4 === PAYLOAD || kind % 4 === PACKED) {
      const payload = unpack(bytes, kind % 4 === PACKED)
      const piece = anyPieceOf({ payload, count: EVENTS, epoch: 'e' })
      if (!('why' in piece) && piece.count !== EVENTS) throw new Error(`${piece.count} of ${EVENTS} events`)
      return
    }
    // A spool of another release is refused as it is.
    await readAll(kind % 4 === CURSOR ? 'cursor' : segmentName(0), bytes).catch((error: unknown) => {
      if (!(error instanceof ExportError)) throw error
    })
  },
}

const LINES = batch(describedLines(0, 3))
/** Longer than any record of these lines with the longest message, each of whose characters is escaped. */
const MOST_BYTES = 8 << 10

export const deadLetters: Target = {
  name: 'dead-letters',
  text: true,
  seeds: () => ['entry too far behind', '<html>\n"\\u0000"</html>', '\ud800 \u2028'].map((text) => Buffer.from(text)),
  words: ['"', '\\', '\n', '\u2028', '\0', '}'],
  covers: /^exporters\/dead-letter\//,
  run(input) {
    const message = input.subarray(1).toString('utf8')
    const [which = 0] = input
    const refusal = {
      reason: 'invalid',
      events: which % 5,
      message,
      ...(which > 127 ? { which: [which % 3, 9, -1] } : {}),
    }
    for (const { bytes } of recordsOf(LINES, refusal, { exporter: 'e', epoch: 'e', wallMs: 0 })) {
      const text = bytes.toString()
      if (text.indexOf('\n') !== text.length - 1) throw new Error('not one line')
      if (bytes.length > MOST_BYTES) throw new Error(`${bytes.length} bytes`)
      JSON.parse(text)
    }
  },
}
