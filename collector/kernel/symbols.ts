/** What the kernel knows of the functions that policies name. */
import * as native from '../../native/index.ts'
import type { Policy } from '../../config/policy/policy.ts'
import type { KernelFacts } from './facts.ts'
import { symbolOf } from './plan.ts'
import type { Symbols } from './plan.ts'

/** The types of the functions; the names of all functions, for suggestions, only when one is missing. */
export async function symbolsOf(
  policies: readonly Policy[],
  { arch }: KernelFacts,
  btf: Pick<typeof native, 'kernelFunctions' | 'kernelFunctionNames'> = native,
): Promise<Symbols> {
  const names = policies.flatMap(({ hooks }) => hooks.map((spec) => symbolOf(spec, arch)))
  const types = await btf.kernelFunctions([...new Set(names)])
  const all = names.every((name) => types.has(name)) ? [] : await btf.kernelFunctionNames()
  return { functionType: (name) => types.get(name), functionNames: () => all }
}
