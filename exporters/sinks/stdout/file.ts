/**
 * Standard output that is a file. Works like the file exporter on the inherited file: no line is torn, delivered events have been
 * written, and a full disk is retried.
 */
import { notSent } from '../../contract/outcome.ts'
import type { Batch, Encoding, Exporter, Outcome } from '../../contract/exporter.ts'
import { Mutex } from '../../../config/base/mutex.ts'
import { failure, outcomeOf } from '../file/failure.ts'
import { systemFiles } from '../file/file-system.ts'
import type { FileSystem, OpenFile } from '../file/file-system.ts'
import { LogFile } from '../file/log-file.ts'
import { descriptorFile } from './descriptor.ts'

/** JSON or compact lines. */
export type Format = 'json' | 'compact'

export interface StdoutFileDeps {
  readonly files?: FileSystem
  /** Default: descriptor 1 and its path. */
  readonly file?: OpenFile
  readonly path?: string
}

export class StdoutFileExporter implements Exporter {
  readonly type = 'stdout'
  readonly encoding: Encoding
  /** Delivered events have been written, so nothing reads their bytes again. */
  readonly releases = true
  readonly #deps: Required<StdoutFileDeps>
  #file: LogFile | undefined
  /** Serializes send and stop. */
  readonly #mutex = new Mutex()

  constructor(format: Format, deps: StdoutFileDeps = {}) {
    const { files = systemFiles, file = descriptorFile(1), path = '/dev/stdout' } = deps
    this.encoding = format
    this.#deps = { files, file, path }
  }

  async start(): Promise<void> {
    const { files, file, path } = this.#deps
    this.#file = await LogFile.of(files, path, file)
  }

  probe(): Promise<string> {
    return Promise.resolve('nothing to connect to')
  }

  send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    return this.#mutex.run(() => this.#send(batch, signal))
  }

  /** Cuts off a torn line. The file stays open, because it belongs to the process. */
  stop(): Promise<void> {
    return this.#mutex.run(async () => {
      const file = this.#file
      this.#file = undefined
      await file?.close()
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    const file = this.#file
    if (file === undefined) return notSent('CLOSED', 'standard output is not open')
    if (signal.aborted) return notSent('ABORTED', 'stopped before writing')
    const { events, error } = await file.append(batch.parts)
    return error === undefined
      ? { status: 'delivered' }
      : outcomeOf(failure('write to', this.#deps.path, error), events)
  }
}
