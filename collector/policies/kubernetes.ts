/**
 * The source of policies from the API server: objects of the kinds TracingPolicy and TracingPolicyNamespaced, Tetragon's and ktrail's own. Changes that come together are one
 * change of the kernel. The state of a policy is an Event on its object and a line of the log; a refused version changes nothing. While the API
 * server is away, the policies stay.
 */
import { setImmediate } from 'node:timers/promises'
import type { KubernetesConfig } from '../../config/agent/schema.ts'
import { parseRegex } from '../../config/base/regex.ts'
import { systemClock } from '../../config/base/time/clock.ts'
import { waitAtMost } from '../../config/base/time/deadline.ts'
import { parsePolicy } from '../../config/policy/parse.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { OWN_API_VERSION } from '../../config/policy/selectors/identity.ts'
import { labelsMatch } from '../../config/policy/selectors/workloads.ts'
import { CollectorError } from '../errors.ts'
import { Turns } from '../host/turns.ts'
import type { KubernetesClient, KubernetesObject } from '../kubernetes/client.ts'
import { Informer } from '../kubernetes/informer.ts'
import type { InformerOptions } from '../kubernetes/informer.ts'
import { ObjectEvents } from '../kubernetes/object-events.ts'
import type { About } from '../kubernetes/object-events.ts'
import type { Resource } from '../kubernetes/refusal.ts'
import type { Log } from '../host/log.ts'
import { NodeLabels } from './node-labels.ts'
import { nameOf } from './registry.ts'
import type { Policies, PolicyId, PolicyPut } from './registry.ts'

/** Time until a removal that the kernel refused is tried again. */
const RETRY_MS = 60_000

/** The author in records about changes. */
const BY = 'cluster'

/** Objects of both groups may have the same name. `k8s` is Tetragon's domain for these policies, too. */
const GROUPS = [
  { apiVersion: 'cilium.io/v1alpha1', source: 'k8s', optional: false },
  // A cluster with Tetragon's definitions may be without ours.
  { apiVersion: OWN_API_VERSION, source: 'k8s.ktrail.dev', optional: true },
] as const
const KINDS = [
  { kind: 'TracingPolicy', name: 'tracingpolicies' },
  { kind: 'TracingPolicyNamespaced', name: 'tracingpoliciesnamespaced' },
] as const
type Group = (typeof GROUPS)[number]

/** Whether policies of this source are objects of the API server. */
export const isOfKubernetes = (source: string): boolean => GROUPS.some((group) => group.source === source)

export interface KubernetesPoliciesOptions {
  readonly client: InformerOptions<Found>['client']
  readonly events: Pick<ObjectEvents, 'record'>
  readonly config: Pick<KubernetesConfig, 'policy_selector' | 'policy_names'>
  readonly policies: Pick<Policies, 'list' | 'put' | 'remove'>
  /** The node's name in Kubernetes. */
  readonly nodeName: string
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
}

/** The latest version of an object. */
interface Found {
  readonly about: About
  readonly id: PolicyId
  /** The object as JSON, without fields for the API server alone. */
  readonly text: string
}

interface Change {
  readonly found: Found
  readonly gone: boolean
  /** Whether it was in the first list. */
  readonly atStart: boolean
}

export class KubernetesPolicies implements AsyncDisposable {
  readonly #options: KubernetesPoliciesOptions
  readonly #informers: ReadonlyArray<Informer<Found>>
  /** By kind, namespace and name; the last change of each. */
  readonly #changes = new Map<string, Change>()
  /** Changes whose removal the kernel refused, until the next change of the object. */
  readonly #unremoved = new Map<string, Change>()
  #applying: Promise<void> | undefined
  #closed = false
  readonly #known = Promise.withResolvers<void>()
  readonly #node: NodeLabels
  /** Policies with a nodeSelector, and whether this node has them. */
  readonly #chosen = new Map<string, { readonly found: Found; readonly policy: Policy; readonly here: boolean }>()

  constructor(options: KubernetesPoliciesOptions) {
    this.#options = options
    this.#node = new NodeLabels({ ...options, onChange: () => void this.#chooseAgain() })
    this.#informers = GROUPS.flatMap((group) => KINDS.map(({ kind, name }) => this.#informer(group, kind, name)))
  }

  #informer(from: Group, kind: string, plural: string): Informer<Found> {
    const [group = '', version = ''] = from.apiVersion.split('/')
    const resource: Resource = { group, version, name: plural }
    const { client, config, log } = this.#options
    const names = (config.policy_names ?? []).map(parseRegex).filter((regex) => typeof regex !== 'string')
    const wanted = (name: string): boolean => names.length === 0 || names.some((regex) => regex.test(name))
    const informer: Informer<Found> = new Informer<Found>({
      client,
      resource,
      optional: from.optional,
      ...(config.policy_selector === undefined ? {} : { labelSelector: config.policy_selector }),
      read: (object) => (wanted(object.metadata.name) ? foundIn(object, kind, from) : undefined),
      onSet: (found, before) => {
        // Written again without a change of the policy, for instance by a label of another tool.
        if (found.text !== before?.text) this.#changed({ found, gone: false, atStart: !informer.listed })
      },
      onDelete: (found) => this.#changed({ found, gone: true, atStart: false }),
      onListed: () => this.#answered(),
      onProblem: (problem) => {
        this.#answered()
        const where = { resource: `${plural}.${group}` }
        if (problem === undefined) log.info(where, 'the API server answers again')
        else log.warn(where, `policies of the API server stay as they are: ${problem}`)
      },
    })
    return informer
  }

  /** Resolves when the policies of the cluster are attached or refused; if it does not answer, or after `waitMs`, they follow later. */
  async start(waitMs: number): Promise<void> {
    for (const informer of this.#informers) informer.start()
    const attached = this.#known.promise.then(() => this.#applying)
    await waitAtMost(attached, waitMs, systemClock)
  }

  /** The API server has answered for one of the kinds, if only with a refusal. */
  #answered(): void {
    if (this.#informers.every(({ listed, problem }) => listed || problem !== undefined)) this.#known.resolve()
  }

  #changed(change: Change): void {
    const key = keyOf(change.found)
    this.#unremoved.delete(key)
    this.#changes.set(key, change)
    // Later: the objects of a page come one after another.
    this.#applying ??= setImmediate().then(() => this.#apply())
  }

  async #apply(): Promise<void> {
    const { log } = this.#options
    try {
      while (this.#changes.size > 0 && !this.#closed) {
        const changes = [...this.#changes.values()]
        this.#changes.clear()
        const deleted = changes.filter(({ gone }) => gone)
        for (const { found } of deleted) this.#chosen.delete(keyOf(found))
        await this.#remove(deleted, 'policy removed')
        await this.#put(changes.filter(({ gone }) => !gone))
      }
    } catch (error) {
      log.error({ error: String(error) }, 'applying the policies of the API server failed')
    } finally {
      this.#applying = undefined
    }
  }

  /** A removal that the kernel refuses does not keep other changes out, and is tried again. */
  async #remove(changes: readonly Change[], why: string): Promise<void> {
    const { log, policies } = this.#options
    const known = policies.list()
    const ids = changes.map(({ found }) => found.id).filter((id) => known.some((status) => isSame(status.id, id)))
    try {
      await policies.remove(ids, BY)
    } catch (error) {
      if (!(error instanceof CollectorError)) throw error
      log.error({ policies: ids.map(nameOf) }, `cannot remove policies, retrying: ${error.message}`)
      for (const change of changes) this.#unremoved.set(keyOf(change.found), change)
      setTimeout(() => {
        for (const change of changes) if (this.#unremoved.get(keyOf(change.found)) === change) this.#changed(change)
      }, RETRY_MS).unref()
      return
    }
    for (const id of ids) log.info(fieldsOf(id), why)
  }

  /** Whether a policy is for this node; true if the node's labels are not known, as with Tetragon. */
  async #isHere(change: Change, policy: Policy): Promise<boolean> {
    const { found } = change
    if (policy.nodes === undefined) {
      this.#chosen.delete(keyOf(found))
      return true
    }
    const labels = await this.#node.read()
    const here = labels === undefined || labelsMatch(policy.nodes, labels)
    this.#chosen.set(keyOf(found), { found, policy, here })
    if (here) return true
    this.#options.log.info(fieldsOf(found.id), 'policy skipped: its nodeSelector does not match this node')
    await this.#remove([change], 'policy removed: its nodeSelector does not match this node')
    return false
  }

  /** The node's labels have changed. */
  async #chooseAgain(): Promise<void> {
    const labels = await this.#node.read()
    for (const [key, { found, policy, here }] of this.#chosen) {
      const now = labels === undefined || labelsMatch(policy.nodes ?? [], labels)
      if (now !== here && !this.#changes.has(key)) this.#changed({ found, gone: false, atStart: false })
    }
  }

  async #put(changes: readonly Change[]): Promise<void> {
    const { policies } = this.#options
    const turns = new Turns()
    const puts: PolicyPut[] = []
    const changed: Change[] = []
    for (const change of changes) {
      if (turns.over) await turns.rest()
      const parsed = policyIn(change.found)
      if (typeof parsed === 'string') {
        this.#refused(change, parsed)
        continue
      }
      if (!(await this.#isHere(change, parsed))) continue
      puts.push({ id: change.found.id, policy: parsed, replaces: [] })
      changed.push(change)
    }
    if (puts.length === 0) return
    const before = policies.list().map(({ id }) => id)
    const errors = await policies.put(puts, BY)
    if (this.#closed) return
    changed.forEach((change, i) => {
      const error = errors[i]
      const replaced = before.some((id) => isSame(id, change.found.id))
      if (error === undefined) this.#attached(change, replaced)
      else this.#refused(change, error instanceof Error ? error.message : String(error))
    })
  }

  #attached({ found: { about, id }, atStart }: Change, replaced: boolean): void {
    const { events, log, policies } = this.#options
    log.info(fieldsOf(id), `policy ${replaced ? 'replaced' : 'added'}`)
    const status = policies.list().find((each) => isSame(each.id, id))
    if (status === undefined) return
    const { hooks, skipped, lacking, limited } = status
    const incomplete = [...skipped.map(({ symbol }) => `this kernel has no ${symbol}, skipped`), ...lacking, ...limited]
    const message = [`attached, ${hooks.length} hook${hooks.length === 1 ? '' : 's'}`, ...incomplete].join('; ')
    // No event at the start: the API server would get a useless event for each node and policy.
    if (lacking.length > 0) events.record(about, 'Warning', 'Incomplete', message)
    else if (!atStart) events.record(about, 'Normal', 'Attached', message)
  }

  #refused({ found: { about, id } }: Change, why: string): void {
    const { events, log, policies } = this.#options
    const attached = policies.list().some((status) => isSame(status.id, id) && status.state === 'enabled')
    const rest = attached ? '; the previous version stays attached' : ''
    log.error(fieldsOf(id), `policy refused: ${why}${rest}`)
    events.record(about, 'Warning', 'Refused', why + rest)
  }

  /** Ends the watches; attached policies stay attached. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    await Promise.all([this.#node, ...this.#informers].map((each) => each[Symbol.asyncDispose]()))
    await this.#applying
  }
}

/** The agent starts without the policies of an API server that takes longer. */
const START_MS = 5_000

/** Attaches the policies of the cluster, and follows their changes until disposed. */
export async function followPolicies(
  options: Omit<KubernetesPoliciesOptions, 'client' | 'events'> & { readonly client: KubernetesClient },
): Promise<AsyncDisposable> {
  const { client, nodeName, log } = options
  const onProblem = (problem: string): void => log.warn(`cannot write Kubernetes events on policies: ${problem}`)
  const events = new ObjectEvents({ client, nodeName, onProblem })
  const source = new KubernetesPolicies({ ...options, events })
  await source.start(START_MS)
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all([source[Symbol.asyncDispose](), events[Symbol.asyncDispose]()])
    },
  }
}

function foundIn({ metadata, ...object }: KubernetesObject, kind: string, { apiVersion, source }: Group): Found {
  const { name, namespace, uid, labels, annotations = {} } = metadata
  const own = typeof annotations === 'object' && annotations !== null ? Object.entries(annotations) : []
  const kept = Object.fromEntries(own.filter(([key]) => key !== 'kubectl.kubernetes.io/last-applied-configuration'))
  const document = {
    apiVersion,
    kind,
    metadata: { name, ...(namespace === '' ? {} : { namespace }), labels, annotations: kept },
    spec: object['spec'],
  }
  return {
    about: { apiVersion, kind, namespace, name, uid },
    id: { source, namespace, name },
    text: JSON.stringify(document),
  }
}

/** The policy, or its mistakes. Lines and columns would refer to the JSON, so only paths are named. */
function policyIn({ text, id }: Found): Policy | string {
  const parsed = parsePolicy(text, nameOf(id))
  return 'policy' in parsed ? parsed.policy : parsed.problems.map(({ message }) => message).join('; ')
}

const keyOf = ({ about: { apiVersion, kind, namespace, name } }: Found): string =>
  `${apiVersion}/${kind}/${namespace}/${name}`

/** Fields of a line of the log. */
const fieldsOf = (id: PolicyId): object => ({ source: id.source, policy: nameOf(id) })

function isSame(a: PolicyId, b: PolicyId): boolean {
  return a.source === b.source && a.namespace === b.namespace && a.name === b.name
}
