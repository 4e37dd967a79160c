/** A row for each type of argument: a small program makes the call, and the record of it is compared whole. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { release } from 'node:os'
import { join, relative } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { policy } from '../support/policy.ts'
import type { ArgumentRecord, FileRecord } from '../support/record.ts'

const skip = cannotRun()
const source = fileURLToPath(new URL('../../fixtures/e2e/arguments.c', import.meta.url))
const folder = skip === false ? freshFolder('arguments') : '/none'
const program = join(folder, 'program')
const TRUE = '/usr/bin/true'

/** A dentry knows no mount: its path begins at the root of the file system. */
const mountPoint = skip === false ? execFileSync('stat', ['-c', '%m', folder], { encoding: 'utf8' }).trim() : '/'
const inside = (file: string): string => join('/', relative(mountPoint, join(folder, file)))

type Calls = ReadonlyArray<readonly ArgumentRecord[]>

interface Row {
  readonly call: string
  readonly syscall?: boolean
  readonly args: ReadonlyArray<{ readonly index: number; readonly type: string; readonly label?: string }>
  readonly filter?: { readonly index: number; readonly operator: string; readonly values: readonly string[] }
  readonly want: Calls
}

const name = (file: string): string => join(folder, file)
const regular = (path: string, permission: string): FileRecord => ({ path, permission })
const made = { path_arg: { path: inside('made'), permission: '---------' } }
const below = { path_arg: { path: inside('made/below'), permission: '---------' } }
const FD: Row['args'] = [
  { index: 0, type: 'fd' },
  { index: 1, type: 'int' },
]
const opened: readonly ArgumentRecord[] = [{ file_arg: regular(name('file'), '-rw-r-----') }, { int_arg: 0o600 }]
const DENTRY: Row['args'] = [
  { index: 1, type: 'dentry', label: 'what' },
  { index: 2, type: 'uint16' },
]
const mkdir = (argument: ArgumentRecord): readonly ArgumentRecord[] => [
  { ...argument, label: 'what' },
  { uint_arg: 0o700 },
]

const ROWS: readonly Row[] = [
  {
    call: 'sys_fchmod',
    syscall: true,
    args: FD,
    want: [opened, [{ error_arg: { Message: 'Bad address for basic type' } }, { int_arg: 0o600 }]],
  },
  ...(
    [
      ['Equal', name('file'), true],
      ['Equal', name('fil'), false],
      ['NotEqual', name('file'), false],
      ['Prefix', `${folder}/`, true],
      ['Postfix', '/file', true],
      ['NotPostfix', '/file', false],
      ['SameFile', name('file'), true],
      ['SameFile', name('other'), false],
      ['UnderDir', folder, true],
      ['UnderDir', name('made'), false],
    ] as const
  ).map(([operator, value, matches]): Row => ({
    call: 'sys_fchmod',
    syscall: true,
    args: FD,
    filter: { index: 0, operator, values: [value] },
    want: matches ? [opened] : [],
  })),
  { call: 'security_inode_mkdir', args: DENTRY, want: [mkdir(made), mkdir(below)] },
  ...(
    [
      ['Equal', inside('made'), [mkdir(made)]],
      ['NotEqual', inside('made'), [mkdir(below)]],
      ['Prefix', inside('made'), [mkdir(made), mkdir(below)]],
      ['Prefix', `${inside('made')}/`, [mkdir(below)]],
      ['NotPrefix', `${inside('made')}/`, [mkdir(made)]],
      ['Postfix', '/below', [mkdir(below)]],
      ['NotPostfix', '/below', [mkdir(made)]],
      ['UnderDir', folder, [mkdir(made), mkdir(below)]],
      ['UnderDir', name('made'), [mkdir(made), mkdir(below)]],
      ['SameFile', name('made'), [mkdir(made)]],
    ] as const
  ).map(([operator, value, want]): Row => ({
    call: 'security_inode_mkdir',
    args: DENTRY,
    filter: { index: 1, operator, values: [value] },
    want,
  })),
  {
    call: 'security_inode_unlink',
    args: [{ index: 1, type: 'dentry' }],
    want: [[{ path_arg: regular(inside('file'), '-rw-------') }]],
  },
  {
    call: 'generic_write_checks',
    args: [{ index: 0, type: 'kiocb' }],
    want: [[{ file_arg: regular(name('file'), '-rw-r-----') }]],
  },
  {
    call: 'generic_write_checks',
    args: [{ index: 0, type: 'kiocb' }],
    filter: { index: 0, operator: 'Postfix', values: ['/other'] },
    want: [],
  },
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'linux_binprm' }],
    want: [[{ linux_binprm_arg: regular(TRUE, '-rwxr-xr-x') }]],
  },
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'linux_binprm' }],
    filter: { index: 0, operator: 'NotEqual', values: [TRUE] },
    want: [],
  },
  { call: 'do_unlinkat', args: [{ index: 1, type: 'filename' }], want: [[{ string_arg: 'file' }]] },
  {
    call: 'do_unlinkat',
    args: [{ index: 1, type: 'filename' }],
    filter: { index: 1, operator: 'Equal', values: ['fil'] },
    want: [],
  },
]

/** SameFile and UnderDir are of our own language. */
const byIdentity = ({ filter }: Row): boolean => /SameFile|UnderDir/.test(filter?.operator ?? '')

const cannotLoad = (row: Row): string | false =>
  byIdentity(row) && release().startsWith('5.10.') ? 'needs bpf_loop (Linux 5.17)' : false

const documentOf = (row: Row, as: string): string =>
  policy(as, [hookOf(row)]).replace('cilium.io/', byIdentity(row) ? 'ktrail.dev/' : 'cilium.io/')

const hookOf = ({ call, syscall = false, args, filter }: Row): object => ({
  call,
  syscall,
  args,
  selectors: [
    {
      matchBinaries: [{ operator: 'In', values: [program] }],
      ...(filter === undefined ? {} : { matchArgs: [filter] }),
    },
  ],
})

describe('arguments', { skip }, () => {
  let agent: TestAgent
  const got = new Map<string, ArgumentRecord[][]>()
  const nameOf = (i: number): string => `row-${i}`

  before(async () => {
    execFileSync('gcc', ['-O1', '-static', '-o', program, source])
    const policies = ROWS.flatMap((row, i): Array<[string, string]> =>
      cannotLoad(row) === false ? [[`${nameOf(i)}.yaml`, documentOf(row, nameOf(i))]] : [],
    )
    agent = await TestAgent.start({ policies: Object.fromEntries(policies) })
    const lines = await agent.during(async () => void execFileSync(program, [folder]))
    for (const { process_kprobe: kprobe } of lines) {
      const policyName = kprobe?.policy_name ?? ''
      got.set(policyName, [...(got.get(policyName) ?? []), [...(kprobe?.args ?? [])]])
    }
  })
  after(() => agent?.[Symbol.asyncDispose]())

  for (const [i, row] of ROWS.entries()) {
    const { call, args, filter, want } = row
    const what = filter === undefined ? '' : ` ${filter.operator} ${filter.values.join()}`
    test(`arguments: ${args.map(({ type }) => type).join()} of ${call}${what}`, { skip: cannotLoad(row) }, () => {
      assert.deepEqual(got.get(nameOf(i)) ?? [], want)
    })
  }
})
