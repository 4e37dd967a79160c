/**
 * Selection of pods, containers and host processes: podSelector, containerSelector and hostSelector of a policy and of matchWorkloads, the
 * namespace of a TracingPolicyNamespaced, and nodeSelector.
 *
 *   host  pod   container   applies to
 *   -     -     -           everything: no filter
 *   -     any combination   the containers C of the pods P; without a C all of theirs, without a P those of all pods
 *   {}    -     -           host processes only
 *   {}    any combination   host processes too
 */
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import { Fields, Place, asList, asText } from '../fields.ts'
import { same } from '../operators.ts'
import type { HookSpec, LabelRequirement, LabelSelector, WorkloadFilter } from '../policy.ts'
import { KEYS } from '../tables.ts'
import { MAX_VALUES } from '../values.ts'
import { readName } from './common.ts'

export const MAX_EXPRESSIONS = 64

export const LABEL_OPERATORS: ReadonlyMap<string, LabelRequirement['operator']> = new Map(
  same('In', 'NotIn', 'Exists', 'DoesNotExist'),
)

/** Reads the selectors of `spec`. `namespace`: that of a namespaced policy. Returns undefined if all processes are selected. */
export function readWorkloads(spec: Fields, namespace: string | undefined): WorkloadFilter | undefined {
  const pods = readLabels(spec.get('podSelector'))
  const containers = readLabels(spec.get('containerSelector'))
  const host = readHost(spec)
  if (namespace !== undefined && host) {
    spec.refuse('hostSelector', 'a namespaced policy applies only to pods, never to host processes; remove it')
  }
  if (namespace === undefined && pods === undefined && containers === undefined && !host) return undefined
  const asked = ['podSelector', 'containerSelector', 'hostSelector'].find((key) => spec.get(key) !== undefined)
  return {
    namespace: namespace ?? '',
    // All pods of the namespace.
    pods: pods ?? (namespace === undefined ? undefined : []),
    containers,
    host,
    at: asked === undefined ? spec.at : spec.keyAt(asked),
  }
}

export function readMatchWorkloads(selector: Fields): WorkloadFilter | undefined {
  const place = selector.get('matchWorkloads')
  const fields = place && Fields.of(place, KEYS.workloads)
  return fields === undefined ? undefined : readWorkloads(fields, undefined)
}

export function readNodes(spec: Fields): LabelSelector | undefined {
  return readLabels(spec.get('nodeSelector'))
}

/** A filter of the policy is one of each of its selectors. */
export function withWorkloads(hook: HookSpec, workloads: WorkloadFilter | undefined): HookSpec {
  if (workloads === undefined) return hook
  const selectors = hook.selectors.length === 0 ? [{ matchArgs: [] }] : hook.selectors
  return {
    ...hook,
    selectors: selectors.map((selector) => ({ ...selector, workloads: [workloads, ...(selector.workloads ?? [])] })),
  }
}

const isNull = ({ node }: Place): boolean => node.kind === 'scalar' && node.value === null

function readHost(fields: Fields): boolean {
  const place = fields.get('hostSelector')
  if (place === undefined || isNull(place)) return false
  const { node } = place
  if (node.kind === 'map' && node.entries.size === 0) return true
  const expected = 'expected {}, which matches all host processes'
  place.refuse(`${expected}, got ${node.kind === 'map' ? 'a mapping with keys' : describe(node)}`)
  return false
}

/** Undefined when it is absent, or null. */
function readLabels(place: Place | undefined): LabelSelector | undefined {
  if (place === undefined || isNull(place)) return undefined
  const fields = Fields.of(place, KEYS.labels)
  if (fields === undefined) return undefined
  return [
    ...readMatchLabels(fields.get('matchLabels')),
    ...fields.list('matchExpressions', MAX_EXPRESSIONS).flatMap((item) => readExpression(item) ?? []),
  ]
}

function readMatchLabels(place: Place | undefined): LabelRequirement[] {
  if (place === undefined || isNull(place)) return []
  const { node, path } = place
  if (node.kind !== 'map') {
    place.refuse(`expected a mapping of labels to their values, got ${describe(node)}`)
    return []
  }
  return [...node.entries].flatMap(([key, { value }]): LabelRequirement[] => {
    const text = asText(new Place(value, `${path}[${show(key)}]`, place.problems))
    return text === undefined ? [] : [{ key, operator: 'In', values: [text] }]
  })
}

function readExpression(place: Place): LabelRequirement | undefined {
  const fields = Fields.of(place, KEYS.expression)
  if (fields === undefined) return undefined
  const key = fields.needText('key', 'the name of a label')?.text
  const operator = readName(fields, 'operator', LABEL_OPERATORS, false, 'membership')
  const at = fields.get('values')
  const values = at === undefined || isNull(at) ? [] : asList(at, MAX_VALUES)
  const texts = values.flatMap((value) => asText(value) ?? [])
  const wants = operator === 'In' || operator === 'NotIn'
  if (operator !== undefined && wants && values.length === 0) {
    fields.refuse('values', `expected at least one value for ${operator}`)
  }
  if (operator !== undefined && !wants && values.length > 0) {
    fields.refuse('values', `${operator} takes no values; remove them`)
  }
  return key === undefined || operator === undefined ? undefined : { key, operator, values: texts }
}

/** Whether these labels meet all requirements; `NotIn` is also met without such a label. */
export function labelsMatch(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  return selector.every(({ key, operator, values }) => {
    const has = Object.hasOwn(labels, key)
    const among = has && values.includes(labels[key] ?? '')
    switch (operator) {
      case 'In':
        return among
      case 'NotIn':
        return !among
      case 'Exists':
        return has
      case 'DoesNotExist':
        return !has
    }
  })
}
