/**
 * Hashes of the content of files, for hooks with `fileDetails: {hash: sha256}`. They are taken after the call, while the event waits:
 *
 *     event ─▶ queued by file ─▶ read and hashed on a thread of its own (collector/kernel/files/contents.ts) ─▶ event
 *
 * Bounds: QUEUE_MAX files wait, BYTES_A_SECOND are read, and an event waits WAIT_MS. An event beyond them has the reason.
 */
import { isHookEvent } from '../../exporters/index.ts'
import type { FileArgument, ProcessEvent } from '../../exporters/contract/event.ts'
import type { AskedHash, FileHash } from '../../exporters/contract/file-details.ts'
import type { Contents, FileContents, ReachedFile } from '../kernel/files/contents.ts'
import type { Enricher } from './enrichment.ts'

const QUEUE_MAX = 1024
/** Bytes of each second, and of a burst. A small file counts as LEAST_BYTES, because opening it is work too. */
const BYTES_A_SECOND = 16 << 20
const LEAST_BYTES = 16 << 10
/** Longest wait of an event (docs/reference/policy/file-details.md). */
const WAIT_MS = 1_000

interface Job {
  readonly key: string
  readonly file: ReachedFile
  readonly maxBytes: number
  readonly asked: AskedHash[]
  readonly done: Promise<void>
  readonly settle: (result: FileHash) => void
}

export class FileHashes implements Enricher {
  readonly #contents: Pick<FileContents, 'read' | 'idle'>
  readonly #nowMs: () => number
  /** Jobs that have not begun, the oldest first. */
  readonly #queue = new Map<string, Job>()
  readonly #waits = new WeakMap<AskedHash, Promise<void>>()
  #working = false
  #budget = { bytes: BYTES_A_SECOND, atMs: 0 }

  /** `nowMs`: monotonic. */
  constructor(contents: Pick<FileContents, 'read' | 'idle'>, nowMs: () => number = () => performance.now()) {
    this.#contents = contents
    this.#nowMs = nowMs
  }

  get idle(): boolean {
    return this.#contents.idle
  }

  /** Begins with all files of an event. Returns the promise of the first that is not done. */
  pending(event: ProcessEvent): Promise<void> | undefined {
    if (!isHookEvent(event)) return undefined
    let first: Promise<void> | undefined
    for (const arg of event.args) {
      const asked = arg.kind === 'file' ? arg.details?.hash : undefined
      if (arg.kind !== 'file' || asked === undefined || asked.result !== undefined) continue
      const done = this.#waits.get(asked) ?? this.#ask(arg, asked, event)
      first ??= done
    }
    return first
  }

  #ask(file: FileArgument, asked: AskedHash, event: ProcessEvent): Promise<void> | undefined {
    const sizeBytes = Number(file.details?.content?.sizeBytes ?? 0)
    const { inode, device, details } = file
    const key = [device, inode, details?.content?.generation, asked.maxBytes].join(' ')
    const known = this.#queue.get(key)
    if (file.path === '' || file.deleted || file.unresolved || file.unstable || details?.detached === true) {
      asked.result = { missing: 'no_path' }
    } else if (sizeBytes > asked.maxBytes) {
      asked.result = { missing: 'too_large' }
    } else if (known === undefined && (this.#queue.size >= QUEUE_MAX || !this.#affords(sizeBytes))) {
      asked.result = { missing: 'busy' }
    }
    if (asked.result !== undefined) return undefined
    const job = known ?? this.#queued(key, reachedBy(file, event), asked.maxBytes)
    job.asked.push(asked)
    this.#waits.set(asked, job.done)
    void this.#work()
    return job.done
  }

  #queued(key: string, file: ReachedFile, maxBytes: number): Job {
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const asked: AskedHash[] = []
    const settle = (result: FileHash): void => {
      clearTimeout(timer)
      if (this.#queue.get(key) === job) this.#queue.delete(key)
      for (const each of asked) each.result ??= result
      resolve()
    }
    const timer = setTimeout(() => settle({ missing: 'late' }), WAIT_MS)
    const job: Job = { key, file, maxBytes, asked, done, settle }
    this.#queue.set(key, job)
    return job
  }

  #affords(sizeBytes: number): boolean {
    const nowMs = this.#nowMs()
    const earned = ((nowMs - this.#budget.atMs) / 1000) * BYTES_A_SECOND
    const bytes = Math.min(BYTES_A_SECOND, this.#budget.bytes + earned) - Math.max(sizeBytes, LEAST_BYTES)
    if (bytes < 0) return false
    this.#budget = { bytes, atMs: nowMs }
    return true
  }

  async #work(): Promise<void> {
    if (this.#working) return
    this.#working = true
    for (;;) {
      const [job] = this.#queue.values()
      if (job === undefined) break
      // Requests from now on are of later calls.
      this.#queue.delete(job.key)
      job.settle(hashOf(await this.#contents.read(job.file, job.maxBytes)))
    }
    this.#working = false
  }
}

function reachedBy({ path, raw, inode, device, details }: FileArgument, event: ProcessEvent): ReachedFile {
  // The caller may have ended by now. Its parent most likely sees the same files.
  const pids = [event.process.pid, event.parent?.pid ?? 0].filter((pid) => pid > 0)
  const generation = details?.content?.generation ?? 0
  return { identity: { ino: BigInt(inode), dev: device, generation }, path: Buffer.from(raw ?? path), pids }
}

function hashOf(content: Contents): FileHash {
  if ('missing' in content) return content
  const { sha256, sizeBytes, sec, nsec } = content
  return { sha256, sizeBytes, changed: { sec, nsec } }
}
