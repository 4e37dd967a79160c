/**
 * Policies on a kernel without bpf_loop (before Linux 5.17), which neither finds files by identity nor counts calls. It refuses such a policy, unless an
 * annotation permits less:
 *
 *   metadata: { annotations: { ktrail.dev/without-bpf-loop: "by-name, no-aggregate" } }
 */
import { Place, asText } from './fields.ts'
import { show } from '../yaml/problems.ts'
import { didYouMean } from '../yaml/suggest.ts'
import type { IdentityOperator } from './operators.ts'
import type {
  HookSpec,
  IdentityFilter,
  Policy,
  ProcessFilter,
  Selector,
  TaskFilter,
  TextFilter,
  WithoutLoops,
} from './policy.ts'

export const WITHOUT_LOOPS = 'ktrail.dev/without-bpf-loop'
const WAYS: readonly WithoutLoops[] = ['by-name', 'no-aggregate']

export function readWithoutLoops(annotations: Place | undefined): Pick<Policy, 'withoutLoops'> {
  const node = annotations?.node.kind === 'map' ? annotations.node.entries.get(WITHOUT_LOOPS)?.value : undefined
  const place =
    annotations && node && new Place(node, `${annotations.path}[${show(WITHOUT_LOOPS)}]`, annotations.problems)
  const text = place && asText(place)
  if (text === undefined) return {}
  const words = text.split(',').map((word) => word.trim())
  const wrong = words.find((word) => !WAYS.some((way) => way === word))
  if (wrong !== undefined)
    place?.refuse(`expected ${WAYS.join(', ')}, or both with a comma, got ${show(wrong)}${didYouMean(wrong, WAYS)}`)
  return { withoutLoops: WAYS.filter((way) => words.includes(way)) }
}

export interface FittedPolicy {
  readonly policy: Policy
  /** A sentence for each thing that it loses. */
  readonly limited: readonly string[]
}

/** The policy for a kernel without bpf_loop, as far as its annotation permits. */
export function fitWithoutLoops(policy: Policy): FittedPolicy {
  const { withoutLoops: ways = [], hooks } = policy
  const lacks = 'this kernel lacks bpf_loop'
  const limited: string[] = []
  let changed = hooks
  if (ways.includes('by-name') && hooks.some(({ selectors }) => selectors.some(hasIdentity))) {
    changed = changed.map((hook) => ({ ...hook, selectors: hook.selectors.flatMap(byName) }))
    limited.push(`${lacks}: files by name, so hard links, other mounts and containers stay unseen`)
  }
  if (ways.includes('no-aggregate') && hooks.some(({ aggregate }) => aggregate !== undefined)) {
    changed = changed.map(({ aggregate: _aggregate, ...hook }): HookSpec => hook)
    limited.push(`${lacks}: no aggregate, so each call has an event`)
  }
  return { policy: { ...policy, hooks: changed }, limited }
}

const hasIdentity = ({ matchArgs }: Selector): boolean => matchArgs.some((filter) => filter.class === 'identity')

/** Longest path that is read. */
const MAX_PATH_BYTES = 4095

/** The filters on paths of which one matches if a file has one of `paths`, or is below one of `folders`. */
export function namesOf(
  paths: readonly string[],
  folders: readonly string[],
): ReadonlyArray<{ readonly operator: 'Equal' | 'Prefix'; readonly values: readonly string[] }> {
  const below = folders
    .map((folder) => folder.replace(/\/*$/, '/'))
    .filter((folder) => Buffer.byteLength(folder) <= MAX_PATH_BYTES)
  const equal = { operator: 'Equal', values: paths } as const
  return below.length === 0 ? [equal] : [equal, { operator: 'Prefix', values: below }]
}

const NAMES: Readonly<Record<IdentityOperator, (values: readonly string[]) => ReturnType<typeof namesOf>>> = {
  SameFile: (values) => namesOf(values, []),
  UnderDir: (values) => namesOf(values, values),
}

/** Runtimes unpack images below a root of their own, with paths such as the host's. */
const UNPACKERS = [
  '/usr/bin/dockerd',
  '/usr/sbin/dockerd',
  '/usr/local/bin/dockerd',
  '/usr/bin/podman',
  '/usr/bin/buildah',
]

/** Selectors of which one matches. The policy names files of the host, but a container has others of the same names. */
function byName(selector: Selector): Selector[] {
  const found = selector.matchArgs.find((filter) => filter.class === 'identity')
  if (found === undefined) return [selector]
  const { task = [], process = [] } = selector
  const { at } = found
  const onHost: TaskFilter = { class: 'namespace', namespace: 'pid', operator: 'Equal', values: ['host'], at }
  const others: ProcessFilter = { class: 'program', operator: 'NotEqual', values: UNPACKERS, descendants: false, at }
  const whole: Selector = {
    ...selector,
    task: task.some((filter) => filter.class === 'namespace') ? task : [...task, onHost],
    process: [...process, others],
  }
  return alternatives(whole.matchArgs).map((matchArgs) => ({ ...whole, matchArgs }))
}

function alternatives(filters: Selector['matchArgs']): Array<Selector['matchArgs']> {
  return filters.reduce<Array<Selector['matchArgs']>>(
    (lists, filter) => {
      const instead = filter.class === 'identity' ? asNames(filter) : [filter]
      return lists.flatMap((list) => instead.map((each) => [...list, each]))
    },
    [[]],
  )
}

const asNames = ({ arg, operator, values, at }: IdentityFilter): TextFilter[] =>
  NAMES[operator](values).map((names) => ({ class: 'path', arg, ...names, at }))
