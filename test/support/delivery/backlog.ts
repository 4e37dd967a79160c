/** A spool as left by an agent whose sink was down for days. */
import { utimesSync } from 'node:fs'
import path from 'node:path'
import type { Encoder } from '../../../exporters/contract/exporter.ts'
import { describe } from '../../../exporters/contract/described.ts'
import { systemSpoolFiles } from '../../../exporters/buffer/disk/files/files.ts'
import { list } from '../../../exporters/buffer/disk/inspect/inspect.ts'
import { frameOf } from '../../../exporters/buffer/disk/format/payload.ts'
import { openSpool } from '../../../exporters/buffer/disk/spool.ts'
import { eventAt } from './events.ts'

export interface BacklogOptions {
  readonly dir: string
  readonly encoder: Encoder
  readonly epoch: string
  /** Milliseconds since 1970 of the first event; the last happens just before `toMs`. */
  readonly fromMs: number
  readonly toMs: number
  /** A frame of `events` events every `everyMs`. */
  readonly everyMs: number
  readonly events: number
}

/** Writes it, with matching times of the segment files. Returns the number of events; they are numbered from 0. */
export async function makeBacklog(options: BacklogOptions): Promise<number> {
  const { dir, encoder, epoch, fromMs, toMs, everyMs, events } = options
  let nowMs = fromMs
  const clock = { nowMs: () => nowMs, wallMs: () => nowMs, after: () => () => undefined }
  const spool = await openSpool(
    { dir, fsync: 'never', max_size: 2 ** 32, min_free: 0, segment_size: 16 << 20, epoch },
    { files: systemSpoolFiles, clock, random: Math.random },
  )
  let seq = 0
  for (; nowMs < toMs; nowMs += everyMs) {
    const some = Array.from({ length: events }, (_, i) => eventAt(seq + i, nowMs + (i * everyMs) / events))
    const result = await spool.append([frameOf(describe(encoder.encode(some), some))])
    if (result.status !== 'written') throw new Error(JSON.stringify(result))
    seq += events
  }
  await spool.close()
  const { segments } = await list(dir, systemSpoolFiles)
  for (const [i, { name }] of segments.entries()) {
    const written = new Date(segments[i + 1]?.createdMs ?? toMs)
    utimesSync(path.join(dir, name), written, written)
  }
  return seq
}
