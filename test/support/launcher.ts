/** How ./ktrail starts Node, read from the launcher itself: what is measured in another process runs as the agent does. */
import { readFileSync } from 'node:fs'

const LAUNCHER = new URL('../../ktrail', import.meta.url)

/** Node's and V8's flags. Throws when the launcher is not what this reads. */
export function launchFlags(text: string = readFileSync(LAUNCHER, 'utf8')): readonly string[] {
  const flags = /^exec "\$node" (--[^"]*) "/m.exec(text)?.[1]
  if (flags === undefined) throw new Error('ktrail: expected a line `exec "$node" --FLAG… "…"`; update launcher.ts')
  return flags.split(' ')
}
