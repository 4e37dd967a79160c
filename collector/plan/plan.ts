/**
 * Plans what to load and attach for a policy on this kernel. Pure: needs only facts about the kernel.
 */
import type { GeneratedCalls, HookGroup, HookSpec, Policy } from '../../config/policy/policy.ts'
import { LSM_PREFIX } from '../../config/policy/kprobe.ts'
import { MAX_KPROBES } from '../../config/policy/parse.ts'
import { denies, enforces, notifies, sendsSignals } from '../../config/policy/selectors/actions.ts'
import type { Problem } from '../../config/yaml/problems.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import type { KernelFunction } from '../../native/types.ts'
import { refusedAt } from './refusal.ts'
import type { Hook } from '../../exporters/contract/event.ts'
import { atLeast, preempts } from './facts.ts'
import { SYSCALL_PREFIX, checkTypes, lsmRefusal, notFound } from './functions/misfits.ts'
import type { Report } from './functions/misfits.ts'
import { fitsFexit, plainParams, returns } from './functions/trampoline.ts'
import { withGenerated } from './functions/generated.ts'
import { securityFunction } from './functions/security.ts'
import type { Generated } from './functions/generated.ts'
import { isTracepoint, resolve } from './tracepoints/resolve.ts'
import type { EventField } from './tracepoints/fields.ts'
import type { Tracepoints } from './tracepoints/resolve.ts'
import type { KernelFacts } from './facts.ts'
import { withoutLoops } from './loops.ts'
import { numbering, withPlaces } from './functions/places.ts'
import { readsRegisters, withRegisters } from './functions/registers.ts'
import type { MemberOf, Numbering } from './functions/places.ts'

/** Ways of attaching a hook; with `auto` in the config `chooseMode` decides. */
export type AttachMode =
  | 'kprobe.multi'
  | 'fexit'
  | 'fentry'
  | 'kprobe.session'
  | 'join'
  | 'kprobe'
  | 'tracepoint'
  | 'raw_tracepoint'
  | Denial

/** Ways of making calls fail. */
type Denial = 'override' | 'fmod_ret'

/** The kernel's type information, as far as planning needs it. */
export interface Symbols {
  functionType(name: string): KernelFunction | undefined
  readonly tracepoints: Pick<Tracepoints, 'format' | 'names'>
  functionNames(): readonly string[]
  /** Functions of a list that only the kernel can fill. */
  generated(list: GeneratedCalls): Generated
  /** Identifies the present load of a module. */
  loadOf(module: string): string
  /** Places of members of structs, by `pathsOf` of functions/places.ts. */
  readonly memberOf: MemberOf
}

/** One hook of a policy on this kernel. */
export interface PlannedHook {
  readonly hook: Hook
  readonly spec: HookSpec
  readonly symbol: string
  readonly way: AttachMethod
  /** For a function of a module: its load (`loadOf`). */
  readonly load: string
}

/** The way of attaching a function. `multi`: as kprobe.multi, not as plain kprobes. */
export interface AttachMethod {
  readonly mode: AttachMode
  readonly multi: boolean
  /** With override and fmod_ret: the return value is joined. */
  readonly returns?: boolean
  /** For a function: `plainParams` of functions/trampoline.ts. */
  readonly plain?: number
  /** Fields of a tracepoint's event, or registers of a kprobe, by the number of the parameter. */
  readonly fields?: readonly EventField[]
}

/** A call that is optional in the policy and missing in this kernel. */
export interface SkippedCall {
  readonly symbol: string
  /** `file:line:col: no kernel function …`, with a suggestion. */
  readonly message: string
}

export interface Plan {
  /** As this kernel runs it. */
  readonly policy: Policy
  /** Empty when all calls are optional and this kernel has none of them. */
  readonly hooks: readonly PlannedHook[]
  /** Optional calls in no group, or in a lacking one, that this kernel does not have. */
  readonly skipped: readonly SkippedCall[]
  /** `this kernel has none of …, which the policy needs to see …`, for each group without a function in this kernel. */
  readonly lacking: readonly string[]
  /** A sentence for each thing that the policy does not do on this kernel, by its own permission. */
  readonly limited: readonly string[]
}

/** A policy that is attached. */
export interface LoadedPolicy extends Omit<Plan, 'hooks'> {
  readonly hooks: readonly LoadedHook[]
}

export interface LoadedHook extends PlannedHook {
  readonly mode: AttachMode
}

/** Kernel symbol of a call: a system call without the architecture's prefix gets it. A security hook that denies gets its caller. */
export function symbolOf(spec: HookSpec, arch: KernelFacts['arch']): string {
  if (spec.type === 'lsm' && denies(spec)) return securityFunction(spec.call)
  return !spec.syscall || /^__(x64|arm64|ia32)_/.test(spec.call) ? spec.call : SYSCALL_PREFIX[arch] + spec.call
}

/**
 * The cheapest mode that loses nothing on this kernel (docs/reference/policy/attaching.md). If tasks are preempted in kernel code, a preempted fentry or
 * fexit program hides calls of other tasks. Signals are sent at the entry, and values that may change during the call are read there, so
 * such a hook is never fexit: entry and return are joined. With fentry, no call is missed for lack of room; return probes run out of
 * instances while many calls wait, but for those of 6.14, which are kept on a shadow stack.
 */
export function chooseMode(
  spec: Pick<HookSpec, 'return'> & Partial<Pick<HookSpec, 'call' | 'selectors' | 'args'>>,
  kernel: KernelFacts,
  wanted: AttachMode | 'auto',
): AttachMode {
  if (!spec.return) return wanted === 'kprobe' || !kernel.fprobe ? 'kprobe' : 'kprobe.multi'
  const session = kernel.fprobe && kernel.session !== 'none'
  // fentry and fexit programs read arguments and return value by helpers as old as bpf_loop.
  if (!kernel.loops) return 'join'
  // Signals are sent before the function does its work.
  const fits = fitsFexit(spec) && !sendsSignals({ selectors: spec.selectors ?? [] })
  if (wanted === 'fexit' && fits) return 'fexit'
  if (wanted === 'fentry' && returns(spec)) return 'fentry'
  if (wanted === 'kprobe.session' && session) return 'kprobe.session'
  if (wanted === 'kprobe.session' || wanted === 'join' || wanted === 'kprobe') return 'join'
  if (!preempts(kernel) && fits) return 'fexit'
  if (session && atLeast(kernel, 6, 14)) return 'kprobe.session'
  return !preempts(kernel) && returns(spec) ? 'fentry' : 'join'
}

/**
 * The way of making a function's calls fail, or the reason why there is none. Under preemption a preempted fmod_ret program hides other
 * tasks' calls, which then succeed; a kprobe's does not. But earlier kprobes of other programs do not see a call that a kprobe makes fail.
 */
export function chooseDenial(
  spec: Pick<HookSpec, 'call' | 'syscall' | 'return'>,
  kernel: KernelFacts,
  type: Pick<KernelFunction, 'returnsBase'>,
): { readonly mode: Denial } | { readonly refused: string } {
  // The fexit program reads the return value by a helper as old as bpf_loop.
  const modifies = !spec.return || kernel.loops
  if (!spec.syscall) {
    if (!/^(?:int|long)$/.test(type.returnsBase))
      return { refused: `${spec.call} does not return errors, so it cannot be made to fail` }
    return modifies
      ? { mode: 'fmod_ret' }
      : { refused: 'return with Override requires Linux 5.17: remove return, or read it in a second hook' }
  }
  if (kernel.errorInjection && modifies && (!preempts(kernel) || !kernel.override)) return { mode: 'fmod_ret' }
  if (kernel.override) return { mode: 'override' }
  return {
    refused:
      'Override on system calls requires a kernel with CONFIG_BPF_KPROBE_OVERRIDE or CONFIG_FUNCTION_ERROR_INJECTION: hook a function security_* of the same operation, with syscall: false',
  }
}

interface Found {
  readonly spec: HookSpec
  readonly symbol: string
  /** Set for a function. */
  readonly type?: KernelFunction
  readonly fields?: readonly EventField[]
  /** Set for a tracepoint: of its arguments, as the policy has them. */
  readonly indexes?: readonly number[]
}

/** Chooses the calls of groups to hook, and finds the groups without a call that could be hooked. */
function choose(
  { hooks, groups }: Policy,
  exists: (spec: HookSpec) => boolean,
): { wants: (call: string) => boolean; lacks: (call: string) => boolean; lacking: readonly HookGroup[] } {
  const there = new Set(hooks.filter(exists).map(({ call }) => call))
  const chosen = new Set(groups.map(({ calls }) => calls.find((call) => there.has(call))))
  const lacking = groups.filter(({ calls }) => !calls.some((call) => there.has(call)))
  const grouped = new Set(groups.flatMap(({ calls }) => calls))
  const lost = new Set(lacking.flatMap(({ calls }) => calls))
  return {
    wants: (call) => !grouped.has(call) || chosen.has(call),
    lacks: (call) => !grouped.has(call) || lost.has(call),
    lacking,
  }
}

/** The hooks of a policy whose functions this kernel has, with the kernel's names. Reports others that the policy needs, and types that do not fit. */
function present(
  written: Policy,
  kernel: Pick<KernelFacts, 'arch'>,
  symbols: Symbols,
  report: Report,
  number: Numbering,
): Pick<Plan, 'skipped' | 'lacking'> & { readonly found: readonly Found[] } {
  const hooks = withGenerated(
    written.hooks,
    (list) => symbols.generated(list),
    ({ at }, message) => report(at, message),
  )
  const [first] = hooks
  if (first !== undefined && hooks.length > MAX_KPROBES) {
    report(first.at, `expected at most ${MAX_KPROBES} functions, those of lists included, got ${hooks.length}`)
  }
  const policy = { ...written, hooks }
  const typeOf = (spec: HookSpec): KernelFunction | undefined => symbols.functionType(symbolOf(spec, kernel.arch))
  const { wants, lacks, lacking } = choose(policy, (spec) => typeOf(spec) !== undefined)
  const found: Found[] = []
  const skipped: SkippedCall[] = []
  for (const spec of policy.hooks) {
    if (isTracepoint(spec)) {
      const traced = resolve(spec, { ...symbols.tracepoints, ...symbols }, number, report)
      const indexes = spec.args.map(({ index }) => index)
      if (traced !== undefined) found.push({ ...traced, symbol: spec.call, indexes })
      continue
    }
    const symbol = symbolOf(spec, kernel.arch)
    const type = typeOf(spec)
    if (type !== undefined) {
      checkTypes(spec, symbol, type, report)
      const whole = withPlaces(spec, type, symbols.memberOf, number, report)
      if (wants(spec.call)) found.push({ ...withRegisters(whole, kernel.arch, report), symbol, type })
    } else if (!spec.optional || lacks(spec.call)) {
      const message = notFound(spec, symbol, symbols.functionNames())
      if (!spec.optional) report(spec.at, message)
      else skipped.push({ symbol, message: formatProblem({ file: policy.file, ...spec.at, message }) })
    }
  }
  const lost = lacking.map(
    ({ name, calls }) => `this kernel has none of ${calls.join(', ')}, so the policy does not see ${name}`,
  )
  return { found, skipped, lacking: lost }
}

/** Everything that a kernel with these functions does not have as the policy needs it. Empty: `planPolicy` plans it whole. */
export function lackingOf(policy: Policy, kernel: Pick<KernelFacts, 'arch'>, symbols: Symbols): Problem[] {
  const problems: Problem[] = []
  const report: Report = (at, message) => void problems.push({ file: policy.file, ...at, message })
  const { lacking } = present(policy, kernel, symbols, report, numbering())
  for (const message of lacking) report({ line: 1, col: 1 }, message)
  return problems
}

/**
 * Plans the hooks of a policy. `nextHookId` returns unique ids, `number` those of places, which programs of other policies share. Skips optional calls that this kernel does not have. Throws CollectorError
 * POLICY_REFUSED with file:line:col for other missing functions, and for types that do not fit.
 */
export function planPolicy(
  written: Policy,
  kernel: KernelFacts,
  symbols: Symbols,
  wanted: AttachMode | 'auto',
  nextHookId: () => number,
  number: Numbering = numbering(),
): Plan {
  const lsm = written.hooks.find((spec) => spec.type === 'lsm' && !denies(spec))
  const refused = lsm === undefined ? undefined : lsmRefusal(kernel)
  if (lsm !== undefined && refused !== undefined) throw refusedAt(written, lsm.at, refused)
  const report: Report = (at, message) => {
    throw refusedAt(written, at, message)
  }
  const { policy, limited } = kernel.loops ? { policy: written, limited: [] } : withoutLoops(written, report)
  const { found, skipped, lacking } = present(policy, kernel, symbols, report, number)
  const enforcer = policy.hooks.some(notifies) ? nextHookId() : undefined
  const hooks = found.map((each): PlannedHook => {
    const { symbol, fields, indexes } = each
    const spec = enforcer === undefined ? each.spec : { ...each.spec, enforcer }
    const module = each.type?.module
    if (spec.type === 'rawTracepoint' && !atLeast(kernel, 6, 1)) {
      // Kernel commit 05b24ff9b2cf.
      const before = 'on older kernels, an interrupt can nest its program'
      const message = `raw: true requires Linux 6.1 (${before}): remove it, and use the fields of the event`
      throw refusedAt(policy, spec.at, message)
    }
    const way = {
      ...(each.type === undefined ? wayOfTracepoint(spec) : wayOfFunction(policy, spec, each.type, kernel, wanted)),
      ...(fields && { fields }),
    }
    const all = spec.args.filter((arg) => arg.type.kind !== 'none')
    const shown = all.filter(({ source }) => source === undefined)
    const data = all.filter(({ source }) => source !== undefined)
    const type = TYPES_OF_EVENTS[spec.type]
    const hook: Hook = {
      id: nextHookId(),
      policy: policy.name,
      ...(policy.private && { private: true }),
      ...(type && { type }),
      functionName: spec.type === 'lsm' ? spec.call.slice(LSM_PREFIX.length) : symbol,
      action: spec.action,
      returnAction: spec.returnAction,
      message: spec.message,
      tags: spec.tags,
      labels: shown.map(({ label }) => label),
      indexes: shown.map(({ index }) => indexes?.[index] ?? index),
      ...(data.length === 0 ? {} : { dataLabels: data.map(({ label }) => label) }),
    }
    return { hook, spec, symbol, way, load: module === undefined ? '' : symbols.loadOf(module) }
  })
  return { policy, hooks, skipped, lacking: policy.private === true ? [] : lacking, limited }
}

const TYPES_OF_EVENTS = {
  kprobe: undefined,
  lsm: 'process_lsm',
  tracepoint: 'process_tracepoint',
  rawTracepoint: 'process_tracepoint',
} as const

const wayOfTracepoint = ({ type }: HookSpec): AttachMethod => ({
  mode: type === 'tracepoint' ? 'tracepoint' : 'raw_tracepoint',
  multi: false,
})

function wayOfFunction(
  policy: Policy,
  spec: HookSpec,
  type: KernelFunction,
  kernel: KernelFacts,
  wanted: AttachMode | 'auto',
): AttachMethod {
  // See symbols.ts. Since 6.14 kprobe.multi has only the registers of arguments (ftrace_partial_regs).
  const single = type.module !== undefined || policy.singleProbes === true || readsRegisters(spec)
  const how = single ? 'kprobe' : wanted
  const multi = kernel.fprobe && how !== 'kprobe'
  const denial = denies(spec) ? chooseDenial(spec, kernel, type) : undefined
  if (denial !== undefined && 'refused' in denial) {
    const what = enforces(spec) ? `enforcers: ${spec.call}` : 'action Override'
    throw refusedAt(policy, spec.at, `${what}: ${denial.refused}`)
  }
  const plain = plainParams(type)
  return denial === undefined
    ? { mode: chooseMode(spec, kernel, how), multi, plain }
    : { mode: denial.mode, multi, plain, returns: spec.return }
}
