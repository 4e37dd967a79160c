/** How ./ktrail starts Node, read from the launcher itself: what is measured in another process runs as the agent does. */
import { readFileSync } from 'node:fs'

const LAUNCHER = new URL('../../ktrail', import.meta.url)

export interface Launch {
  /** Node's and V8's flags. */
  readonly flags: readonly string[]
  /** What the launcher sets in the environment, but for V8's compile cache. */
  readonly env: Readonly<Record<string, string>>
}

/** Throws when the launcher is not what this reads. */
export function launchOf(text: string = readFileSync(LAUNCHER, 'utf8')): Launch {
  const flags = /^exec "\$node" (--[^"]*) "/m.exec(text)?.[1]
  const threshold = /^export MALLOC_MMAP_THRESHOLD_=\$\{MALLOC_MMAP_THRESHOLD_:-(\d+)\}$/m.exec(text)?.[1]
  if (flags === undefined || threshold === undefined) {
    throw new Error(
      'ktrail: expected a line `exec "$node" --FLAG… "…"` and one that exports MALLOC_MMAP_THRESHOLD_; update launcher.ts',
    )
  }
  return { flags: flags.split(' '), env: { MALLOC_MMAP_THRESHOLD_: threshold } }
}
