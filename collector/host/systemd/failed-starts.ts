/**
 * Starts of a service that failed one after the other. systemd 252 waits equally long before each restart (RestartSteps= needs 254), and a start
 * takes seconds of CPU time. So an agent whose start failed waits before it ends, each time twice as long.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { backOffMs } from '../../../config/base/time/back-off.ts'
import { readOr } from '../read.ts'

const LEAST_MS = 4_000
/** Longest delay: until the next start nothing is recorded. */
const MOST_MS = 60_000

export class FailedStarts {
  /** Undefined if nothing would start the agent again. systemd keeps the folder until the next boot (RuntimeDirectoryPreserve=). */
  readonly #file: string | undefined

  constructor(env: Readonly<Record<string, string | undefined>> = process.env) {
    const { NOTIFY_SOCKET: socket, RUNTIME_DIRECTORY: folders } = env
    const [folder = ''] = folders?.split(':') ?? []
    this.#file = socket === undefined || folder === '' ? undefined : join(folder, 'failed-starts')
  }

  /** Counts one more failed start. Returns the wait before the agent ends: 0 for the first, which `systemctl start` reports. */
  add(): number {
    if (this.#file === undefined) return 0
    const before = Math.max(0, Math.trunc(Number(readOr(this.#file))) || 0)
    try {
      writeFileSync(this.#file, `${before + 1}\n`)
    } catch {
      // Without a stored count the wait would stay 0, and a full /run would make the agent spin.
      return MOST_MS
    }
    return before === 0 ? 0 : backOffMs(LEAST_MS, MOST_MS, before - 1)
  }

  /** A start succeeded, or a person stopped the service. */
  clear(): void {
    if (this.#file === undefined) return
    try {
      rmSync(this.#file, { force: true })
    } catch {
      // A count that stays makes a later wait longer: no reason to end an agent that runs.
    }
  }
}
