/** Sends events of a spool to another exporter of the config, for `ktrail spool replay --to`. */
import { setTimeout } from 'node:timers/promises'
import type { Config, ExporterConfig } from '../../../config/agent/schema.ts'
import { createFanOut, EncoderPool, ExportError } from '../../../exporters/index.ts'
import type { Encoded, FanOut, Sender } from '../../../exporters/index.ts'
import { gzip, zstd } from '../../../native/index.ts'
import { createEpoch } from '../../delivery/epoch.ts'
import { createLog } from '../../host/log.ts'
import { machineId } from '../../host/machine-id.ts'
import type { Terminal } from '../command.ts'
import { plural } from '../format.ts'

/** Interval of reading the counters. */
const LOOK_MS = 20
/** Time for closing the exporter, which has nothing left to send by then. */
const STOP_MS = 10_000

/** An exporter that gets its events from here. It waits instead of dropping events. */
export class Target implements AsyncDisposable {
  readonly #name: string
  readonly #sender: Sender
  readonly #fanout: FanOut
  readonly #printError: (line: string) => void
  #reported = ''

  private constructor(name: string, sender: Sender, fanout: FanOut, printError: (line: string) => void) {
    this.#name = name
    this.#sender = sender
    this.#fanout = fanout
    this.#printError = printError
  }

  /** Starts the exporter of this name, without its own spool and filter. Throws ExportError when it can never work. */
  static async start(
    name: string,
    { config, file, nodeName }: { readonly config: Config; readonly file: string; readonly nodeName: string },
    { env, printError }: Pick<Terminal, 'env' | 'printError'>,
  ): Promise<Target> {
    const exporter = config.exporters[name]
    if (exporter === undefined) throw new ExportError('UNUSABLE', `no exporter "${name}" in the config`)
    const fanout = await createFanOut(
      { [name]: forReplay(exporter) },
      {
        nodeName,
        hostId: machineId(config.procfs),
        epoch: createEpoch(),
        encoders: new EncoderPool(nodeName),
        compressors: { gzip, zstd },
        env,
        log: createLog({ level: 'warn', format: 'text' }),
        configFile: file,
      },
    )
    try {
      await fanout.start()
      const [sender] = fanout.senders
      if (sender === undefined) throw new ExportError('UNUSABLE', `exporter "${name}" cannot be started`)
      return new Target(name, sender, fanout, printError)
    } catch (error) {
      await fanout.stop(0)
      throw error
    }
  }

  /**
   * Passes events from the spool of the exporter `from`; waits while the queue is full. Events of another exporter lose their numbers, which
   * are not this one's. Throws ExportError for events in another encoding.
   */
  async give(part: Encoded, from: string): Promise<void> {
    const { encoding } = this.#sender.exporter
    if (part.encoding !== encoding) {
      throw new ExportError(
        'UNUSABLE',
        `exporter "${this.#name}" sends ${encoding} and the spool has ${part.encoding}: choose an exporter that sends ` +
          `${part.encoding}, or print the events as JSON lines with -o json`,
      )
    }
    const { number: _, ...unnumbered } = part
    const room = this.#sender.offer(from === this.#name ? part : unnumbered)
    if (room === undefined) return
    const there = room.then(() => true)
    while (!(await Promise.race([there, setTimeout(LOOK_MS, false)]))) this.#look()
  }

  /** Waits until the sink has settled everything. Throws ExportError when the exporter needs manual action. */
  async settle(): Promise<void> {
    for (; this.#sender.accounting().heldEvents > 0; await setTimeout(LOOK_MS)) this.#look()
    this.#look()
  }

  /** The result as a sentence; `lost`: events that the sink did not accept. */
  summary(): { readonly text: string; readonly lost: number } {
    const { delivered, rejected, dropped } = this.#sender.accounting()
    const refused = Object.entries({ ...rejected, ...dropped }).filter(([, events]) => events > 0)
    const lost = refused.reduce((sum, [, events]) => sum + events, 0)
    const reasons = refused.map(([reason, events]) => `, ${events} refused (${reason})`).join('')
    return { text: `${plural(delivered, 'event')} delivered to ${this.#name}${reasons}`, lost }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fanout.stop(STOP_MS)
  }

  /** Throws ExportError if the exporter cannot continue; prints a new error of one that retries. */
  #look(): void {
    const { state, lastError } = this.#sender.accounting()
    if (state === 'hold' || state === 'failed') {
      const message = `exporter "${this.#name}" failed: ${lastError}; events that it did not accept stay in the spool`
      throw new ExportError('UNUSABLE', message)
    }
    if (state !== 'retrying' || lastError === this.#reported) return
    this.#reported = lastError
    this.#printError(`ktrail: ${this.#name}: ${lastError}; retrying, Ctrl-C ends`)
  }
}

/** No filter, no rate limit, no dropping: a full queue makes the reader wait, and batches are sent at once. */
function forReplay(exporter: ExporterConfig): ExporterConfig {
  const { spool: _spool, filter: _filter, rate_limit: _limit, ...rest } = exporter
  const { max_age: _age, ...retry } = exporter.retry
  return {
    ...rest,
    queue: { ...exporter.queue, when_full: 'block' },
    batch: { ...exporter.batch, max_wait: 0 },
    retry,
  }
}
