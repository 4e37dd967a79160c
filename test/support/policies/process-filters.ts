/** Filters on processes, computed plainly from docs/reference/policy/processes.md. */
import type { Value } from './value.ts'

export interface BinariesDocument {
  readonly operator: string
  readonly values: readonly string[]
  readonly followChildren?: boolean
}

export interface PidsDocument {
  readonly operator: string
  readonly values: readonly number[]
  readonly isNamespacePID?: boolean
  readonly followForks?: boolean
}

export interface NamespacesDocument {
  readonly namespace: string
  readonly operator: string
  readonly values: readonly string[]
}

export interface CapabilitiesDocument {
  readonly type?: string
  readonly operator: string
  readonly values: readonly string[]
  readonly isNamespaceCapability?: boolean
}

export interface NamespaceChangesDocument {
  readonly operator: string
  readonly values: readonly string[]
}

export interface ProcessFilters {
  readonly matchBinaries?: readonly BinariesDocument[]
  readonly matchParentBinaries?: readonly BinariesDocument[]
  readonly matchPIDs?: readonly PidsDocument[]
  readonly matchNamespaces?: readonly NamespacesDocument[]
  readonly matchCapabilities?: readonly CapabilitiesDocument[]
  readonly matchNamespaceChanges?: readonly NamespaceChangesDocument[]
  readonly matchCapabilityChanges?: readonly CapabilitiesDocument[]
}

/** The parts of a process whose changes are filtered: a number by kind of namespace, capabilities by set. */
export interface Privileges {
  readonly namespaces: Readonly<Record<string, number>>
  readonly capabilities: Readonly<Record<string, readonly string[]>>
}

/** A process, as it is at a call. `before`: the image that it comes from by fork or exec. */
export interface ProcessFacts {
  /** Path of its program. */
  readonly program: string
  /** Path of its parent's program. */
  readonly parent: string
  readonly pid: number
  /** In its own pid namespace; 0 when that is the host's. */
  readonly innerPid: number
  readonly before: ProcessFacts | undefined
  /** Pids of its ancestors that ran before the policy was loaded, on the host. */
  readonly ancestors?: readonly number[]
  /** Namespaces that are not the host's. */
  readonly outside?: readonly string[]
  /** Capabilities by set; default: all of them in Effective and Permitted. */
  readonly capabilities?: Readonly<Record<string, readonly string[]>>
  /** Kinds of namespaces that differ from those at its last fork or exec, or at the last match. */
  readonly otherNamespaces?: readonly string[]
  /** Capabilities that it has gained or lost since then, by set. */
  readonly otherCapabilities?: Readonly<Record<string, readonly string[]>>
  /** Now, and at its last fork or exec, or when the policy was loaded: `Changes` computes the two above from these. */
  readonly privileges?: { readonly now: Privileges; readonly first: Privileges }
  /** Values of `resolve` from the task. */
  readonly data?: Readonly<Record<string, Value>>
}

/** Privileges of processes when each selector of one hook last matched. */
export class Changes {
  readonly #last = new Map<string, Privileges>()

  /** Adds the changes since this selector last matched, if it filters by changes. */
  since(selector: number, filters: ProcessFilters, facts: ProcessFacts): ProcessFacts {
    const asks = filters.matchNamespaceChanges ?? filters.matchCapabilityChanges
    if (facts.privileges === undefined || asks === undefined) return facts
    const { now, first } = facts.privileges
    const last = this.#last.get(`${selector} ${facts.pid}`) ?? first
    const sets = Object.keys(now.capabilities)
    return {
      ...facts,
      otherNamespaces: Object.keys(now.namespaces).filter((kind) => now.namespaces[kind] !== last.namespaces[kind]),
      otherCapabilities: Object.fromEntries(
        sets.map((set) => [set, exclusive(now.capabilities[set] ?? [], last.capabilities[set] ?? [])]),
      ),
    }
  }

  matched(selector: number, { pid, privileges }: ProcessFacts): void {
    if (privileges !== undefined) this.#last.set(`${selector} ${pid}`, privileges.now)
  }
}

/** Items that only one of them has. */
const exclusive = (one: readonly string[], other: readonly string[]): string[] => [
  ...one.filter((each) => !other.includes(each)),
  ...other.filter((each) => !one.includes(each)),
]

function among(operator: string, text: string, values: readonly string[]): boolean {
  switch (operator.replace('Not', '')) {
    case 'In':
      return values.includes(text)
    case 'Prefix':
      return values.some((value) => text.startsWith(value))
    case 'Postfix':
      return values.some((value) => text.endsWith(value))
    default:
      throw new Error(`no model of ${operator} on programs`)
  }
}

const lineage = (facts: ProcessFacts): ProcessFacts[] =>
  facts.before === undefined ? [facts] : [facts, ...lineage(facts.before)]

function binariesMatch(filter: BinariesDocument, facts: ProcessFacts, of: 'program' | 'parent'): boolean {
  const images = filter.followChildren === true ? lineage(facts) : [facts]
  const found = images.some((image) => among(filter.operator, image[of], filter.values))
  return found !== filter.operator.startsWith('Not')
}

function pidsMatch({ operator, values, isNamespacePID, followForks }: PidsDocument, facts: ProcessFacts): boolean {
  // A process in the host's namespace has the same pid there; but it never matches together with followForks.
  if (isNamespacePID === true && followForks === true && facts.innerPid === 0) return false
  const pids = (followForks === true ? lineage(facts) : [facts]).map(({ pid, innerPid }) =>
    isNamespacePID === true && (innerPid !== 0 || followForks === true) ? innerPid : pid,
  )
  if (followForks === true && isNamespacePID !== true) pids.push(...(facts.ancestors ?? []))
  const found = pids.some((pid) => (pid !== 0 || isNamespacePID !== true) && values.includes(pid))
  return found === (operator === 'In')
}

/** Inode numbers are those of no namespace here: only `host_ns` matches. */
function namespaceMatches(
  { namespace, operator, values }: NamespacesDocument,
  { outside = [] }: ProcessFacts,
): boolean {
  return (values.includes('host_ns') && !outside.includes(namespace)) === (operator === 'In')
}

function capabilitiesMatch(
  { type = 'Effective', operator, values, isNamespaceCapability }: CapabilitiesDocument,
  { outside = [], capabilities }: ProcessFacts,
): boolean {
  if (isNamespaceCapability === true && !outside.includes('User')) return false
  const has = (name: string): boolean => capabilities?.[type]?.includes(name) ?? type !== 'Inheritable'
  return values.some(has) === (operator === 'In')
}

const differs = (operator: string, values: readonly string[], other: readonly string[] = []): boolean =>
  other.some((each) => values.includes(each) === (operator === 'In'))

function capabilityChangesMatch(
  { type = 'Effective', operator, values, isNamespaceCapability }: CapabilitiesDocument,
  { outside = [], otherCapabilities }: ProcessFacts,
): boolean {
  if (isNamespaceCapability === true && !outside.includes('User')) return false
  return differs(operator, values, otherCapabilities?.[type])
}

/** Whether a process passes all filters. */
export function processMatches(filters: ProcessFilters, facts: ProcessFacts): boolean {
  const { matchBinaries = [], matchParentBinaries = [], matchPIDs = [] } = filters
  const { matchNamespaces = [], matchCapabilities = [] } = filters
  const { matchNamespaceChanges = [], matchCapabilityChanges = [] } = filters
  return (
    matchNamespaceChanges.every(({ operator, values }) => differs(operator, values, facts.otherNamespaces)) &&
    matchCapabilityChanges.every((filter) => capabilityChangesMatch(filter, facts)) &&
    matchNamespaces.every((filter) => namespaceMatches(filter, facts)) &&
    matchCapabilities.every((filter) => capabilitiesMatch(filter, facts)) &&
    matchBinaries.every((filter) => binariesMatch(filter, facts, 'program')) &&
    matchParentBinaries.every((filter) => binariesMatch(filter, facts, 'parent')) &&
    matchPIDs.every((filter) => pidsMatch(filter, facts))
  )
}
