/** Symbolic links as a process follows them whose root is another folder. */
import { dirname, join } from 'node:path'

/** MAXSYMLINKS, include/linux/namei.h. */
const LINKS_MAX = 40

/** Targets of symbolic links, by path; undefined for other files. Kept for one check, in which paths share most of their folders. */
export type Targets = Map<string, Promise<string | undefined>>

/** Reads the target of a symbolic link; undefined for other files. */
export type ReadLink = (path: string) => Promise<string | undefined>

/**
 * The path below `root` without symbolic links, as far as it exists; `root`: '' for the agent's root. `path` is absolute. Never leaves
 * `root`. Rejects as `readLink`, which is called only for paths that `targets` does not have.
 */
export async function realPathIn(
  root: string,
  path: string,
  readLink: ReadLink,
  targets: Targets = new Map(),
): Promise<string> {
  const left = namesOf(path)
  let real = '/'
  for (let links = 0; left.length > 0;) {
    const name = left.shift() ?? ''
    if (name === '..') {
      real = dirname(real)
      continue
    }
    const next = join(real, name)
    const target = links < LINKS_MAX ? await targetOf(`${root}${next}`, readLink, targets) : undefined
    if (target === undefined) {
      real = next
      continue
    }
    links++
    if (target.startsWith('/')) real = '/'
    left.unshift(...namesOf(target))
  }
  return real
}

function targetOf(path: string, readLink: ReadLink, targets: Targets): Promise<string | undefined> {
  const known = targets.get(path)
  if (known !== undefined) return known
  const target = readLink(path)
  targets.set(path, target)
  return target
}

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.')
