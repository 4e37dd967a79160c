/** config/policies/optional/file-integrity.yaml with other files, for tests. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

interface Hook {
  readonly call: string
  readonly selectors: ReadonlyArray<{ readonly matchArgs: readonly [object, ...object[]] }>
}

const POLICY = new URL('../../../config/policies/optional/file-integrity.yaml', import.meta.url)

/** Each function of the policy. */
export const INTEGRITY_CALLS: readonly string[] = parse(readFileSync(POLICY, 'utf8')).spec.kprobes.map(
  ({ call }: Hook) => call,
)

/** The policy with other values. With `isHooked` it has only these functions, and no groups of functions, which need all of theirs. */
export function integrityPolicy(
  name: string,
  operator: string,
  values: readonly string[],
  isHooked?: (call: string) => boolean,
): string {
  const document = parse(readFileSync(POLICY, 'utf8'))
  document.metadata = isHooked === undefined ? { ...document.metadata, name } : { name }
  const hooks: Hook[] = document.spec.kprobes.filter(({ call }: Hook) => isHooked?.(call) ?? true)
  for (const { selectors } of hooks) {
    for (const { matchArgs } of selectors) Object.assign(matchArgs[0], { operator, values })
  }
  document.spec.kprobes = hooks
  return JSON.stringify(document)
}
