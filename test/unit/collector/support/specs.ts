/** Hooks of policies for tests: complete, but each part can be replaced. */
import type {
  ArgumentFilter,
  ArgumentSpec,
  ArgumentType,
  KprobeSpec,
  Operator,
} from '../../../../config/policy/policy.ts'

const at = { line: 3, col: 5 }

export function arg(index: number, type: ArgumentType, label = ''): ArgumentSpec {
  return { index, type, label, at: { line: 10 + index, col: 9 } }
}

/** `position` is the position in the hook's args. */
export function filter(
  position: number,
  operator: Operator,
  values: readonly string[] | readonly bigint[],
): ArgumentFilter {
  return { arg: position, operator, values, at }
}

export function spec(change: Partial<KprobeSpec> = {}): KprobeSpec {
  return {
    type: 'kprobe',
    call: 'security_file_permission',
    optional: false,
    syscall: false,
    return: false,
    returnArg: undefined,
    returnAction: 'post',
    action: 'post',
    args: [arg(0, 'file'), arg(1, 'int')],
    selectors: [],
    message: '',
    tags: [],
    at,
    ...change,
  }
}

/** A hook whose selectors are these filters, one each, on its first argument. */
export function onPath(...filters: ReadonlyArray<readonly [Operator, readonly string[]]>): KprobeSpec {
  return spec({ selectors: filters.map(([operator, values]) => ({ matchArgs: [filter(0, operator, values)] })) })
}
