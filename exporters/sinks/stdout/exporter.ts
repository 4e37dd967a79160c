/**
 * Writes lines to standard output: a pipe, socket or terminal here, a file in file.ts. Waits for the stream's callback, so a
 * slow reader only slows down this exporter. A closed reader makes the exporter fail; it does not crash the agent.
 */
import { fstatSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { isatty } from 'node:tty'
import type { EffectiveType } from '../../../config/agent/effective.ts'
import type { Environment } from '../../../config/agent/loading/substitute.ts'
import type { MakeExporter } from '../context.ts'
import { errnoOf, ExportError, textOf } from '../../contract/errors.ts'
import type { Batch, Encoded, Encoding, Exporter, Outcome } from '../../contract/exporter.ts'
import { notSent } from '../../contract/outcome.ts'
import { within } from '../../../config/base/time/deadline.ts'
import { StdoutFileExporter } from './file.ts'
import type { Format } from './file.ts'
import { terminal } from './terminal.ts'

type StdoutConfig = EffectiveType<'stdout'>

export const make: MakeExporter<StdoutConfig> = (
  { format, color, timestamps, envelope },
  { encoders, env, numbering },
) => ({
  exporter: createStdoutExporter(format === 'compact' ? 'compact' : 'json'),
  encoder:
    format === 'compact'
      ? encoders.compact({ color: wantsColor(color, isatty(1), env), timestamps })
      : encoders.linesFor({ numbering, envelope, extended: format === 'extended' }),
  numbered: envelope,
})

/** Whether to print ANSI colours; `auto`: on a terminal, unless NO_COLOR is set and not empty (no-color.org). */
export function wantsColor(when: string, isTerminal: boolean, env: Environment): boolean {
  return when === 'auto' ? isTerminal && (env['NO_COLOR'] ?? '') === '' : when === 'always'
}

/** Creates the exporter for the kind of standard output. */
export function createStdoutExporter(format: Format): Exporter {
  if (isatty(1)) return new StdoutExporter(format, terminal(1) ?? process.stdout)
  const is = fstatSync(1)
  return is.isFIFO() || is.isSocket() ? new StdoutExporter(format, process.stdout) : new StdoutFileExporter(format)
}

export class StdoutExporter implements Exporter {
  readonly type = 'stdout'
  readonly encoding: Encoding
  readonly #stream: Writable
  /** Parts already passed to the stream; after an abort they must not be written again. */
  readonly #given = new WeakSet<Encoded>()
  /** Settles when the stream has written the last part. Never rejects. */
  #passedOn: Promise<void> = Promise.resolve()
  #broken: ExportError | undefined
  #started = false

  constructor(format: Format, stream: Writable) {
    this.encoding = format
    this.#stream = stream
  }

  start(): Promise<void> {
    // Without a listener an EPIPE would end the process.
    if (!this.#started) this.#stream.on('error', this.#onError)
    this.#started = true
    return Promise.resolve()
  }

  probe(): Promise<string> {
    return Promise.resolve('nothing to connect to')
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    if (this.#broken !== undefined) return { status: 'hold', forGood: true, error: this.#broken }
    if (!this.#started) return notSent('CLOSED', 'standard output is not open')
    if (signal.aborted) return notSent('ABORTED', 'stopped before writing')
    for (const part of batch.parts) {
      if (!this.#given.has(part)) this.#write(part)
    }
    await within(this.#passedOn, signal)
    if (this.#broken !== undefined) return { status: 'hold', forGood: true, error: this.#broken }
    if (!signal.aborted) return { status: 'delivered' }
    // No duplicates: parts passed to the stream are not written again.
    return notSent('ABORTED', 'the reader of standard output is not reading; events wait for it')
  }

  /** Does not close or flush the stream, which belongs to the process. */
  stop(): Promise<void> {
    if (this.#started) {
      this.#started = false
      this.#stream.off('error', this.#onError)
      // Pending writes may still fail later; without a listener that would end the process. One is enough for all exporters that stopped.
      this.#stream.off('error', ignore).on('error', ignore)
    }
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #write(part: Encoded): void {
    this.#given.add(part)
    this.#passedOn = new Promise((resolve) => {
      this.#stream.write(part.bytes, (error) => {
        if (error) this.#onError(error)
        resolve()
      })
    })
  }

  readonly #onError = (cause: unknown): void => {
    const gone = errnoOf(cause) === 'EPIPE'
    const what = gone ? 'its reader is gone (EPIPE)' : textOf(cause)
    this.#broken ??= new ExportError(
      'CLOSED',
      `cannot write to standard output: ${what}; restart the agent to use it again`,
      cause,
    )
  }
}

function ignore(): void {
  // A listener is enough; an unhandled error would end the process.
}
