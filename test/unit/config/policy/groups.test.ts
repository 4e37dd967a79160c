/** Groups of functions of which a kernel must have one, as annotations. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'

const parsed = (annotations: Readonly<Record<string, unknown>>): ReturnType<typeof parsePolicy> =>
  parsePolicy(
    JSON.stringify({
      apiVersion: 'cilium.io/v1alpha1',
      kind: 'TracingPolicy',
      metadata: { name: 'p', annotations },
      spec: {
        kprobes: [
          { call: 'security_new', syscall: false, ignore: { callNotFound: true } },
          { call: 'security_old', syscall: false, ignore: { callNotFound: true } },
          { call: 'always', syscall: false },
        ],
      },
    }),
    'p.yaml',
  )

test('groups: an annotation names the calls of a group in order; other annotations mean nothing', () => {
  const result = parsed({
    'ktrail.one-of/make': 'security_new, security_old',
    'ktrail.one-of/drop': 'security_old',
    'team.example/owner': 'nobody',
    'ktrail.dev/title': 'Two functions',
    ktrailer: 'x',
  })
  assert.ok('policy' in result)
  assert.deepEqual(
    result.policy.groups.map(({ name, calls }) => [name, calls]),
    [
      ['make', ['security_new', 'security_old']],
      ['drop', ['security_old']],
    ],
  )
})

for (const [key, value, message] of [
  ['ktrail.one-off/make', 'security_new', /^expected ktrail\.one-of\/ and a name of .*, got "ktrail\.one-off\/make"$/],
  ['ktrail.dev/titel', 'x', /, or one of ktrail\.dev\/title, .*, got "ktrail\.dev\/titel"$/],
  ['ktrail.one-of/', 'security_new', /^expected ktrail\.one-of\/ and a name/],
  ['ktrail/one-of', 'security_new', /^expected ktrail\.one-of\/ and a name/],
  [`ktrail.one-of/${'a'.repeat(64)}`, 'security_new', /^expected ktrail\.one-of\/ and a name/],
  [
    'ktrail.one-of/x',
    'security_nev',
    /^expected calls of this policy, .*"security_nev" \(did you mean "security_new"\?\)$/,
  ],
  ['ktrail.one-of/x', 'security_new security_old', /^expected calls of this policy, separated by commas, got/],
  ['ktrail.one-of/x', '', /^expected calls of this policy, separated by commas, got ""$/],
  [
    'ktrail.one-of/x',
    'always',
    /^call "always" requires "ignore: \{ callNotFound: true \}", otherwise a kernel without it/,
  ],
  ['ktrail.one-of/x', ['security_new'], /^expected a text/],
] as const) {
  test(`groups: refuses ${key.slice(0, 30)}: ${JSON.stringify(value)}`, () => {
    const result = parsed({ [key]: value })
    assert.ok('problems' in result)
    const [first] = result.problems
    const [, text] = first?.message.split(/^metadata\.annotations\["[^"]*"\]: /) ?? []
    assert.match(text ?? first?.message ?? '', message)
  })
}
