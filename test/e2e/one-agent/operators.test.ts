/**
 * The operators on paths and numbers, compared with plain string logic. One policy has many hooks on the same function,
 * distinguished by their message; one script touches many files; each hook must report exactly what the model expects.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test, { before, describe } from 'node:test'
import { actBinary, line, startAct } from '../support/act.ts'
import { cannotRun, freshFolder } from '../support/agent.ts'
import { fileHook, policy } from '../support/policy.ts'
import type { Filter } from '../support/policy.ts'
import { sharedAgent } from './shared.ts'

const skip = cannotRun()
const top = skip === false ? freshFolder('ops') : '/none'
const READ = 4
const WRITE = 2

/** One call of security_file_permission. `path` is '' for a file without one. */
interface Access {
  readonly path: string
  readonly mask: number
}

/** The model: only what the documentation of the operators defines. */
function filterMatches({ index, operator, values }: Filter, { path, mask }: Access): boolean {
  if (index === 1) {
    const numbers = values.map(Number)
    if (operator === 'Mask') return numbers.some((bits) => (mask & bits) !== 0)
    return numbers.includes(mask) === (operator === 'Equal' || operator === 'In')
  }
  if (path === '') return false
  switch (operator) {
    case 'Equal':
    case 'In':
      return values.includes(path)
    case 'NotEqual':
    case 'NotIn':
      return !values.includes(path)
    case 'Prefix':
      return values.some((value) => path.startsWith(value))
    case 'NotPrefix':
      return !values.some((value) => path.startsWith(value))
    case 'Postfix':
      return values.some((value) => path.endsWith(value))
    case 'NotPostfix':
      return !values.some((value) => path.endsWith(value))
    default:
      throw new Error(`no model of ${operator}`)
  }
}

type Selectors = ReadonlyArray<readonly Filter[]>

const hookMatches = (selectors: Selectors, access: Access): boolean =>
  selectors.some((filters) => filters.every((filter) => filterMatches(filter, access)))

const on = (operator: string, ...values: string[]): Filter => ({ index: 0, operator, values })
const mask = (operator: string, ...values: number[]): Filter => ({ index: 1, operator, values: values.map(String) })
const below = (...names: string[]): string => join(top, ...names)

/** A script that accesses files, and its calls. */
interface Work {
  readonly does: string[]
  readonly accesses: Access[]
}

const HOOKS_AT_ONCE = 16

/** Each file is read once and written once. */
function touching(files: readonly string[]): Work {
  const does: string[] = []
  const accesses: Access[] = []
  const made = new Set(['/', '/tmp', top])
  for (const file of files) {
    const names = file.split('/')
    for (let n = 2; n < names.length; n++) {
      const folder = names.slice(0, n).join('/')
      if (!made.has(folder)) does.push(line('folder', folder))
      made.add(folder)
    }
    does.push(line('create', file), line('read', file), line('write', file))
    accesses.push({ path: file, mask: READ }, { path: file, mask: WRITE })
  }
  return { does, accesses }
}

const E8 = 'eightlen'
const E9 = 'ninebytes'
const FILES = [
  below('a'),
  below('ab'),
  below('abc'),
  below('b'),
  below(E8),
  below(`${E8}x`),
  below(`${E8.slice(0, 7)}x`),
  below(E9),
  below(`${E9.slice(0, 8)}X`),
  below(`${E9}x`),
  below('dir', 'a'),
  below('dir', 'passwd'),
  below('dir', 'xpasswd'),
  below('dir', 'passwd.bak'),
  below('dirx', 'a'),
  below('di', 'a'),
  below('1', '2', '3', '4', '5', '6', '7', '8', '9', 'deep'),
  below('1', '2', '3', '4', '5', '6', '7', '8', '9', 'deeper'),
  below('1', '2', '3', '4', '5', '6', '7', 'X', '9', 'deep'),
  below('with space', 'a b'),
  below('ünï', '€uro'),
  below('n'.repeat(250)),
  below('n'.repeat(251)),
  below('m'.repeat(200), 'm'.repeat(200), 'm'.repeat(200)),
]

/** Pathless files, and one unlinked. */
const EXTRA: Work = {
  does: [
    line('pathless', 'pipe'),
    line('pathless', 'socket'),
    line('pathless', 'memfd'),
    line('open', 0, below('gone')),
    line('unlink', below('gone')),
    line('readfd', 0),
  ],
  accesses: [
    { path: '', mask: WRITE },
    { path: '', mask: READ },
    { path: '', mask: WRITE },
    { path: '', mask: READ },
    { path: '', mask: WRITE },
    { path: '', mask: READ },
    { path: below('gone (deleted)'), mask: READ },
  ],
}

const manyNames = Array.from({ length: 40 }, (_, i) => below('dir', `file-${i}`))

/** A path of `FILES`. */
const LONG = below('m'.repeat(200), 'm'.repeat(200), 'm'.repeat(200))

const HOOKS: Readonly<Record<string, Selectors>> = {
  'Equal one': [[on('Equal', below('ab'))]],
  'Equal, eight bytes and nine': [[on('Equal', below(E8), below(E9))]],
  'Equal, more than eight values': [[on('Equal', ...manyNames, below('dir', 'passwd'), below('b'))]],
  'Equal, long': [[on('Equal', below('n'.repeat(252 - below('').length - 1)), below('a'))]],
  'Equal, unlinked': [[on('Equal', below('gone (deleted)'), below('gone'))]],
  'NotEqual, below the folder': [[on('Prefix', `${top}/`), on('NotEqual', below('a'), below('dir', 'a'))]],
  'NotEqual alone': [[on('NotEqual', below('a'), '/none')]],
  'Prefix with a slash': [[on('Prefix', below('dir/'))]],
  'Prefix without a slash': [[on('Prefix', below('di'), below(E8.slice(0, 7)))]],
  'Prefix of nine bytes': [[on('Prefix', below(E9))]],
  'Prefix, deep': [[on('Prefix', below('1/2/3/4/5/6/7/8/'), below('1/2/3/4/5/6/7/8/9/deepe'))]],
  'Prefix, more than eight values': [[on('Prefix', ...manyNames, below('dir/pass'), below('with '), below('ünï/'))]],
  'Prefix, as long as a key': [[on('Prefix', below(`${'m'.repeat(200)}/${'m'.repeat(252)}`).slice(0, 252))]],
  'Prefix, longer than a key': [[on('Prefix', below(`${'m'.repeat(200)}/${'m'.repeat(150)}`), below('b'))]],
  'Prefix, longer than a key, not matched': [
    [on('Prefix', below(`${'m'.repeat(200)}/${'m'.repeat(150)}x`), below('b'))],
  ],
  'Equal, longer than a key': [[on('Equal', LONG, LONG.slice(0, -1))]],
  'NotPrefix, below the folder': [[on('Prefix', `${top}/`), on('NotPrefix', below('dir'), below('1/'), below('n'))]],
  'NotPrefix alone': [[on('NotPrefix', `${top}/d`)]],
  Postfix: [[on('Postfix', 'passwd')]],
  'Postfix with a slash': [[on('Postfix', '/passwd', 'dir/a')]],
  'Postfix, unlinked': [[on('Postfix', 'gone (deleted)', 'd)')]],
  'Postfix, more than eight values': [[on('Postfix', ...manyNames.map((name) => name.slice(top.length)), 'bak', 'b')]],
  'NotPostfix, below the folder': [[on('Prefix', `${top}/`), on('NotPostfix', 'a', 'passwd', '€uro')]],
  'NotPostfix alone': [[on('NotPostfix', 'a')]],
  In: [[on('In', below('a'), below('b'))]],
  'NotIn, below the folder': [[on('Prefix', `${top}/`), on('NotIn', below('a'), below('b'))]],
  'Mask and path': [[on('Prefix', `${top}/`), mask('Mask', 2, 8)]],
  'Mask, more than four numbers': [[on('Prefix', `${top}/`), mask('Mask', 1, 8, 16, 32, 64, 6)]],
  'numbers: Equal': [[on('Prefix', `${top}/`), mask('Equal', 4)]],
  'numbers: NotEqual': [[on('Prefix', `${top}/`), mask('NotEqual', 4, 1)]],
  'numbers: In, more than four': [[on('Prefix', `${top}/`), mask('In', 1, 3, 5, 7, 9, 2)]],
  'numbers: NotIn, more than four': [[on('Prefix', `${top}/`), mask('NotIn', 1, 3, 5, 7, 9, 2)]],
  'numbers alone, above the signed range': [[on('Postfix', 'abc'), mask('NotEqual', -4, 2_147_483_647)]],
  'selectors are alternatives': [
    [on('Equal', below('a')), mask('Equal', 2)],
    [on('Prefix', below('dir/')), on('Postfix', 'passwd'), mask('Equal', 4)],
    [on('Postfix', 'deep'), on('NotPrefix', below('1/2/3/4/5/6/7/X'))],
    [on('Equal', below('b')), on('NotEqual', below('b'))],
    [
      on('Prefix', `${top}/`),
      on('Postfix', 'x', 'c'),
      on('NotPostfix', 'xx'),
      on('NotEqual', below('ab')),
      mask('In', 2),
    ],
  ],
}

/** A generator of pseudo-random numbers from a seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

const ALPHABET = ['a', 'b', 'ab', 'aaaaaaaa', 'aaaaaaaab', 'aaaaaaab', 'ba ', 'ü', 'b'.repeat(40)]

function randomFiles(root: string, pick: (bound: number) => number): string[] {
  const files = new Set<string>()
  while (files.size < 40) {
    const names = Array.from({ length: 1 + pick(10) }, () => `${ALPHABET[pick(ALPHABET.length)]}${pick(2) ? '' : '.d'}`)
    // Each file name ends in another letter, so that no name is the folder of another file.
    names.push(`${ALPHABET[pick(ALPHABET.length)]}f`)
    files.add(below(root, ...names))
  }
  return [...files]
}

function randomFilter(pick: (bound: number) => number, files: readonly string[]): Filter {
  const operator = ['Equal', 'NotEqual', 'Prefix', 'NotPrefix', 'Postfix', 'NotPostfix'][pick(6)] ?? 'Equal'
  const values = Array.from({ length: 1 + pick(12) }, () => {
    const file = files[pick(files.length)] ?? ''
    const cut = 1 + pick(file.length - 1)
    // Beginnings and ends of real paths, sometimes with a letter changed.
    const value = operator.endsWith('Prefix')
      ? file.slice(0, cut)
      : operator.endsWith('Postfix')
        ? file.slice(-Math.min(cut, 60))
        : file
    return pick(4) === 0 ? `${value.slice(0, -1)}${pick(2) ? 'a' : 'b'}` : value
  })
  return on(operator, ...new Set(values.map((value) => value.slice(0, 120))))
}

const bytesOf = (hooks: Readonly<Record<string, Selectors>>): object[] =>
  Object.entries(hooks).map(([message, selectors]) => ({ ...fileHook(...selectors), message }))

describe('operators', { skip }, () => {
  const agent = sharedAgent()
  before(() => void actBinary())

  /** Runs the work under the hooks; returns each hook's accesses in order, and all accesses. */
  const observed = async (
    name: string,
    hooks: Readonly<Record<string, Selectors>>,
    work: Work,
  ): Promise<{ got: Map<string, Access[]>; all: Access[] }> => {
    const verdict = await agent().apply(name, policy(name, bytesOf(hooks)))
    assert.equal(verdict, 'added', JSON.stringify(agent().log().at(-1)))
    const got = new Map<string, Access[]>(Object.keys(hooks).map((message) => [message, []]))
    let all: Access[] = []
    const lines = await agent().during(async () => {
      const act = startAct(work.does)
      assert.equal((await act.ended).code, 0, 'act failed, see its message above')
      // It reads its script first: the text and its end.
      const script = { path: act.script, mask: READ }
      all = [script, script, ...work.accesses]
    })
    await agent().withdraw(name)
    for (const { process_kprobe: kprobe } of lines) {
      if (kprobe?.process?.binary !== actBinary()) continue
      const [file, number] = kprobe.args ?? []
      got.get(kprobe.message ?? '')?.push({ path: file?.file_arg?.path ?? '', mask: number?.int_arg ?? 0 })
    }
    return { got, all }
  }

  describe('operators: one by one', () => {
    const got = new Map<string, Access[]>()
    /** Each part has a script with its own name. */
    const all = new Map<Readonly<Record<string, Selectors>>, Access[]>()
    before(async () => {
      const work = touching(FILES)
      const both = { does: [...work.does, ...EXTRA.does], accesses: [...work.accesses, ...EXTRA.accesses] }
      const hooks = Object.entries(HOOKS)
      // Rows are applied in parts, because another test covers the number of hooks on one function.
      for (let from = 0; from < hooks.length; from += HOOKS_AT_ONCE) {
        const part = Object.fromEntries(hooks.slice(from, from + HOOKS_AT_ONCE))
        const seen = await observed(`operators-${from}`, part, both)
        for (const [name, accesses] of seen.got) got.set(name, accesses)
        all.set(part, seen.all)
      }
    })
    for (const [name, selectors] of Object.entries(HOOKS)) {
      test(`operators: ${name}`, () => {
        const accesses = [...all].find(([part]) => name in part)?.[1] ?? []
        const want = accesses.filter((access) => hookMatches(selectors, access))
        assert.deepEqual(got.get(name), want)
        assert.ok(want.length > 0 && want.length < accesses.length, 'the row must match some accesses and not all')
      })
    }
  })

  for (const round of [1, 2]) {
    test(`operators: random paths and values, round ${round}`, async (t) => {
      const seed = Number(process.env['KTRAIL_SEED'] ?? Date.now() + round) >>> 0
      t.diagnostic(`seed ${seed}; again with KTRAIL_SEED=${seed}`)
      const pick = random(seed)
      const files = randomFiles(`r${round}`, pick)
      const hooks = Object.fromEntries(
        Array.from({ length: 16 }, (_, i) => [
          `h${i}`,
          Array.from({ length: 1 + pick(3) }, () => [
            on('Prefix', `${top}/`),
            ...Array.from({ length: 1 + pick(3) }, () => randomFilter(pick, files)),
          ]),
        ]),
      )
      // Half of the hooks have no broad first filter, so only their own values select.
      for (const [i, message] of Object.keys(hooks).entries()) {
        if (i % 2 === 0) hooks[message] = (hooks[message] ?? []).map((filters) => filters.slice(1))
      }
      const { got, all } = await observed(`random-${round}`, hooks, touching(files))
      let matched = 0
      for (const [message, selectors] of Object.entries(hooks)) {
        const want = all.filter((access) => hookMatches(selectors, access))
        matched += want.length
        assert.deepEqual(got.get(message), want, `seed ${seed}, hook ${message}: ${JSON.stringify(selectors)}`)
      }
      t.diagnostic(`${all.length} accesses under ${Object.keys(hooks).length} hooks, ${matched} events`)
      assert.ok(matched > 0, `seed ${seed}: nothing matched`)
    })
  }
})
