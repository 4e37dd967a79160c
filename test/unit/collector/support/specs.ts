/** Hooks of policies for tests: complete, but each part can be replaced. */
import assert from 'node:assert/strict'
import { typeNamed } from '../../../../config/policy/arguments.ts'
import type { ArgumentType } from '../../../../config/policy/arguments.ts'
import { PLAIN_HOOK } from '../../../../config/policy/kprobe.ts'
import type { Operator } from '../../../../config/policy/operators.ts'
import type { KprobeSpec, ArgumentSpec, NumberFilter, TextFilter } from '../../../../config/policy/policy.ts'

const at = { line: 3, col: 5 }

/** The type that policies spell like this. */
export function typeOf(name: string): ArgumentType {
  return typeNamed(name) ?? assert.fail(`no type ${name}`)
}

export function arg(index: number, type: string, label = ''): ArgumentSpec {
  return { index, type: typeOf(type), label, at: { line: 10 + index, col: 9 } }
}

/** On a path. `position` is the position in the hook's args. */
export function filter(position: number, operator: Operator, values: readonly string[]): TextFilter {
  return { class: 'path', arg: position, operator, values, at }
}

/** On a number. */
export function numberFilter(position: number, operator: Operator, values: readonly bigint[]): NumberFilter {
  return { class: 'number', arg: position, operator, values, at }
}

export function spec(change: Partial<KprobeSpec> = {}): KprobeSpec {
  return {
    type: 'kprobe',
    ...PLAIN_HOOK,
    call: 'security_file_permission',
    args: [arg(0, 'file'), arg(1, 'int')],
    selectors: [],
    at,
    ...change,
  }
}

/** A hook whose selectors are these filters, one each, on its first argument. */
export function onPath(...filters: ReadonlyArray<readonly [Operator, readonly string[]]>): KprobeSpec {
  return spec({ selectors: filters.map(([operator, values]) => ({ matchArgs: [filter(0, operator, values)] })) })
}
