/**
 * Plans what to load and attach for a policy on this kernel. Pure: needs only facts about the kernel.
 */
import type { HookSpec, Policy } from '../../config/policy/policy.ts'
import type { Position } from '../../config/yaml/problems.ts'
import { suggest } from '../../config/yaml/suggest.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import type { AttachKind, KernelFunction, ProgramSpec } from '../../native/types.ts'
import { CollectorError } from '../errors.ts'
import type { Hook } from '../../exporters/contract/event.ts'
import { HOOK_SLOTS } from './wire.ts'
import { atLeast } from './facts.ts'
import type { KernelFacts } from './facts.ts'
import { emptySets, hookBytes } from './layout.ts'
import type { FilterSets } from './layout.ts'
import { hookObject } from './objects.ts'

/** How a hook is attached; with `auto` in the config `chooseMode` decides. */
export type AttachMode = 'kprobe.multi' | 'fexit' | 'kprobe.session' | 'join' | 'kprobe'

/** The kernel's type information, as far as planning needs it. */
export interface Symbols {
  functionType(name: string): KernelFunction | undefined
  functionNames(): readonly string[]
}

export interface PlannedAttach {
  readonly program: string
  readonly kind: AttachKind
  readonly symbol: string
}

export interface PlannedHook {
  readonly hook: Hook
  readonly spec: HookSpec
  readonly symbol: string
  readonly mode: AttachMode
  readonly programs: readonly ProgramSpec[]
  /** Return side first: an entry must never be seen when its return cannot be. */
  readonly attach: readonly PlannedAttach[]
}

/** One object file to load: up to HOOK_SLOTS hooks share it. */
export interface PlannedObject {
  readonly file: string
  readonly hooks: readonly PlannedHook[]
  /** The constant `hooks`. */
  readonly constants: Buffer
  readonly sets: FilterSets
}

/** A call that is optional in the policy and missing in this kernel. */
export interface SkippedCall {
  readonly symbol: string
  /** `file:line:col: no kernel function …`, with a suggestion. */
  readonly message: string
}

export interface Plan {
  /** Not empty. */
  readonly objects: readonly PlannedObject[]
  readonly skipped: readonly SkippedCall[]
}

const SYSCALL_PREFIX = { x64: '__x64_', arm64: '__arm64_' } as const

/** Kernel symbol of a call: a system call without the architecture's prefix gets it. */
export function symbolOf(spec: HookSpec, arch: KernelFacts['arch']): string {
  return !spec.syscall || /^__(x64|arm64|ia32)_/.test(spec.call) ? spec.call : SYSCALL_PREFIX[arch] + spec.call
}

/**
 * The cheapest mode that loses nothing on this kernel (docs/policies.md). On kernels that preempt tasks in kernel code, a preempted fexit program
 * hides calls of other tasks, and session loses returns under load, so entry and return are joined there. A system call with a text argument is
 * joined, too, so that the match is decided at its entry.
 */
export function chooseMode(
  spec: Pick<HookSpec, 'return'>,
  kernel: KernelFacts,
  wanted: AttachMode | 'auto',
): AttachMode {
  if (!spec.return) return wanted === 'kprobe' || !kernel.fprobe ? 'kprobe' : 'kprobe.multi'
  const session = kernel.fprobe && kernel.session !== 'none'
  // The fexit program reads arguments and return value by helpers as old as bpf_loop.
  if (!kernel.loops) return 'join'
  if (wanted === 'fexit') return 'fexit'
  if (wanted === 'kprobe.session' && session) return 'kprobe.session'
  if (wanted === 'kprobe.session' || wanted === 'join' || wanted === 'kprobe') return 'join'
  const noPreemption = kernel.preemption === 'none' || kernel.preemption === 'voluntary'
  if (noPreemption) return 'fexit'
  // Since 6.14 fprobe keeps returns on a shadow stack and no longer runs out of instances.
  return session && atLeast(kernel, 6, 14) ? 'kprobe.session' : 'join'
}

/** Most fexit hooks on one function. The kernel's limit is 38 (BPF_MAX_TRAMP_LINKS); the rest is left to other tracers. */
const FEXIT_MAX = 29

/**
 * Most words for the returns of one function. Since 6.14 all fprobe users of a function share 32 words per call (FGRAPH_MAX_DATA_SIZE); beyond
 * that none of them runs, nor any kprobe.multi there. Half is left to other tracers.
 */
const RETURN_WORDS_MAX = 16
const SESSION_WORDS = 2
const RETURN_WORDS = 1

interface Way {
  readonly mode: AttachMode
  /** kprobe.multi, not plain kprobes. */
  readonly multi: boolean
}

/** `way`, or another one if the function has no room for it; `linksOn` returns the number of its links, by kind. */
function withRoom(way: Way, kernel: KernelFacts, linksOn: (kind: AttachKind) => number): Way {
  const join: Way = { mode: 'join', multi: way.multi }
  const room = RETURN_WORDS_MAX - SESSION_WORDS * linksOn('kprobe.session') - RETURN_WORDS * linksOn('kretprobe.multi')
  switch (way.mode) {
    case 'fexit':
      return linksOn('fexit') < FEXIT_MAX ? way : withRoom(join, kernel, linksOn)
    case 'kprobe.session':
      return room >= SESSION_WORDS ? way : withRoom(join, kernel, linksOn)
    case 'join':
      return { ...join, multi: way.multi && (room >= RETURN_WORDS || !atLeast(kernel, 6, 14)) }
    default:
      return way
  }
}

function programsOf({ mode, multi }: Way, slot: number, symbol: string): PlannedHook['attach'] {
  switch (mode) {
    case 'kprobe.multi':
      return [{ program: `hook_entry_${slot}`, kind: 'kprobe.multi', symbol }]
    case 'kprobe':
      return [{ program: `hook_entry_${slot}`, kind: 'kprobe', symbol }]
    case 'fexit':
      return [{ program: `hook_fexit_${slot}`, kind: 'fexit', symbol }]
    case 'kprobe.session':
      return [{ program: `hook_session_${slot}`, kind: 'kprobe.session', symbol }]
    case 'join':
      return [
        { program: `hook_leave_${slot}`, kind: multi ? 'kretprobe.multi' : 'kretprobe', symbol },
        { program: `hook_enter_${slot}`, kind: multi ? 'kprobe.multi' : 'kprobe', symbol },
      ]
  }
}

function refuse(policy: Policy, at: Position, message: string): never {
  throw new CollectorError('POLICY_REFUSED', placed(policy, at, message))
}

function placed({ file }: Policy, at: Position, message: string): string {
  return formatProblem({ file, ...at, message })
}

function notFound(spec: HookSpec, symbol: string, symbols: Symbols): string {
  const other = suggest(symbol, symbols.functionNames())
  const hint =
    other === undefined
      ? 'see /proc/kallsyms for the names this kernel has'
      : `did you mean ${spec.syscall && other.startsWith(SYSCALL_PREFIX.x64) ? other.slice(SYSCALL_PREFIX.x64.length) : other}?`
  const meant =
    symbol === spec.call ? '' : ` (looked for ${symbol}; a function that is not a system call needs syscall: false)`
  return `no kernel function "${spec.call}"${meant}: ${hint}`
}

function checkTypes(policy: Policy, spec: HookSpec, symbol: string, type: KernelFunction): void {
  // The prototype of a system call has only the register frame, so there are no argument types to compare with.
  if (spec.syscall) return
  for (const arg of spec.args) {
    const parameter = type.params[arg.index]
    if (parameter === undefined) {
      refuse(
        policy,
        arg.at,
        `argument index ${arg.index} of ${symbol}: expected 0 to ${type.params.length - 1}, the function takes ${type.params.length} arguments`,
      )
    }
    if (!arg.type.parameter.test(parameter.base)) {
      refuse(
        policy,
        arg.at,
        `argument ${arg.index} of ${symbol}: type "${arg.type.name}" does not fit, the kernel's is "${parameter.type}"`,
      )
    }
  }
  if (spec.returnArg !== undefined && !spec.returnArg.type.parameter.test(type.returnsBase)) {
    refuse(
      policy,
      spec.returnArg.at,
      `return value of ${symbol}: type "${spec.returnArg.type.name}" does not fit, the kernel's is "${type.returns}"`,
    )
  }
}

/** The hooks of a policy whose functions this kernel has, with the kernel's names. Throws as `planPolicy`. */
function present(
  policy: Policy,
  kernel: KernelFacts,
  symbols: Symbols,
): { found: Array<{ spec: HookSpec; symbol: string }>; skipped: SkippedCall[] } {
  const found: Array<{ spec: HookSpec; symbol: string }> = []
  const skipped: SkippedCall[] = []
  for (const spec of policy.hooks) {
    const symbol = symbolOf(spec, kernel.arch)
    const type = symbols.functionType(symbol)
    if (type !== undefined) {
      checkTypes(policy, spec, symbol, type)
      found.push({ spec, symbol })
    } else if (spec.optional) {
      skipped.push({ symbol, message: placed(policy, spec.at, notFound(spec, symbol, symbols)) })
    } else {
      refuse(policy, spec.at, notFound(spec, symbol, symbols))
    }
  }
  const [first] = policy.hooks
  if (found.length === 0 && first !== undefined) {
    const names = skipped.map(({ symbol }) => symbol).join(', ')
    refuse(
      policy,
      first.at,
      `this kernel has no function that the policy hooks: expected one of ${names} (ignore.callNotFound may skip some of them, not all)`,
    )
  }
  return { found, skipped }
}

/**
 * Plans the hooks of a policy. `nextHookId` returns unique ids; `linksOn` returns the number of other policies' links of a kind on a function.
 * Skips optional calls that this kernel does not have. Throws CollectorError POLICY_REFUSED with file:line:col for other missing functions, for
 * types that do not fit, and for a policy without any hook left.
 */
export function planPolicy(
  policy: Policy,
  kernel: KernelFacts,
  symbols: Symbols,
  wanted: AttachMode | 'auto',
  nextHookId: () => number,
  linksOn: (kind: AttachKind, symbol: string) => number = () => 0,
): Plan {
  const { found, skipped } = present(policy, kernel, symbols)
  const own: PlannedAttach[] = []
  const objects: PlannedObject[] = []
  const hasMulti = kernel.fprobe && wanted !== 'kprobe'
  for (let from = 0; from < found.length; from += HOOK_SLOTS) {
    const sets = emptySets()
    const constants: Buffer[] = []
    const hooks = found.slice(from, from + HOOK_SLOTS).map(({ spec, symbol }, slot): PlannedHook => {
      const hook: Hook = {
        id: nextHookId(),
        policy: policy.name,
        functionName: symbol,
        action: spec.action,
        returnAction: spec.returnAction,
        message: spec.message,
        tags: spec.tags,
        labels: spec.args.filter((arg) => arg.type.kind !== 'none').map((arg) => arg.label),
      }
      constants.push(hookBytes(hook.id, spec, sets))
      const way = withRoom({ mode: chooseMode(spec, kernel, wanted), multi: hasMulti }, kernel, (kind) =>
        own.reduce((sum, link) => sum + Number(link.kind === kind && link.symbol === symbol), linksOn(kind, symbol)),
      )
      const attach = programsOf(way, slot, symbol)
      own.push(...attach)
      const programs = attach.map(({ program, kind }) =>
        kind === 'fexit' ? { name: program, kind, target: symbol } : { name: program, kind },
      )
      return { hook, spec, symbol, mode: way.mode, programs, attach }
    })
    objects.push({ file: hookObject(kernel), hooks, constants: Buffer.concat(constants), sets })
  }
  return { objects, skipped }
}
