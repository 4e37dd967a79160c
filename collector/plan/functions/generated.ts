/** Functions of lists that only a kernel can fill: its system calls, and the functions that ftrace can trace. */
import { parseRegex } from '../../../config/base/regex.ts'
import type { GeneratedCalls, KprobeSpec, Policy } from '../../../config/policy/policy.ts'
import { MAX_KPROBES } from '../../../config/policy/parse.ts'
import { Turns } from '../../host/turns.ts'
import type { KernelFacts } from '../facts.ts'
import { TRACEFS } from '../tracepoints/format.ts'
import { SYSCALL_PREFIX } from './misfits.ts'

/** The functions of a list, or a sentence with the reason why they are not known. */
export type Generated = readonly string[] | string

/** One text for equal lists. */
export const keyOf = (list: GeneratedCalls): string => (list.of === 'syscalls' ? '' : list.pattern)

/** The functions of all generated lists of the policies, by `keyOf`. `known`: names of all functions with type information. */
export async function generatedOf(
  policies: readonly Policy[],
  arch: KernelFacts['arch'],
  known: () => Promise<readonly string[]>,
  ftrace: () => Promise<string | undefined>,
): Promise<ReadonlyMap<string, Generated>> {
  const found = new Map<string, Generated>()
  const lists = policies.flatMap(({ hooks }) => hooks.flatMap(({ generated }) => generated ?? []))
  if (lists.length === 0) return found
  const names = await known()
  let traced: Set<string> | undefined
  for (const list of lists) {
    const key = keyOf(list)
    if (found.has(key)) continue
    if (list.of === 'syscalls') {
      found.set(key, bounded(names.filter((name) => name.startsWith(`${SYSCALL_PREFIX[arch]}sys_`)).toSorted()))
      continue
    }
    const text = traced === undefined ? await ftrace() : ''
    if (text === undefined) {
      found.set(
        key,
        `cannot read ${TRACEFS[0]}/available_filter_functions: mount tracefs there, and run ktrail as root`,
      )
      continue
    }
    traced ??= await namesIn(text, new Set(names))
    found.set(key, await matching(traced, list.pattern))
  }
  return found
}

/** Reads lines such as `vfs_read` or `nf_hook [nf_tables]`. Without type information, as for clones (f.isra.0), arguments are unknown. */
async function namesIn(text: string, known: ReadonlySet<string>): Promise<Set<string>> {
  const names = new Set<string>()
  const turns = new Turns()
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end < 0 ? text.length : end)
    const name = line.split(/[ \t]/, 1)[0] ?? ''
    if (known.has(name)) names.add(name)
    at += line.length + 1
    if (turns.over) await turns.rest()
  }
  return names
}

async function matching(names: Iterable<string>, pattern: string): Promise<Generated> {
  const regex = parseRegex(pattern)
  if (typeof regex === 'string') return regex
  const found: string[] = []
  const turns = new Turns()
  for (const name of names) {
    // Anywhere in the name, as Go's MatchString.
    if (regex.matcher(name).find()) found.push(name)
    if (turns.over) await turns.rest()
  }
  return bounded(found)
}

function bounded(names: readonly string[]): Generated {
  if (names.length === 0) return 'expected at least one function of this kernel in the list, got none'
  return names.length <= MAX_KPROBES
    ? names
    : `expected at most ${MAX_KPROBES} functions of this kernel in the list, got ${names.length}; use a narrower pattern`
}

/** The hooks of a policy, with one for each function of a generated list. `report` gets why a list has none. */
export function withGenerated(
  hooks: readonly KprobeSpec[],
  functionsOf: (list: GeneratedCalls) => Generated,
  report: (spec: KprobeSpec, message: string) => void,
): readonly KprobeSpec[] {
  return hooks.flatMap((spec) => {
    if (spec.generated === undefined) return [spec]
    const names = functionsOf(spec.generated)
    if (typeof names !== 'string') {
      const { generated: _, ...each } = spec
      return names.map((call): KprobeSpec => ({ ...each, call }))
    }
    report(spec, `${spec.call}: ${names}`)
    return []
  })
}
