/** How ./ktrail starts Node, read from the launcher itself: programs measured in other processes run as the agent does. */
import { existsSync, readFileSync } from 'node:fs'
import { machine } from 'node:os'

const LAUNCHER = new URL('../../ktrail', import.meta.url)

export interface Launch {
  /** Node's and V8's flags. */
  readonly flags: readonly string[]
  /** The environment that the launcher sets, except for V8's compile cache. */
  readonly env: Readonly<Record<string, string>>
}

/** `has`: whether a file exists here. Throws if the launcher has another form. */
export function launchOf(
  text: string = readFileSync(LAUNCHER, 'utf8'),
  has: (file: string) => boolean = existsSync,
): Launch {
  const flags = /^exec "\$node" (--[^"]*) "/m.exec(text)?.[1]
  const conf = /MALLOC_CONF="\$\{MALLOC_CONF:-([^}]+)\}"/.exec(text)?.[1]
  // bash's name of the processor is uname's.
  const jemalloc = /^jemalloc=(.+)$/m.exec(text)?.[1]?.replace('$HOSTTYPE', machine())
  if (flags === undefined || conf === undefined || jemalloc === undefined) {
    throw new Error(
      'ktrail: expected a line `exec "$node" --FLAG… "…"`, jemalloc=FILE and a MALLOC_CONF; update launcher.ts',
    )
  }
  return { flags: flags.split(' '), env: has(jemalloc) ? { LD_PRELOAD: jemalloc, MALLOC_CONF: conf } : {} }
}
