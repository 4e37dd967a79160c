/** `aggregate` of a hook: text → checked, or refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import { estimating } from '../../../../config/policy/selectors/aggregate.ts'

const OWN = 'ktrail.dev/v1alpha1'
const ALL = { windowMs: 10_000, byFile: true, byKind: true }

function result(
  aggregate: string,
  { version = OWN, actions = '[]', section = 'kprobes', call = 'call: f, syscall: false' } = {},
): unknown {
  const hook = `{${call}, args: [{index: 0, type: file}], selectors: [{matchActions: ${actions}}], aggregate: ${aggregate}}`
  const text = `apiVersion: ${version}\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  ${section}:\n    - ${hook}\n`
  const parsed = parsePolicy(text, 'p.yaml')
  if ('problems' in parsed) return parsed.problems.map(({ message }) => message)
  const { at, ...rest } = parsed.policy.hooks[0]?.aggregate ?? { at: undefined }
  assert.ok(at !== undefined)
  return rest
}

const WHERE = 'spec.kprobes[0].aggregate'
const WINDOW = 'expected a time from 250ms to 30m, such as 10s'
const COMBINED = `${WHERE}: cannot be combined with rateLimit or actions other than Post and NoPost; use a second hook on the same call`

const ROWS: ReadonlyArray<
  readonly [name: string, want: unknown, aggregate: string, document?: Parameters<typeof result>[1]]
> = [
  ['all that makes calls equal', ALL, '{window: 10s}'],
  ['the same, by name', ALL, '{window: 10s, by: [process, file, kind]}'],
  ['the process alone', { windowMs: 1_800_000, byFile: false, byKind: false }, '{window: 30m, by: [process]}'],
  ['files, whatever is done to them', { ...ALL, windowMs: 1000, byKind: false }, '{window: 1s, by: [file, process]}'],
  ['a quarter of a second', { ...ALL, windowMs: 250 }, '{window: 250ms}'],
  ['a hook of lsmhooks', ALL, '{window: 10s}', { section: 'lsmhooks', call: 'hook: file_open' }],
  ['with NoPost', ALL, '{window: 10s}', { actions: '[{action: NoPost}]' }],
  ['no window', [`${WHERE}.window: missing; ${WINDOW}`], '{by: [process]}'],
  ['a window without unit', [`${WHERE}.window: ${WINDOW}, got "10"`], '{window: "10"}'],
  ['a window that is too short', [`${WHERE}.window: ${WINDOW}, got "249ms"`], '{window: 249ms}'],
  ['a window that is too long', [`${WHERE}.window: ${WINDOW}, got "31m"`], '{window: 31m}'],
  [
    'no process',
    [`${WHERE}.by: expected process in the list, because an event is of one process`],
    '{window: 1s, by: [file]}',
  ],
  [
    'an unknown word',
    [`${WHERE}.by[1]: expected one of process, file, kind, got "files" (did you mean "file"?)`],
    '{window: 1s, by: [process, files]}',
  ],
  ['an unknown key', [`${WHERE}: unknown key "interval" (did you mean "window"?)`], '{interval: 10s}'],
  ['a text', [`${WHERE}: expected a mapping with window, by, got "10s"`], '10s'],
  [
    'in a file of Tetragon’s language',
    [`aggregate: is an addition of ktrail's: write apiVersion: ${OWN}, got cilium.io/v1alpha1`],
    '{window: 10s}',
    { version: 'cilium.io/v1alpha1' },
  ],
  ['with rateLimit', [COMBINED], '{window: 10s}', { actions: '[{action: Post, rateLimit: 1m}]' }],
  ['with a signal', [COMBINED], '{window: 10s}', { actions: '[{action: Sigkill}]' }],
]

for (const [name, want, aggregate, document] of ROWS) {
  test(`aggregate: ${name}`, () => assert.deepEqual(result(aggregate, document), want))
}

test('aggregate: with matchReturnArgs', () => {
  const hook =
    '{call: f, syscall: false, return: true, returnArg: {index: 0, type: int}, aggregate: {window: 1s}, ' +
    'selectors: [{matchReturnArgs: [{index: 0, operator: Equal, values: ["0"]}]}]}'
  const parsed = parsePolicy(
    `apiVersion: ${OWN}\nkind: TracingPolicy\nmetadata: {name: p}\nspec: {kprobes: [${hook}]}\n`,
    'p.yaml',
  )
  assert.deepEqual('problems' in parsed && parsed.problems.map(({ message }) => message), [
    `${WHERE}: cannot be combined with matchReturnArgs, which applies to single calls; use a second hook on the same call`,
  ])
})

test('aggregate: for an estimate, hooks count unless single calls decide, and do nothing', () => {
  const hooks = (spec: string, counts = true): unknown => {
    const parsed = parsePolicy(
      `apiVersion: ${OWN}\nkind: TracingPolicy\nmetadata: {name: p}\nspec: {${spec}}\n`,
      'p.yaml',
    )
    if ('problems' in parsed) assert.fail(inspect(parsed.problems))
    const { policy } = parsed
    return estimating(policy, counts).hooks.map(({ aggregate, selectors }) => [
      aggregate?.windowMs,
      ...selectors.map(({ actions }) => actions),
    ])
  }
  const hook = (more: string): string =>
    `{call: security_file_open, syscall: false, args: [{index: 0, type: file}], ${more}}`
  const acts = (...actions: readonly string[]): string => `selectors: [{matchActions: [${actions.join()}]}]`
  const kill = hook(acts('{action: Sigkill}', '{action: Override, argError: -1}'))
  const hidden = { last: 'nopost', signals: [], reports: false, limit: undefined }
  assert.deepEqual(hooks(`kprobes: [${kill}]`), [[1000, undefined]])
  assert.deepEqual(hooks(`kprobes: [${kill}]`, false), [[undefined, undefined]])
  assert.deepEqual(hooks(`kprobes: [${hook(acts('{action: Sigkill}', '{action: NoPost}'))}]`), [[1000, hidden]])
  const limit = { ms: 60_000, scope: 'thread' }
  assert.deepEqual(hooks(`kprobes: [${hook(acts('{action: Post, rateLimit: 1m}'))}]`), [
    [undefined, { last: 'post', signals: [], reports: true, limit }],
  ])
  const returned =
    'return: true, returnArg: {index: 0, type: int}, selectors: [{matchReturnArgs: [{index: 0, operator: Equal, values: ["0"]}]}]'
  assert.deepEqual(hooks(`kprobes: [${hook(returned)}, ${hook('selectors: [{}]')}]`), [
    [undefined, undefined],
    [1000, undefined],
  ])
  assert.deepEqual(hooks(`kprobes: [${hook('aggregate: {window: 5s}')}, ${hook('selectors: [{}]')}]`), [
    [5000],
    [undefined, undefined],
  ])
  const notes = hook(acts('{action: NotifyEnforcer, argError: -1}'))
  assert.deepEqual(hooks(`enforcers: [{calls: [security_file_permission]}], kprobes: [${notes}]`), [[1000, undefined]])
  assert.deepEqual(hooks('tracepoints: [{subsystem: sched, event: sched_switch}]'), [[undefined]])
})
