/** Sentences about parts of a policy that do not fit a kernel. */
import { plural } from '../../../config/base/counts.ts'
import { LSM_PREFIX } from '../../../config/policy/kprobe.ts'
import type { HookSpec } from '../../../config/policy/policy.ts'
import type { Position } from '../../../config/yaml/problems.ts'
import { suggest } from '../../../config/yaml/suggest.ts'
import type { KernelFunction } from '../../../native/types.ts'
import type { KernelFacts } from '../facts.ts'

export type Report = (at: Position, message: string) => void

export const SYSCALL_PREFIX = { x64: '__x64_', arm64: '__arm64_' } as const

/** `known`: all functions. */
export function notFound(spec: HookSpec, symbol: string, known: readonly string[]): string {
  if (spec.type === 'lsm') {
    if (symbol !== spec.call)
      return `no kernel function "${symbol}", which is required to make calls of this security hook fail`
    const hooks = known.filter((name) => name.startsWith(LSM_PREFIX))
    const near = suggest(symbol, hooks)?.slice(LSM_PREFIX.length)
    const meant =
      near === undefined ? 'see include/linux/lsm_hook_defs.h of the kernel for the names' : `did you mean ${near}?`
    return `no security hook "${symbol.slice(LSM_PREFIX.length)}" in this kernel: ${meant}`
  }
  const other = suggest(symbol, known)
  const hint =
    other === undefined
      ? 'see /proc/kallsyms for the names in this kernel'
      : `did you mean ${spec.syscall && other.startsWith(SYSCALL_PREFIX.x64) ? other.slice(SYSCALL_PREFIX.x64.length) : other}?`
  const meant = symbol === spec.call ? '' : ` (searched for ${symbol}; for a kernel function, add syscall: false)`
  return `no kernel function "${spec.call}"${meant}: ${hint}`
}

/** The reason why this kernel calls no function of the BPF LSM; undefined if it does. */
export function lsmRefusal({ lsms = '' }: Pick<KernelFacts, 'lsms'>): string | undefined {
  if (lsms.split(',').includes('bpf')) return undefined
  const got = lsms === '' ? 'nothing there (is securityfs mounted?)' : lsms
  return `lsmhooks require the BPF LSM: expected bpf in /sys/kernel/security/lsm, got ${got}; add it to the kernel parameter lsm=, or hook security_NAME with kprobes`
}

export function checkTypes(spec: HookSpec, symbol: string, type: KernelFunction, report: Report): void {
  // The prototype of a system call has only the register frame, so there are no argument types to compare with.
  if (spec.syscall) return
  for (const arg of spec.args) {
    if (arg.source !== undefined) continue
    const parameter = type.params[arg.index]
    if (parameter === undefined) {
      report(
        arg.at,
        `argument index ${arg.index} of ${symbol}: expected 0 to ${type.params.length - 1}, because the function has ${plural(type.params.length, 'argument')}`,
      )
    } else if (arg.resolve === undefined && !arg.type.parameter.test(parameter.base)) {
      report(
        arg.at,
        `argument ${arg.index} of ${symbol}: type "${arg.type.name}" does not fit, the kernel's is "${parameter.type}"`,
      )
    }
  }
  if (spec.returnArg !== undefined && !spec.returnArg.type.parameter.test(type.returnsBase)) {
    report(
      spec.returnArg.at,
      `return value of ${symbol}: type "${spec.returnArg.type.name}" does not fit, the kernel's is "${type.returns}"`,
    )
  }
}
