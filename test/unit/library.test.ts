/** The policies of config/policies/library/: each is valid, and has what the commands, alerts and pages read of it. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { parsePolicy } from '../../config/policy/parse.ts'
import type { HookSpec, Policy } from '../../config/policy/policy.ts'
import { withoutLoops } from '../../collector/plan/loops.ts'
import { IDENTITY_FILTERS_MAX } from '../../collector/wire/wire.ts'
import { expand } from '../support/policies/parts.ts'
import { PAGE, RESULTS, pageOf } from '../library/page.ts'
import type { Results } from '../library/page.ts'
import { WAYS } from '../library/ways.ts'

const FOLDER = new URL('../../config/policies/library/', import.meta.url)
const BUNDLES = ['default', 'host', 'container', 'kubernetes', 'pci', 'cis']
const SEVERITIES = ['low', 'medium', 'high', 'critical']
const TITLE_MAX = 60
/** Most hooks of a policy: each way to change a file has one. A hook whose function is not called costs nothing. */
const HOOKS_MAX = 12
/** Within the six seconds that docs/reference/policy/files-by-identity.md promises. */
const PATHS_MAX = 400
/** Most events of the default bundle in the ordinary hour. */
const ORDINARY_MAX = 20
/** In the list of administration: 20 and two, because five are reads of the passwords by Perl, which would else be hidden from intruders, too. */
const ADMINISTRATION_MAX = 22

interface Document {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> }
  readonly spec: { readonly kprobes: ReadonlyArray<{ readonly message?: string; readonly tags?: readonly string[] }> }
}

const files = readdirSync(FOLDER).toSorted()
const names = files.map((file) => file.replace(/\.yaml$/, ''))
const textOf = (name: string): string => readFileSync(new URL(`${name}.yaml`, FOLDER), 'utf8')

function policyOf(name: string): Policy {
  const result = parsePolicy(textOf(name), `${name}.yaml`)
  assert.ok('policy' in result, 'problems' in result ? JSON.stringify(result.problems) : '')
  assert.deepEqual(result.warnings, [])
  return result.policy
}

const hooksOf = (name: string): readonly HookSpec[] => policyOf(name).hooks

const identityLists = (hooks: readonly HookSpec[]): ReadonlyArray<readonly string[]> =>
  hooks.flatMap(({ selectors }) =>
    selectors.flatMap(({ matchArgs }) =>
      matchArgs.flatMap((filter) => (filter.class === 'identity' ? [filter.values] : [])),
    ),
  )

for (const name of names) {
  test(`library: ${name} is a policy with title, severity, bundles, techniques, messages and tags`, () => {
    const text = textOf(name)
    const { apiVersion, kind, metadata, spec }: Document = parse(text)
    assert.deepEqual([apiVersion, kind, metadata.name], ['ktrail.dev/v1alpha1', 'TracingPolicy', name])
    assert.match(text, /^# Reports? |^# Counts /)
    const annotation = (key: string): string => metadata.annotations[`ktrail.dev/${key}`] ?? ''
    const list = (key: string): string[] => annotation(key).split(', ')
    assert.match(annotation('title'), /^[A-Z][^.]+$/)
    assert.ok(annotation('title').length <= TITLE_MAX)
    assert.ok(SEVERITIES.includes(annotation('severity')), annotation('severity'))
    assert.deepEqual(
      list('bundles').filter((bundle) => !BUNDLES.includes(bundle)),
      [],
    )
    for (const technique of list('mitre')) assert.match(technique, /^T\d{4}(\.\d{3})?$/)
    for (const page of list('references')) assert.ok(URL.parse(page)?.protocol === 'https:', page)
    const tags = [`severity.${annotation('severity')}`, ...list('mitre').map((each) => `attack.${each.toLowerCase()}`)]
    for (const hook of spec.kprobes) {
      assert.match(hook.message ?? '', /^[a-z][^.]+$/)
      assert.deepEqual(hook.tags, tags)
    }
    const hooks = hooksOf(name)
    assert.ok(hooks.length <= HOOKS_MAX, `${hooks.length} hooks`)
  })
}

test('library: the parts of each policy are as test/support/policies/parts/ has them', () => {
  const stale = names.filter((name) => expand(textOf(name)) !== textOf(name))
  assert.deepEqual(stale, [], 'run node test/support/policies/write-parts.ts')
  assert.ok(names.some((name) => textOf(name).includes('    # Parts ')))
})

/** Words in the head of a policy, for each way that it may miss. */
const SAYS: Readonly<Record<string, string>> = { make_empty: 'mknod(2)', no_append: 'RWF_NOAPPEND' }

test('library: the head of a policy has each way that it misses, and each policy with parts has ways', () => {
  const silent = WAYS.flatMap(({ policy, missed }) => {
    const [head = ''] = textOf(policy).split('apiVersion')
    return missed.filter((way) => !head.includes(SAYS[way] ?? way)).map((way) => `${policy}: ${way}`)
  })
  assert.deepEqual(silent, [])
  assert.deepEqual(
    names.filter((name) => textOf(name).includes('    # Parts ') && !WAYS.some(({ policy }) => policy === name)),
    [],
  )
})

test('library: the pages have the numbers of policies and hooks', () => {
  const bundle = names.filter((name) => /^ +ktrail.dev\/bundles: ".*\bdefault\b/m.test(textOf(name)))
  const hooks = bundle.reduce((sum, name) => sum + hooksOf(name).length, 0)
  for (const [page, text] of [
    ['docs/how-to/policies/library.md', `Its ${bundle.length} policies with ${hooks} hooks`],
    ['docs/explanation/comparison.md', `| ${names.length} policies, each`],
    ['CHANGELOG.md', `**Library**: ${names.length} policies`],
    ['CHANGELOG.md', `The ${new Set(WAYS.map(({ policy }) => policy)).size} about changes`],
  ] as const) {
    const has = readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8').includes(text)
    assert.ok(has, `${page}: expected "${text}"`)
  }
})

test('library: no policy has the name of a bundle', () => {
  assert.deepEqual(
    names.filter((name) => BUNDLES.includes(name)),
    [],
  )
  assert.deepEqual(
    files,
    names.map((name) => `${name}.yaml`),
  )
})

test('library: all policies together are within the limits of lists and paths', () => {
  const lists = new Set(
    names.flatMap((name) => identityLists(hooksOf(name)).map((values) => values.toSorted().join('\n'))),
  )
  assert.ok(lists.size <= IDENTITY_FILTERS_MAX, `${lists.size} lists`)
  const paths = new Set([...lists].flatMap((list) => list.split('\n')))
  assert.ok(paths.size <= PATHS_MAX, `${paths.size} paths`)
  console.log(`library: ${names.length} policies, ${lists.size} lists, ${paths.size} paths`)
})

test('library: a kernel without bpf_loop matches by name, and leaves out only a policy that counts', () => {
  const leftOut = names.filter((name) => {
    const problems: string[] = []
    const { policy } = withoutLoops(policyOf(name), (_, message) => void problems.push(message))
    assert.equal(identityLists(policy.hooks).length, 0, name)
    return problems.length > 0
  })
  assert.deepEqual(leftOut, ['mass-renames'])
})

test('library: the page has the results of the tests, and each attack that a policy has was reported', () => {
  const results: Results = JSON.parse(readFileSync(RESULTS, 'utf8'))
  assert.equal(readFileSync(PAGE, 'utf8'), pageOf(results), 'run make library')
  assert.deepEqual(Object.keys(results.attacks).toSorted(), names)
  const ways = Object.entries(results.attacks).flatMap(([name, row]) =>
    Object.entries(row).map(([way, result]) => `${name} ${way} ${result}`),
  )
  assert.deepEqual(
    ways.filter((text) => text.endsWith(' no')),
    [],
  )
  assert.ok((results.hour?.events ?? 0) <= ORDINARY_MAX)
  assert.ok((results.hour?.administration ?? 0) <= ADMINISTRATION_MAX)
})
