/** How ./ktrail starts Node, read from the launcher itself: programs measured in other processes run as the agent does. */
import { readFileSync } from 'node:fs'

const LAUNCHER = new URL('../../ktrail', import.meta.url)
const JEMALLOC = new URL('../../node_modules/.ktrail/jemalloc', import.meta.url)

export interface Launch {
  /** Node's and V8's flags. */
  readonly flags: readonly string[]
  /** The environment that the launcher sets, except for V8's compile cache. */
  readonly env: Readonly<Record<string, string>>
}

/** `jemalloc`: its file, '' for none. Throws if the launcher has another form. */
export function launchOf(
  text: string = readFileSync(LAUNCHER, 'utf8'),
  jemalloc: string = readFileSync(JEMALLOC, 'utf8').trim(),
): Launch {
  const flags = /^exec "\$node" (--[^"]*) "/m.exec(text)?.[1]
  const conf = /MALLOC_CONF="\$\{MALLOC_CONF:-([^}]+)\}"/.exec(text)?.[1]
  if (flags === undefined || conf === undefined) {
    throw new Error('ktrail: expected a line `exec "$node" --FLAG… "…"` and a MALLOC_CONF; update launcher.ts')
  }
  return { flags: flags.split(' '), env: jemalloc === '' ? {} : { LD_PRELOAD: jemalloc, MALLOC_CONF: conf } }
}
