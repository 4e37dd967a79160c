import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { typeNamed } from '../../../../../config/policy/arguments.ts'
import type { ArgumentSpec, HookSpec, NumberFilter } from '../../../../../config/policy/policy.ts'
import { numbering, pathsOf, placedArgument, withPlaces } from '../../../../../collector/plan/functions/places.ts'
import type { KernelFunction, KernelMember } from '../../../../../native/types.ts'

const FUNCTION: KernelFunction = {
  returns: 'int',
  returnsBase: 'int',
  params: [
    { name: 'bprm', type: 'struct linux_binprm *', base: 'struct linux_binprm *', sizeBytes: 8 },
    { name: 'n', type: 'int', base: 'int', sizeBytes: 4 },
  ],
}

const member = (offsets: readonly number[], base: string, sizeBytes: number, more: object = {}): KernelMember => ({
  offsets,
  base,
  sizeBytes,
  signed: false,
  bit: 0,
  bits: 0,
  problem: '',
  ...more,
})

const MEMBERS: Readonly<Record<string, KernelMember>> = {
  'linux_binprm argc': member([96], 'int', 4, { signed: true }),
  'linux_binprm file': member([64], 'struct file *', 8),
  'linux_binprm file.f_path': member([64, 16], 'const struct path', 16),
  'linux_binprm file.f_inode.i_ino': member([64, 32, 64], 'unsigned long', 8),
  'linux_binprm buf': member([200], 'char [256]', 256),
  'linux_binprm secureexec': member([40], 'unsigned int', 4, { bit: 2, bits: 1 }),
  'linux_binprm cred': member([80], 'struct cred *', 8),
  'linux_binprm cred.uid.val': member([80, 8], 'unsigned int', 4),
  'linux_binprm cred.cap_effective': member([80, 56], 'struct (anonymous)', 8),
  'linux_binprm nope': member([], '', 0, { problem: 'struct linux_binprm has no member nope' }),
  'linux_binprm ratio': member([8], 'double', 8),
  'task_struct pid': member([1000], 'int', 4, { signed: true }),
  'module name': member([24], 'char [56]', 56),
  'module taints': member([920], 'unsigned long', 8),
}

function arg(type: string, path?: string, struct?: string, index = 0): ArgumentSpec {
  const found = typeNamed(type)
  assert.ok(found !== undefined, type)
  return {
    index,
    type: found,
    label: '',
    at: { line: 1, col: 1 },
    ...(path === undefined ? {} : { resolve: { path, struct } }),
  }
}

const hook = (args: readonly ArgumentSpec[], syscall = false): HookSpec => ({
  type: 'kprobe',
  call: 'f',
  optional: false,
  syscall,
  return: false,
  returnArg: undefined,
  returnAction: 'post',
  action: 'post',
  args,
  selectors: [],
  message: '',
  tags: [],
  at: { line: 1, col: 1 },
})

const placed = (spec: ArgumentSpec, syscall = false, number = numbering()): ArgumentSpec | string =>
  placedArgument(spec, hook([spec], syscall), FUNCTION, (path) => MEMBERS[path], number)

/** `steps > last : bytes` of each place. */
const shown = (spec: ArgumentSpec): string[] =>
  (spec.places?.list ?? []).map(({ steps, last, sizeBytes }) => `${steps.join('>')}>${last}:${sizeBytes}`)

const GOOD: ReadonlyArray<readonly [type: string, path: string, reads: string, place: string]> = [
  // The member determines how an integer is read, whatever type the policy names.
  ['uint64', 'argc', 'int32', '>96:4'],
  ['int', 'file.f_inode.i_ino', 'uint64', '64>32>64:8'],
  ['int', 'secureexec', 'uint32', '>40:4'],
  ['file', 'file', 'file', '>64:8'],
  ['path', 'file.f_path', 'path', '64>16:0'],
  ['string', 'buf', 'string', '>200:0'],
  ['capability', 'argc', 'capability', '>96:4'],
  ['kernel_cap_t', 'cred.cap_effective', 'kernel_cap_t', '80>56:8'],
]

describe('places', () => {
  for (const [type, path, reads, place] of GOOD) {
    test(`places: ${path} as ${type} is read as ${reads}`, () => {
      const found = placed(arg(type, path))
      assert.ok(typeof found !== 'string', String(found))
      assert.equal(found.type.name, reads)
      assert.deepEqual(shown(found), [place])
    })
  }

  const BAD: ReadonlyArray<readonly [type: string, path: string, syscall: boolean, index: number, want: string]> = [
    ['int', 'nope', false, 0, 'resolve: struct linux_binprm has no member nope'],
    ['int', 'file', false, 0, `resolve: type "int" does not fit, the member's is "struct file *"`],
    ['string', 'argc', false, 0, `resolve: type "string" does not fit, the member's is "int"`],
    ['file', 'file.f_path', false, 0, `resolve: type "file" does not fit, the member's is "const struct path"`],
    ['cred', 'file', false, 0, `resolve: type "cred" does not fit, the member's is "struct file *"`],
    ['int', 'argc', true, 0, 'resolve: the struct that the argument points to is not known; name it with btfType'],
    ['int', 'argc', false, 1, 'resolve: the struct that the argument points to is not known; name it with btfType'],
  ]
  for (const [type, path, syscall, index, want] of BAD) {
    test(`places: ${path} as ${type} of argument ${index}${syscall ? ' of a system call' : ''} is refused`, () => {
      assert.equal(placed(arg(type, path, undefined, index), syscall), want)
    })
  }

  const VALUES: ReadonlyArray<readonly [operator: string, values: readonly bigint[], want: string]> = [
    ['Equal', [3n, 2n ** 64n - 1n], 'Equal 3'],
    ['NotEqual', [2n ** 63n], 'NotEqual '],
    ['Equal', [2n ** 31n], 'Equal '],
    ['LessThan', [3n, 2n ** 64n - 128n], 'NotEqual '],
    ['LessThan', [3n, 2n ** 31n - 1n], 'LessThan 3,2147483647'],
    ['GreaterThan', [2n ** 31n, 2n ** 64n - 1n], 'Equal '],
    ['GreaterThan', [3n, 2n ** 64n - 1n], 'GreaterThan 3'],
    ['Mask', [2n ** 64n - 1n], 'Mask 18446744073709551615'],
  ]
  for (const [operator, values, want] of VALUES) {
    test(`places: an int is compared with a uint64: ${operator} ${values.join()} becomes ${want || 'nothing'}`, () => {
      const filter = { class: 'number', arg: 0, operator, values, at: { line: 1, col: 1 } } as NumberFilter
      const spec = { ...hook([arg('uint64', 'argc')]), selectors: [{ matchArgs: [filter] }] }
      const report = (_: unknown, message: string): void => assert.fail(message)
      const { selectors } = withPlaces(spec, FUNCTION, (path) => MEMBERS[path], numbering(), report)
      const [found] = selectors[0]?.matchArgs ?? []
      assert.ok(found?.class === 'number')
      assert.equal(`${found.operator} ${found.values.join()}`, want)
    })
  }

  test('places: btfType names the struct, also for a system call', () => {
    const found = placed(arg('int', 'pid', 'task_struct', 1), true)
    assert.ok(typeof found !== 'string', String(found))
    assert.deepEqual(shown(found), ['>1000:4'])
  })

  test('places: an argument without resolve that is no object is left as it is', () => {
    const plain = arg('file')
    assert.equal(placed(plain), plain)
  })

  test('places: an object has a place for each member, one behind the other', () => {
    const found = placed(arg('module'))
    assert.ok(typeof found !== 'string', String(found))
    assert.deepEqual(
      found.places?.list.map(({ textBytes, at }) => [textBytes, at]),
      [
        [56, 0],
        [0, 56],
      ],
    )
    assert.equal(found.places?.bytes, 64)
    assert.deepEqual(shown(found), ['>24:0', '>920:8'])
  })

  test('places: a member that this kernel lacks is not read', () => {
    const found = placed(arg('load_info'))
    assert.ok(typeof found !== 'string', String(found))
    assert.deepEqual(shown(found), ['>0:255', '>0:255', '>0:255'])
  })

  test('places: an object behind a path has its members behind it', () => {
    const spec = arg('cred', 'cred')
    assert.ok(pathsOf(hook([spec]), FUNCTION).includes('linux_binprm cred.uid.val'))
    const found = placed(spec)
    assert.ok(typeof found !== 'string', String(found))
    assert.equal(shown(found)[0], '80>8:4')
  })

  test('places: a pointer to a capability set is followed', () => {
    const found = placed(arg('cap_effective'))
    assert.ok(typeof found !== 'string', String(found))
    assert.deepEqual(shown(found), ['>0:8'])
  })

  test('places: equal places share a number, different ones do not', () => {
    const number = numbering()
    const numbers = [arg('int', 'argc'), arg('file', 'file'), arg('uint64', 'argc'), arg('cred')].map((spec) => {
      const found = placed(spec, false, number)
      assert.ok(typeof found !== 'string', String(found))
      return found.places?.number
    })
    assert.deepEqual(numbers, [1, 2, 1, 3])
  })
})
