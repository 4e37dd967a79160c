/** Changes of policies → objects, gates and links. The kernel is in memory; test/integration runs the programs. */
import assert from 'node:assert/strict'
import { constants as os } from 'node:os'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { u32 } from '../../../../collector/wire/bytes.ts'
import { Conditions } from '../../../../collector/kernel/conditions/conditions.ts'
import { PolicyPrograms } from '../../../../collector/kernel/policy-programs.ts'
import type { PolicyProgramOptions } from '../../../../collector/kernel/policy-programs.ts'
import type { LoadedPolicy } from '../../../../collector/plan/plan.ts'
import { hookedOtherwise } from '../../../../collector/kernel/symbols.ts'
import { SHARED_MAPS } from '../../../../collector/plan/objects.ts'
import type { SharedMaps } from '../../../../collector/plan/objects.ts'
import { HOOK, HOOK_SLOTS, SELECTORS_MAX, TAKEN_AGGREGATE } from '../../../../collector/wire/wire.ts'
import type { HookSpec, Policy } from '../../../../config/policy/policy.ts'
import { NativeError } from '../../../../native/index.ts'
import { kernel } from '../support/facts.ts'
import { FakeNative, FakeObject } from '../support/fake-native.ts'
import { arg, onPath, spec } from '../support/specs.ts'

interface Rig {
  readonly native: FakeNative
  readonly programs: PolicyPrograms
  /** The objects with programs of hooks. */
  hookObjects(): FakeObject[]
}

function rig(change: Partial<PolicyProgramOptions> = {}): Rig {
  const native = new FakeNative()
  const shared = new FakeObject(native, 'process.bpf.o', { programs: [] })
  const maps = Object.fromEntries(SHARED_MAPS.map((name) => [name, shared.map(name)])) as SharedMaps
  const programs = new PolicyPrograms(
    {
      facts: kernel(6, 12),
      mode: 'auto',
      agentPid: 4711,
      native,
      ...change,
    },
    maps,
    { ring_watermark: Buffer.from([1]) },
    new Conditions(maps, { refusal: () => undefined, use: () => Promise.resolve(true) }),
  )
  const hookObjects = (): FakeObject[] => native.objects.filter(({ file }) => file !== 'gate.bpf.o')
  return { native, programs, hookObjects }
}

const policyOf = (name: string, ...hooks: HookSpec[]): Policy => ({ name, file: `${name}.yaml`, hooks, groups: [] })

/** A hook at entry. */
const on = (call: string, line = 3): HookSpec => spec({ call, args: [], at: { line, col: 5 } })

/** A hook with the return value. */
const returning = (call: string): HookSpec => spec({ call, args: [], return: true, returnArg: arg(0, 'int') })

test('programs: the kernel memory of a function is shared by the policies on it', async () => {
  const { programs } = rig()
  const [a] = await programs.change([], [policyOf('a', on('f'))])
  assert.ok(a !== undefined)
  assert.equal(programs.memoryOf(a), 4096)
  const [b] = await programs.change([], [policyOf('b', on('f'), on('g'))])
  assert.ok(b !== undefined)
  // Two programs for three hooks, in one object.
  assert.deepEqual([programs.memoryOf(a), programs.memoryOf(b)], [2731, 5461])
  await programs.change([b], [])
  assert.deepEqual([programs.memoryOf(a), programs.memoryOf(b)], [4096, 0])
  await disposed(programs)
})

/** Links close on another thread; the maps after them. */
async function disposed(programs: PolicyPrograms): Promise<void> {
  programs[Symbol.dispose]()
  await programs.detachAll()
  for (let turn = 0; turn < 3; turn++) await setImmediate()
}

const many = (count: number): HookSpec[] => Array.from({ length: count }, (_, i) => on(`f${i}`))

test('programs: one program a function, whatever the number of policies on it', async () => {
  const { native, programs } = rig()
  await programs.change([], [policyOf('a', on('f')), policyOf('b', on('f'), on('g')), policyOf('c', on('f'))])
  await programs.change([], [policyOf('d', on('f'))])
  assert.deepEqual(native.state(), ['f kprobe.multi: function 1, hooks 1 2 4 5', 'g kprobe.multi: function 2, hooks 3'])
})

test('programs: hooks that differ in how they are attached have a program each', async () => {
  const { native, programs } = rig()
  const syscall = spec({ ...on('__x64_sys_f'), syscall: true })
  await programs.change([], [policyOf('a', on('__x64_sys_f'), returning('__x64_sys_f'), syscall)])
  assert.deepEqual(native.state(), [
    '__x64_sys_f kprobe.multi: function 1, hooks 1',
    '__x64_sys_f fexit: function 2, hooks 2',
    '__x64_sys_f kprobe.multi: function 3, hooks 3',
  ])
})

test('programs: a change opens one object for each 16 functions', async () => {
  const { native, programs, hookObjects } = rig()
  const hooks = many(2 * HOOK_SLOTS + 1)
  const policies = [hooks.slice(0, 5), hooks.slice(5, 20), hooks.slice(20)].map((part, i) => policyOf(`p${i}`, ...part))
  const loaded = await programs.change([], policies)
  assert.deepEqual(
    hookObjects().map(({ options }) => options.programs.length),
    [HOOK_SLOTS, HOOK_SLOTS, 1],
  )
  assert.deepEqual(
    hookObjects().map(({ options }) => options.mapSizes?.['scratch']),
    [HOOK_SLOTS, HOOK_SLOTS, 1],
  )
  assert.equal(native.state().length, hooks.length)
  assert.equal(native.state().at(-1), 'f32 kprobe.multi: function 33, hooks 33')
  assert.deepEqual(
    loaded.map((policy) => [policy.policy.name, policy.hooks.length]),
    [
      ['p0', 5],
      ['p1', 15],
      ['p2', 13],
    ],
  )
})

test('programs: an object gets the constants, the shared maps and sizes for its entries', async () => {
  const { programs, hookObjects } = rig()
  await programs.change([], [policyOf('a', on('f'), returning('g'))])
  const [object] = hookObjects()
  assert.equal(object?.file, 'hook.typed.bpf.o')
  const { constants, sharedMaps, mapSizes, valueSizes, programs: loaded } = object.options
  assert.equal(constants?.['hooks']?.length, HOOK_SLOTS * HOOK.bytes)
  assert.equal(Buffer.from(constants['agent_tgid'] ?? []).readUInt32LE(), 4711)
  assert.ok('ring_watermark' in constants)
  assert.deepEqual(Object.keys(sharedMaps ?? {}), SHARED_MAPS)
  assert.deepEqual([mapSizes?.['selectors'], mapSizes?.['scratch']], [2, 2])
  // No policy has conditions on processes.
  assert.equal(mapSizes?.['evaluations'], 1)
  assert.equal(valueSizes?.['scratch'], Buffer.from(constants['scratch_bytes'] ?? []).readUInt32LE())
  assert.deepEqual(loaded, [
    { name: 'hook_entry_0', kind: 'kprobe.multi' },
    { name: 'hook_fexit_1', kind: 'fexit', target: 'g' },
  ])
})

test('programs: more selectors than a program has are served by a second one', async () => {
  const { native, programs } = rig()
  const five = spec({
    ...onPath(...Array.from({ length: 5 }, () => ['Prefix', ['/a/']] as const)),
    call: 'f',
    args: [arg(0, 'nop')],
  })
  const selectors = five.selectors.map(() => ({ matchArgs: [] }))
  const count = Math.ceil(SELECTORS_MAX / 5)
  await programs.change([], [policyOf('a', ...Array.from({ length: count }, () => ({ ...five, args: [], selectors })))])
  const ids = Array.from({ length: count - 1 }, (_, i) => i + 1).join(' ')
  assert.deepEqual(native.state(), [
    `f kprobe.multi: function 1, hooks ${ids}`,
    `f kprobe.multi: function 2, hooks ${count}`,
  ])
})

test('programs: a hook that fits into no program is refused, and nothing is loaded', async () => {
  const { native, programs } = rig()
  const selectors = Array.from({ length: SELECTORS_MAX + 1 }, () => ({ matchArgs: [] }))
  await assert.rejects(programs.change([], [policyOf('a', on('g'), { ...on('f'), args: [], selectors })]), {
    code: 'POLICY_REFUSED',
    message:
      'policy a, line 3: the hook on "f" does not fit into one program: expected at most 512 selectors and 5 texts and paths, got 513 selectors and ' +
      '0 arguments; split it into several policies',
  })
  assert.deepEqual(native.state(), [])
})

test('programs: the hooks are known before anything can run', async () => {
  const { native, programs } = rig()
  const seen: unknown[] = []
  await programs.change([], [policyOf('a', on('f')), policyOf('b', on('g'))], (hooks) =>
    seen.push([native.calls.length, hooks.map(({ hook, symbol }) => [hook.id, hook.policy, symbol])]),
  )
  assert.deepEqual(seen, [
    [
      0,
      [
        [1, 'a', 'f'],
        [2, 'b', 'g'],
      ],
    ],
  ])
})

test('programs: gates are attached with programs behind them, the return side first', async () => {
  const { native, programs } = rig({ mode: 'join' })
  await programs.change([], [policyOf('a', returning('f'))])
  const calls = native.calls.filter((call) => !call.startsWith('update'))
  assert.deepEqual(calls, [
    'open hook.typed.bpf.o hook_leave_0 hook_enter_0',
    'open gate.bpf.o gate_return_0 gate_entry_0',
    'put hook_leave_0',
    'put hook_enter_0',
    'attach gate_return_0 f',
    'attach gate_entry_0 f',
  ])
})

test('programs: a replaced policy leaves the function its id and its gate, and other policies their hooks', async () => {
  const { native, programs } = rig()
  const [a] = await programs.change([], [policyOf('a', on('f')), policyOf('b', on('f'), on('g'))])
  assert.ok(a !== undefined)
  native.calls.length = 0
  const [next] = await programs.change([a], [policyOf('a', on('f'))])
  assert.deepEqual(native.state(), ['f kprobe.multi: function 1, hooks 2 4', 'g kprobe.multi: function 2, hooks 3'])
  assert.deepEqual(
    native.calls.filter((call) => !call.startsWith('update')),
    ['open hook.typed.bpf.o hook_entry_0', 'put hook_entry_0'],
  )
  assert.deepEqual(
    next?.hooks.map(({ hook }) => hook.id),
    [4],
  )
})

test('programs: a replacement on other functions attaches those and detaches the old ones', async () => {
  const { native, programs } = rig()
  const [a] = await programs.change([], [policyOf('a', on('f'), on('g'))])
  assert.ok(a !== undefined)
  await programs.change([a], [policyOf('a', on('g'), on('h'))])
  assert.deepEqual(native.state(), ['g kprobe.multi: function 2, hooks 3', 'h kprobe.multi: function 3, hooks 4'])
})

test('programs: the removal of the last policy on a function detaches it and closes everything', async () => {
  const { native, programs } = rig()
  const before = native.resources
  const [a, b] = await programs.change([], [policyOf('a', on('f')), policyOf('b', on('f'))])
  assert.ok(a !== undefined && b !== undefined)
  await programs.change([a], [])
  assert.deepEqual(native.state(), ['f kprobe.multi: function 1, hooks 2'])
  await programs.change([b], [])
  assert.deepEqual([native.state(), native.resources], [[], before])
})

test('programs: an object is closed when the last of its functions has left it', async () => {
  const { native, programs, hookObjects } = rig()
  const [a, b] = await programs.change([], [policyOf('a', on('f')), policyOf('b', on('g'))])
  assert.ok(a !== undefined && b !== undefined)
  const [first] = hookObjects()
  assert.ok(first !== undefined)
  await programs.change([a], [policyOf('a', on('f'))])
  assert.ok(native.isOpen(first))
  await programs.change([], [policyOf('c', on('f'))])
  const [, second, third] = hookObjects()
  assert.ok(second !== undefined && third !== undefined)
  assert.deepEqual(
    [first, second, third].map((object) => native.isOpen(object)),
    [true, false, true],
  )
  await programs.change([b], [])
  assert.deepEqual(
    [first, third].map((object) => native.isOpen(object)),
    [false, true],
  )
})

test('programs: only the arrays of an object for gates stay open', async () => {
  const { native, programs } = rig()
  const before = native.resources
  await programs.change([], [policyOf('a', on('f'), on('g'))])
  // The hooks' object, and an array and a link for each function.
  assert.equal(native.resources - before, 1 + 2 * 2)
  assert.ok(native.objects.filter(({ file }) => file === 'gate.bpf.o').every((object) => !native.isOpen(object)))
})

const refusedBy = (target: string, errno = 22): NativeError =>
  new NativeError('LOAD_REFUSED', `cannot load ${target}: no`, { errno, target, op: 'load' })

const FAILURES: ReadonlyArray<readonly [what: string, fails: RegExp, nth: number, line: number]> = [
  ['the load of the hooks', /^open hook/, 1, 8],
  ['the load of a second object', /^open hook/, 2, 3],
  ['the load of the gates', /^open gate/, 1, 8],
  ['an update of a map', /^update selectors/, 3, 8],
  ['the first program for a new gate', /^put /, 1, 8],
  // New functions of the second object come first.
  ['the replacement of the first program', /^put hook_entry_0$/, 2, 8],
  ['the replacement of the second program', /^put hook_entry_1$/, 2, 8],
  ['the attachment of the first new function', /^attach /, 1, 3],
  ['the attachment of a later one', /^attach /, 4, 3],
]

for (const [what, fails, nth, line] of FAILURES) {
  test(`programs: a change of which ${what} fails leaves everything as it was`, async () => {
    const { native, programs } = rig()
    const [a] = await programs.change([], [policyOf('a', on('f'), on('g')), policyOf('b', on('f'), on('h'))])
    assert.ok(a !== undefined)
    const [state, resources] = [native.state(), native.resources]
    let count = 0
    native.fail = (call) => (fails.test(call) && ++count === nth ? refusedBy('it') : undefined)
    const next = policyOf('c', on('f', 8), on('h'), ...many(HOOK_SLOTS))
    await assert.rejects(programs.change([a], [next]), {
      code: 'POLICY_REFUSED',
      message: `c.yaml:${line}:5: cannot load it: no`,
    })
    assert.ok(count >= nth)
    assert.deepEqual([native.state(), native.resources], [state, resources])
    native.fail = () => undefined
    await programs.change([a], [next])
    assert.equal(native.state()[0], 'f kprobe.multi: function 1, hooks 3 23')
    assert.equal(native.state().length, 2 + HOOK_SLOTS)
  })
}

test('programs: an internal error is thrown unchanged, and leaves everything as it was', async () => {
  const { native, programs } = rig()
  await programs.change([], [policyOf('a', on('f'))])
  const [state, resources] = [native.state(), native.resources]
  const fault = new TypeError('x is not a function')
  native.fail = (call) => (call.startsWith('attach') ? fault : undefined)
  await assert.rejects(programs.change([], [policyOf('b', on('f'), on('g'))]), fault)
  assert.deepEqual([native.state(), native.resources], [state, resources])
})

test('programs: a policy that this kernel cannot support opens nothing', async () => {
  const { native, programs } = rig()
  await assert.rejects(programs.change([], [policyOf('a', on('f')), policyOf('b', on('no_such'))]), {
    code: 'POLICY_REFUSED',
    message: /^b\.yaml:3:5: no kernel function "no_such"/,
  })
  assert.deepEqual(native.calls, [])
})

for (const [target, line] of [
  ['hook_entry_0', 7],
  ['hook_entry_1', 8],
  // A program that could not be bound to `g_0`.
  ['g_0', 8],
  // A map, which has no function.
  ['sets', 7],
] as const) {
  test(`programs: a refusal of ${target} has the position of the hook`, async () => {
    const { native, programs } = rig()
    native.fail = (call) => (call.startsWith('open hook') ? refusedBy(target) : undefined)
    await assert.rejects(programs.change([], [policyOf('a', on('f', 7), on('g_0', 8))]), {
      code: 'POLICY_REFUSED',
      message: `a.yaml:${line}:5: cannot load ${target}: no`,
    })
  })
}

test('programs: a refusal by a program in a later object, and beside functions that are detached, has the position of its hook', async () => {
  const { native, programs } = rig()
  const [gone] = await programs.change([], [policyOf('gone', on('gone'))])
  assert.ok(gone !== undefined)
  let opened = 0
  native.fail = (call) => (call.startsWith('open hook') && ++opened === 2 ? refusedBy('hook_entry_1') : undefined)
  const hooks = Array.from({ length: HOOK_SLOTS + 2 }, (_, i) => on(`f${i}`, 10 + i))
  await assert.rejects(programs.change([gone], [policyOf('a', ...hooks)]), {
    message: `a.yaml:${10 + HOOK_SLOTS + 1}:5: cannot load hook_entry_1: no`,
  })
})

test('programs: a refused attachment has the position of the hook, also of a function with a name like a program’s', async () => {
  const { native, programs } = rig()
  native.fail = (call) => (call.endsWith(' g_0') ? refusedBy('g_0') : undefined)
  await assert.rejects(programs.change([], [policyOf('a', on('f', 7), on('g_0', 8))]), {
    message: 'a.yaml:8:5: cannot load g_0: no',
  })
})

test('programs: a program that is too large for the verifier is refused at once', async () => {
  const { native, programs } = rig()
  const large = refusedBy('hook_fexit_0', os.errno.E2BIG)
  native.fail = (call) => (call.startsWith('open hook') ? large : undefined)
  await assert.rejects(programs.change([], [policyOf('a', returning('f'))]), { code: 'POLICY_REFUSED' })
  assert.equal(native.calls.length, 1)
})

/** `errno`: E2BIG means no room, ENOTSUPP a function with parameters on the stack. */
const full = (symbol: string, errno: number = os.errno.E2BIG): NativeError =>
  new NativeError('ATTACH_FAILED', `cannot attach fexit to "${symbol}": full`, { errno, target: symbol })
const ENOTSUPP = 524

for (const [what, refuses, failure] of [
  ['has no room for fexit', /^attach gate_fexit_\d+ h$/, full('h')],
  ['has no trampoline on this kernel', /^attach gate_fexit_\d+ h$/, full('h', ENOTSUPP)],
] as const) {
  test(`programs: hooks of a function that ${what} are joined, those of others are not`, async () => {
    const { native, programs } = rig()
    const [old] = await programs.change([], [policyOf('old', returning('f'), returning('g'))])
    native.fail = (call) => (refuses.test(call) ? failure : undefined)
    const [loaded] = await programs.change([], [policyOf('a', returning('h'), returning('i'))])
    assert.deepEqual(
      loaded?.hooks.map(({ symbol, mode }) => [symbol, mode]),
      [
        ['h', 'join'],
        ['i', 'fexit'],
      ],
    )
    assert.deepEqual(
      old?.hooks.map(({ mode }) => mode),
      ['fexit', 'fexit'],
    )
    const behind = native.state().map((line) => line.replace(/function \d+, /, ''))
    assert.deepEqual(behind, [
      'f fexit: hooks 1',
      'g fexit: hooks 2',
      'h kretprobe.multi: hooks 3',
      'h kprobe.multi: hooks 3',
      'i fexit: hooks 4',
    ])
  })
}

test('programs: hooks that fentry would join are joined by probes, where there is no room for fentry', async () => {
  const { native, programs } = rig({ mode: 'fentry' })
  native.fail = (call) => (/^attach gate_fentry_\d+ h$/.test(call) ? full('h') : undefined)
  const [loaded] = await programs.change([], [policyOf('a', returning('h'), returning('i'))])
  assert.deepEqual(
    loaded?.hooks.map(({ symbol, mode }) => [symbol, mode]),
    [
      ['h', 'join'],
      ['i', 'fentry'],
    ],
  )
  assert.deepEqual(
    native.state().map((line) => line.replace(/function \d+, /, '')),
    ['h kretprobe.multi: hooks 1', 'h kprobe.multi: hooks 1', 'i fexit: hooks 2', 'i fentry: hooks 2'],
  )
})

test('programs: a function without room for any program is refused, after one try to join', async () => {
  const { native, programs } = rig()
  const before = native.resources
  native.fail = (call) => (call.startsWith('attach') ? full('f') : undefined)
  await assert.rejects(programs.change([], [policyOf('a', returning('f'))]), { code: 'POLICY_REFUSED' })
  assert.equal(native.calls.filter((call) => call.startsWith('open hook')).length, 2)
  assert.deepEqual(native.state(), [])
  await disposed(programs)
  assert.equal(native.resources, before)
})

test('programs: functions that join share one map, which stays until the end', async () => {
  const { native, programs, hookObjects } = rig({ mode: 'join' })
  const before = native.resources
  const loaded = await programs.change([], [policyOf('a', returning('f'))])
  const [b] = await programs.change([], [policyOf('b', returning('g'))])
  assert.ok(b !== undefined)
  const shared = hookObjects().map(({ options }) => options.sharedMaps?.['join'])
  assert.equal(shared[0], undefined)
  assert.ok(shared[1] !== undefined && native.isOpen(shared[1]))
  await programs.change([...loaded, b], [])
  await programs.detachAll()
  // The map of counts stays, and the table beside it.
  assert.equal(native.resources, before + 4)
  await disposed(programs)
  assert.equal(native.resources, before)
})

test('programs: dispose detaches and closes everything; a second call does nothing', async () => {
  const { native, programs } = rig()
  const before = native.resources
  await programs.change([], [policyOf('a', on('f'), returning('g')), policyOf('b', ...many(20))])
  await programs.detachAll()
  await programs.detachAll()
  assert.deepEqual([native.state(), native.resources], [[], before])
})

for (const [when, call] of [
  ['the hooks load', /^open hook/],
  ['the second object loads', /^open hook\S+ hook_entry_0$/],
  ['the gates load', /^open gate/],
] as const) {
  test(`programs: a change during which all is detached fails and leaves nothing: while ${when}`, async () => {
    const { native, programs } = rig()
    const before = native.resources
    const [old] = await programs.change([], [policyOf('a', on('f'))])
    assert.ok(old !== undefined)
    native.fail = (each) => {
      if (call.test(each)) queueMicrotask(() => void programs.detachAll())
      return undefined
    }
    const change = programs.change([old], [policyOf('a', on('f'), on('g'), ...many(HOOK_SLOTS - 1))])
    await assert.rejects(change, { code: 'POLICY_REFUSED', message: 'the agent is stopping' })
    await programs.detachAll()
    assert.deepEqual([native.state(), native.resources], [[], before])
  })
}

test('programs: disposed while the first function to join loads, nothing stays open', async () => {
  const { native, programs } = rig({ mode: 'join' })
  const before = native.resources
  native.fail = (call) => {
    if (call.startsWith('open hook')) queueMicrotask(() => programs[Symbol.dispose]())
    return undefined
  }
  await assert.rejects(programs.change([], [policyOf('a', returning('f'))]), { message: 'the agent is stopping' })
  await disposed(programs)
  assert.equal(native.resources, before)
})

test('programs: a change after the end fails and leaves nothing', async () => {
  const { native, programs } = rig()
  const before = native.resources
  await programs.detachAll()
  await assert.rejects(programs.change([], [policyOf('a', on('f'))]), { message: 'the agent is stopping' })
  assert.deepEqual([native.state(), native.resources], [[], before])
})

test('programs: the links are those of all functions, each once', async () => {
  const { programs } = rig()
  await programs.change([], [policyOf('a', on('f'), returning('g')), policyOf('b', on('f'), on('h'))])
  assert.deepEqual(
    programs.links.map(({ kind }) => kind),
    ['kprobe.multi', 'fexit', 'kprobe.multi'],
  )
})

test('programs: missed runs stay counted by function, for a joined function only at the entry', async () => {
  const { native, programs } = rig({ mode: 'join' })
  native.missed = { 'kprobe.multi': 3n, 'kretprobe.multi': 50n }
  const [a] = await programs.change([], [policyOf('a', returning('f')), policyOf('b', on('f'), on('g'))])
  assert.ok(a !== undefined)
  const missed = (): unknown => Object.fromEntries([...programs.runs()].map(([name, runs]) => [name, runs.missed]))
  assert.deepEqual(missed(), { f: 6, g: 3 })
  await programs.change([a], [])
  native.missed = { 'kprobe.multi': 4n }
  assert.deepEqual(missed(), { f: 7, g: 4 })
  await programs.detachAll()
  assert.deepEqual(missed(), { f: 7, g: 4 })
})

test('programs: an optional call that is missing is skipped', async () => {
  const { native, programs } = rig()
  const [loaded] = await programs.change([], [policyOf('a', { ...on('no_such'), optional: true }, on('f'))])
  assert.deepEqual(
    loaded?.skipped.map(({ symbol }) => symbol),
    ['no_such'],
  )
  assert.deepEqual(native.state(), ['f kprobe.multi: function 1, hooks 1'])
})

test('programs: a policy is stale when a function that it hooks came or went', async () => {
  const { native, programs } = rig()
  native.absent.add('late')
  const stale = ({ policy, hooks }: LoadedPolicy): Promise<boolean> =>
    hookedOtherwise(policy, hooks, kernel(6, 12), native)
  const wants = policyOf('a', { ...on('late'), optional: true })
  const [waiting] = await programs.change([], [wants])
  assert.ok(waiting !== undefined)
  assert.deepEqual([waiting.hooks, await stale(waiting), native.state()], [[], false, []])
  native.absent.delete('late')
  assert.equal(await stale(waiting), true)
  const [hooked] = await programs.change([waiting], [wants])
  assert.ok(hooked !== undefined)
  assert.equal(await stale(hooked), false)
  assert.deepEqual(native.state(), ['late kprobe.multi: function 1, hooks 1'])
  native.absent.add('late')
  assert.equal(await stale(hooked), true)
  const [required] = await programs.change([hooked], [policyOf('b', on('f'))])
  native.absent.add('f')
  assert.ok(required !== undefined)
  assert.equal(await stale(required), true, 'also one that would be refused')
})

test('programs: a gate that another program emptied or changed gets its program back, and is reported', async () => {
  const { native, programs } = rig({ mode: 'join' })
  const [a] = await programs.change([], [policyOf('a', returning('f'), returning('g'))])
  assert.ok(a !== undefined)
  assert.deepEqual(programs.check(), [])
  const before = native.state()
  const opened = native.objects.find(({ file }) => file === 'gate.bpf.o')
  const hooks = native.objects.find(({ file }) => file !== 'gate.bpf.o')
  assert.ok(opened !== undefined && hooks !== undefined)
  using f = opened.map('gate_0')
  using g = opened.map('gate_1')
  const [program = 0] = [f.lookup(u32(0))?.readUInt32LE()]
  f.delete(u32(0))
  hooks.put(g, 1, 'hook_leave_0')
  assert.deepEqual(
    programs
      .check()
      .map(({ kind, on: where, expected, got, repaired }) => [
        kind,
        where,
        expected === got,
        got === 'no program',
        repaired,
      ]),
    [
      ['gate_changed', 'f', false, true, true],
      ['gate_changed', 'g', false, false, true],
    ],
  )
  assert.notEqual(program, 0)
  assert.deepEqual(native.state(), before)
  assert.deepEqual(programs.check(), [])
  // The agent's own changes make no finding.
  await programs.change([a], [policyOf('a', returning('f'))])
  assert.deepEqual(programs.check(), [])
})

test('programs: a gate that cannot be repaired stays a finding', async () => {
  const { native, programs } = rig()
  await programs.change([], [policyOf('a', on('f'))])
  const opened = native.objects.find(({ file }) => file === 'gate.bpf.o')
  using gate = opened?.map('gate_0')
  gate?.delete(u32(0))
  native.fail = (call) => (call.startsWith('put') ? new NativeError('NOT_PERMITTED', 'the map is frozen') : undefined)
  for (let look = 0; look < 2; look++) {
    assert.deepEqual(
      programs.check().map(({ got, repaired }) => [got, repaired]),
      [['no program', false]],
    )
  }
})

test('programs: a link whose descriptor another program closed is reported', async () => {
  const { native, programs } = rig()
  await programs.change([], [policyOf('a', on('f'), on('g'))])
  native.closedBehind = (symbol) => symbol === 'g'
  assert.deepEqual(
    programs.check().map(({ kind, on: where, got, repaired }) => [kind, where, got, repaired]),
    [['link_gone', 'g', 'no link', false]],
  )
})

test('programs: calls that a policy may make fail are swept too, if their return is reported', async () => {
  const error = { last: 'override', signals: [], error: -1, reports: true, limit: undefined } as const
  const selectors = [{ matchArgs: [], actions: error }]
  const { programs, hookObjects } = rig()
  await programs.change([], [policyOf('a', { ...on('f'), selectors })])
  assert.equal(programs.joins, undefined)
  await programs.change([], [policyOf('b', { ...returning('g'), selectors })])
  assert.notEqual(programs.joins, undefined)
  // Only objects before it have a map of their own, which is empty.
  await programs.change([], [policyOf('c', on('h'))])
  const joins = hookObjects().map(({ options }) => [
    options.mapSizes?.['join'],
    options.sharedMaps?.['join'] !== undefined,
  ])
  assert.deepEqual(joins, [
    [1, false],
    [undefined, false],
    [undefined, true],
  ])
})

test('programs: the first rate limit brings its maps, which later programs share; without one they are small', async () => {
  const { native, programs, hookObjects } = rig()
  const limit = { last: 'post', signals: [], reports: true, limit: { ms: 1000, scope: 'global' } } as const
  const limiting = (call: string): HookSpec => spec({ ...on(call), selectors: [{ matchArgs: [], actions: limit }] })
  await programs.change([], [policyOf('plain', on('f'))])
  const [first] = await programs.change([], [policyOf('limited', limiting('g'))])
  await programs.change(first === undefined ? [] : [first], [policyOf('again', limiting('g'), on('h'))])
  const shared = hookObjects().map(({ options }) => options.sharedMaps?.['repeats'] !== undefined)
  const sizes = hookObjects().map(({ options }) => options.mapSizes?.['repeats'])
  assert.deepEqual(shared, [false, false, true])
  assert.deepEqual(sizes, [1, undefined, undefined])
  assert.deepEqual([...programs.doneByHook().keys()], ['limited', 'again'])
  const secrets = new Set(hookObjects().map(({ options }) => String(options.constants?.['repeat_secret'])))
  assert.equal(secrets.size, 1)
  await disposed(programs)
  assert.equal(native.resources, SHARED_MAPS.length)
})

const aggregating = (call: string): HookSpec =>
  spec({ ...on(call), aggregate: { windowMs: 1000, byFile: true, byKind: true, at: { line: 9, col: 20 } } })

for (const [what, hook] of [
  ['aggregate_taken', aggregating('g')],
  ['identified', spec({ ...on('g'), fileDetails: { at: { line: 9, col: 20 }, hash: { maxBytes: 1 } } })],
] as const) {
  test(`programs: without a descriptor for the map ${what}, the object that has it is closed`, async () => {
    const { native, programs } = rig()
    const before = native.resources
    native.fail = (call) => (call === `map ${what}` ? new NativeError('NO_DESCRIPTORS', 'none is left') : undefined)
    await assert.rejects(programs.change([], [policyOf('a', hook)]), { code: 'POLICY_REFUSED' })
    assert.equal(native.resources, before)
  })
}

test('programs: the first aggregate brings the map of counts, which later programs share; without one it is small', async () => {
  const warnings: string[] = []
  const { native, programs, hookObjects } = rig({ warn: (_, message) => warnings.push(message) })
  const key = { hookId: 2, tgid: 0x77, lo: 0x1234, hi: 0xff }
  assert.equal(programs.lookups.takeAggregate(key), 'unknown')
  await programs.change([], [policyOf('plain', on('f'))])
  const [first] = await programs.change([], [policyOf('counted', aggregating('g'))])
  await programs.change(first === undefined ? [] : [first], [policyOf('again', aggregating('g'))])
  const objects = hookObjects().filter(({ file }) => file !== 'aggregate.bpf.o')
  const counts = hookObjects().filter(({ file }) => file === 'aggregate.bpf.o')
  // All of bpf/base/maps.h: else the object has a ring and a process table of its own.
  assert.deepEqual(
    counts.map(({ options }) => Object.keys(options.sharedMaps ?? {})),
    [['ring', 'cpu_state', 'processes', 'process_changes']],
  )
  assert.deepEqual(
    objects.map(({ options }) => [options.mapSizes?.['aggregates'], options.sharedMaps?.['aggregates'] !== undefined]),
    [
      [1, false],
      [undefined, true],
      [undefined, true],
    ],
  )
  const taken = Buffer.alloc(TAKEN_AGGREGATE.bytes)
  taken.writeBigUInt64LE(1_000_000n, TAKEN_AGGREGATE.count)
  taken.writeBigUInt64LE(4096n, TAKEN_AGGREGATE.totalBytes)
  taken.writeBigUInt64LE(5_000_000_007n, TAKEN_AGGREGATE.lastNs)
  const hex = '020000007700000034120000ff000000'
  native.aggregates.set(hex, 'later')
  assert.equal(programs.lookups.takeAggregate(key), 'later')
  native.aggregates.set(hex, taken)
  assert.deepEqual(programs.lookups.takeAggregate(key), { count: 1_000_000, bytes: 4096, lastNs: 5_000_000_007n })
  assert.equal(programs.lookups.takeAggregate({ ...key, tgid: 0x78 }), 'unknown')
  native.fail = (call) => (call.startsWith('run') ? new NativeError('MAP_FAILED', 'no memory') : undefined)
  // Every few milliseconds, with one warning.
  for (let i = 0; i < 3; i++) assert.equal(programs.lookups.takeAggregate(key), 'later')
  assert.deepEqual(warnings, ['the count of equal calls could not be read; retrying'])
  native.fail = () => undefined
  await disposed(programs)
  assert.equal(native.resources, SHARED_MAPS.length)
})

test('programs: a kernel that cannot aggregate refuses the policy, and nothing changes', async () => {
  const old = rig({ facts: { ...kernel(5, 10), loops: false } })
  await assert.rejects(old.programs.change([], [policyOf('counted', aggregating('f'))]), {
    message:
      'counted.yaml:9:20: aggregate requires Linux 5.17, for atomic operations and bpf_loop: remove it on this kernel, or annotate the policy with ktrail.dev/without-bpf-loop: no-aggregate',
  })
  const { native, programs } = rig()
  native.fail = (call) => (call.startsWith('open aggregate') ? new NativeError('LOAD_FAILED', 'no memory') : undefined)
  await assert.rejects(programs.change([], [policyOf('counted', aggregating('f'))]), {
    message: 'counted.yaml:9:20: aggregate does not fit into this kernel: no memory',
  })
  native.fail = () => undefined
  await programs.change([], [policyOf('counted', aggregating('f'))])
  assert.equal(native.state().length, 1)
})
