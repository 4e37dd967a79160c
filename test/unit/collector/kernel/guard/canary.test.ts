/** When the agent tests its hooks, and what it finds. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Canary, access } from '../../../../../collector/kernel/guard/canary.ts'
import type { AttachKind } from '../../../../../native/types.ts'
import { screened } from '../../../../../collector/kernel/programs/gate.ts'
import { kernel } from '../../support/facts.ts'

const HOUR_MS = 3_600_000

class Hook {
  runs = 0n
  silent = false
  /** The cgroup's calls are ended by what the program remembers. */
  remembers = true
  readonly symbol: string
  readonly link: { readonly kind: AttachKind }
  failure: Error | undefined
  readonly calls = (): bigint => {
    if (this.failure !== undefined) throw this.failure
    return this.runs
  }

  constructor(symbol: string, kind: AttachKind = 'fexit') {
    this.symbol = symbol
    this.link = { kind }
  }
}

interface Rig {
  readonly hooks: Hook[]
  readonly canary: Canary
  acts: number
  /** Silent hooks, as text. */
  check(ms: number): string[]
}

function rig(minor = 12): Rig {
  const made: Rig = {
    hooks: [],
    acts: 0,
    canary: new Canary({
      facts: kernel(6, minor),
      functions: () => made.hooks,
      forget: () => {
        for (const hook of made.hooks) hook.remembers = false
      },
      act: () => {
        made.acts++
        for (const hook of made.hooks) {
          if (!hook.silent && !hook.remembers) hook.runs++
          hook.remembers = true
        }
      },
    }),
    check: (ms) => made.canary.check(ms).map(({ kind, on }) => `${kind} ${on}`),
  }
  return made
}

test('canary: without a free descriptor the test waits for the next look', () => {
  const r = rig()
  const hook = new Hook('security_file_permission')
  r.hooks.push(hook)
  assert.deepEqual(r.check(0), [])
  r.hooks.push(new Hook('security_file_open'))
  for (const code of ['NO_DESCRIPTORS', 'EMFILE']) {
    hook.failure = Object.assign(new Error('none is left'), { code })
    assert.deepEqual([r.check(2_000), r.acts], [[], 1])
  }
  hook.failure = new Error('another')
  assert.throws(() => r.check(4_000), /another/)
  hook.failure = undefined
  assert.deepEqual([r.check(6_000), r.acts, r.check(8_000), r.acts], [[], 2, [], 2])
})

test('canary: at the start, when something new is attached, and each hour', () => {
  const r = rig()
  r.hooks.push(new Hook('security_file_permission'))
  const acts = (ms: number): number => {
    assert.deepEqual(r.check(ms), [])
    return r.acts
  }
  assert.deepEqual([0, 2_000, HOUR_MS - 1].map(acts), [1, 1, 1])
  assert.deepEqual([HOUR_MS, HOUR_MS + 1].map(acts), [2, 2])
  r.hooks.push(new Hook('security_mmap_file'))
  assert.deepEqual([HOUR_MS + 2, HOUR_MS + 3].map(acts), [3, 3])
})

test('canary: a silent hook is found, and tested at each look until it runs again', () => {
  const r = rig()
  const [well, silent] = [new Hook('fd_install', 'kprobe.multi'), new Hook('security_file_open', 'kprobe')]
  silent.silent = true
  r.hooks.push(well, silent)
  assert.deepEqual(r.check(0), ['hook_silent security_file_open (kprobe)'])
  assert.deepEqual(r.check(2_000), ['hook_silent security_file_open (kprobe)'])
  silent.silent = false
  assert.deepEqual(r.check(4_000), [])
  assert.deepEqual(r.check(6_000), [])
  assert.equal(r.acts, 3)
})

test('canary: only functions are judged that the access calls on this kernel', () => {
  for (const [minor, called, not] of [
    [1, 'security_path_truncate', 'security_file_truncate'],
    [2, 'security_file_truncate', 'security_path_truncate'],
  ] as const) {
    const r = rig(minor)
    r.hooks.push(...['do_exit', called, not].map((symbol) => new Hook(symbol)))
    for (const hook of r.hooks) hook.silent = true
    assert.deepEqual(r.check(0), [`hook_silent ${called} (fexit)`])
  }
})

test('canary: nothing attached, nothing done', () => {
  const r = rig()
  r.hooks.push(new Hook('do_exit'))
  assert.deepEqual(r.check(0), [])
  assert.equal(r.acts, 0)
})

test('canary: calls of a function are the first words of its scratch on all CPUs', () => {
  const value = Buffer.alloc(48)
  value.writeBigUInt64LE(2n ** 40n, 0)
  value.writeBigUInt64LE(7n, 24)
  value.fill(0xff, 32)
  let closed = 0
  const scratch = { info: { perCpu: 2 }, lookup: () => value, [Symbol.dispose]: () => void closed++ }
  const object = { map: (name: string) => (assert.equal(name, 'scratch'), scratch) }
  const [other, entry] = [{ kind: 'kretprobe' }, { kind: 'kprobe' }]
  const [found] = screened({ symbol: 'f', gate: { links: [other, entry] }, programs: { object, slot: 1 } } as never)
  assert.deepEqual([found?.symbol, found?.link, found?.calls(), closed], ['f', entry, 2n ** 40n + 7n, 1])
})

test('canary: the access leaves nothing behind', () => {
  const before = readFileSync('/proc/self/comm', 'utf8')
  access()
  assert.equal(readFileSync('/proc/self/comm', 'utf8'), before)
})
