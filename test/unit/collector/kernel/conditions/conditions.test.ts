/** Generations of conditions in the kernel's maps, which are in memory here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Conditions } from '../../../../../collector/kernel/conditions/conditions.ts'
import type { ConditionMaps } from '../../../../../collector/kernel/conditions/conditions.ts'
import { CONDITIONS_MAX } from '../../../../../collector/plan/conditions/table.ts'
import { CONDITIONS, FOLLOWING_MAX } from '../../../../../collector/wire/wire.ts'
import type { Policy, Selector, WorkloadFilter } from '../../../../../config/policy/policy.ts'
import { NativeError } from '../../../../../native/index.ts'
import type { BpfMap } from '../../../../../native/types.ts'
import { asking, pids, programs } from '../../support/process-filters.ts'
import { spec } from '../../support/specs.ts'

const NAMES = ['program_starts', 'program_ends', 'condition_pids', 'conditions', 'generation'] as const

interface Rig {
  readonly conditions: Conditions
  readonly entries: Readonly<Record<string, Map<string, Buffer>>>
  /** Updates and deletes, in order. */
  readonly writes: string[]
  full: string
}

function rig(): Rig {
  const entries = Object.fromEntries(NAMES.map((name) => [name, new Map<string, Buffer>()]))
  const unused = (): never => assert.fail('not used')
  const made: { -readonly [K in keyof Rig]?: Rig[K] } & { full: string } = { full: '', entries, writes: [] }
  const map = (name: string): BpfMap => ({
    info: { name, keySize: 4, valueSize: 4, maxEntries: 1, perCpu: 1 },
    lookup: unused,
    lookupAll: (keys) => keys.map((key) => entries[name]?.get(Buffer.from(key).toString('hex'))),
    update: (key, value) => {
      if (made.full === name) throw new NativeError('MAP_FAILED', `${name} is full`)
      entries[name]?.set(Buffer.from(key).toString('hex'), Buffer.from(value))
      made.writes?.push(name)
      return true
    },
    delete: (key) => entries[name]?.delete(Buffer.from(key).toString('hex')) ?? false,
    part: unused,
    freeze: unused,
    close: unused,
    [Symbol.dispose]: unused,
  })
  const workloads: ConstructorParameters<typeof Conditions>[1] = {
    refusal: ({ host }) => (host ? undefined : 'no pod is known'),
    use: (conditions) => {
      made.writes?.push(`cgroups ${conditions.map(({ bit }) => bit).join(' ')}`)
      return Promise.resolve(true)
    },
  }
  const maps = Object.fromEntries(NAMES.map((name) => [name, map(name)])) as unknown as ConditionMaps
  return Object.assign(made, { conditions: new Conditions(maps, workloads) }) as Rig
}

const policy = (...selectors: readonly Selector[]): Policy => ({
  name: 'p',
  file: 'p.yaml',
  hooks: [spec({ selectors })],
  groups: [],
})
const generation = ({ entries }: Rig): number => entries['generation']?.get('00000000')?.readUInt32LE() ?? 0

test('conditions: the tables of a generation are whole before it counts', async () => {
  const made = rig()
  await made.conditions.add([policy(asking(programs('Equal', ['/a']), pids('Equal', [1])))])
  assert.equal(generation(made), 1)
  assert.deepEqual(made.writes, ['program_starts', 'condition_pids', 'conditions', 'generation'])
})

test('conditions: known conditions make no generation', async () => {
  const made = rig()
  const known = policy(asking(programs('Equal', ['/a'])))
  await made.conditions.add([known])
  await made.conditions.add([known, policy(asking())])
  assert.equal(generation(made), 1)
})

test('conditions: the previous tables stay for one generation, then their room is reused', async () => {
  const made = rig()
  const sizes: number[] = []
  for (let i = 0; i < 6; i++) {
    const each = policy(asking(programs('Equal', [`/bin/${i}`])))
    await made.conditions.add([each])
    made.conditions.remove([each])
    sizes.push(made.entries['program_starts']?.size ?? 0)
  }
  assert.deepEqual(sizes, [1, 2, 2, 2, 2, 2])
  assert.equal(generation(made), 6)
})

test('conditions: descendants do not inherit a condition of no policy, in the present generation', async () => {
  const made = rig()
  const following = (): bigint | undefined =>
    made.entries['conditions']?.get('01000000')?.readBigUInt64LE(CONDITIONS.following)
  const [one, other] = [policy(asking(programs('Equal', ['/a'], true))), policy(asking(pids('Equal', [1], true)))]
  await made.conditions.add([one, other])
  assert.equal(following(), 0b11n)
  made.conditions.remove([one])
  assert.equal(following(), 0b10n)
  made.conditions.remove([other])
  assert.equal(following(), 0n)
  assert.equal(generation(made), 1)
  const plain = policy(asking(pids('Equal', [1])))
  await made.conditions.add([plain])
  made.writes.length = 0
  made.conditions.remove([plain])
  assert.deepEqual(made.writes, [])
})

test('conditions: too many are refused at their place in the policy, and change nothing', async () => {
  const made = rig()
  const most = Array.from({ length: CONDITIONS_MAX - FOLLOWING_MAX }, (_, i) => asking(pids('Equal', [i])))
  await made.conditions.add([policy(...most)])
  await assert.rejects(
    made.conditions.add([policy(asking(programs('Equal', ['/a'], true)), asking(programs('Equal', ['/a'])))]),
    {
      code: 'POLICY_REFUSED',
      message:
        'p.yaml:4:7: expected at most 448 different conditions on processes in all policies together, got one more; remove a policy with others',
    },
  )
  assert.equal(generation(made), 1)
})

test('conditions: tables that do not fit are refused, and the next change takes their room', async () => {
  const made = rig()
  const bad = policy(asking(programs('Equal', ['/a']), pids('Equal', [1])))
  made.full = 'condition_pids'
  await assert.rejects(made.conditions.add([bad]), {
    code: 'POLICY_REFUSED',
    message: /do not fit into the kernel: condition_pids is full/,
  })
  assert.equal(generation(made), 0)
  made.full = ''
  await made.conditions.add([policy(asking(programs('Equal', ['/b'])))])
  assert.equal(generation(made), 1)
  assert.equal(made.entries['program_starts']?.size, 1)
})

const workload = (change: Partial<WorkloadFilter>): Selector => ({
  matchArgs: [],
  workloads: [
    { namespace: '', pods: undefined, containers: undefined, host: true, at: { line: 2, col: 3 }, ...change },
  ],
})

test('conditions: conditions on pods and containers are bits of cgroups, and make no generation', async () => {
  const made = rig()
  const [host, pods] = [workload({}), workload({ pods: [] })]
  await made.conditions.add([policy(host, pods, host), policy(asking(programs('Equal', ['/a'])), host)])
  assert.deepEqual(made.writes.slice(-1), ['cgroups 64 65'])
  assert.equal(generation(made), 1)
  assert.deepEqual(
    [host, pods, asking(programs('Equal', ['/a']))].map((each) => [
      made.conditions.bits.workloadsOf(each),
      made.conditions.bits.conditionsOf(each),
    ]),
    [
      [1n << 64n, 0n],
      [1n << 65n, 0n],
      [0n, 1n << 66n],
    ],
  )
  // Without a new condition, no cgroup is evaluated again.
  const count = made.writes.length
  await made.conditions.add([policy(pods)])
  assert.equal(made.writes.length, count)
})

test('conditions: unknown pods are refused at their place in the policy, and change nothing', async () => {
  const made = rig()
  await assert.rejects(made.conditions.add([policy(workload({})), policy(workload({ host: false, pods: [] }))]), {
    code: 'POLICY_REFUSED',
    message: 'p.yaml:2:3: no pod is known',
  })
  assert.deepEqual(made.writes, [])
  // The first change took a bit, and released it.
  await made.conditions.add([policy(workload({ pods: [] }))])
  assert.deepEqual(made.writes, ['cgroups 64'])
})
