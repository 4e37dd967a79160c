/**
 * Groups of functions of which a kernel must have one. Tetragon has no such thing, so they are annotations, which it ignores:
 *
 *   metadata: { annotations: { ktrail.one-of/truncate-open-file: "security_file_truncate, security_path_truncate" } }
 */
import { show } from '../yaml/problems.ts'
import { didYouMean } from '../yaml/suggest.ts'
import { Place, asText } from './fields.ts'
import type { HookGroup, HookSpec } from './policy.ts'
import { WITHOUT_LOOPS } from './without-loops.ts'

/** Annotations that begin so are ours. */
const OWN = /^ktrail[./]/
const PREFIX = 'ktrail.one-of/'
/** Annotations that others read: those of the library's policies (library.ts), and without-loops.ts. */
const OTHERS = [
  ...['title', 'severity', 'bundles', 'mitre', 'references'].map((key) => `ktrail.dev/${key}`),
  WITHOUT_LOOPS,
]
/** Kubernetes' rule for the part after the slash. */
const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/

/** The groups that the annotations declare for these hooks. */
export function readGroups(annotations: Place | undefined, hooks: readonly HookSpec[]): readonly HookGroup[] {
  if (annotations?.node.kind !== 'map') return []
  const groups: HookGroup[] = []
  for (const [key, { value, keyAt }] of annotations.node.entries) {
    if (!OWN.test(key) || OTHERS.includes(key)) continue
    const path = `${annotations.path}[${show(key)}]`
    const name = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : ''
    if (!NAME.test(name)) {
      const group = `${PREFIX} and a name of letters, digits, "-", "_" and ".", at most 63 characters`
      const expected = `expected ${group}, or one of ${OTHERS.join(', ')}`
      annotations.problems.add(keyAt, `${path}: ${expected}, got ${show(key)}`)
      continue
    }
    const place = new Place(value, path, annotations.problems)
    const text = asText(place)
    if (text !== undefined) groups.push({ name, calls: readCalls(place, text, hooks), at: keyAt })
  }
  return groups
}

function readCalls(place: Place, text: string, hooks: readonly HookSpec[]): readonly string[] {
  const calls = text.split(',').map((call) => call.trim())
  for (const call of calls) {
    const named = hooks.filter((hook) => hook.call === call)
    if (named.length === 0) {
      const hint = didYouMean(
        call,
        hooks.map((hook) => hook.call),
      )
      place.refuse(`expected calls of this policy, separated by commas, got ${show(call)}${hint}`)
    } else if (!named.every(({ optional }) => optional)) {
      const why = 'otherwise a kernel without it refuses the policy'
      place.refuse(`call ${show(call)} requires "ignore: { callNotFound: true }", ${why}`)
    }
  }
  return calls
}
