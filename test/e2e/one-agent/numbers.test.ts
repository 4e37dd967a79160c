/**
 * Integer types: arguments in records, and the operators on them, compared with BigInt arithmetic. The calls are of
 * security_file_fcntl(struct file *, unsigned int, unsigned long), whose last argument may be anything.
 */
import assert from 'node:assert/strict'
import test, { before, describe } from 'node:test'
import { actBinary, line, runAct } from '../support/act.ts'
import { cannotRun } from '../support/agent.ts'
import { policy } from '../support/policy.ts'
import type { ArgumentRecord } from '../support/record.ts'
import { sharedAgent } from './shared.ts'

const skip = cannotRun()

/** Name, sign, bits, key in records. */
type Type = readonly [name: string, signed: boolean, bits: 8 | 16 | 32 | 64, field: keyof ArgumentRecord]

const TYPES: readonly Type[] = [
  ['int', true, 32, 'int_arg'],
  ['sint8', true, 8, 'int_arg'],
  ['int8', true, 8, 'int_arg'],
  ['uint8', false, 8, 'uint_arg'],
  ['sint16', true, 16, 'int_arg'],
  ['int16', true, 16, 'int_arg'],
  ['uint16', false, 16, 'uint_arg'],
  ['sint32', true, 32, 'int_arg'],
  ['int32', true, 32, 'int_arg'],
  ['uint32', false, 32, 'uint_arg'],
  ['sint64', true, 64, 'long_arg'],
  ['int64', true, 64, 'long_arg'],
  ['uint64', false, 64, 'size_arg'],
  ['long', true, 64, 'long_arg'],
  ['ulong', false, 64, 'size_arg'],
  ['size_t', false, 64, 'size_arg'],
]
const typeOf = (name: string): Type => TYPES.find(([own]) => own === name) ?? assert.fail(name)

/** Values around the limits of every width, and values that a double cannot hold. */
const PASSED: readonly bigint[] = [7n, 8n, 16n, 31n, 32n, 53n, 63n]
  .flatMap((bits) => [2n ** bits - 1n, 2n ** bits, 2n ** bits + 1n, -(2n ** bits), -(2n ** bits) - 1n])
  .concat(0n, 1n, -1n, 200n, -2n)
  .map((value) => BigInt.asIntN(64, value))

/** The argument as this type shows it. */
const readAs = ([, signed, bits]: Type, value: bigint): bigint =>
  signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)

interface Row {
  readonly type: string
  readonly operator: string
  readonly values: readonly bigint[]
}

function matches({ type, operator, values }: Row, value: bigint): boolean {
  const read = readAs(typeOf(type), value)
  switch (operator) {
    case 'Equal':
    case 'In':
      return values.includes(read)
    case 'NotEqual':
    case 'NotIn':
      return !values.includes(read)
    case 'GT':
    case 'GreaterThan':
      return values.some((least) => read > least)
    case 'LT':
    case 'LessThan':
      return values.some((most) => read < most)
    case 'Mask':
      return values.some((bits) => (read & bits) !== 0n)
    default:
      throw new Error(`no model of ${operator}`)
  }
}

const ROWS: readonly Row[] = [
  { type: 'sint8', operator: 'Equal', values: [-1n, -128n] },
  { type: 'uint8', operator: 'Equal', values: [255n] },
  { type: 'int16', operator: 'NotEqual', values: [-32768n, 32767n, 0n] },
  { type: 'uint16', operator: 'In', values: [1n, 2n, 3n, 4n, 5n, 65535n] },
  { type: 'sint16', operator: 'NotIn', values: [-1n, 0n, 1n, 2n, 3n] },
  { type: 'int32', operator: 'Equal', values: [-(2n ** 31n), -2n] },
  { type: 'uint32', operator: 'Equal', values: [2n ** 32n - 1n, 2n ** 31n] },
  { type: 'sint64', operator: 'Equal', values: [-(2n ** 63n), 2n ** 53n + 1n, -(2n ** 53n) - 1n] },
  { type: 'uint64', operator: 'Equal', values: [2n ** 63n, 2n ** 63n + 1n, 2n ** 64n - 1n] },
  { type: 'ulong', operator: 'In', values: [2n ** 63n, 2n ** 53n + 1n, 1n, 2n, 3n, 2n ** 64n - 2n] },
  { type: 'long', operator: 'NotEqual', values: [-1n, 2n ** 63n - 1n] },
  { type: 'sint8', operator: 'GT', values: [-2n] },
  { type: 'uint8', operator: 'GreaterThan', values: [254n, 200n] },
  { type: 'int16', operator: 'LT', values: [0n] },
  { type: 'uint16', operator: 'LessThan', values: [32769n] },
  { type: 'int', operator: 'GT', values: [-1n] },
  { type: 'uint32', operator: 'GT', values: [2n ** 31n] },
  { type: 'long', operator: 'LT', values: [0n] },
  { type: 'sint64', operator: 'GT', values: [2n ** 53n] },
  { type: 'ulong', operator: 'GT', values: [2n ** 63n] },
  { type: 'uint64', operator: 'LT', values: [2n ** 53n + 1n, 5n, 4n, 3n, 2n, 1n] },
  { type: 'uint8', operator: 'Mask', values: [128n] },
  { type: 'int8', operator: 'Mask', values: [-128n] },
  { type: 'long', operator: 'Mask', values: [-(2n ** 63n)] },
  { type: 'uint64', operator: 'Mask', values: [2n ** 53n, 2n ** 63n] },
]

const HOOKS_AT_ONCE = 16

function hook(type: string, message: string, filters: readonly object[] = []): object {
  return {
    call: 'security_file_fcntl',
    syscall: false,
    message,
    args: [
      { index: 2, type },
      { index: 1, type: 'uint32' },
    ],
    selectors: filters.length === 0 ? [] : [{ matchArgs: filters }],
  }
}

const titleOf = ({ type, operator, values }: Row): string => `${type} ${operator} ${values.join(' ')}`

describe('numbers', { skip }, () => {
  const agent = sharedAgent()
  /** Arguments in the order of the calls, by message of the hook. */
  const got = new Map<string, ArgumentRecord[]>()

  const observe = async (
    name: string,
    hooks: ReadonlyArray<readonly [message: string, hook: object]>,
  ): Promise<void> => {
    for (const [message] of hooks) got.set(message, [])
    const text = policy(
      name,
      hooks.map(([, each]) => each),
    )
    assert.equal(await agent().apply(name, text), 'added', JSON.stringify(agent().log().at(-1)))
    const lines = await agent().during(() => runAct(PASSED.map((value) => line('fcntl', String(value)))))
    await agent().withdraw(name)
    for (const { process_kprobe: kprobe } of lines) {
      if (kprobe?.process?.binary !== actBinary()) continue
      const [number, command] = kprobe.args ?? []
      assert.deepEqual(command, { uint_arg: 1 })
      got.get(kprobe.message ?? '')?.push(number ?? {})
    }
  }

  before(async () => {
    actBinary()
    await observe(
      'types',
      TYPES.map(([name]) => [name, hook(name, name)]),
    )
    for (let from = 0; from < ROWS.length; from += HOOKS_AT_ONCE) {
      const rows = ROWS.slice(from, from + HOOKS_AT_ONCE)
      await observe(
        `rows-${from}`,
        rows.map((row) => {
          const filter = { index: 2, operator: row.operator, values: row.values.map(String) }
          return [titleOf(row), hook(row.type, titleOf(row), [filter])]
        }),
      )
    }
  })

  for (const type of TYPES) {
    const [name, , bits, field] = type
    test(`numbers: every value as ${name}`, () => {
      const want = PASSED.map((value) => {
        const read = readAs(type, value)
        return { [field]: bits === 64 ? String(read) : Number(read) }
      })
      assert.deepEqual(got.get(name), want)
    })
  }

  for (const row of ROWS) {
    test(`numbers: ${titleOf(row)}`, () => {
      const { type } = row
      const [, , bits, field] = typeOf(type)
      const want = PASSED.filter((value) => matches(row, value))
      assert.ok(want.length > 0 && want.length < PASSED.length, 'the row must match some values and not all')
      const records = want.map((value) => {
        const read = readAs(typeOf(type), value)
        return { [field]: bits === 64 ? String(read) : Number(read) }
      })
      assert.deepEqual(got.get(titleOf(row)), records)
    })
  }

  test('numbers: an argument of a system call and a return value', async () => {
    const hooks = ['int64', 'uint8'].map((type): [string, object] => [
      `call ${type}`,
      {
        call: 'sys_fcntl',
        return: true,
        message: `call ${type}`,
        args: [
          { index: 2, type },
          { index: 1, type: 'uint32' },
        ],
        returnArg: { index: 0, type },
      },
    ])
    await observe('calls', hooks)
    for (const [message] of hooks) {
      const type = typeOf(message.slice('call '.length))
      const numbers = got.get(message)?.map(({ long_arg: long, uint_arg: uint }) => BigInt(long ?? uint ?? 'none'))
      assert.deepEqual(
        numbers,
        PASSED.map((value) => readAs(type, value)),
      )
    }
  })
})
