/** matchActions and returnArgAction: text → checked actions, or refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'

const HEAD = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n'

function parsed(hook: string, spec = ''): ReturnType<typeof parsePolicy> {
  return parsePolicy(`${HEAD}${spec}  kprobes:\n    - {call: sys_read, ${hook}}\n`, 'p.yaml')
}

/** The actions of the first selector, or the problems. */
function actions(selector: string, spec = ''): unknown {
  const result = parsed(`selectors: [{${selector}}]`, spec)
  if ('problems' in result) return result.problems.map(({ message }) => message)
  return result.policy.hooks[0]?.selectors[0]?.actions
}

const killing = { last: 'sigkill', signals: [9], reports: true, limit: undefined }
const limit = (ms: number, scope = 'thread'): object => ({
  last: 'post',
  signals: [],
  reports: true,
  limit: { ms, scope },
})

const GOOD: ReadonlyArray<readonly [selector: string, want: object | undefined]> = [
  ['matchActions: []', undefined],
  ['matchActions: [{action: Post}]', undefined],
  ['matchActions: [{action: NoPost}]', { last: 'nopost', signals: [], reports: false, limit: undefined }],
  ['matchActions: [{action: Sigkill}]', killing],
  ['matchActions: [{action: Signal, argSig: 64}]', { ...killing, last: 'signal', signals: [64] }],
  ['matchActions: [{action: Sigkill}, {action: Post}]', { ...killing, last: 'post' }],
  ['matchActions: [{action: Sigkill}, {action: NoPost}]', { ...killing, last: 'nopost', reports: false }],
  [
    'matchActions: [{action: Signal, argSig: 1}, {action: Signal, argSig: 2}, {action: Sigkill}]',
    { ...killing, signals: [9, 1, 2] },
  ],
  ['matchActions: [{action: Override, argError: -13}]', { ...killing, last: 'override', signals: [], error: -13 }],
  [
    'matchActions: [{action: Override, argError: -4095}, {action: Sigkill}, {action: NoPost}]',
    { ...killing, last: 'nopost', error: -4095, reports: false },
  ],
  ['matchActions: [{action: Post, rateLimit: "5"}]', limit(5000)],
  ['matchActions: [{action: Post, rateLimit: 5s}]', limit(5000)],
  ['matchActions: [{action: Post, rateLimit: 2M, rateLimitScope: process}]', limit(120_000, 'process')],
  ['matchActions: [{action: Post, rateLimit: 1193h, rateLimitScope: global}]', limit(4_294_800_000, 'global')],
  [
    'matchActions: [{action: Post, rateLimit: 1m}, {action: Sigkill}]',
    { ...killing, limit: { ms: 60_000, scope: 'thread' } },
  ],
]

for (const [selector, want] of GOOD)
  test(`actions: ${selector.slice(0, 90)}`, () => assert.deepEqual(actions(selector), want))

test('actions: in mode monitor no signal is sent and no call fails, but records name the action', () => {
  const monitor = '  options: [{name: policy-mode, value: monitor}]\n'
  assert.deepEqual(actions('matchActions: [{action: Sigkill}]', monitor), {
    ...killing,
    signals: [],
    monitored: { signals: [9] },
  })
  const overriding = actions('matchActions: [{action: Override, argError: -1}]', monitor)
  assert.deepEqual(overriding, { ...killing, last: 'override', signals: [], monitored: { signals: [], error: -1 } })
  const enforce = '  options: [{name: policy-mode, value: enforce}]\n'
  assert.deepEqual(actions('matchActions: [{action: Sigkill}]', enforce), killing)
})

test('actions: stacks are keys of an action, and are no action themselves', () => {
  const stacks = (selector: string): unknown => {
    const result = parsed(`selectors: [{matchActions: [${selector}]}]`)
    if ('problems' in result) return result.problems
    const { actions: acts, stacks: asked } = result.policy.hooks[0]?.selectors[0] ?? {}
    return { acts: acts?.last, asked }
  }
  const kernel = { kernel: true, user: false }
  assert.deepEqual(stacks('{action: Post, kernelStackTrace: true}'), { acts: undefined, asked: kernel })
  assert.deepEqual(stacks('{action: Post, userStackTrace: true, kernelStackTrace: true}'), {
    acts: undefined,
    asked: { kernel: true, user: true },
  })
  assert.deepEqual(stacks('{action: Post, kernelStackTrace: false}'), { acts: undefined, asked: undefined })
  assert.deepEqual(stacks('{action: Sigkill}, {action: Post, kernelStackTrace: true}'), { acts: 'post', asked: kernel })
  assert.deepEqual(stacks('{action: Post, kernelStackTrace: true, rateLimit: 5s}'), { acts: 'post', asked: kernel })
})

test('actions: records of security hooks and tracepoints have no stacks', () => {
  const selectors = 'selectors: [{matchActions: [{action: Post, kernelStackTrace: true}]}]'
  for (const hook of [
    `lsmhooks:\n    - {hook: file_open, ${selectors}}`,
    `tracepoints:\n    - {subsystem: a, event: b, ${selectors}}`,
  ]) {
    const result = parsePolicy(`${HEAD}  ${hook}\n`, 'p.yaml')
    assert.ok('problems' in result)
    assert.deepEqual(
      result.problems.map(({ message }) => message.replace(/^spec\.\w+\[0\]\./, '')),
      [
        'selectors: kernelStackTrace and userStackTrace: only records of kprobes have stacks; hook the function with kprobes',
      ],
    )
  }
})

const BAD: ReadonlyArray<readonly [selector: string, message: RegExp]> = [
  [
    'matchActions: [{action: Override}]',
    /argError: missing; expected an error from -4095 to -1, such as -1 \(EPERM\)$/,
  ],
  ['matchActions: [{action: Override, argError: 0}]', /argError: expected a whole number from -4095 to -1, got/],
  ['matchActions: [{action: Override, argError: 1.5}]', /argError: expected a whole number from -4095 to -1, got/],
  ['matchActions: [{action: Override, argError: 2147483648}]', /argError: expected a whole number from -4095 to -1/],
  [
    'matchActions: [{action: Override, argError: -1}, {action: Override, argError: -2}]',
    /expected at most one action Override in a selector/,
  ],
  ['matchActions: [{action: GetUrl}]', /Tetragon action "GetUrl" is not supported/],
  ['matchActions: [{action: CopyFD}]', /action: Tetragon removed the action "CopyFD": use a filter on an argument/],
  ['matchActions: [{action: NotifyKiller}]', /action "NotifyKiller": use NotifyEnforcer$/],
  ['matchActions: [{action: Alert}]', /action: unknown action "Alert" \(did you mean "Post"\?\)$/],
  ['matchActions: [{action: SigKill}]', /unknown action "SigKill" \(did you mean "Sigkill"\?\)$/],
  [
    'matchActions: [{action: 9}]',
    /action: expected one of Post, NoPost, Sigkill, Signal, Override, NotifyEnforcer, CleanupEnforcerNotification, got/,
  ],
  [
    'matchActions: [{rateLimit: 5s}]',
    /action: missing; expected one of Post, NoPost, Sigkill, Signal, Override, NotifyEnforcer, CleanupEnforcerNotification$/,
  ],
  ['matchActions: [Sigkill]', /matchActions\[0\]: expected a mapping with action, argSig/],
  ['matchActions: [{action: Signal}]', /argSig: missing; expected a signal from 1 to 64$/],
  ['matchActions: [{action: Signal, argSig: 65}]', /argSig: expected a whole number from 1 to 64, got/],
  ['matchActions: [{action: Signal, argSig: 0}]', /argSig: expected a whole number from 1 to 64, got/],
  ['matchActions: [{action: NoPost, rateLimit: 5s}]', /rateLimit: applies only to action Post; remove it$/],
  ['matchActions: [{action: Post, rateLimit: 5}]', /rateLimit: expected a text, got .*put it in quotes: "5"$/],
  ['matchActions: [{action: Post, rateLimit: 5d}]', /rateLimit: expected a time from 1s to 1193h, such as .*"5d"$/],
  ['matchActions: [{action: Post, rateLimit: 0s}]', /rateLimit: expected a time from 1s/],
  ['matchActions: [{action: Post, rateLimit: 1194h}]', /rateLimit: expected a time from 1s/],
  [
    'matchActions: [{action: Post, rateLimit: 1s, rateLimitScope: host}]',
    /rateLimitScope: expected one of thread, process, global, got "host"$/,
  ],
  ['matchActions: [{action: Post, rateLimit: 1s}, {action: Post}]', /expected at most one action Post in a selector/],
  [
    'matchActions: [{action: Post}, {action: NoPost}, {action: NoPost}, {action: NoPost}]',
    /matchActions: expected at most 3 items, got 4$/,
  ],
  [
    'matchActions: [{action: NoPost, kernelStackTrace: true}]',
    /kernelStackTrace: applies only to action Post; remove it$/,
  ],
  [
    'matchActions: [{action: Sigkill, userStackTrace: true}]',
    /userStackTrace: applies only to action Post; remove it$/,
  ],
  ['matchActions: [{action: Post, userStackTrace: yes}]', /userStackTrace: expected true or false, got/],
  ['matchActions: [{action: Post, stackTrace: true}]', /did you mean "userStackTrace"|expected one of/],
  ['matchActions: [{action: Post, imaHash: true}]', /field "imaHash" is not supported/],
  ['matchReturnActions: [{action: Post}]', /field "matchReturnActions" is not supported/],
]

for (const [selector, message] of BAD) {
  test(`actions: refused: ${selector.slice(0, 80)}`, () => {
    const [first = ''] = actions(selector) as string[]
    assert.ok(first.startsWith('spec.kprobes[0].selectors[0]'), first)
    assert.match(first, message)
  })
}

const overriding = { ...killing, last: 'override', signals: [], error: -1 }
const noError = (given: number): RegExp =>
  new RegExp(
    `argError: ${given} is not an error \\(-4095 to -1\\): the call fails with -1 \\(EPERM\\), as in Tetragon$`,
  )

/** Settings that Tetragon accepts without effect, or with an unexpected one. */
const WARNED: ReadonlyArray<readonly [action: string, want: object | undefined, message: RegExp]> = [
  ['action: Post, rateLimitScope: thread', undefined, /rateLimitScope: has no effect without rateLimit$/],
  [
    'action: Sigkill, argError: -1',
    killing,
    /argError: has no effect with action Sigkill, only with Override and NotifyEnforcer; remove it$/,
  ],
  [
    'action: Post, argError: 0',
    undefined,
    /argError: has no effect with action Post, only with Override and NotifyEnforcer; remove it$/,
  ],
  [
    'action: Sigkill, argSig: 9',
    killing,
    /argSig: has no effect with action Sigkill, only with Signal and NotifyEnforcer; remove it$/,
  ],
  ['action: Override, argError: 1', overriding, noError(1)],
  ['action: Override, argError: -4096', overriding, noError(-4096)],
]

for (const [action, want, message] of WARNED) {
  test(`actions: warned of: ${action}`, () => {
    const result = parsed(`selectors: [{matchPIDs: [{operator: In, values: [1]}], matchActions: [{${action}}]}]`)
    assert.ok('policy' in result)
    assert.deepEqual(result.policy.hooks[0]?.selectors[0]?.actions, want)
    assert.equal(result.warnings.length, 1)
    assert.match(result.warnings[0]?.message ?? '', message)
  })
}

const RETURNS = 'return: true, returnArg: {index: 0, type: int}'

test('actions: returnArgAction Post is the default behavior; others are refused by name', () => {
  assert.ok('policy' in parsed(`${RETURNS}, returnArgAction: Post`))
  for (const [action, message] of [
    ['TrackSock', /returnArgAction: Tetragon action "TrackSock" is not supported/],
    ['Nothing', /returnArgAction: expected Post, got "Nothing"; remove it$/],
  ] as const) {
    const result = parsed(`${RETURNS}, returnArgAction: ${action}`)
    assert.match('problems' in result ? (result.problems[0]?.message ?? '') : 'none', message)
  }
})
