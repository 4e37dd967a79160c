/** Random worlds and policies; `make random-policies` compares them with a kernel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEYS } from '../../../../config/policy/tables.ts'
import { IDENTITY_OPERATORS, OPERATORS } from '../../../../config/policy/operators.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import { Seeded } from '../../../simulation/spool/random.ts'
import { policyText } from '../../../support/policies/documents.ts'
import { Filters } from '../../../support/policies/random/filters.ts'
import { Policies } from '../../../support/policies/random/policies.ts'
import { World } from '../../../support/policies/random/world.ts'

/** Upper limit. */
const WORLDS = 400
const POLICIES = 3
/** As many as a policy of 20 hooks has. */
const FILTERS = 400
const FILE_BYTES = 256 << 10
const ROOM = { conditions: 100, identityLists: 10 }
const top = '/tmp/ktrail-random-1'
const programs = ['/tmp/ktrail-calls', '/usr/bin/node']

/** Fields with tests of their own: one needs pods, one takes the place of other fields. */
const ELSEWHERE = new Set(['matchWorkloads', 'macros'])

const OTHERS =
  'sticky resolve data sizeArgIndex followChildren followForks isNamespacePID rateLimitScope argSig options'.split(' ')

test('random policies: all parse, and have every operator and every field of a selector', () => {
  const keys = new Set<string>()
  const values = new Set<string>()
  const lacking = (): string[] => [
    ...[...OPERATORS.keys(), ...IDENTITY_OPERATORS.keys()].filter((name) => !values.has(name)),
    ...[...KEYS.selector.own, ...OTHERS].filter((key) => !keys.has(key) && !ELSEWHERE.has(key)),
  ]
  for (let seed = 1; seed <= 20 || (lacking().length > 0 && seed <= WORLDS); seed++) {
    const random = new Seeded(seed)
    const world = new World(random, { top, fsTop: top, umask: 0o022 })
    for (const policy of new Policies(random, world, { programs, pids: [77, 66, 55] }, ROOM).set('p', POLICIES)) {
      const text = policyText(policy)
      const result = parsePolicy(text, 'p.yaml')
      assert.deepEqual('problems' in result ? result.problems : [], [], `seed ${seed}`)
      for (const [, key = ''] of text.matchAll(/"(\w+)":/g)) keys.add(key)
      for (const [, value = ''] of text.matchAll(/:"(\w+)"/g)) values.add(value)
    }
  }
  assert.deepEqual(lacking(), [])
})

test('random policies: the filters of a policy fit into its file, however long the paths are', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Seeded(seed)
    const filters = new Filters(random, new World(random, { top, fsTop: top, umask: 0o022 }), true)
    filters.newPolicy()
    const types = ['file', 'string', 'char_buf', 'uint64']
    const made = Array.from({ length: FILTERS }, () => filters.of(random.pick(types) ?? 'file'))
    const bytes = Buffer.byteLength(JSON.stringify(made))
    assert.ok(bytes < FILE_BYTES, `seed ${seed}: ${bytes} bytes`)
  }
})
