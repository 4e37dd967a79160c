/** Spools on the simulation's disk, without faults unless a test makes them. */
import type { Compress } from '../../../../../exporters/runtime/compression.ts'
import { openSpool } from '../../../../../exporters/buffer/disk/spool.ts'
import type { Spool, SpoolOptions } from '../../../../../exporters/buffer/disk/spool.ts'
import type { SpoolFile, SpoolFiles } from '../../../../../exporters/buffer/disk/files/files.ts'
import type { Loss } from '../../../../../exporters/buffer/disk/tally.ts'
import type { SpoolFrame } from '../../../../../exporters/buffer/disk/format/segment.ts'
import { Disk } from '../../../../simulation/spool/disk.ts'
import { Seeded } from '../../../../simulation/spool/random.ts'
import { FakeClock } from '../../support/fake-clock.ts'

export const DIR = '/spool'

export class Bench {
  readonly disk: Disk = new Disk(new Seeded(1))
  readonly clock: FakeClock = new FakeClock()
  readonly losses: Loss[] = []
  /** `work error` of each reported failure. */
  readonly failures: string[] = []
  /** A wrapper between the spool and the disk. */
  through: (files: SpoolFiles) => SpoolFiles = (files) => files

  open(options: Partial<SpoolOptions> = {}, zstd?: Compress): Promise<Spool> {
    this.disk.nowMs = this.clock.wallMs()
    const { clock, disk, losses, failures } = this
    return openSpool(
      {
        dir: DIR,
        fsync: 200,
        max_size: 1 << 20,
        min_free: 0,
        segment_size: 600,
        epoch: 'e',
        ...options,
      },
      {
        files: this.through(disk.files),
        clock,
        random: () => 0.5,
        zstd,
        onLoss: (loss) => losses.push(loss),
        onFailure: (work, error) => failures.push(`${work} ${error}`),
      },
    )
  }

  /** The names of all files. */
  content(): ReadonlyMap<string, string> {
    return new Map(this.disk.paths.map((path) => [path, this.disk.bytesOf(path).toString('latin1')]))
  }

  segments(): readonly string[] {
    return this.disk.paths.filter((path) => /^\/spool\/\d+\.seg$/.test(path)).toSorted()
  }

  /** Changes a file's bytes without the spool. */
  edit(path: string, change: (bytes: Buffer) => Buffer): void {
    this.disk.put(path, change(Buffer.from(this.disk.bytesOf(path))))
  }
}

/** Files of which some cannot be opened, with this errno. */
export function closed(code: string, which: (path: string, how: string) => boolean): Bench['through'] {
  return (files) => ({
    ...files,
    open: (path, how) => (which(path, how) ? Promise.reject(failure(code, path)) : files.open(path, how)),
  })
}

/** Files of which these bytes cannot be read, from the position on; EIO. */
export function unreadable(path: string, from: number): Bench['through'] {
  return (files) => ({
    ...files,
    async open(opened, how): Promise<SpoolFile> {
      const file = await files.open(opened, how)
      if (opened !== path) return file
      const read: SpoolFile['read'] = (into, position) =>
        position + into.length > from ? Promise.reject(failure('EIO', path)) : file.read(into, position)
      return { ...file, read }
    },
  })
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: refused, open '${path}'`), { code })
}

/** A frame of `count` events whose payload contains its number. */
export function frame(id: number, count = 1, bytes = 100): SpoolFrame {
  const payload = Buffer.alloc(bytes, id)
  payload.write(`#${id} `)
  return { parts: [payload], count, first: id, last: id + count - 1 }
}

/** Appends frames one by one, `count` events each. */
export async function fill(spool: Spool, ids: readonly number[], bytes = 100): Promise<void> {
  for (const id of ids) {
    const result = await spool.append([frame(id, 1, bytes)])
    if (result.status !== 'written') throw new Error(`append of ${id}: ${JSON.stringify(result)}`)
  }
}

/** Reads and acks everything; the numbers of the frames. */
export async function drain(spool: Spool): Promise<number[]> {
  const ids: number[] = []
  for (;;) {
    const result = await spool.next(1000)
    if (result.status === 'failed') throw result.error
    if (result.status === 'empty') return ids
    for (const { payload } of result.frames) ids.push(Number.parseInt(payload.toString('latin1', 1), 10))
    spool.ack(result.token)
  }
}
