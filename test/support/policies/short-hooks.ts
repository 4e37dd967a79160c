/**
 * Hooks of a policy in a short form:
 *
 *   function(type,…):type? | filter & filter > action > action | …
 *
 * `sys_…`, `__x64_sys_…` and `list:…` are system calls; `lsm:…`, `tracepoint:…` and `rawTracepoint:…` are hooks of these sections. `_` is an unused
 * argument, `:type` the return value (`=type`: without `return: true`), `?` a function that may be missing. A filter is `INDEX OPERATOR VALUES`, or one of FILTERS.
 */
type Part = Readonly<Record<string, unknown>>

const SECTIONS: Readonly<Record<string, string>> = {
  lsm: 'lsmhooks',
  tracepoint: 'tracepoints',
  rawTracepoint: 'tracepoints',
}
const HOOK = /^(?:(lsm|tracepoint|rawTracepoint):)?((?:list:)?[\w/]+)(?:\(([^)]*)\))?(?:([:=])(\w+)(?:~(\w+))?)?(\?)?$/

/** `spec` with these hooks; empty without any. */
export function shortHooks(hooks: readonly string[]): Record<string, unknown> {
  const read = hooks.map(hookOf)
  const [first] = read
  return first === undefined ? {} : { [first.section]: read.map(({ hook }) => hook) }
}

function hookOf(text: string): { readonly section: string; readonly hook: Part } {
  const [head = '', ...selectors] = text.split(' | ').map((part) => part.trim())
  const [, kind = '', name = '', types = '', returns, type, tracks, optional] = HOOK.exec(head) ?? []
  if (name === '') throw new Error(`no hook: ${text}`)
  const returned =
    type === undefined ? {} : { returnArg: { index: 0, type }, ...(returns === ':' ? { return: true } : {}) }
  const tracking = tracks === undefined ? {} : { returnArgAction: tracks }
  const args = types.split(',').flatMap((each, i) => (['', '_'].includes(each) ? [] : [argumentOf(each, i)]))
  const hook = {
    ...named(kind, name),
    args,
    ...returned,
    ...tracking,
    ...(optional === undefined ? {} : { ignore: { callNotFound: true } }),
    ...(selectors.length === 0 ? {} : { selectors: selectors.map(selectorOf) }),
  }
  return { section: SECTIONS[kind] ?? 'kprobes', hook }
}

function named(kind: string, name: string): Part {
  if (kind === 'lsm') return { hook: name }
  if (kind === '') return { call: name, syscall: /^(?:sys_|__x64_|list:)/.test(name) }
  const [subsystem, event] = name.split('/')
  return { subsystem, event, ...(kind === 'rawTracepoint' ? { raw: true } : {}) }
}

/** `4 type`: at an index of its own; `type#3`: with its size; `type!`: whole; `type@path`: resolved. */
function argumentOf(text: string, i: number): Part {
  const [, index = String(i), type, size, whole, resolve] =
    /^(?:(\d+) )?(\w+)(?:#(\d))?(!)?(?:@(.+))?$/.exec(text) ?? []
  return {
    index: Number(index),
    type,
    ...(size === undefined ? {} : { sizeArgIndex: Number(size) }),
    ...(whole === undefined ? {} : { maxData: true }),
    ...(resolve === undefined ? {} : { resolve }),
  }
}

const FILTERS: Readonly<Record<string, (words: readonly string[]) => [field: string, filter: Part]>> = {
  binaries: ([operator, values]) => ['matchBinaries', { operator, values: listOf(values) }],
  pids: ([operator, values]) => [
    'matchPIDs',
    { operator, values: listOf(values).map(Number), followForks: true, isNamespacePID: true },
  ],
  namespace: ([namespace, operator, values]) => ['matchNamespaces', { namespace, operator, values: listOf(values) }],
  capabilities: ([operator, values]) => ['matchCapabilities', { type: 'Effective', operator, values: listOf(values) }],
  capabilityChanges: ([operator, values]) => ['matchCapabilityChanges', { operator, values: listOf(values) }],
  return: ([operator, values]) => ['matchReturnArgs', { index: 0, operator, values: listOf(values) }],
}

const listOf = (values = ''): string[] => values.replaceAll('\\0', '\0').split(',')

function selectorOf(text: string): Part {
  const [filters = '', ...actions] = text.split(/(?:^| )> /)
  const selector: Record<string, Part[]> = {}
  for (const filter of filters.split(' & ').filter(Boolean)) {
    const [first = '', ...words] = filter.trim().split(' ')
    const [operator, values] = words
    const [field, part] = FILTERS[first]?.(words) ?? [
      'matchArgs',
      { index: Number(first), operator, values: listOf(values) },
    ]
    ;(selector[field] ??= []).push(part)
  }
  return actions.length === 0 ? selector : { ...selector, matchActions: actions.map(actionOf) }
}

const PARAMETERS: Readonly<Record<string, string>> = {
  Post: 'rateLimit',
  Override: 'argError',
  Sigkill: 'argError',
  NotifyEnforcer: 'argError',
  UntrackSock: 'argSock',
  GetUrl: 'argUrl',
  DnsLookup: 'argFqdn',
}

function actionOf(text: string): Part {
  const [action = '', value] = text.trim().split(' ')
  const key = PARAMETERS[action]
  if (value === undefined || key === undefined) return { action }
  if (value === 'stack') return { action, kernelStackTrace: true }
  return { action, [key]: /^-?\d+$/.test(value) && key !== 'rateLimit' ? Number(value) : value }
}
