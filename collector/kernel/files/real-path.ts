/** Symbolic links as a process follows them whose root is another folder. */
import { readlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** MAXSYMLINKS, include/linux/namei.h. */
const LINKS_MAX = 40

/**
 * The path below `root` without symbolic links, as far as it exists; `root`: '' for the own one. `path` is absolute. Never leaves `root`, and
 * never rejects.
 */
export async function realPathIn(root: string, path: string): Promise<string> {
  const left = namesOf(path)
  let real = '/'
  for (let links = 0; left.length > 0;) {
    const name = left.shift() ?? ''
    if (name === '..') {
      real = dirname(real)
      continue
    }
    const next = join(real, name)
    const target = links < LINKS_MAX ? await readlink(`${root}${next}`).catch(() => undefined) : undefined
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

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.')
