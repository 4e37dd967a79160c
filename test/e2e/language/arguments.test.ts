/** One row for each type of argument: a small program makes the call, and the whole record is compared. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { release } from 'node:os'
import { join, relative } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { kernelMembers } from '../../../native/index.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { policy } from '../support/policy.ts'
import type { ArgumentRecord, FileRecord } from '../support/record.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun()
const folder = skip === false ? freshFolder('arguments') : '/none'
const program = join(folder, 'program')
const TRUE = '/usr/bin/true'

/** A dentry has no mount: its path begins at the root of the file system. */
const mountPoint = skip === false ? execFileSync('stat', ['-c', '%m', folder], { encoding: 'utf8' }).trim() : '/'
const inside = (file: string): string => join('/', relative(mountPoint, join(folder, file)))

type Calls = ReadonlyArray<readonly ArgumentRecord[]>

interface Row {
  readonly call: string
  readonly syscall?: boolean
  readonly args: ReadonlyArray<{
    readonly index: number
    readonly type: string
    readonly label?: string
    readonly resolve?: string
    readonly btfType?: string
  }>
  readonly data?: ReadonlyArray<{
    readonly type: string
    readonly resolve: string
    readonly label?: string
    readonly source?: 'pt_regs'
  }>
  readonly filter?: { readonly index: number; readonly operator: string; readonly values: readonly string[] }
  readonly dataFilter?: Row['filter']
  /** Arguments, then data. */
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
/** Kernels differ in whether a char has a sign. */
const [CHAR] = skip === false ? await kernelMembers(['linux_binprm buf[1]']) : []
/** The mode as security_inode_mkdir gets it: 7.3 adds the type, 6.12 does not. */
const MODE = Number.parseInt(release()) < 7 ? 0o700 : 0o40700
const mkdir = (argument: ArgumentRecord): readonly ArgumentRecord[] => [
  { ...argument, label: 'what' },
  { uint_arg: MODE },
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
  ...(
    [
      ['FileType', ['reg', 'dir'], [opened]],
      ['FileType', ['dir', 'lnk', 'fifo'], []],
      ['NotFileType', ['regular'], []],
      ['NotFileType', ['block', 'char', 'socket'], [opened]],
    ] as const
  ).map(([operator, values, want]): Row => ({
    call: 'sys_fchmod',
    syscall: true,
    args: FD,
    filter: { index: 0, operator, values },
    want,
  })),
  ...(
    [
      ['SubString', ['/file'], true],
      ['SubString', ['nowhere', 'tmp/', 'ktrail-arg'], true],
      ['SubString', ['/FILE', 'filefile', 'ffile'], false],
      ['SubStringIgnCase', ['/FiLE'], true],
      ['SubStringIgnCase', ['FIIL'], false],
    ] as const
  ).map(([operator, values, matches]): Row => ({
    call: 'sys_fchmod',
    syscall: true,
    args: FD,
    filter: { index: 0, operator, values },
    want: matches ? [opened] : [],
  })),
  // A file without a path still matches by its kind.
  ...(
    [
      ['FileType', 'pipe', true],
      ['FileType', 'reg', false],
      ['NotFileType', 'sock', true],
      ['NotEqual', '/a', false],
    ] as const
  ).map(([operator, value, matches]): Row => ({
    call: 'sys_fchown',
    syscall: true,
    args: [{ index: 0, type: 'fd' }],
    filter: { index: 0, operator, values: [value] },
    want: matches ? [[{ file_arg: { permission: 'prw-------' } }]] : [],
  })),
  // Memory is no file of any kind; PROT_NONE distinguishes its call from others.
  {
    call: 'security_mmap_file',
    args: [{ index: 1, type: 'int' }],
    filter: { index: 1, operator: 'Equal', values: ['0'] },
    want: [[{ int_arg: 0 }]],
  },
  {
    call: 'security_mmap_file',
    args: [{ index: 0, type: 'file' }],
    filter: { index: 0, operator: 'NotFileType', values: ['reg'] },
    want: [],
  },
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

function cannotLoad(row: Row): string | false {
  if (byIdentity(row) && release().startsWith('5.10.')) return 'needs bpf_loop (Linux 5.17)'
  return row.call === 'do_unlinkat' && release().startsWith('7.') ? 'Linux 7 has no do_unlinkat' : false
}

const documentOf = (row: Row, as: string): string =>
  policy(as, [hookOf(row)]).replace('cilium.io/', byIdentity(row) ? 'ktrail.dev/' : 'cilium.io/')

const FULL = 'the capabilities of root'
const CALL = { index: 0, type: 'bpf_cmd' }
const ATTR = { index: 1, type: 'bpf_attr' }

/** Objects: members of the kernel's structs. */
const OBJECTS: readonly Row[] = [
  {
    call: 'security_bpf',
    args: [CALL, ATTR],
    filter: { index: 0, operator: 'Equal', values: ['5'] },
    want: [
      [
        { bpf_cmd_arg: 'BPF_PROG_LOAD' },
        { bpf_attr_arg: { ProgType: 'BPF_PROG_TYPE_SOCKET_FILTER', InsnCnt: 2, ProgName: 'a_program' } },
      ],
    ],
  },
  {
    call: 'bpf_check',
    args: [{ index: 1, type: 'bpf_attr' }],
    want: [[{ bpf_attr_arg: { ProgType: 'BPF_PROG_TYPE_SOCKET_FILTER', InsnCnt: 2, ProgName: 'a_program' } }]],
  },
  {
    call: 'security_bpf_prog',
    args: [{ index: 0, type: 'bpf_prog' }],
    want: [[{ bpf_prog_arg: { ProgType: 'BPF_PROG_TYPE_SOCKET_FILTER', InsnCnt: 2, ProgName: 'a_program' } }]],
  },
  {
    call: 'security_bpf_map',
    args: [{ index: 0, type: 'bpf_map' }],
    want: [
      [{ bpf_map_arg: { MapType: 'BPF_MAP_TYPE_HASH', KeySize: 4, ValueSize: 24, MaxEntries: 100, MapName: 'a_map' } }],
    ],
  },
  {
    call: 'security_perf_event_alloc',
    args: [{ index: 0, type: 'perf_event' }],
    want: [[{ perf_event_arg: { Type: 'PERF_TYPE_SOFTWARE', Config: '3' } }]],
  },
  {
    call: 'security_capset',
    args: [
      { index: 2, type: 'cap_effective' },
      { index: 3, type: 'cap_inheritable' },
      { index: 4, type: 'kernel_cap_t' },
    ],
    want: [
      [
        { cap_effective_arg: '0000000000200001' },
        { cap_inheritable_arg: '0000000000000002' },
        { kernel_cap_t_arg: FULL },
      ],
    ],
  },
  ...(
    [
      ['Equal', '0x200001', true],
      ['Equal', '1', false],
      ['NotEqual', '1', true],
      ['Mask', '1', true],
      ['Mask', '2', false],
    ] as const
  ).map(([operator, value, matches]): Row => ({
    call: 'security_capset',
    args: [{ index: 2, type: 'cap_effective' }],
    filter: { index: 2, operator, values: [value] },
    want: matches ? [[{ cap_effective_arg: '0000000000200001' }]] : [],
  })),
  {
    call: 'security_capset',
    args: [{ index: 1, type: 'cred' }],
    want: [
      [
        {
          process_credentials_arg: {
            uid: 4,
            gid: 7,
            euid: 5,
            egid: 8,
            suid: 6,
            sgid: 9,
            fsuid: 5,
            fsgid: 8,
            securebits: ['SecBitKeepCaps'],
            caps: { permitted: FULL },
            user_ns: { level: 0, uid: 0, gid: 0, ns: { inum: 4026531837, is_host: true } },
          },
        },
      ],
    ],
  },
  {
    call: 'cap_capable',
    args: [
      { index: 1, type: 'user_namespace' },
      { index: 2, type: 'capability' },
    ],
    filter: { index: 2, operator: 'Equal', values: ['31'] },
    want: [],
  },
  {
    call: 'cap_capable',
    args: [
      { index: 1, type: 'user_namespace' },
      { index: 2, type: 'capability' },
    ],
    filter: { index: 2, operator: 'Equal', values: ['26'] },
    want: [
      [
        { user_ns_arg: { level: 0, uid: 0, gid: 0, ns: { inum: 4026531837, is_host: true } } },
        { capability_arg: { value: 26, name: 'CAP_SYS_TTY_CONFIG' } },
      ],
    ],
  },
  // Members: of a pointer, of a struct within it, a text, a bit, an element, and one behind a pointer that is 0.
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'string', resolve: 'filename' }],
    want: [[{ string_arg: '/bin/true' }]],
  },
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'string', resolve: 'file.f_path.dentry.d_name.name', label: 'name' }],
    filter: { index: 0, operator: 'Equal', values: ['true'] },
    want: [[{ string_arg: 'true', label: 'name' }]],
  },
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'path', resolve: 'file.f_path' }],
    filter: { index: 0, operator: 'Prefix', values: ['/usr/'] },
    want: [[{ path_arg: regular(TRUE, '-rwxr-xr-x') }]],
  },
  ...(
    [
      ['SameFile', TRUE, true],
      ['UnderDir', '/usr/bin', true],
      ['UnderDir', folder, false],
    ] as const
  ).map(([operator, value, matches]): Row => ({
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'file', resolve: 'file' }],
    filter: { index: 0, operator, values: [value] },
    want: matches ? [[{ file_arg: regular(TRUE, '-rwxr-xr-x') }]] : [],
  })),
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'int', resolve: 'file.f_inode.i_mode' }],
    filter: { index: 0, operator: 'Mask', values: ['0x49'] },
    want: [[{ uint_arg: 0o100755 }]],
  },
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'int', resolve: 'file.f_inode.i_mode' }],
    filter: { index: 0, operator: 'Equal', values: ['1'] },
    want: [],
  },
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'string', resolve: 'buf' }],
    filter: { index: 0, operator: 'NotEqual', values: ['ELF'] },
    want: [[{ string_arg: '\u007fELF\u0002\u0001\u0001' }]],
  },
  {
    call: 'security_bprm_check',
    args: [{ index: 0, type: 'int', resolve: 'buf[1]' }],
    want: [[CHAR?.signed === true ? { int_arg: 0x45 } : { uint_arg: 0x45 }]],
  },
  {
    call: 'security_inode_mkdir',
    args: [{ index: 1, type: 'uint64', resolve: 'd_inode.i_ino' }],
    want: [0, 0].map(() => [
      { error_arg: { Message: 'Bad address encountered during resolve dereference at depth 1' } },
    ]),
  },
  {
    call: 'security_inode_mkdir',
    args: [{ index: 1, type: 'string', resolve: 'd_parent.d_name.name', btfType: 'dentry' }],
    want: [[{ string_arg: folder.split('/').at(-1) ?? '' }], [{ string_arg: 'made' }]],
  },
]

const TASK: NonNullable<Row['data']> = [
  { type: 'string', resolve: 'comm', label: 'name' },
  { type: 'file', resolve: 'mm.exe_file' },
  { type: 'int', resolve: 'real_parent.tgid' },
  { type: 'cred', resolve: 'cred' },
]
const parent = { int_arg: process.pid }
const root = {
  process_credentials_arg: {
    ...Object.fromEntries('uid gid euid egid suid sgid fsuid fsgid'.split(' ').map((id) => [id, 0])),
    caps: { permitted: FULL, effective: FULL },
    user_ns: { level: 0, uid: 0, gid: 0, ns: { inum: 4026531837, is_host: true } },
  },
}
const ofTask: readonly ArgumentRecord[] = [
  { string_arg: 'program', label: 'name' },
  { file_arg: regular(program, '-rwxr-xr-x') },
  parent,
  root,
]

/** Data of the calling task. */
const DATA: readonly Row[] = [
  { call: 'sys_fchmod', syscall: true, args: [], data: TASK, want: [ofTask, ofTask] },
  {
    call: 'security_inode_mkdir',
    args: [{ index: 2, type: 'uint16' }],
    data: [{ type: 'uint64', resolve: 'group_leader.files.fdt.max_fds' }],
    filter: { index: 2, operator: 'Equal', values: [String(MODE)] },
    dataFilter: { index: 0, operator: 'Mask', values: ['64', '256'] },
    want: [0, 0].map(() => [{ uint_arg: MODE }, { uint_arg: 64 }]),
  },
  ...(
    [
      [0, 'Equal', 'program', true],
      [0, 'NotEqual', 'program', false],
      [0, 'SubString', 'ogra', true],
      [0, 'SubString', 'ogre', false],
      [1, 'Postfix', '/program', true],
      [1, 'Prefix', '/usr/', false],
      [2, 'Equal', String(process.pid), true],
      [2, 'GT', String(process.pid), false],
    ] as const
  ).map(([index, operator, value, matches]): Row => ({
    call: 'sys_fchmod',
    syscall: true,
    args: [{ index: 1, type: 'int' }],
    data: TASK,
    dataFilter: { index, operator, values: [value] },
    want: matches ? [0, 0].map(() => [{ int_arg: 0o600 }, ...ofTask]) : [],
  })),
]

/** The registers of the first three parameters: of a function its own ones, of a system call those of the program. */
const IN = { x64: ['rdi', 'rsi', 'rdx', 'esi', 'edx'], arm64: ['x0', 'x1', 'x2', 'w1', 'w2'] }
const [FIRST = '', SECOND = '', THIRD = '', SECOND_HALF = '', THIRD_HALF = ''] =
  process.arch === 'arm64' ? IN.arm64 : IN.x64
const register = (resolve: string, type: string): NonNullable<Row['data']>[number] => ({
  type,
  resolve,
  source: 'pt_regs',
})

const failed: readonly ArgumentRecord[] = [{ error_arg: { Message: 'Bad address for basic type' } }, { int_arg: 0o600 }]
/** Values of a call that depend on its mode or its descriptor. */
const shownAs = (type: string, [descriptor = {}, mode = {}]: readonly ArgumentRecord[]): ArgumentRecord =>
  type === 'fd' ? descriptor : type === 'uint8' ? { uint_arg: 0o600 & 0xff } : mode

/** Each register beside the argument that the function got in it. */
const REGISTERS: readonly Row[] = [
  {
    call: 'security_inode_mkdir',
    args: [...DENTRY],
    data: [register(SECOND, 'dentry'), register(THIRD, 'uint16'), register(THIRD_HALF, 'uint8')],
    want: [made, below].map((dentry) => [...mkdir(dentry), dentry, { uint_arg: MODE }, { uint_arg: MODE & 0xff }]),
  },
  {
    call: 'sys_fchmod',
    syscall: true,
    args: FD,
    data: [register(FIRST, 'fd'), register(SECOND, 'uint64'), { type: 'int', resolve: 'real_parent.tgid' }],
    want: [
      [...opened, ...opened.slice(0, 1), { size_arg: String(0o600) }, parent],
      [...failed, ...failed.slice(0, 1), { size_arg: String(0o600) }, parent],
    ],
  },
  ...(
    [
      [register(SECOND_HALF, 'int'), 'Equal', String(0o600), [opened, failed]],
      [register(SECOND, 'int'), 'NotEqual', String(0o600), []],
      [register(SECOND, 'uint8'), 'Equal', String(0o600 & 0xff), [opened, failed]],
      [register(SECOND, 'uint64'), 'GT', String(0o600), []],
      [register(FIRST, 'fd'), 'Postfix', '/file', [opened]],
      [register(FIRST, 'fd'), 'Prefix', '/usr/', []],
    ] as const
  ).map(([item, operator, value, calls]): Row => ({
    call: 'sys_fchmod',
    syscall: true,
    args: FD,
    data: [{ type: 'int', resolve: 'real_parent.tgid' }, item],
    dataFilter: { index: 1, operator, values: [value] },
    want: calls.map((call) => [...call, parent, shownAs(item.type, call)]),
  })),
]

/** The number of root's capabilities depends on the kernel. */
const known = (args: readonly ArgumentRecord[]): ArgumentRecord[] =>
  args.map((each): ArgumentRecord => {
    const text = JSON.stringify(each)
      .replaceAll(
        /"(permitted|effective)":\["CAP_CHOWN","DAC_OVERRIDE",[^\]]*"CAP_AUDIT_READ"[^\]]*\]/g,
        `"$1":"${FULL}"`,
      )
      .replace(/"kernel_cap_t_arg":"000001ffffffffff"/, `"kernel_cap_t_arg":"${FULL}"`)
    return JSON.parse(text) as ArgumentRecord
  })

const hookOf = ({ call, syscall = false, args, data = [], filter, dataFilter }: Row): object => ({
  call,
  syscall,
  args,
  data: data.map((item) => ({ source: 'current_task', ...item })),
  selectors: [
    {
      matchBinaries: [{ operator: 'In', values: [program] }],
      ...(filter === undefined ? {} : { matchArgs: [filter] }),
      ...(dataFilter === undefined ? {} : { matchData: [dataFilter] }),
    },
  ],
})

before(() => {
  if (skip === false) makeProgram('e2e/arguments', program)
})

// Each group has its own agent: with all policies, an agent is not ready in time in an emulated guest.
for (const [of, rows] of Object.entries({
  'of all types': ROWS,
  'in structs of the kernel': OBJECTS,
  'and data of the task, and of registers': [...DATA, ...REGISTERS],
})) {
  describe(`arguments ${of}`, { skip }, () => {
    let agent: TestAgent
    const got = new Map<string, ArgumentRecord[][]>()
    const nameOf = (i: number): string => `row-${i}`

    before(async () => {
      const policies = rows.flatMap((row, i): Array<[string, string]> =>
        cannotLoad(row) === false ? [[`${nameOf(i)}.yaml`, documentOf(row, nameOf(i))]] : [],
      )
      agent = await TestAgent.start({ policies: Object.fromEntries(policies) })
      const lines = await agent.during(async () => void execFileSync(program, [folder]))
      for (const { process_kprobe: kprobe } of lines) {
        const policyName = kprobe?.policy_name ?? ''
        const values = [...(kprobe?.args ?? []), ...(kprobe?.data ?? [])]
        got.set(policyName, [...(got.get(policyName) ?? []), values])
      }
    })
    after(() => agent?.[Symbol.asyncDispose]())

    for (const [i, row] of rows.entries()) {
      const { call, args, data = [], want } = row
      const filter = row.filter ?? row.dataFilter
      const what = filter === undefined ? '' : ` ${filter.operator} ${filter.values.join()}`
      test(
        `arguments: ${[...args, ...data].map(({ type }) => type).join()} of ${call}${what}`,
        { skip: cannotLoad(row) },
        () => {
          assert.deepEqual((got.get(nameOf(i)) ?? []).map(known), want)
        },
      )
    }
  })
}
