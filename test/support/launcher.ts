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
  const found = text.matchAll(/^export (MALLOC_[A-Z_]+)=\$\{\1:-(\d+)\}$/gm)
  const env = Object.fromEntries([...found].map(([, name = '', value = '']) => [name, value]))
  if (flags === undefined || env['MALLOC_MMAP_THRESHOLD_'] === undefined) {
    throw new Error(
      'ktrail: expected a line `exec "$node" --FLAG… "…"` and some that export MALLOC_…; update launcher.ts',
    )
  }
  return { flags: flags.split(' '), env }
}
