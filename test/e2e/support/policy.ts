/** Policies as objects. They are written as JSON, which is YAML. */

export type Filter = {
  readonly index: number
  readonly operator: string
  readonly values: readonly string[]
}

/** A TracingPolicy document. */
export function policy(name: string, kprobes: readonly object[]): string {
  const document = { apiVersion: 'cilium.io/v1alpha1', kind: 'TracingPolicy', metadata: { name }, spec: { kprobes } }
  return `${JSON.stringify(document, undefined, 1)}\n`
}

/** One hook on security_file_permission with its return value; each of `selectors` is a list of filters, alternatives. */
export function fileHook(...selectors: ReadonlyArray<readonly Filter[]>): object {
  return {
    call: 'security_file_permission',
    syscall: false,
    return: true,
    args: [
      { index: 0, type: 'file' },
      { index: 1, type: 'int' },
    ],
    returnArg: { index: 0, type: 'int' },
    selectors: selectors.map((matchArgs) => ({ matchArgs })),
  }
}

/** A filter on the file's path (argument 0). */
export function path(operator: string, ...values: string[]): Filter {
  return { index: 0, operator, values }
}
