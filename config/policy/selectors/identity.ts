/** SameFile and UnderDir: the identity of an argument's file, whatever its path. Additions of ours to Tetragon's language. */
import { show } from '../../yaml/problems.ts'
import type { Problems } from '../../yaml/problems.ts'
import type { ArgumentType } from '../arguments.ts'
import type { Fields, Place } from '../fields.ts'
import { IDENTITY_OPERATORS } from '../operators.ts'
import type { IdentityOperator } from '../operators.ts'
import type { HookSpec, IdentityFilter } from '../policy.ts'
import { readTexts, whyNoPath } from '../values.ts'

export const OWN_API_VERSION = 'ktrail.dev/v1alpha1'
/** Arguments of a hook with such filters; FILES_MAX of bpf/frame/identity.h. */
const MAX_FILES = 2

/** The operator, if the argument leads to a file. `type`: undefined for a wrong one. */
export function identityOperator({ text }: Place, type: ArgumentType | undefined): IdentityOperator | undefined {
  return type === undefined || type.filter === 'path' ? IDENTITY_OPERATORS.get(text) : undefined
}

/** The paths of a filter, without needless slashes; wrong ones are reported and left out. */
export function readPaths(places: readonly Place[]): readonly string[] {
  return places.flatMap((place) => readTexts([place], 'Equal').flatMap((text) => readPath(place, text)))
}

function readPath(place: Place, text: string): string[] {
  const names = text.split('/').slice(1)
  if (!text.startsWith('/') || names.includes('.') || names.includes('..')) {
    place.refuse(`expected the absolute path of a file or folder, without "." and "..", got ${show(text)}`)
    return []
  }
  const why = whyNoPath(text, 'Prefix')
  if (why !== undefined && !text.includes('//')) place.warn(`no path matches ${show(text)}: ${why}`)
  if (text.includes('*')) place.warn(`* is not a wildcard in ${show(text)}; use UnderDir with the folder`)
  return [`/${names.filter((name) => name !== '').join('/')}`]
}

export function readSticky(fields: Fields, operator: string): Pick<IdentityFilter, 'sticky'> {
  if (!fields.flag('sticky', false)) return {}
  if (operator === 'UnderDir') return { sticky: true }
  fields.refuse('sticky', `applies only to UnderDir, got ${operator}`)
  return {}
}

/** Checks that need whole hooks. A file with Tetragon's apiVersion must mean the same in Tetragon. */
export function checkIdentityFilters(hooks: readonly HookSpec[], isTetragons: boolean, problems: Problems): void {
  const seen = new Set<object>()
  for (const { selectors } of hooks) {
    const filters = selectors
      .flatMap(({ matchArgs }) => matchArgs)
      .filter((filter) => filter.class === 'identity')
      // The functions of a list share their selectors.
      .filter((filter) => !seen.has(filter) && seen.add(filter))
    for (const { operator, at } of isTetragons ? filters : []) {
      const sentence = `${operator} is an addition of ktrail's: write apiVersion: ${OWN_API_VERSION}`
      problems.add(at, `operator: ${sentence}, got cilium.io/v1alpha1`)
    }
    const args = [...new Set(filters.map(({ arg }) => arg))]
    const more = filters.find(({ arg }) => arg === args[MAX_FILES])
    if (more === undefined) continue
    const sentence = `expected at most ${MAX_FILES} arguments of a hook with SameFile or UnderDir, got ${args.length}`
    problems.add(more.at, `operator: ${sentence}; use a second hook on the same call`)
  }
}
