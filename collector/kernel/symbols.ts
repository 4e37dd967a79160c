/**
 * The types of the functions that policies name. Functions of modules come and go, so they are hooked by plain kprobes: any other way
 * would keep the module from being unloaded. A kprobe ends with its module and does not come back by itself when the module does.
 */
import { readdirSync, statSync } from 'node:fs'
import * as native from '../../native/index.ts'
import type { GeneratedCalls, HookSpec, Policy } from '../../config/policy/policy.ts'
import type { KernelFunction } from '../../native/types.ts'
import { CollectorError } from '../errors.ts'
import type { KernelFacts } from '../plan/facts.ts'
import { generatedOf, keyOf, withGenerated } from '../plan/functions/generated.ts'
import type { Generated } from '../plan/functions/generated.ts'
import { pathsOf } from '../plan/functions/places.ts'
import { planPolicy, symbolOf } from '../plan/plan.ts'
import type { PlannedHook, Symbols } from '../plan/plan.ts'
import { eventNames, formatOf, readFtrace } from './tracefs.ts'
import { ofRaw, rawType } from '../plan/tracepoints/resolve.ts'

/** The kernel's information about its types. */
export type KernelTypes = Pick<typeof native, 'kernelFunctions' | 'kernelFunctionNames' | 'kernelMembers'>

/** The types of the functions; the names of all functions, for suggestions, only if one is missing. */
export async function symbolsOf(
  policies: readonly Policy[],
  { arch }: Pick<KernelFacts, 'arch'>,
  btf: KernelTypes = native,
): Promise<Symbols> {
  const lists = await generatedOf(policies, arch, () => btf.kernelFunctionNames(), readFtrace)
  const generated = (list: GeneratedCalls): Generated => lists.get(keyOf(list)) ?? []
  const specs = policies.flatMap(({ hooks }) => withGenerated(hooks, generated, () => undefined))
  const names = specs.flatMap((spec) => {
    if (spec.type === 'rawTracepoint') return [rawType(spec.call)]
    return spec.type === 'tracepoint' ? [] : [symbolOf(spec, arch)]
  })
  const types = await btf.kernelFunctions([...new Set(names)])
  const all = names.every((name) => types.has(name)) ? [] : await btf.kernelFunctionNames()
  const typeOf = (spec: HookSpec): KernelFunction | undefined =>
    spec.type === 'rawTracepoint' ? ofRaw(types.get(rawType(spec.call))) : types.get(symbolOf(spec, arch))
  const paths = [...new Set(specs.flatMap((spec) => pathsOf(spec, typeOf(spec))))]
  const found = paths.length === 0 ? [] : await btf.kernelMembers(paths)
  const members = new Map(paths.map((path, i) => [path, found[i]]))
  return {
    functionType: (name) => types.get(name),
    functionNames: () => all,
    tracepoints: { format: formatOf, names: eventNames },
    generated,
    loadOf,
    memberOf: (path) => members.get(path),
  }
}

/** Whether a policy would be hooked otherwise now, because modules came or went. */
export async function hookedOtherwise(
  policy: Policy,
  hooks: readonly PlannedHook[],
  facts: KernelFacts,
  btf?: Parameters<typeof symbolsOf>[2],
): Promise<boolean> {
  const symbols = await symbolsOf([policy], facts, btf)
  try {
    return shapeOf(hooks) !== shapeOf(planPolicy(policy, facts, symbols, 'auto', () => 0).hooks)
  } catch (error) {
    if (!(error instanceof CollectorError)) throw error
    return true
  }
}

const shapeOf = (hooks: readonly PlannedHook[]): string => hooks.map(({ symbol, load }) => `${symbol} ${load}`).join()

/** An entry for each loaded module with types, and for vmlinux. */
const TYPES = '/sys/kernel/btf'

/** A text that identifies the load of the module: another one after each load. '' if it is not loaded. */
export function loadOf(module: string): string {
  try {
    // Sysfs numbers its entries anew.
    return `${module}#${statSync(`${TYPES}/${module}`).ino}`
  } catch {
    return ''
  }
}

export const moduleOf = (load: string): string => load.slice(0, load.lastIndexOf('#'))

/** Changes when a module was loaded or unloaded; for one that came again between two calls see `loadOf`. */
export function loadedModules(): string {
  try {
    return readdirSync(TYPES).join(' ')
  } catch {
    return ''
  }
}
