/**
 * The library: ktrail's own policies by purpose, a file each. `library:NAME` stands for one of them, or for all of a bundle: each file names its
 * bundles in an annotation.
 */
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ownFile } from '../../base/own.ts'
import { LIBRARY, inLibrary } from '../../base/paths.ts'
import { Problems, show } from '../../yaml/problems.ts'
import { didYouMean } from '../../yaml/suggest.ts'
import type { TreeNode } from '../../yaml/tree.ts'
import { parseYaml } from '../../yaml/yaml.ts'

export interface LibraryPolicy {
  readonly name: string
  readonly file: string
  readonly title: string
  readonly severity: string
  readonly bundles: readonly string[]
  /** Identifiers of MITRE techniques. */
  readonly mitre: readonly string[]
  readonly references: readonly string[]
}

/** Read once: each start and each look at the policies needs it several times, and a head takes 1 ms. It changes only with ktrail itself. */
let known: Promise<LibraryPolicy[]> | undefined

/** All policies of the library, by name. Rejects if the folder cannot be read. */
export const libraryPolicies = (): Promise<readonly LibraryPolicy[]> => (known ??= readAll())

const FOLDER = ownFile('config/policies/library')

async function readAll(): Promise<LibraryPolicy[]> {
  const files = (await readdir(FOLDER)).filter((file) => file.endsWith('.yaml')).toSorted()
  return Promise.all(files.map((file) => readHead(join(FOLDER, file))))
}

export const isShipped = (file: string): boolean => dirname(file) === FOLDER

/** The files for `library:NAME`. Rejects for a name that the library lacks. */
export async function libraryFiles(place: string): Promise<string[]> {
  const wanted = place.slice(LIBRARY.length)
  const policies = await libraryPolicies()
  const found = policies.filter(({ name, bundles }) => name === wanted || bundles.includes(wanted))
  if (found.length > 0) return found.map(({ file }) => file)
  const names = policies.flatMap(({ name, bundles }) => [name, ...bundles])
  const next = didYouMean(wanted, names) || '; ktrail policy library lists them'
  throw new Error(`the library has no policy or bundle ${show(wanted)}${next}`)
}

/**
 * Adds the files of a place to `files`, with whether only bundles have them. A bundle is for all kernels: policies that a kernel cannot run are left
 * out of it.
 */
export function addFiles(files: Map<string, boolean>, place: string, found: readonly string[]): void {
  for (const file of found) {
    const ofBundle = inLibrary(place) && basename(file, '.yaml') !== place.slice(LIBRARY.length)
    files.set(file, ofBundle && files.get(file) !== false)
  }
}

/**
 * ` (did you mean "library:pci"?)` for a path without a file that ends in a name of the library; else ''. `place` may have become absolute.
 */
export async function libraryHint(place: string): Promise<string> {
  const name = basename(place, '.yaml')
  const has = (await libraryPolicies()).some((policy) => policy.name === name || policy.bundles.includes(name))
  return has ? ` (did you mean ${show(LIBRARY + name)}?)` : ''
}

/** Only the head is parsed: the annotations come before the spec. */
async function readHead(file: string): Promise<LibraryPolicy> {
  const text = await readFile(file, 'utf8')
  const root = parseYaml(text.slice(0, text.indexOf('\nspec:')), 'policy', new Problems(file))
  const metadata = root?.entries.get('metadata')?.value
  const annotations = at(metadata, 'annotations')
  const textOf = (key: string): string => valueOf(at(annotations, `ktrail.dev/${key}`))
  const listOf = (key: string): string[] =>
    textOf(key)
      .split(/\s*,\s*/)
      .filter((each) => each !== '')
  return {
    name: valueOf(at(metadata, 'name')),
    file,
    title: textOf('title'),
    severity: textOf('severity'),
    bundles: listOf('bundles'),
    mitre: listOf('mitre'),
    references: listOf('references'),
  }
}

const at = (node: TreeNode | undefined, key: string): TreeNode | undefined =>
  node?.kind === 'map' ? node.entries.get(key)?.value : undefined

const valueOf = (node: TreeNode | undefined): string => (node?.kind === 'scalar' ? String(node.value) : '')
