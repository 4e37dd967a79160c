/** Runs commands on real kernels from tests: a thin wrapper over run.sh, which documents the guest. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type GuestKernel = '5.10' | '6.1' | '6.12' | '7.3'

export interface GuestOptions {
  readonly kernel: GuestKernel
  /** Program and arguments, run as root in the checkout. */
  readonly command: readonly [string, ...string[]]
  /** More kernel parameters, for instance `preempt=full`. */
  readonly append?: string
  readonly cpus?: number
  readonly memoryMiB?: number
  /** Host time from the start of the emulator; the guest is stopped then and `code` is 124. Default 600,000. */
  readonly timeoutMs?: number
  /** Stops the guest; `code` is then 143. */
  readonly signal?: AbortSignal
}

export interface GuestResult {
  /** The command's exit code; 124: out of time; 125: the guest did not start or crashed; 143: stopped by `signal`. */
  readonly code: number
  /** Output of the command, stdout and stderr in order. */
  readonly output: string
  /** The output of run.sh itself: progress, and the kernel's last console lines after a crash. */
  readonly messages: string
}

const RUN = fileURLToPath(new URL('run.sh', import.meta.url))

/**
 * Boots a guest, runs the command in it and waits for its end. It may wait for other guests to end (run.sh).
 * Resolves also if the command or the guest fails; rejects only if run.sh cannot be started.
 */
export function runInGuest(options: GuestOptions): Promise<GuestResult> {
  const flags: string[] = [options.kernel]
  if (options.append !== undefined) flags.push('--append', options.append)
  if (options.cpus !== undefined) flags.push('--cpus', String(options.cpus))
  if (options.memoryMiB !== undefined) flags.push('--memory', String(options.memoryMiB))
  if (options.timeoutMs !== undefined) flags.push('--timeout', String(Math.ceil(options.timeoutMs / 1000)))
  return new Promise((resolve, reject) => {
    const child = spawn(RUN, [...flags, '--', ...options.command], { stdio: ['ignore', 'pipe', 'pipe'] })
    const output: Buffer[] = []
    const messages: Buffer[] = []
    child.stdout.on('data', (bytes: Buffer) => output.push(bytes))
    child.stderr.on('data', (bytes: Buffer) => messages.push(bytes))
    // SIGTERM, so that run.sh can stop the guest.
    const stop = (): void => void child.kill('SIGTERM')
    options.signal?.addEventListener('abort', stop, { once: true })
    if (options.signal?.aborted === true) stop()
    child.on('error', reject)
    child.on('close', (code) => {
      options.signal?.removeEventListener('abort', stop)
      resolve({ code: code ?? 143, output: String(Buffer.concat(output)), messages: String(Buffer.concat(messages)) })
    })
  })
}
