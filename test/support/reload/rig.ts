/** A fan-out whose exporters are reloaded: events have consecutive numbers, also as the process id, which every encoding shows. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { pino } from 'pino'
import { loadConfig } from '../../../config/agent/load.ts'
import type { Config } from '../../../config/agent/schema.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import type { FanOut, Sender } from '../../../exporters/index.ts'
import { prepareExporters } from '../../../exporters/reload.ts'
import { startFanOut } from '../../../exporters/start.ts'
import { makeExec, makeProcess } from '../../unit/exporters/support/events.ts'

const CONTEXT = { nodeName: 'n', epoch: 'e', env: {}, log: pino({ level: 'silent' }) }
const NEVER = new AbortController().signal

function exportersOf(text: string): Config['exporters'] {
  const loaded = loadConfig(`exporters: {${text}}`, 'c.yaml', {}, () => '')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  return loaded.config.exporters
}

export class ReloadRig implements AsyncDisposable {
  readonly fanout: FanOut
  /** Number of the next event. */
  seq = 0

  readonly encoders: EncoderPool

  constructor(fanout: FanOut, encoders: EncoderPool) {
    this.fanout = fanout
    this.encoders = encoders
  }

  /** `text`: entries of `exporters`. */
  static async start(text: string): Promise<ReloadRig> {
    const encoders = new EncoderPool('n')
    return new ReloadRig(await startFanOut(exportersOf(text), { ...CONTEXT, encoders }, NEVER), encoders)
  }

  /** The exporters become these. Rejects when they are refused. */
  async reload(text: string, stop: AbortSignal = NEVER): Promise<void> {
    const prepared = await prepareExporters(
      this.fanout,
      exportersOf(text),
      { ...CONTEXT, encoders: this.encoders },
      stop,
    )
    await prepared.commit(5000)
  }

  async publish(count = 10): Promise<void> {
    const next = (): ReturnType<typeof makeExec> =>
      makeExec({ process: makeProcess({ pid: this.seq }), seq: this.seq++ })
    await this.fanout.publish(Array.from({ length: count }, next))
  }

  sender(name: string): Sender {
    const found = this.fanout.senders.find((sender) => sender.name === name)
    assert.ok(found !== undefined, `no exporter ${name}`)
    return found
  }

  /** accepted = delivered + rejected + dropped + held, for every exporter. */
  check(): void {
    for (const sender of this.fanout.senders) {
      const { accepted, delivered, rejected, dropped, heldEvents } = sender.accounting()
      assert.equal(sender.imbalance(), 0, sender.name)
      assert.equal(accepted, delivered + sum(rejected) + sum(dropped) + heldEvents, sender.name)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fanout.stop(5000)
    this.check()
  }
}

export function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, n) => total + n, 0)
}

/** Numbers of the events in a file of JSON lines. */
export function idsIn(file: string): number[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => Number(JSON.parse(line).process_exec.process.pid))
}

export function upTo(end: number, from = 0): number[] {
  return Array.from({ length: end - from }, (_, i) => from + i)
}
