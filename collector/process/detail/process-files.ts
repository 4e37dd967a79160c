/**
 * Files of /proc that show the memory of a process: its arguments and its environment. Any user can have such a read take for ever: a thread
 * of the process waits for a FUSE server with the lock of the memory map held. So a thread that nothing waits for reads them, one at a time.
 *
 * Bounds: a read takes DEADLINE_MS. Until the kernel returns from it, nothing of the same user's processes is read (of root: of the same process),
 * and nothing at all while HUNG_MAX threads wait for the kernel.
 */
import { Mutex } from '../../../config/base/mutex.ts'
import { openPathWorker } from '../../../native/index.ts'
import type { PathWorker } from '../../../native/types.ts'
import { inTime } from '../../../config/base/time/in-time.ts'

const DEADLINE_MS = 2_000
const HUNG_MAX = 8

export type ProcessFile = 'cmdline' | 'environ'

export interface ProcessFilesOptions {
  readonly worker?: PathWorker
  readonly deadlineMs?: number
  readonly warn?: (detail: object, message: string) => void
}

export class ProcessFiles {
  /** Files that were not read because the kernel does not answer. */
  readonly unread: Record<ProcessFile, number> = { cmdline: 0, environ: 0 }
  readonly #procfs: string
  readonly #worker: PathWorker
  readonly #deadlineMs: number
  readonly #warn: NonNullable<ProcessFilesOptions['warn']>
  /** Users, and processes of root, for which a thread waits. */
  readonly #hung = new Set<string>()
  readonly #turns = new Mutex()

  constructor(procfs: string, options: ProcessFilesOptions = {}) {
    this.#procfs = procfs
    this.#worker = options.worker ?? openPathWorker()
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS
    this.#warn = options.warn ?? (() => {})
  }

  /** At most `most` bytes and one byte more, which shows that the file is longer. undefined without an answer; rejects with NativeError. */
  read(pid: number, uid: number, file: ProcessFile, most: number): Promise<Buffer<ArrayBuffer> | undefined> {
    return this.#turns.run(() => this.#read(pid, uid, file, most))
  }

  async #read(pid: number, uid: number, file: ProcessFile, most: number): Promise<Buffer<ArrayBuffer> | undefined> {
    const whose = uid === 0 ? `process ${pid}` : `user ${uid}`
    if (this.#hung.has(whose) || this.#hung.size >= HUNG_MAX) {
      this.unread[file]++
      return undefined
    }
    const reading = this.#worker.readStart(Buffer.from(`${this.#procfs}/${pid}/${file}`), most + 1)
    return inTime(reading, this.#deadlineMs, (over: PromiseWithResolvers<undefined>) => {
      this.#abandon(reading, whose)
      this.unread[file]++
      this.#warn({ pid, uid }, `the kernel does not answer a read of ${file}, so the process is shown without it`)
      over.resolve(undefined)
    })
  }

  #abandon(reading: Promise<unknown>, whose: string): void {
    this.#worker.abandon()
    this.#hung.add(whose)
    const over = (): void => void this.#hung.delete(whose)
    reading.then(over, over)
  }
}
