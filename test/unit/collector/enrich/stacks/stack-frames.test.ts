/** Stacks of addresses → frames of events that wait for their names. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Enrichment } from '../../../../../collector/enrich/enrichment.ts'
import type { KernelFunction } from '../../../../../collector/enrich/stacks/kernel-symbols.ts'
import { StackFrames } from '../../../../../collector/enrich/stacks/stack-frames.ts'
import type { Code } from '../../../../../collector/enrich/stacks/user-code.ts'
import { makeKprobe } from '../../../exporters/support/events.ts'

const NAMES: Readonly<Record<string, string>> = { 1: 'bpf_trampoline', 2: 'hooked', 3: 'caller', 4: 'entry' }
const named = (address: bigint): KernelFunction => ({ symbol: NAMES[String(address)] ?? '', offset: 7 })

interface Asked {
  readonly pid: number
  readonly addresses: readonly number[]
  readonly answer: () => void
}

function setup({ addresses = false, remembered = true } = {}): {
  stacks: StackFrames
  asked: Asked[]
  loaded: () => number
} {
  const asked: Asked[] = []
  let loads = 0
  const stacks = new StackFrames({
    addresses,
    kernel: {
      load: () => Promise.resolve(void loads++),
      remembered: (wanted) => (remembered ? wanted.map(named) : undefined),
      find: (wanted) => Promise.resolve(wanted.map(named)),
    },
    user: {
      find: (pid, wanted) => {
        const { promise, resolve } = Promise.withResolvers<ReadonlyArray<Code | undefined>>()
        const found = wanted.map((address) =>
          address === 0 ? undefined : { module: `/m${pid}`, offset: address, symbol: 'f' },
        )
        asked.push({ pid, addresses: wanted, answer: () => resolve(found) })
        return promise
      },
    },
  })
  return { stacks, asked, loaded: () => loads }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('stacks: known kernel functions are named at once, from the hooked one on', () => {
  const { stacks } = setup()
  const { kernelStack, userStack } = stacks.framesOf(1, 'hooked', [1n, 2n, 3n], [])
  assert.deepEqual(
    kernelStack?.map(({ symbol, offset, address }) => [symbol, offset, address]),
    [
      ['hooked', 7, 0n],
      ['caller', 7, 0n],
    ],
  )
  assert.equal(userStack, undefined)
  assert.ok(stacks.idle)
  const { kernelStack: whole } = stacks.framesOf(1, 'other', [1n, 2n], [])
  assert.equal(whole?.length, 2, 'without the hooked function all are kept')
  assert.deepEqual(stacks.framesOf(1, 'hooked', [], []), {})
})

test('stacks: frames have addresses only if the config enables them', () => {
  const { stacks } = setup({ addresses: true })
  const { kernelStack, userStack } = stacks.framesOf(1, '', [3n], [5n])
  assert.equal(kernelStack?.[0]?.address, 3n)
  assert.equal(userStack?.[0]?.address, 5n)
})

test('stacks: an event waits for the names of both stacks', async () => {
  const { stacks, asked } = setup({ remembered: false })
  const enrichment = new Enrichment(stacks)
  const event = makeKprobe(stacks.framesOf(9, 'hooked', [1n, 2n], [5n, 0n]))
  assert.equal(stacks.idle, false)
  assert.deepEqual(enrichment.pass([event]), [])
  await turn()
  assert.deepEqual(enrichment.pass([]), [], 'the user stack is still unknown')
  asked[0]?.answer()
  await turn()
  assert.deepEqual(enrichment.pass([]), [event])
  assert.deepEqual(
    event.kernelStack?.map(({ symbol }) => symbol),
    ['hooked'],
  )
  assert.deepEqual(event.userStack, [
    { address: 0n, offset: 5, symbol: 'f', module: '/m9' },
    { address: 0n, offset: 0, symbol: '', module: '' },
  ])
  assert.ok(stacks.idle)
  const others = [makeKprobe()]
  assert.equal(enrichment.pass(others), others, 'then the stage looks at no event')
})

test('stacks: processes are looked up one at a time, with the stacks that came meanwhile', async () => {
  const { stacks, asked } = setup()
  for (const [pid, address] of [
    [1, 11],
    [2, 21],
    [1, 12],
    [2, 22],
    [1, 13],
  ] as const)
    stacks.framesOf(pid, '', [], [BigInt(address)])
  assert.deepEqual(
    asked.map(({ pid, addresses }) => [pid, addresses]),
    [[1, [11]]],
  )
  asked[0]?.answer()
  await turn()
  asked[1]?.answer()
  await turn()
  asked[2]?.answer()
  await turn()
  assert.deepEqual(
    asked.map(({ pid, addresses }) => [pid, addresses]),
    [
      [1, [11]],
      [2, [21, 22]],
      [1, [12, 13]],
    ],
  )
  assert.ok(stacks.idle)
})

test('stacks: events beyond the bound get no names and are counted', async () => {
  const { stacks, asked } = setup()
  const events = Array.from({ length: 5000 }, () => makeKprobe(stacks.framesOf(1, '', [], [5n])))
  const refused = events.filter((event) => stacks.pending(event) !== undefined)
  assert.equal(refused.length, 5000)
  await turn()
  for (let i = 0; i < 1000 && !stacks.idle; i++) {
    asked[i]?.answer()
    await turn()
  }
  assert.ok(asked.every(({ addresses }) => addresses.length <= 32))
  const nameless = events.filter(({ userStack }) => userStack?.[0]?.symbol === '')
  assert.ok(nameless.length > 800 && nameless.length < 1000, String(nameless.length))
  const enrichment = new Enrichment({ pending: (event) => stacks.pending(event) })
  enrichment.pass(nameless.slice(0, 1))
  await turn()
  assert.equal(enrichment.pass([]).length, 1)
  assert.equal(enrichment.gaveUp.failed, 1)
})

test('stacks: the symbols of the kernel are read when a policy requests stacks', async () => {
  const { stacks, loaded } = setup()
  const policy = (asks: object): Parameters<StackFrames['loadFor']>[0][number] =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only the selectors are looked at
    ({ hooks: [{ selectors: [{ matchArgs: [], ...asks }] }] }) as unknown as Parameters<
      StackFrames['loadFor']
    >[0][number]
  await stacks.loadFor([policy({})])
  assert.equal(loaded(), 0)
  await stacks.loadFor([policy({}), policy({ stacks: { kernel: true, user: false } })])
  assert.equal(loaded(), 1)
})
