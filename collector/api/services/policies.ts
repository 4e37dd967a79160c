/**
 * The source of policies from the API. A policy added here lives as long as the agent. Policies of files can be listed, disabled, enabled.
 */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { formatProblem, show } from '../../../config/yaml/problems.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { LSM_PREFIX } from '../../../config/policy/kprobe.ts'
import { CollectorError } from '../../errors.ts'
import { together } from '../../kernel/actions/acted.ts'
import type { Done } from '../../kernel/actions/acted.ts'
import { modeOf } from '../../policies/registry.ts'
import { isOfKubernetes } from '../../policies/kubernetes.ts'
import type { PolicyId, PolicyStatus, SelectorDone } from '../../policies/registry.ts'
import {
  FineGuidanceSensors,
  HookState,
  TracingPolicyMode as Mode,
  TracingPolicyState as State,
} from '../../proto/tetragon/sensors_pb.js'
import type {
  TracingPolicyActionCountersSchema,
  TracingPolicySelectorActionCountersSchema,
  TracingPolicyStatusSchema,
} from '../../proto/tetragon/sensors_pb.js'
import { ApiError } from '../errors.ts'
import type { ApiOptions } from '../options.ts'
import type { Methods } from '../rpc.ts'

/** Domain of a request without one. The registry calls a domain a source. */
const DEFAULT_DOMAIN = 'grpc'
/** Domain of the policies by which clients watch. */
export const WATCHES = 'watch'
/** Other sources are paths of files, which have a slash. */
const DOMAIN = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/
/** Most policies of all domains of the API together. */
const MAX_POLICIES = 1024

export function addPolicies(methods: Methods, { policies, log }: Pick<ApiOptions, 'policies' | 'log'>): void {
  const { method } = FineGuidanceSensors
  const change = async (what: string, id: PolicyId, run: () => Promise<void>): Promise<Record<string, never>> => {
    await run().catch((error: unknown) => {
      throw refused(error)
    })
    log.info({ domain: id.source, policy: id.name }, `policy ${what} over the API`)
    return {}
  }
  const turn = (on: boolean, { id }: PolicyStatus, peer: string): Promise<Record<string, never>> =>
    on
      ? change('enabled', id, () => policies.enable(id, by(peer)))
      : change('disabled', id, () => policies.disable(id, by(peer)))
  methods.unary(method.addTracingPolicy, ({ yaml, domain }, peer) => {
    const source = domain === '' ? DEFAULT_DOMAIN : domain
    if (!DOMAIN.test(source)) {
      const expected = 'expected lower-case letters, digits, "-" and ".", at most 63'
      throw new ApiError('INVALID_ARGUMENT', `domain: ${expected}, got ${show(source)}`)
    }
    if (isOfKubernetes(source) || source === WATCHES) {
      const owner = source === WATCHES ? 'ktrail watch' : 'the Kubernetes API server: use kubectl'
      throw new ApiError('INVALID_ARGUMENT', `domain: ${show(source)} is reserved for policies of ${owner}`)
    }
    const policy = parsed(yaml, source)
    if (policies.list().filter(isOfApi).length >= MAX_POLICIES) {
      throw new ApiError('RESOURCE_EXHAUSTED', `${MAX_POLICIES} policies are added over the API: delete one first`)
    }
    const id = { source, namespace: policy.namespace ?? '', name: policy.name }
    return change('added', id, () => policies.add(id, policy, by(peer)))
  })
  methods.unary(method.deleteTracingPolicy, (request, peer) => {
    const status = find(policies, request)
    if (!isOfApi(status)) {
      const why = `policy "${request.name}" comes from ${originOf(status.id.source)}, or disable the policy`
      throw new ApiError('FAILED_PRECONDITION', why)
    }
    return change('removed', status.id, () => policies.remove([status.id], by(peer)))
  })
  methods.unary(method.enableTracingPolicy, (request, peer) => turn(true, find(policies, request), peer))
  methods.unary(method.disableTracingPolicy, (request, peer) => turn(false, find(policies, request), peer))
  methods.unary(method.configureTracingPolicy, async (request, peer) => {
    const status = find(policies, request)
    const mode = MODES[modeOf(status.policy)]
    if (request.mode !== undefined && request.mode !== Mode.TP_MODE_UNKNOWN && request.mode !== mode) {
      const sentence =
        mode === Mode.TP_MODE_ENFORCE
          ? 'expected enforce, because the policy sends signals or makes calls fail; to monitor, load it with the option policy-mode: monitor'
          : 'expected monitor, because the policy has no such actions, or has the option policy-mode: monitor'
      throw new ApiError('FAILED_PRECONDITION', `mode: ${sentence}`)
    }
    return request.enable === undefined ? {} : turn(request.enable, status, peer)
  })
  methods.unary(method.listTracingPolicies, ({ domain }) => ({
    policies: policies
      .list()
      .filter(({ id }) => domain === '' || id.source === domain)
      .map(statusOf),
  }))
  methods.unary(method.listDomains, () => ({ domains: [...new Set(policies.list().map(({ id }) => id.source))] }))
}

/** Throws ApiError with all mistakes. */
export function parsed(yaml: string, source: string): Policy {
  const result = parsePolicy(yaml, source)
  if ('problems' in result) throw new ApiError('INVALID_ARGUMENT', result.problems.map(formatProblem).join('\n'))
  return result.policy
}

/** The author of a change, as records about changes name it. */
export const by = (peer: string): string => `api ${peer}`

/** The name of a policy in requests. */
interface Named {
  readonly name: string
  readonly namespace: string
  readonly domain: string
}

/** Throws ApiError NOT_FOUND. A policy of another domain is named, because the default domain is easily forgotten. */
function find(policies: ApiOptions['policies'], { name, namespace, domain }: Named): PolicyStatus {
  const source = domain === '' ? DEFAULT_DOMAIN : domain
  const all = policies.list().filter(({ id }) => id.name === name && id.namespace === namespace)
  const found = all.find(({ id }) => id.source === source)
  if (found !== undefined) return found
  const [other] = all
  const hint = other === undefined ? '' : `; there is one in the domain ${show(other.id.source)}`
  throw new ApiError('NOT_FOUND', `no policy ${show(name)} in the domain ${show(source)}${hint}`)
}

const MODES = { enforce: Mode.TP_MODE_ENFORCE, monitor: Mode.TP_MODE_MONITOR } as const

function isOfApi({ id }: PolicyStatus): boolean {
  return DOMAIN.test(id.source) && !isOfKubernetes(id.source) && id.source !== WATCHES
}

/** The origin of a policy that this service does not delete, and the way to remove it. */
function originOf(source: string): string {
  if (isOfKubernetes(source)) return 'the Kubernetes API server: delete it there with kubectl'
  if (source === WATCHES) return 'a client that watches by it: end that client'
  return `the file ${source}: remove the file`
}

export function refused(error: unknown): unknown {
  if (!(error instanceof CollectorError)) return error
  if (error.code === 'POLICY_EXISTS') return new ApiError('ALREADY_EXISTS', error.message)
  if (error.code === 'NO_SUCH_POLICY') return new ApiError('NOT_FOUND', error.message)
  return new ApiError('FAILED_PRECONDITION', error.message)
}

function statusOf(status: PolicyStatus): MessageInitShape<typeof TracingPolicyStatusSchema> {
  const { id, number, error = '', hooks, skipped, lacking, limited, events, kernelMemory, done, state } = status
  return {
    id: BigInt(number),
    name: id.name,
    namespace: id.namespace,
    domain: id.source,
    info: [...lacking, ...limited].join('; '),
    sensors: state === 'enabled' ? sensorsOf(hooks) : [],
    enabled: state === 'enabled',
    error,
    state: stateOf(status),
    mode: MODES[modeOf(status.policy)],
    kernelMemoryBytes: BigInt(kernelMemory),
    stats: {
      actionCounters: countersOf(events, together(done.map((each) => each.done))),
      selectorActionCounters: done.map((each) => selectorOf(each, hooks)),
    },
    hookStatuses: [
      ...hooks.map(({ symbol, mode }) => ({ section: mode, hookDescription: symbol, state: HookState.STATUS_LOADED })),
      ...skipped.map(({ symbol }) => ({ hookDescription: symbol, state: HookState.STATUS_CALL_NOT_FOUND })),
    ].map((hook, hookIdx) => ({ ...hook, hookIdx })),
  }
}

/** Tetragon has one counter for all signals. */
function countersOf(posts: number, done: Done): MessageInitShape<typeof TracingPolicyActionCountersSchema> {
  return {
    post: BigInt(posts),
    signal: BigInt(done.signal + done.sigkill),
    monitorSignal: BigInt(done.monitor_signal + done.monitor_sigkill),
    override: BigInt(done.override),
    monitorOverride: BigInt(done.monitor_override),
    notifyEnforcer: BigInt(done.notify_enforcer),
    monitorNotifyEnforcer: BigInt(done.monitor_notify_enforcer),
    nopost: BigInt(done.nopost),
    ...(done.rate_limited + done.sigkill + done.monitor_sigkill + done.not_done === 0
      ? {}
      : {
          ktrail: {
            rateLimited: BigInt(done.rate_limited),
            sigkill: BigInt(done.sigkill),
            monitorSigkill: BigInt(done.monitor_sigkill),
            notDone: BigInt(done.not_done),
          },
        }),
  }
}

function selectorOf(
  { hook, selector, label, posts, done }: SelectorDone,
  hooks: PolicyStatus['hooks'],
): MessageInitShape<typeof TracingPolicySelectorActionCountersSchema> {
  return {
    hook: hooks[hook]?.symbol ?? '',
    hookIndex: hook,
    ...(selector === undefined ? {} : { selectorIndex: selector }),
    actionCounters: countersOf(posts, done),
    selectorLabel: label,
  }
}

/** Tetragon's names of the sensors of hooks; `generic_kprobe` also for a policy without hooks on this kernel. */
function sensorsOf(hooks: PolicyStatus['hooks']): string[] {
  const names = hooks.map(({ symbol, mode }) => {
    if (mode === 'tracepoint' || mode === 'raw_tracepoint') return 'generic_tracepoint'
    return symbol.startsWith(LSM_PREFIX) ? 'generic_lsm' : 'generic_kprobe'
  })
  return names.length === 0 ? ['generic_kprobe'] : [...new Set(names)]
}

function stateOf({ state, error, skipped, lacking }: PolicyStatus): State {
  switch (state) {
    case 'error':
      return State.TP_STATE_LOAD_ERROR
    case 'disabled':
      return State.TP_STATE_DISABLED
    case 'enabled':
      // The kernel refused a newer version; the previous one is attached.
      if (error !== undefined) return State.TP_STATE_ERROR
      return skipped.length + lacking.length > 0 ? State.TP_STATE_PARTIALLY_ENABLED : State.TP_STATE_ENABLED
  }
}
