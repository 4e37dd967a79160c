/** A selector of each kind: with values that reject the calls of a reader (pread.ts), and with values that let them through. */
import { statSync } from 'node:fs'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import type { Reader } from './pread.ts'

export const FILE = 'security_file_permission'
export const SOCKET = 'security_socket_getsockname'
export const WATCHED = '/tmp/selectors/watched'
const OTHER = '/run/elsewhere/other'
/** Files of the reader. */
export const FILES = [WATCHED, OTHER, 'udp'] as const

/** A kind of selector. */
export interface Kind {
  readonly name: string
  /** Default FILE. */
  readonly call?: string
  readonly data?: readonly object[]
  readonly rejects?: object
  /** Absent: it lets one call through, then rejects. */
  readonly passes?: object
  /** The agent decides, by the return value: to the kernel all calls are the same. */
  readonly later?: true
}

/** Kinds that the screen does not decide. */
export const LATE: ReadonlySet<string> = new Set(['matchArgs, path: SubString', 'matchArgs: FileType', 'matchData'])

const onPath = (operator: string, value: string): object => ({ matchArgs: [{ index: 0, operator, values: [value] }] })
const onMask = (operator: string, value: string): object => ({ matchArgs: [{ index: 1, operator, values: [value] }] })
const programs = (key: string, operator: string, value: string, rest: object = {}): object => ({
  [key]: [{ operator, values: [value], ...rest }],
})
const pids = (value: number, rest: object = {}): object => ({
  matchPIDs: [{ operator: 'In', values: [value], ...rest }],
})
const namespaces = (value: string): object => ({
  matchNamespaces: [{ namespace: 'Mnt', operator: 'In', values: [value] }],
})
const capabilities = (type: string): object => ({
  matchCapabilities: [{ type, operator: 'In', values: ['CAP_SYS_ADMIN'] }],
})

/** A file that is read: MAY_READ is 4. The program has no inheritable capabilities, pid 2 is the kernel's. */
export function kindsFor(reader: Reader): readonly Kind[] {
  const mountNamespace = String(statSync(`/proc/${reader.pid}/ns/mnt`).ino)
  return [
    { name: 'no selector', passes: {} },
    { name: 'matchArgs, path: Equal', rejects: onPath('Equal', '/usr/watched'), passes: onPath('Equal', WATCHED) },
    { name: 'matchArgs, path: Prefix', rejects: onPath('Prefix', '/usr/'), passes: onPath('Prefix', '/tmp/sel') },
    { name: 'matchArgs, path: Postfix', rejects: onPath('Postfix', 'other'), passes: onPath('Postfix', 'watched') },
    { name: 'matchArgs, path: SubString', rejects: onPath('SubString', 'other'), passes: onPath('SubString', 'atch') },
    { name: 'matchArgs, number: Equal', rejects: onMask('Equal', '2'), passes: onMask('Equal', '4') },
    { name: 'matchArgs, number: GT', rejects: onMask('GT', '4'), passes: onMask('GT', '3') },
    { name: 'matchArgs, number: Mask', rejects: onMask('Mask', '2'), passes: onMask('Mask', '4') },
    { name: 'matchArgs, number: InMap', rejects: onMask('InMap', '5:99'), passes: onMask('InMap', '0:99') },
    { name: 'matchArgs: FileType', rejects: onPath('FileType', 'dir'), passes: onPath('FileType', 'reg') },
    { name: 'matchArgs: SameFile', rejects: onPath('SameFile', OTHER), passes: onPath('SameFile', WATCHED) },
    {
      name: 'matchArgs: UnderDir',
      rejects: onPath('UnderDir', '/run/elsewhere'),
      passes: onPath('UnderDir', '/tmp/selectors'),
    },
    {
      name: 'matchData',
      data: [{ type: 'int', source: 'current_task', resolve: 'pid' }],
      rejects: { matchData: [{ index: 0, operator: 'Equal', values: ['2'] }] },
      passes: { matchData: [{ index: 0, operator: 'Equal', values: [String(reader.pid)] }] },
    },
    { name: 'matchPIDs', rejects: pids(2), passes: pids(reader.pid) },
    {
      name: 'matchPIDs: followForks',
      rejects: pids(2, { followForks: true }),
      passes: pids(reader.pid, { followForks: true }),
    },
    {
      name: 'matchPIDs: isNamespacePID',
      rejects: pids(2, { isNamespacePID: true }),
      passes: pids(reader.pid, { isNamespacePID: true }),
    },
    {
      name: 'matchBinaries: In',
      rejects: programs('matchBinaries', 'In', '/usr/bin/none'),
      passes: programs('matchBinaries', 'In', reader.program),
    },
    {
      name: 'matchBinaries: Prefix',
      rejects: programs('matchBinaries', 'Prefix', '/usr/bin/none'),
      passes: programs('matchBinaries', 'Prefix', '/tmp/'),
    },
    {
      name: 'matchBinaries: followChildren',
      rejects: programs('matchBinaries', 'In', '/usr/bin/none', { followChildren: true }),
      passes: programs('matchBinaries', 'In', reader.program, { followChildren: true }),
    },
    {
      name: 'matchParentBinaries',
      rejects: programs('matchParentBinaries', 'In', '/usr/bin/none'),
      passes: programs('matchParentBinaries', 'In', process.execPath),
    },
    { name: 'matchNamespaces', rejects: namespaces('1'), passes: namespaces(mountNamespace) },
    {
      name: 'matchNamespaceChanges',
      rejects: { matchNamespaceChanges: [{ operator: 'In', values: ['Net'] }] },
    },
    { name: 'matchCapabilities', rejects: capabilities('Inheritable'), passes: capabilities('Effective') },
    {
      name: 'matchCapabilityChanges',
      rejects: { matchCapabilityChanges: [{ operator: 'In', values: ['CAP_SYS_ADMIN'] }] },
    },
    {
      name: 'matchWorkloads',
      rejects: { matchWorkloads: { podSelector: { matchLabels: { app: 'none' } } } },
      passes: { matchWorkloads: { hostSelector: {} } },
    },
    {
      name: 'matchReturnArgs',
      rejects: { matchReturnArgs: [{ index: 0, operator: 'Equal', values: ['-13'] }] },
      passes: { matchReturnArgs: [{ index: 0, operator: 'Equal', values: ['0'] }] },
      later: true,
    },
    { name: `no selector, ${SOCKET}`, call: SOCKET, passes: {} },
    {
      name: 'matchArgs, socket: Family',
      call: SOCKET,
      rejects: onPath('Family', 'AF_UNIX'),
      passes: onPath('Family', 'AF_INET'),
    },
    {
      name: 'matchArgs, socket: SAddr',
      call: SOCKET,
      rejects: onPath('SAddr', '10.0.0.0/8'),
      passes: onPath('SAddr', '127.0.0.0/8'),
    },
  ]
}

/** One hook with this selector. */
export function policyOf({ name, call = FILE, data }: Kind, selector: object): Policy {
  const args =
    call === FILE
      ? [
          { index: 0, type: 'file' },
          { index: 1, type: 'int' },
        ]
      : [{ index: 0, type: 'socket' }]
  const hook = {
    call,
    syscall: false,
    return: true,
    returnArg: { index: 0, type: 'int' },
    args,
    ...(data && { data }),
    selectors: [selector],
  }
  const document = {
    apiVersion: 'ktrail.dev/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name: 'bench' },
    spec: { kprobes: [hook] },
  }
  const parsed = parsePolicy(JSON.stringify(document), name)
  if ('problems' in parsed) throw new Error(parsed.problems.map(formatProblem).join('\n'))
  return parsed.policy
}
