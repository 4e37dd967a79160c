/** The files that a config names, and the names of its policies. */
import { stat } from 'node:fs/promises'
import { answered } from '../base/time/answered.ts'
import { inLibrary } from '../base/paths.ts'
import { errnoOf, whyUnreadable } from '../base/unreadable.ts'
import { libraryFiles, libraryHint } from '../policy/sources/library.ts'
import type { Policy } from '../policy/policy.ts'
import type { Problem } from '../yaml/problems.ts'
import { show } from '../yaml/problems.ts'
import { didYouMean } from '../yaml/suggest.ts'
import { globMatcher } from './filtering/globs.ts'
import { parseSeverity } from './filtering/severity.ts'
import { problemAt } from './load.ts'
import type { LoadedConfig } from './load.ts'
import type { Path } from './loading/explain.ts'

/** Names that the library of policies lacks. */
export async function libraryProblems(loaded: LoadedConfig, file: string): Promise<Problem[]> {
  const found = loaded.config.policies.map((place, i) => {
    if (!inLibrary(place)) return []
    const problem = (error: unknown): Problem[] => [problemAt(loaded, file, ['policies', i], whyUnreadable(error))]
    return libraryFiles(place).then(() => [], problem)
  })
  return (await Promise.all(found)).flat()
}

/** Missing policy paths. */
export const missingPolicies = async (loaded: LoadedConfig, file: string): Promise<Problem[]> =>
  missing(
    loaded.config.policies.flatMap((place, i) => (inLibrary(place) ? [] : [[['policies', i], place]])),
    async (path, place, why) => {
      const got = `${show(place)}: ${why}${await libraryHint(place)}`
      return problemAt(loaded, file, path, `expected a policy file or a folder of them, got ${got}`)
    },
  )

/** Missing certificates, and files of headers and passwords. They may be for another host. */
export const missingFiles = async (loaded: LoadedConfig, file: string): Promise<Problem[]> =>
  missing([...filesIn(loaded.written, [])], (path, place, why) =>
    problemAt(loaded, file, path, `expected a file, got ${show(place)}: ${why}; create it before the agent starts`),
  )

/** A path that this user may not read is no problem: the agent may be able to. */
async function missing(
  named: ReadonlyArray<[Path, string]>,
  problem: (path: Path, place: string, why: string) => Problem | Promise<Problem>,
): Promise<Problem[]> {
  const found = named.map(async ([path, place]) => {
    const error: unknown = await answered(place, () => stat(place)).then(
      () => undefined,
      (cause: unknown) => cause,
    )
    return error === undefined || errnoOf(error) === 'EACCES' ? [] : [await problem(path, place, whyUnreadable(error))]
  })
  return (await Promise.all(found)).flat()
}

/** The files that exporters and servers read at the start. */
function* filesIn(value: unknown, path: Path): Generator<[Path, string]> {
  // Keys below these are not ours.
  if (path[0] === 'exporters' && (path[2] === 'options' || path[2] === 'resource_attributes')) return
  const isFile = path.at(-2) === 'header_files' || /_file$|^kubeconfig$/.test(String(path.at(-1)))
  if (typeof value === 'string' && isFile) yield [path, value]
  if (typeof value !== 'object' || value === null) return
  for (const [key, each] of Object.entries(value)) yield* filesIn(each, [...path, key])
}

/** Policies with the name of an earlier one: the agent refuses these. */
export function duplicateNames(policies: readonly Policy[]): Problem[] {
  const taken = new Map<string, string>()
  return policies.flatMap(({ name, file }) => {
    const other = taken.get(name)
    if (other === undefined) taken.set(name, file)
    if (other === undefined || other === file) return []
    return [{ file, line: 0, col: 0, message: `policy ${show(name)} is already in ${other}: give it another name` }]
  })
}

/** Names, tags and severities of an exporter that no policy has. Other sources may have these policies. */
export function unknownNames(loaded: LoadedConfig, file: string, policies: readonly Policy[]): Problem[] {
  const names = policies.map(({ name }) => name)
  if (names.length === 0 || loaded.config.kubernetes?.policies === true) return []
  const hooks = policies.flatMap((policy) => policy.hooks)
  const tags = [...new Set(hooks.flatMap((hook) => hook.tags))]
  return Object.entries(loaded.config.exporters).flatMap(([name, exporter]) => {
    const found: Problem[] = []
    const add = (path: Path, what: string, got: string, known: readonly string[]): void => {
      const next = didYouMean(got, known) || '; correct it, or add the policy with ktrail policy add'
      const message = `expected ${what} of this config, got ${show(got)}${next}`
      found.push(problemAt(loaded, file, ['exporters', name, ...path], message))
    }
    const { policies: globs = [], tags: tagGlobs = [], severity, allow = [], deny = [] } = exporter.filter ?? {}
    for (const [i, glob] of globs.entries())
      if (!names.some(globMatcher([glob]))) add(['filter', 'policies', i], 'the name of a policy', glob, names)
    for (const [i, glob] of tagGlobs.entries())
      if (!tags.some(globMatcher([glob]))) add(['filter', 'tags', i], 'a tag of the policies', glob, tags)
    const passes = parseSeverity(severity ?? '')
    if (severity !== undefined && passes?.([]) === false && !hooks.some((hook) => passes(hook.tags)))
      add(['filter', 'severity'], 'a severity of the policies', severity, [])
    for (const [key, filters] of Object.entries({ allow, deny })) {
      for (const [i, { policy_names: exact = [] }] of filters.entries())
        for (const [j, each] of exact.entries())
          if (!names.includes(each)) add(['filter', key, i, 'policy_names', j], 'the name of a policy', each, names)
    }
    const records = exporter.type === 'kafka' ? exporter.otlp : exporter
    const levels = records !== undefined && 'severity' in records ? records.severity : undefined
    const above = exporter.type === 'kafka' ? ['otlp', 'severity'] : ['severity']
    for (const key of Object.keys(levels?.policies ?? {}))
      if (!names.includes(key)) add([...above, 'policies', key], 'the name of a policy', key, names)
    for (const key of Object.keys(levels?.tags ?? {}))
      if (!tags.includes(key)) add([...above, 'tags', key], 'a tag of the policies', key, tags)
    return found
  })
}
