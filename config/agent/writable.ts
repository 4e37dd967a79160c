/**
 * Checks whether a user other than root and the agent's user can change the agent's config or policies. The mode and owner of each file
 * decide, and those of each folder above it, where the file could be replaced.
 */
import type { Stats } from 'node:fs'
import { access, constants, readlink, realpath, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { problemAt } from './load.ts'
import type { LoadedConfig } from './load.ts'
import { answered } from '../base/time/answered.ts'
import { dropInFolder } from './loading/drop-ins.ts'
import { inLibrary } from '../base/paths.ts'
import { policyFilesAt } from '../policy/sources/files.ts'
import { errnoOf } from '../base/unreadable.ts'
import { STDIN } from '../yaml/files.ts'
import type { Problem } from '../yaml/problems.ts'

const BY_GROUP = 0o020
const BY_OTHERS = 0o002
/** In a sticky folder only the owner of a file can rename or remove it. */
const STICKY = 0o1000

/** MAXSYMLINKS of include/linux/namei.h. */
const MOST_LINKS = 40
/** More warnings would add nothing. */
const MOST_WARNINGS = 20

/** A warning for each path that others can write, of a config file and the policies that it names. Never rejects. */
export async function writablePaths(loaded: LoadedConfig, file: string): Promise<Problem[]> {
  const { config, files } = loaded
  const looked = new Looked()
  const warnings: Problem[] = []
  for (const own of file === STDIN ? [] : [...files, dropInFolder(file)]) {
    warnings.push(...(await looked.warningsOf([own], atTop(own))))
  }
  for (const [i, place] of config.policies.entries()) {
    const policies = await policyFilesAt(place).catch(() => [])
    const at = problemAt(loaded, file, ['policies', i], '')
    warnings.push(...(await looked.warningsOf(inLibrary(place) ? policies : [place, ...policies], at)))
  }
  const more = warnings.length - MOST_WARNINGS
  const last = warnings[MOST_WARNINGS]
  if (last === undefined) return warnings
  return [
    ...warnings.slice(0, MOST_WARNINGS),
    { ...last, message: `and ${more} more files and folders that others may write` },
  ]
}

/** Warnings of one policy file. */
export function writablePolicy(file: string): Promise<Problem[]> {
  return new Looked().warningsOf([file], atTop(file))
}

/** Whether others may put another file, or a link to any file, at this path. */
export async function othersMayWrite(file: string): Promise<boolean> {
  return (await new Looked().warningsOf([dirname(resolve(file)), file], atTop(file))).length > 0
}

const atTop = (file: string): Problem => ({ file, line: 1, col: 1, message: '' })

/** Each file and folder is checked once. */
class Looked {
  readonly #paths = new Set<string>()

  /** Checks each path as written, the places and the target of links, and every folder above. Skips what may not be read. `at`: the place of warnings, and how each begins. */
  async warningsOf(paths: readonly string[], at: Problem): Promise<Problem[]> {
    const warnings: Problem[] = []
    for (const path of paths) {
      const named = resolve(path)
      const real = await answered(named, () => realpath(named)).catch(() => named)
      const links = await linksFrom(named)
      for (const start of [real, ...links.map((link) => dirname(link))]) {
        for (let place = start; !this.#paths.has(place); place = dirname(place)) {
          this.#paths.add(place)
          const why = await answered(place, () => whyWritable(place, place === real)).catch(() => undefined)
          if (why !== undefined) warnings.push({ ...at, message: at.message + why })
        }
      }
    }
    return warnings
  }
}

/** The path, and that of each link behind it. */
async function linksFrom(named: string): Promise<string[]> {
  const links = [named]
  for (let at = named; links.length < MOST_LINKS; links.push(at)) {
    const target = await answered(at, () => readlink(at)).catch(() => undefined)
    if (target === undefined) break
    at = resolve(dirname(at), target)
  }
  return links
}

/** `itself`: the file itself, not a folder above it. */
async function whyWritable(place: string, itself: boolean): Promise<string | undefined> {
  const info = await stat(place)
  const who = writers(info, itself)
  if (who === undefined || (await isReadOnly(place))) return undefined
  const name = JSON.stringify(place)
  const octal = (info.mode & 0o7777).toString(8).padStart(4, '0')
  const next = who.owner ? `chown root ${name}` : `chmod go-w ${name}`
  return `${who.name} may write ${name} (mode ${octal}, owner ${info.uid}, group ${info.gid}) and could change the behavior of ktrail: ${next}`
}

function writers({ mode, uid, gid }: Stats, itself: boolean): { name: string; owner: boolean } | undefined {
  // The owner can grant himself every permission.
  if (uid !== 0 && uid !== process.geteuid?.()) return { name: `user ${uid}`, owner: true }
  if (!itself && (mode & STICKY) !== 0) return undefined
  if ((mode & BY_OTHERS) !== 0) return { name: 'every user of this host', owner: false }
  // The groups of root and of this process are trusted: on many systems they have no other members.
  if ((mode & BY_GROUP) !== 0 && gid !== 0 && gid !== process.getegid?.()) return { name: `group ${gid}`, owner: false }
  return undefined
}

/** Volumes of Kubernetes have mode 0777 and are mounted read-only. */
async function isReadOnly(place: string): Promise<boolean> {
  return access(place, constants.W_OK).then(
    () => false,
    (error: unknown) => errnoOf(error) === 'EROFS',
  )
}
