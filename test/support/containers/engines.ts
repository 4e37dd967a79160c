/** The container engines that engine.sh fetches: Docker with containerd, and podman. Their folder has a program `run` that runs theirs. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const FETCH_MS = 600_000
/** Engines that the machine beside a guest has found; the guest cannot fetch anything (../kubernetes/beside-guest.ts). */
export const ENGINES = 'KTRAIL_ENGINES'

export type Engines = { readonly folder: string } | { readonly missing: string }

export async function engines(): Promise<Engines> {
  const found = process.env[ENGINES]
  if (found !== undefined) return JSON.parse(found)
  if (process.getuid?.() !== 0) return { missing: 'only root can run a container engine' }
  try {
    const script = fileURLToPath(new URL('engine.sh', import.meta.url))
    const { stdout } = await promisify(execFile)(script, { timeout: FETCH_MS })
    return { folder: stdout.trim() }
  } catch (error) {
    return { missing: lastLineOf(error) }
  }
}

/** The last line of a failed script's stderr, which is its error message. */
export function lastLineOf(error: unknown): string {
  const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
  return text.trim().split('\n').at(-1) || 'it failed without a message'
}
