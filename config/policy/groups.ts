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
/** Most calls in all groups. */
const MAX_CALLS = 1024
/** Kubernetes' rule for the part after the slash. */
const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/

/** The groups that the annotations declare for these hooks. */
export function readGroups(annotations: Place | undefined, hooks: readonly HookSpec[]): readonly HookGroup[] {
  if (annotations?.node.kind !== 'map') return []
  const groups: HookGroup[] = []
  let count = 0
  const optional = new Map<string, boolean>()
  for (const hook of hooks) optional.set(hook.call, hook.optional && optional.get(hook.call) !== false)
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
    const calls = text?.split(',').map((call) => call.trim()) ?? []
    count += calls.length
    if (count > MAX_CALLS) {
      place.refuse(`expected at most ${MAX_CALLS} calls in all groups, got more`)
      break
    }
    checkCalls(place, calls, optional)
    groups.push({ name, calls, at: keyAt })
  }
  return groups
}

/** `optional`: the calls of the policy's hooks, and whether each may be missing. */
function checkCalls(place: Place, calls: readonly string[], optional: ReadonlyMap<string, boolean>): void {
  for (const call of calls) {
    if (!optional.has(call)) {
      const hint = didYouMean(call, optional.keys())
      place.refuse(`expected calls of this policy, separated by commas, got ${show(call)}${hint}`)
    } else if (optional.get(call) === false) {
      const why = 'otherwise a kernel without it refuses the policy'
      place.refuse(`call ${show(call)} requires "ignore: { callNotFound: true }", ${why}`)
    }
  }
}
