/** Registers that `data` reads: they take the place of parameters that the hook does not read. */
import type { ArgumentSpec, HookSpec } from '../../../config/policy/policy.ts'
import { REGISTERS } from '../../../config/policy/types/registers.ts'
import type { KernelFacts } from '../facts.ts'
import { NO_FIELD } from '../tracepoints/fields.ts'
import type { EventField } from '../tracepoints/fields.ts'
import { PARAMS_MAX } from '../../wire/wire.ts'
import type { Report } from './misfits.ts'

export const readsRegisters = ({ args = [] }: Partial<Pick<HookSpec, 'args'>>): boolean =>
  args.some(({ source }) => source === 'pt_regs')

const PROCESSORS = { x64: 'x86-64', arm64: 'arm64' } as const

/** The hook with parameters in place of registers, and the place of each in `struct pt_regs`; the hook itself if it reads none. */
export function withRegisters(
  spec: HookSpec,
  arch: KernelFacts['arch'],
  report: Report,
): { readonly spec: HookSpec; readonly fields?: readonly EventField[] } {
  if (!readsRegisters(spec)) return { spec }
  const taken = new Set(spec.args.flatMap(({ index, size }) => [index, size?.param ?? index]))
  // Registers take the last parameters first, so that hooks with the same registers but other arguments mostly share a program.
  const free = Array.from({ length: PARAMS_MAX }, (_, i) => PARAMS_MAX - 1 - i).filter((i) => !taken.has(i))
  const fields = Array.from({ length: PARAMS_MAX }, () => NO_FIELD)
  const places = new Map<string, number>()
  const args = spec.args.map((arg): ArgumentSpec => {
    const { register, at } = arg
    if (register === undefined) return arg
    const found = REGISTERS[arch].get(register)
    const index = places.get(register) ?? free.shift()
    if (found === undefined) {
      report(at, `data of ${spec.call}: this machine, ${PROCESSORS[arch]}, has no register "${register}"`)
    } else if (index === undefined) {
      const others = 'the parameters of sizeArgIndex are included'
      report(at, `data of ${spec.call}: expected at most ${PARAMS_MAX} registers and parameters; ${others}`)
    } else {
      places.set(register, index)
      fields[index] = { ...found, kind: 'unsigned' }
      return { ...arg, index }
    }
    return arg
  })
  return { spec: { ...spec, args }, fields }
}
