/** The policies of `ktrail watch` and `ktrail trace`: the calls of config/policies/optional/file-integrity.yaml, with other filters. */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { ownFile } from '../../../config/base/own.ts'
import { namesOf } from '../../../config/policy/without-loops.ts'

export const ACCESSES = ['read', 'write', 'exec'] as const
export type Access = (typeof ACCESSES)[number]

/** A file or folder to watch; it need not exist. */
export interface Watched {
  /** Absolute. */
  readonly path: string
  readonly isFolder: boolean
}

interface Filter {
  readonly index: number
  readonly operator: string
  readonly values: readonly string[]
}

interface Selector {
  readonly matchPIDs?: readonly object[]
  readonly matchArgs: readonly Filter[]
  readonly matchReturnArgs?: readonly Filter[]
}

interface Hook {
  readonly call: string
  readonly args: ReadonlyArray<{ readonly index: number; readonly type: string }>
  readonly selectors: readonly Selector[]
}

/** The parts of a policy that change. */
export interface Document {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> }
  readonly spec: { readonly kprobes: readonly Hook[] }
}

const hasBit = (index: number, bit: number): Filter => ({ index, operator: 'Mask', values: [String(bit)] })
/** The kernel's bits of an access (MAY_*), of a mapping's protection, and of its flags. */
export const BITS = {
  MAY_EXEC: 1,
  MAY_WRITE: 2,
  MAY_READ: 4,
  PROT_READ: 1,
  PROT_WRITE: 2,
  PROT_EXEC: 4,
  MAP_SHARED: 1,
} as const

/** Calls that several kinds of access pass, or a kind other than writing, with the filters of each kind. All other calls change the file. */
const ACCESSES_OF: Readonly<Record<string, Partial<Record<Access, readonly Filter[]>>>> = {
  security_file_permission: { read: [hasBit(1, BITS.MAY_READ)], write: [hasBit(1, BITS.MAY_WRITE)] },
  security_mmap_file: {
    read: [hasBit(1, BITS.PROT_READ)],
    // A private mapping does not change the file.
    write: [hasBit(1, BITS.PROT_WRITE), hasBit(2, BITS.MAP_SHARED)],
    exec: [hasBit(1, BITS.PROT_EXEC)],
  },
  security_file_mprotect: { write: [hasBit(1, BITS.PROT_WRITE)], exec: [hasBit(1, BITS.PROT_EXEC)] },
  security_bprm_check: { exec: [] },
  may_open: { read: [hasBit(2, BITS.MAY_READ)], write: [hasBit(2, BITS.MAY_WRITE)], exec: [hasBit(2, BITS.MAY_EXEC)] },
  security_file_open: { read: [], write: [], exec: [] },
}

/** An open alone is no access: the reads and writes after it are. But a refused one has none after it. */
const OPENS = new Set(['may_open', 'security_file_open'])
const REFUSED: Filter = { index: 0, operator: 'LessThan', values: ['0'] }

/** `byName`: by the path of each access, else by the identity of the file. `accesses`: at least one. `counts`: equal ones, if not by name. */
export async function policyText(
  watched: readonly Watched[],
  accesses: readonly Access[],
  byName: boolean,
  counts = false,
): Promise<string> {
  const paths = watched.map(({ path }) => path)
  const folders = watched.filter(({ isFolder }) => isFolder).map(({ path }) => path)
  const filters: readonly Files[] = byName ? namesOf(paths, folders) : [{ operator: 'UnderDir', values: paths }]
  return textWith(await chosenHooks(accesses, byName), (hook, kinds) => ({
    selectors: hook.selectors.flatMap((selector) =>
      filters.flatMap((filter) => kinds.map((kind) => changed(selector, filter, kind, OPENS.has(hook.call)))),
    ),
    // A program that reads a file reads it at least twice: the second time it gets the end.
    ...(counts && !byName && CONTENT.has(hook.call) && { aggregate: { ...EQUAL, window: '250ms' } }),
  }))
}

/** A process and its descendants, on all regular files; equal calls are counted. `old`: for kernels before 5.17, without counting, and without the calls that have other arguments before 5.12. */
export async function traceText(pid: number, accesses: readonly Access[], old: boolean): Promise<string> {
  const matchPIDs = [{ operator: 'In', followForks: true, isNamespacePID: false, values: [pid] }]
  const chosen = await chosenHooks(accesses, old)
  // Hooks with a filter on the return value see calls that other hooks see, too.
  const once = chosen.hooks.filter(({ hook }) => hook.selectors.every((each) => each.matchReturnArgs === undefined))
  const wanted = BYTES.filter(({ access }) => accesses.includes(access))
  const counting = wanted.map(({ access: _access, ...hook }) => ({ ...COUNTED, ...hook }))
  return textWith(
    { ...chosen, hooks: [...once, ...counting.map((hook) => ({ hook, kinds: [[]] }))] },
    (hook, kinds) => {
      const opens = OPENS.has(hook.call)
      const type = CONTENT.has(hook.call) ? [REGULAR] : []
      const selectors = kinds.map((kind) => ({
        matchPIDs,
        matchArgs: [...type, ...kind],
        ...(opens && { matchReturnArgs: [REFUSED] }),
      }))
      return { selectors, ...(!opens && !old && { aggregate: EQUAL }) }
    },
  )
}

/** Calls that return bytes. The copy is a read of its first file and a write of its second. */
const BYTES = [
  { access: 'read', call: 'vfs_read', args: [{ index: 0, type: 'file' }] },
  { access: 'write', call: 'vfs_write', args: [{ index: 0, type: 'file' }] },
  { access: 'write', call: 'vfs_copy_file_range', args: [0, 2].map((index) => ({ index, type: 'file' })) },
] as const
const COUNTED = { syscall: false, return: true, returnArg: { index: 0, type: 'long' }, selectors: [{ matchArgs: [] }] }
const EQUAL = { window: '1s', by: ['process', 'file', 'kind'] }
const REGULAR: Filter = { index: 0, operator: 'FileType', values: ['reg'] }
/** Calls on the content of any file, also of pipes and sockets. */
const CONTENT = new Set([
  'security_file_permission',
  'security_mmap_file',
  'security_file_mprotect',
  'vfs_read',
  'vfs_write',
  'vfs_copy_file_range',
])

interface Chosen {
  readonly document: Document
  readonly hooks: ReadonlyArray<{ readonly hook: Hook; readonly kinds: ReadonlyArray<readonly Filter[]> }>
}

async function chosenHooks(accesses: readonly Access[], named: boolean): Promise<Chosen> {
  const file = ownFile('config/policies/optional/file-integrity.yaml')
  const document = parse(await readFile(file, 'utf8')) as Document
  const hooks = document.spec.kprobes
    .filter((hook) => !named || hasName(hook))
    .map((hook) => ({ hook, kinds: kindsOf(hook.call, accesses) }))
    .filter(({ kinds }) => kinds.length > 0)
  return { document, hooks }
}

function textWith(
  { document, hooks }: Chosen,
  change: (...row: [Hook, Chosen['hooks'][number]['kinds']]) => object,
): string {
  const kprobes = hooks.map(({ hook, kinds }) => ({ ...hook, ignore: { callNotFound: true }, ...change(hook, kinds) }))
  const annotations = oneOf(document.metadata.annotations, new Set(kprobes.map(({ call }) => call)))
  return JSON.stringify({ ...document, metadata: { name: 'watch', annotations }, spec: { kprobes } })
}

/** The functions of which a kernel needs only the first that it has: those of these calls. */
export function oneOf(all: Readonly<Record<string, string>>, calls: ReadonlySet<string>): Record<string, string> {
  const left = Object.entries(all).map(
    ([key, list]) => [key, list.split(', ').filter((call) => calls.has(call))] as const,
  )
  return Object.fromEntries(left.filter(([, list]) => list.length > 0).map(([key, list]) => [key, list.join(', ')]))
}

/** A dentry's path begins at its file system, not at `/`. Other calls have other arguments before Linux 5.12, where only names can be watched. */
function hasName({ call, args: [first] }: Hook): boolean {
  return first?.type !== 'dentry' && /^security_|_common$|^vfs_truncate$|^path_mount$/.test(call)
}

/** The alternatives that the call is filtered by; none: it is not needed. */
function kindsOf(call: string, accesses: readonly Access[]): ReadonlyArray<readonly Filter[]> {
  const kinds: Partial<Record<Access, readonly Filter[]>> = ACCESSES_OF[call] ?? { write: [] }
  const chosen = accesses.flatMap((access) => (kinds[access] === undefined ? [] : [kinds[access]]))
  const all = chosen.length === Object.keys(kinds).length || chosen.some((filters) => filters.length === 0)
  return all ? [[]] : chosen
}

type Files = Omit<Filter, 'index'>

function changed({ matchArgs, matchReturnArgs }: Selector, files: Files, kind: readonly Filter[], opens: boolean) {
  const changedArgs = matchArgs.map((filter) => (filter.operator === 'UnderDir' ? { ...filter, ...files } : filter))
  return {
    matchArgs: [...changedArgs, ...kind],
    ...(opens ? { matchReturnArgs: [REFUSED] } : matchReturnArgs && { matchReturnArgs }),
  }
}
