/** Keys of a hook that ktrail adds to Tetragon's language: `aggregate` and `fileDetails`. */
import type { Problems } from '../../yaml/problems.ts'
import type { Fields } from '../fields.ts'
import type { ArgumentSpec, HookSpec, Selector } from '../policy.ts'
import { readAggregate } from './aggregate.ts'
import { readFileDetails } from '../hooks/file-details.ts'
import { OWN_API_VERSION } from './identity.ts'

type Own = Pick<HookSpec, 'aggregate' | 'fileDetails'>

/** `args`: undefined for one with a mistake. */
export function readOwn(
  fields: Fields,
  args: ReadonlyArray<ArgumentSpec | undefined>,
  selectors: readonly Selector[],
): Own {
  const aggregate = readAggregate(fields, selectors)
  const details = readFileDetails(fields)
  if (details !== undefined && args.every((arg) => arg !== undefined && arg.type.kind !== 'file')) {
    fields.refuse('fileDetails', 'requires an argument that is a file, such as {index: 0, type: file}')
  }
  return { ...(aggregate && { aggregate }), ...(details && { fileDetails: details }) }
}

/** A file with Tetragon's apiVersion must mean the same in Tetragon. */
export function checkOwn(hooks: readonly HookSpec[], isTetragons: boolean, problems: Problems): void {
  if (!isTetragons) return
  const places = {
    aggregate: hooks.flatMap(({ aggregate }) => aggregate?.at ?? []),
    fileDetails: hooks.flatMap(({ fileDetails }) => fileDetails?.at ?? []),
  }
  for (const [key, ats] of Object.entries(places)) {
    for (const at of new Set(ats)) {
      const sentence = `is an addition of ktrail's: write apiVersion: ${OWN_API_VERSION}, got cilium.io/v1alpha1`
      problems.add(at, `${key}: ${sentence}`)
    }
  }
}
