/**
 * Places of built files. In a checkout they are below native/ and bpf/. In an installed ktrail they are in the package of its platform,
 * which npm installs beside it (as for esbuild and sharp).
 */
import { createRequire, findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'

/** The npm package with the addon, the BPF objects and the libraries of this processor. */
const PLATFORM = `@ktrail/${process.platform}-${process.arch}`

export const ADDON = 'ktrail.node'

/**
 * Path of the addon or of a BPF object (`NAME.bpf.o`). If there is none, the path where a checkout would have it.
 * Not by existsSync: access(2) ignores the capabilities of a process that is not root.
 */
export function builtFile(name: string): string {
  const folder = name === ADDON ? 'native/build/Release' : 'bpf/build'
  const own = join(dirname(findPackageJSON(import.meta.url) ?? ''), folder, name)
  const { resolve } = createRequire(import.meta.url)
  for (const place of [own, `${PLATFORM}/${name}`]) {
    try {
      return resolve(place)
    } catch {
      // The next place, or the message of the caller.
    }
  }
  return own
}

/** The remedy for a missing file. */
export const HOW_TO_BUILD = `run make build in a checkout; installed by npm, ktrail needs the package ${PLATFORM}`
