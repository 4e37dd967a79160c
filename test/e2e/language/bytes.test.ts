/** Arguments that are buffers: a small program reads and writes, and the bytes in the records are compared whole. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'
import type { ArgumentRecord } from '../support/record.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun()
const folder = skip === false ? freshFolder('bytes') : '/none'
const program = join(folder, 'program')

interface Row {
  readonly name: string
  readonly hook: object
  readonly filter?: readonly [index: number, operator: string, ...values: string[]]
  /** Arguments, then data, then the return value. */
  readonly want: ReadonlyArray<readonly ArgumentRecord[]>
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const whole = (text: string): ArgumentRecord => ({ bytes_arg: base64(text) })
const part = (text: string, size: number): ArgumentRecord => ({
  truncated_bytes_arg: { ...(text === '' ? {} : { bytes_arg: base64(text) }), orig_size: String(size) },
})
const unreadable: ArgumentRecord = { error_arg: { Message: 'Bad address for basic type' } }
const size = (bytes: number): ArgumentRecord => ({ size_arg: String(bytes) })
const long = (number: number): ArgumentRecord => ({ long_arg: String(number) })

const returns = { return: true, returnArg: { index: 0, type: 'long' } }
const BUFFER = { index: 1, type: 'char_buf', sizeArgIndex: 3 }
/** Register of the third parameter of a system call. */
const LENGTH_REGISTER = process.arch === 'arm64' ? 'x2' : 'rdx'
const WRITE = { call: 'sys_write', args: [BUFFER, { index: 2, type: 'size_t' }] }
/** Result of a write if only a part of its bytes can be read: their number, or EFAULT. */
const WRITTEN = kernelAtLeast(5, 16) ? 10 : -14
const FILLED = 'x'.repeat(4095)
/** Number of bytes that the program writes at once, and the number that maxData reads. */
const LARGE = 20_000
const DATA = 'x'.repeat(16_384)

const text = [whole('text'), size(4)]
const nul = [whole('a\0b'), size(3)]
const large = [part(FILLED, LARGE), size(LARGE)]
/** The rest is behind a page that is not there: its content is unknown, so it passes every filter. */
const cut = [part('e'.repeat(10), 100), size(100)]
const nothing = [whole(''), size(0)]

const ROWS: readonly Row[] = [
  {
    name: 'char_buf at the entry',
    hook: WRITE,
    want: [text, nul, large, cut, [unreadable, size(5)], nothing, [unreadable, size(4)]],
  },
  {
    name: 'char_buf at the entry, else where it can be read, with the return value',
    hook: { ...WRITE, ...returns },
    want: [
      [...text, long(4)],
      [...nul, long(3)],
      [...large, long(LARGE)],
      [...cut, long(WRITTEN)],
      [unreadable, size(5), long(-14)],
      [...nothing, long(0)],
      [whole('lazy'), size(4), long(4)],
    ],
  },
  {
    name: 'char_buf with a register, which is that of the entry where the bytes are read at the return',
    hook: { ...WRITE, ...returns, data: [{ type: 'size_t', source: 'pt_regs', resolve: LENGTH_REGISTER }] },
    want: [
      [...text, size(4), long(4)],
      [...nul, size(3), long(3)],
      [...large, size(LARGE), long(LARGE)],
      [...cut, size(100), long(WRITTEN)],
      [unreadable, size(5), size(5), long(-14)],
      [...nothing, size(0), long(0)],
      [whole('lazy'), size(4), size(4), long(4)],
    ],
  },
  {
    name: 'char_buf of a function, of which no policy lists the parameter that says how many bytes',
    hook: { call: 'vfs_write', syscall: false, args: [BUFFER], ...returns },
    want: [
      [whole('text'), long(4)],
      [whole('a\0b'), long(3)],
      [part(FILLED, LARGE), long(LARGE)],
      [part('e'.repeat(10), 100), long(WRITTEN)],
      [unreadable, long(-14)],
      [whole(''), long(0)],
      [whole('lazy'), long(4)],
    ],
  },
  ...(
    [
      ['Equal', 'text', [text, cut]],
      ['Equal', 'a\0b', [nul, cut]],
      ['Equal', 'tex', [cut]],
      ['NotEqual', 'text', [nul, large, cut, nothing]],
      ['Prefix', 'xxxx', [large, cut]],
      ['Prefix', 'x'.repeat(4000), [large, cut]],
      ['NotPrefix', 'xxxx', [text, nul, cut, nothing]],
      ['Postfix', 'xt', [text, cut]],
      ['Postfix', '\0b', [nul, cut]],
      ['NotPostfix', 'xt', [nul, large, cut, nothing]],
      ['SubString', '\0', [nul, cut]],
      ['SubString', 'x'.repeat(99), [large, cut]],
      ['SubStringIgnCase', 'EX', [text, cut]],
    ] as const
  ).map(([operator, value, want]): Row => ({
    name: `${operator} ${JSON.stringify(value.slice(0, 8))}`,
    hook: WRITE,
    filter: [1, operator, value],
    want,
  })),
  {
    name: 'maxData',
    hook: {
      call: 'sys_write',
      args: [
        { ...BUFFER, maxData: true },
        { index: 2, type: 'size_t' },
      ],
    },
    want: [text, nul, [part(DATA, LARGE), size(LARGE)], cut, [unreadable, size(5)], nothing, [unreadable, size(4)]],
  },
  {
    name: 'maxData of parts',
    hook: { call: 'sys_writev', args: [{ index: 1, type: 'char_iovec', sizeArgIndex: 3, maxData: true }] },
    want: [[whole('abcde')], [whole('x'.repeat(8000))], [unreadable]],
  },
  {
    name: 'char_iovec',
    hook: { call: 'sys_writev', args: [{ index: 1, type: 'char_iovec', sizeArgIndex: 3 }] },
    want: [[whole('abcde')], [part(FILLED, 8000)], [unreadable]],
  },
  {
    name: 'char_iovec Equal',
    hook: { call: 'sys_writev', args: [{ index: 1, type: 'char_iovec', sizeArgIndex: 3 }] },
    filter: [1, 'Equal', 'abcde'],
    want: [[whole('abcde')]],
  },
  {
    name: 'returnCopy: what the function filled in, of which the return value is the length',
    hook: { call: 'sys_read', args: [{ index: 1, type: 'char_buf', returnCopy: true, sizeArgIndex: 3 }] },
    want: [[whole('lazy')], [whole('')], [whole('')]],
  },
  {
    name: 'returnCopy without sizeArgIndex, and with the return value',
    hook: { call: 'sys_read', args: [{ index: 1, type: 'char_buf', returnCopy: true }], ...returns },
    want: [
      [whole('lazy'), long(4)],
      [whole(''), long(0)],
      [whole(''), long(-9)],
    ],
  },
  {
    name: 'returnCopy with a filter on the bytes',
    hook: { call: 'sys_read', args: [{ index: 1, type: 'char_buf', returnCopy: true, sizeArgIndex: 3 }] },
    filter: [1, 'Prefix', 'la'],
    want: [[whole('lazy')]],
  },
  {
    name: 'returnCopy of parts',
    hook: { call: 'sys_readv', args: [{ index: 1, type: 'char_iovec', returnCopy: true, sizeArgIndex: 3 }] },
    want: [[whole('lazy')]],
  },
  {
    name: 'iov_iter',
    hook: { call: 'generic_write_checks', syscall: false, args: [{ index: 1, type: 'iov_iter' }] },
    want: [
      [whole('text')],
      [whole('a\0b')],
      [part(FILLED, LARGE)],
      [part('e'.repeat(10), 100)],
      [unreadable],
      [whole('')],
      [unreadable],
      [whole('abcde')],
      [part(FILLED, 8000)],
    ],
  },
  {
    name: 'iov_iter, at the entry also with the return value',
    hook: {
      call: 'generic_perform_write',
      syscall: false,
      args: [{ index: 1, type: 'iov_iter' }],
      return: true,
      returnArg: { index: 0, type: 'long' },
    },
    filter: [1, 'Equal', 'abcde'],
    want: [
      [part('e'.repeat(10), 100), long(WRITTEN)],
      [whole('abcde'), long(5)],
    ],
  },
]

describe('bytes', { skip }, () => {
  let agent: TestAgent
  const got = new Map<string, ArgumentRecord[][]>()

  before(async () => {
    makeProgram('e2e/bytes', program)
    writeFileSync(join(folder, 'lazy'), 'lazy')
    const policies = ROWS.map(({ hook, filter }, i): [string, string] => {
      const [index, operator, ...values] = filter ?? []
      const matchArgs = filter === undefined ? {} : { matchArgs: [{ index, operator, values }] }
      const selectors = [{ matchBinaries: [{ operator: 'In', values: [program] }], ...matchArgs }]
      return [`row-${i}.yaml`, policy(`row-${i}`, [{ ...hook, selectors }])]
    })
    agent = await TestAgent.start({ policies: Object.fromEntries(policies) })
    const lines = await agent.during(async () => void execFileSync(program, [folder]))
    for (const { process_kprobe: kprobe } of lines) {
      if (kprobe?.policy_name === undefined) continue
      const { args = [], data = [] } = kprobe
      const values = [...args, ...data, ...(kprobe.return === undefined ? [] : [kprobe.return])]
      got.set(kprobe.policy_name, [...(got.get(kprobe.policy_name) ?? []), values])
    }
  })
  after(() => agent?.[Symbol.asyncDispose]())

  for (const [i, { name, want }] of ROWS.entries()) {
    test(`bytes: ${name}`, () => assert.deepEqual(got.get(`row-${i}`) ?? [], want))
  }
})
