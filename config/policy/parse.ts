/**
 * The policy language: parses a Tetragon TracingPolicy (docs/reference/policy/README.md) to a validated Policy, without a kernel. Unsupported
 * fields are refused, never ignored, so a loaded policy does everything that it declares.
 */
import { Fields, Place, asList, asText } from './fields.ts'
import { readGroups } from './groups.ts'
import { readEnforcer, withEnforcer } from './hooks/enforcers.ts'
import { readTracepoint } from './hooks/tracepoint.ts'
import { readKprobe, readLsmHook } from './kprobe.ts'
import { Lists } from './lists.ts'
import { Macros } from './selectors/macros.ts'
import { readOptions } from './options.ts'
import { enforces, withoutEffect } from './selectors/actions.ts'
import { OWN_API_VERSION, checkIdentityFilters } from './selectors/identity.ts'
import { checkOwn } from './selectors/own.ts'
import { readNodes, readWorkloads, withWorkloads } from './selectors/workloads.ts'
import { HOOK_SECTIONS, KEYS } from './tables.ts'
import { describe } from '../yaml/tree.ts'
import { asHint, didYouMean } from '../yaml/suggest.ts'
import { orForeign } from '../yaml/foreign.ts'
import type { HookSpec, Policy } from './policy.ts'
import type { Problem } from '../yaml/problems.ts'
import { readWithoutLoops } from './without-loops.ts'
import { Problems, show } from '../yaml/problems.ts'
import { parseYaml } from '../yaml/yaml.ts'

/** The result of the parsers; `problems` is sorted and never empty. `warnings`: parts that most likely do not do what they seem to. */
export type PolicyResult =
  | { readonly policy: Policy; readonly warnings: readonly Problem[] }
  | { readonly problems: readonly Problem[] }

export const API_VERSION = 'cilium.io/v1alpha1'
const MAX_NAME = 253
/** Enough for every known policy (the largest has 40), and bounds the kernel resources of one file. */
export const MAX_KPROBES = 1024

type Spec = Pick<Policy, 'hooks' | 'singleProbes' | 'nodes'>

const NOTHING: Spec = { hooks: [], singleProbes: false }
const NAMESPACED = 'TracingPolicyNamespaced'
/** DNS-1123: a subdomain of such labels is a name, one of them a namespace. */
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const MAX_DNS_LABEL = 63

const isName = (text: string): boolean =>
  text.length <= MAX_NAME && text.split('.').every((part) => DNS_LABEL.test(part))

/**
 * Parses and validates one policy. `file` is only used in messages. Collects all problems, at most 20 are shown.
 * Never throws, whatever the text.
 */
export function parsePolicy(text: string, file: string): PolicyResult {
  return orForeign(parsed(text, file), text, file, 'policy')
}

function parsed(text: string, file: string): PolicyResult {
  const problems = new Problems(file)
  const root = parseYaml(text, 'policy', problems)
  if (root === undefined) return { problems: problems.list() }
  const document = Fields.of(new Place(root, '', problems), KEYS.document)
  if (document === undefined || !readKind(document)) return { problems: problems.list() }
  const { name, namespace, annotations } = readMetadata(document)
  const spec = readSpec(document, namespace)
  const isTetragons = document.get('apiVersion')?.scalar === API_VERSION
  checkIdentityFilters(spec.hooks, isTetragons, problems)
  checkOwn(spec.hooks, isTetragons, problems)
  const groups = readGroups(annotations, spec.hooks)
  const fallback = readWithoutLoops(annotations)
  if (problems.count > 0) return { problems: problems.list() }
  const policy = { name, ...(namespace === undefined ? {} : { namespace }), file, ...spec, groups, ...fallback }
  return { policy, warnings: problems.warnings() }
}

/** False, with a problem, for another kind of document, which is not checked further. */
function readKind(document: Fields): boolean {
  const kind = document.need('kind', 'TracingPolicy')
  if (kind !== undefined && !isPolicy(kind)) return false
  const version = document.need('apiVersion', API_VERSION)
  const got = version?.scalar
  if (version !== undefined && got !== API_VERSION && got !== OWN_API_VERSION) {
    const expected = `expected ${API_VERSION}, or ${OWN_API_VERSION} for ktrail's additions`
    version.refuse(`${expected}, got ${describe(version.node)}`)
  }
  return true
}

/** False, with a problem, for a kind that is not meant as TracingPolicy. */
function isPolicy(place: Place): boolean {
  const value = place.scalar
  if (value === 'TracingPolicy' || value === NAMESPACED) return true
  const hint = typeof value === 'string' ? didYouMean(value, ['TracingPolicy', NAMESPACED]) : ''
  place.refuse(`expected TracingPolicy or ${NAMESPACED}, got ${describe(place.node)}${hint}`)
  return hint !== ''
}

function readMetadata(document: Fields): {
  readonly name: string
  readonly namespace: string | undefined
  readonly annotations: Place | undefined
} {
  const place = document.need('metadata', 'a mapping with the name of the policy')
  const metadata = place && Fields.of(place, KEYS.metadata)
  if (metadata === undefined) return { name: '', namespace: undefined, annotations: undefined }
  const namespaced = document.get('kind')?.scalar === NAMESPACED
  const namespace = namespaced ? readNamespace(metadata) : undefined
  if (metadata.get('namespace') !== undefined && !namespaced) {
    const sentence = `a TracingPolicy applies to all namespaces; remove the key, or write kind: ${NAMESPACED}`
    metadata.refuse('namespace', sentence)
  }
  readTextMap(metadata.get('labels'))
  const annotations = metadata.get('annotations')
  readTextMap(annotations)
  const named = metadata.needText('name', 'the name of the policy')
  if (named === undefined) return { name: '', namespace, annotations }
  const name = named.text
  if (!isName(name)) {
    const expected = `lower-case letters, digits, "-" and "." with a letter or digit at both ends, at most ${MAX_NAME}`
    const near = name.length > MAX_NAME ? '' : name.toLowerCase().replaceAll(/[^a-z0-9.]+/g, '-')
    const trimmed = near.replaceAll(/^[-.]+|[-.]+$/g, '')
    named.refuse(`expected ${expected}, got ${show(name)}${isName(trimmed) ? asHint(trimmed) : ''}`)
  }
  return { name, namespace, annotations }
}

function readNamespace(metadata: Fields): string | undefined {
  const place = metadata.needText('namespace', 'the namespace of the pods, which kubectl would add')
  if (place === undefined) return undefined
  const namespace = place.text
  if (namespace.length > MAX_DNS_LABEL || !DNS_LABEL.test(namespace)) {
    const expected = `lower-case letters, digits and "-" with a letter or digit at both ends, at most ${MAX_DNS_LABEL}`
    place.refuse(`expected ${expected}, got ${show(namespace)}`)
  }
  return namespace
}

function readTextMap(place: Place | undefined): void {
  if (place === undefined) return
  const { node, path } = place
  if (node.kind !== 'map') {
    place.refuse(`expected a mapping of texts, got ${describe(node)}`)
    return
  }
  for (const [key, { value }] of node.entries) asText(new Place(value, `${path}[${show(key)}]`, place.problems))
}

/** `namespace`: of a namespaced policy. */
function readSpec(document: Fields, namespace: string | undefined): Spec {
  const place = document.need('spec', 'a mapping with the hooks of the policy')
  const spec = place && Fields.of(place, KEYS.spec)
  if (spec === undefined) return NOTHING
  const sections = HOOK_SECTIONS.filter((key) => {
    const node = spec.get(key)?.node
    return node?.kind === 'list' && node.items.length > 0
  })
  const second = sections[1]
  if (second !== undefined) {
    const sentence = `expected one hook section per policy, got ${sections.join(' and ')}: split the policy`
    spec.problems.add(spec.keyAt(second), `spec: ${sentence}`)
  }
  const lists = Lists.of(spec)
  const macros = Macros.of(spec)
  const { singleProbes, monitors } = readOptions(spec)
  const enforcer = readEnforcer(spec, lists)
  const workloads = readWorkloads(spec, namespace)
  const nodes = readNodes(spec)
  // Both have the same schema and records; ktrail chooses how a function is attached.
  const lsm = spec.get('lsmhooks')
  const tracepoints = spec.get('tracepoints')
  const hooks = spec.get('kprobes') ?? spec.get('fentries') ?? lsm ?? tracepoints
  if (hooks === undefined) {
    // A policy with another section, or of events without hooks, has a message already.
    if (![...HOOK_SECTIONS, 'loader'].some((key) => spec.get(key) !== undefined || spec.isMeant(key)))
      spec.need('kprobes', 'a list of hooks')
    return NOTHING
  }
  if (hooks.isEmptyList) hooks.refuse('expected at least one hook, got an empty list')
  const found: HookSpec[] = []
  for (const item of asList(hooks, MAX_KPROBES)) {
    if (spec.problems.full) break
    if (hooks === lsm) found.push(...readLsmHook(item, macros))
    else if (hooks === tracepoints) found.push(...readTracepoint(item, lists, macros))
    else found.push(...readKprobe(item, lists, macros))
    if (found.length > MAX_KPROBES) {
      item.refuse(`expected at most ${MAX_KPROBES} functions, those of lists included`)
      break
    }
  }
  macros.warnOfUnused(spec.problems)
  const all = withEnforcer(found, enforcer, spec)
  return {
    hooks: all.flatMap((hook) => {
      // Only a call that the policy selects leaves a note.
      if (enforces(hook)) return monitors ? [] : [hook]
      return [withWorkloads(monitors ? withoutEffect(hook) : hook, workloads)]
    }),
    singleProbes,
    ...(nodes === undefined ? {} : { nodes }),
  }
}
