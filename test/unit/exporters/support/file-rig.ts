import assert from 'node:assert/strict'
import type { Batch, Outcome } from '../../../../exporters/contract/exporter.ts'
import { FileExporter } from '../../../../exporters/sinks/file/exporter.ts'
import type { FileConfig } from '../../../../exporters/sinks/file/parts.ts'
import { exporterConfig } from '../../../support/exporter-config.ts'
import { InFlightBatch } from '../../../../exporters/buffer/in-flight-batch.ts'
import { FakeClock } from './fake-clock.ts'
import { FaultyFiles } from './faulty-files.ts'
import type { Fault } from './faulty-files.ts'
import type { Folder } from './folder.ts'
import { batch } from './lines.ts'

export const NEVER = new AbortController().signal

/** A file exporter on real files, whose calls can be made to fail, and its clock. */
export interface Rig {
  readonly exporter: FileExporter
  readonly files: FaultyFiles
  readonly clock: FakeClock
  readonly warnings: string[]
}

type Change = Partial<Omit<FileConfig, 'rotate'> & FileConfig['rotate']>

/** The config of a file exporter, with the keys of `rotate` and the others. */
export function fileConfig({ path = '/nowhere', mode, fsync = 'never', ...rotate }: Change): FileConfig {
  const config = exporterConfig('file', { path, fsync: 'never' })
  return { path, mode: mode ?? config.mode, fsync, rotate: { ...config.rotate, max_size: 1 << 20, ...rotate } }
}

/** `events.jsonl` in the folder, not yet started. */
export function make(folder: Folder, change: Change = {}): Rig {
  const files = new FaultyFiles()
  const clock = new FakeClock()
  const warnings: string[] = []
  const path = folder.at('events.jsonl')
  const exporter = new FileExporter(fileConfig({ path, ...change }), {
    files,
    clock,
    warn: ({ message }) => warnings.push(message),
  })
  return { exporter, files, clock, warnings }
}

export async function delivered(exporter: FileExporter, ...parts: Parameters<typeof batch>): Promise<void> {
  assert.deepEqual(await exporter.send(batch(...parts), NEVER), { status: 'delivered' })
}

export function sentence(outcome: Outcome): string {
  return 'error' in outcome ? outcome.error.message : outcome.status
}

/** Sends as the sender does until everything is taken; returns the outcomes in between. */
export async function insist(exporter: FileExporter, sent: Batch, tries = 10): Promise<Outcome[]> {
  const inFlightBatch = new InFlightBatch(sent.parts.map((part) => ({ part, acceptedMs: 0 })))
  const outcomes: Outcome[] = []
  for (let i = 0; i < tries && inFlightBatch.count > 0; i++) {
    const outcome = await exporter.send(inFlightBatch.batch(), NEVER)
    outcomes.push(outcome)
    if (outcome.status === 'delivered') inFlightBatch.takeAll()
    if (outcome.status === 'retryable') inFlightBatch.takeHead(outcome.taken ?? 0)
  }
  assert.equal(inFlightBatch.count, 0, 'not all taken')
  return outcomes
}

/** The nth call of a kind gets the nth fault of its list. */
export function script(files: FaultyFiles, faults: Partial<Record<string, readonly Fault[]>>): void {
  const seen: Record<string, number> = {}
  files.plan = (call) => faults[call]?.[(seen[call] = (seen[call] ?? -1) + 1)]
}
